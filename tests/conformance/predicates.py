"""What the rules ask about a scenario. Pure functions over its script and, for what only OTP knows, over its trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from tests.conformance.corpus import Scenario

Json: TypeAlias = Any
Graph: TypeAlias = dict[str, set[str]]

# -------------------------------------------------------------------------------------------------- the supervisor tree


def objects(data: Json) -> Iterator[Mapping[str, Json]]:
    """Every object in the script of a scenario, at any depth; its trace is not part of the script."""
    if isinstance(data, list):
        for entry in data:
            yield from objects(entry)
    elif isinstance(data, dict):
        yield data
        yield from (found for key, value in data.items() if key != "expected" for found in objects(value))


def child_specs(data: Json) -> Iterator[Mapping[str, Json]]:
    """Every child specification: static, nested, added later, or only checked."""
    for each in objects(data):
        for key in ("children", "specs"):
            if isinstance(each.get(key), list):
                yield from (spec for spec in each[key] if isinstance(spec, dict))
        if isinstance(each.get("spec"), dict) and "label" not in each:
            yield each["spec"]


def has_child_without_id(scenario: Scenario) -> bool:
    return any("id" not in spec for spec in child_specs(scenario.data))


def _dynamic_supervisors(scenario: Scenario) -> list[Mapping[str, Json]]:
    """Their descriptions, with `flags` and `children`."""
    return [
        each
        for each in objects(scenario.data)
        if isinstance(each.get("flags"), dict) and each["flags"].get("strategy") == "simple_one_for_one"
    ]


def has_dynamic_supervisor_without_template(scenario: Scenario) -> bool:
    return any(not each.get("children") for each in _dynamic_supervisors(scenario))


def has_odd_dynamic_restart(scenario: Scenario) -> bool:
    """A dynamic child ignores its restart, or is terminated while a failing restart is under way."""
    return bool(_dynamic_supervisors(scenario)) and (
        any(_ignored_a_restart(step) for step in scenario.expected)
        or any(each.get("op") == "terminate_child" and "tag" in each for each in objects(scenario.data))
    )


def _ignored_a_restart(step: Mapping[str, Json]) -> bool:
    return step["op"] != "start_child" and any(event[0] == "start" and event[-1] == "ignore" for event in _events(step))


# ----------------------------------------------------------------------------------------------- a killed supervisor


def has_survivors_of_a_kill(scenario: Scenario) -> bool:
    """Below a killed supervisor somebody ended otherwise than killed, or did not end."""
    nested = {path for path, _ in _nested_supervisors(scenario.data.get("supervisor", {}), "")}
    before: set[str] = set()
    for step in scenario.expected:
        if "alive" in step:
            if any(_survivors(step, before, path) for path in _killed(step, nested)):
                return True
            before = set(step["alive"])
    return False


def _nested_supervisors(supervisor: Mapping[str, Json], path: str) -> Iterator[tuple[str, Mapping[str, Json]]]:
    children = supervisor.get("children")
    for spec in children if isinstance(children, list) else ():
        if isinstance(spec, dict) and "supervisor" in spec and isinstance(spec.get("id"), str):
            own = f"{path}/{spec['id']}" if path else spec["id"]
            yield own, spec["supervisor"]
            yield from _nested_supervisors(spec["supervisor"], own)


def _killed(step: Mapping[str, Json], nested: set[str]) -> Iterator[str]:
    """Paths of the supervisors that were killed in this step, with the slash that their children have."""
    for event in _events(step):
        if event == ["sup_exit", "killed"]:
            yield ""
        elif event[0] == "exit" and event[-1] == "killed" and event[1] in nested:
            yield f"{event[1]}/"


def _survivors(step: Mapping[str, Json], before: set[str], prefix: str) -> bool:
    lives_on = any(label.startswith(prefix) for label in before & set(step["alive"]))
    other_end = any(
        event[0] == "exit" and event[1].startswith(prefix) and event[-1] != "killed" for event in _events(step)
    )
    return lives_on or other_end


def _events(step: Mapping[str, Json]) -> Iterator[Json]:
    for item in step.get("events", ()):
        if isinstance(item, dict):
            for member in item["any"]:
                yield from [member] if isinstance(member[0], str) else member
        else:
            yield item


# ------------------------------------------------------------------------------------------------- calls in a circle


def has_call_cycle(scenario: Scenario) -> bool:
    """Processes call each other in a circle: whoever answers the one call makes the next."""
    calls: Graph = {}
    for step in scenario.data["steps"]:
        if "do" in step:
            _follow(calls, step["do"], step["ops"])
    return any(_reaches(calls, calls[start], start) for start in calls)


def _follow(calls: Graph, process: str, operations: Iterable[Json]) -> None:
    """Note who calls whom when `process` runs these operations, and when their receivers do what they are told."""
    for name, *arguments in operations:
        if name in ("call", "call_nocatch", "cast", "send"):
            target, message = arguments[:2]
            target = process if target == "self" else target
            if name.startswith("call"):
                calls.setdefault(process, set()).update({target} - {process})
            if isinstance(message, dict):
                _follow(calls, target, message.get("do", ()))


def _reaches(calls: Graph, sources: Iterable[str], goal: str) -> bool:
    seen: set[str] = set()
    waiting = list(sources)
    while waiting:
        node = waiting.pop()
        if node == goal:
            return True
        if node not in seen:
            seen.add(node)
            waiting.extend(calls.get(node, ()))
    return False


def has_unread_answer(scenario: Scenario) -> bool:
    """An answer, or the end of the one who should give it, arrives as a message in the middle of nowhere."""
    return any(_is_unread(event) for step in scenario.expected for events in step.values() for event in events)


def _is_unread(event: Json) -> bool:
    if not isinstance(event, list) or len(event) != 2 or event[0] not in {"msg", "handle_info"}:
        return False
    message = event[1]
    return isinstance(message, list) and (message[:1] == ["REPLY"] or message[:2] == ["DOWN", "#?"])
