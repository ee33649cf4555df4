"""Deliberate differences are declared by rule, and explained to the reader."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.corpus import Scenario
from tests.conformance.rules import RULES, Rule, rule_for

DOCUMENT = Path(__file__).parents[2] / "docs" / "otp-differences.md"


def scenario(**data: Any) -> Scenario:
    empty = {"supervisor": {"children": []}, "actions": [], "expected": {"steps": []}}
    return Scenario("x", "retry", "supervisor", {**empty, **data})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_is_documented(rule: Rule) -> None:
    """Each rule has its heading, with a reason under it."""
    _, found, section = DOCUMENT.read_text(encoding="utf-8").partition(f"### `{rule.name}`\n")

    assert found
    assert len(section.partition("\n#")[0].split()) > 10


def test_document_has_no_other_rule() -> None:
    """A rule that was given up is not explained any more."""
    headings = re.findall(r"^### `(\w+)`$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)

    assert headings == [rule.name for rule in RULES]


def test_no_rule_knows_an_id() -> None:
    """The same scenario under another name is treated the same."""
    names = [rule_for(Scenario(name, "api", "supervisor", {"tags": ["otp_quirk"]})) for name in ("a", "api.x")]

    assert names[0] is not None
    assert names[0] is names[1]


def test_ordinary_scenario_has_no_rule() -> None:
    """Nothing excuses a scenario that is not special."""
    assert rule_for(scenario()) is None


@pytest.mark.parametrize("tag", ["otp_quirk", "otp_version"])
def test_tags(tag: str) -> None:
    """What the recorders marked as OTP's own affair may differ."""
    rule = rule_for(scenario(tags=["window", tag]))

    assert rule is not None
    assert rule.name == tag


def rule_name(found: Scenario) -> str | None:
    rule = rule_for(found)
    return None if rule is None else rule.name


# -------------------------------------------------------------------------------------------------------- without an id

NESTED = {"id": "n", "supervisor": {"children": [{"restart": "permanent"}]}}


@pytest.mark.parametrize(
    "data",
    [
        {"supervisor": {"children": [{"id": "a"}, {"restart": "permanent"}]}},
        {"supervisor": {"children": [NESTED]}},
        {"actions": [{"op": "start_child", "spec": {"shutdown": 5}}]},
        {"actions": [{"op": "check_childspecs", "specs": [{"id": "a"}, {"shutdown": 5}]}]},
    ],
)
def test_child_without_id(data: Any) -> None:
    """Wherever the specification stands."""
    assert rule_name(scenario(**data)) == "default_child_id"


@pytest.mark.parametrize(
    "data",
    [
        {"supervisor": {"children": [{"id": "a"}]}},
        {"actions": [{"op": "start_child", "label": "d1", "spec": {"starts": []}}]},
        {"expected": {"children": [{}], "steps": []}},
    ],
)
def test_child_with_id(data: Any) -> None:
    """The overrides of a dynamic child are no specification, nor is what a trace shows."""
    assert rule_name(scenario(**data)) is None


# -------------------------------------------------------------------------------------------------- dynamic supervisors


def dynamic(*, children: Any = ({"id": "k"},), actions: Any = (), events: Any = ()) -> Scenario:
    supervisor = {"flags": {"strategy": "simple_one_for_one"}, "children": list(children)}
    steps = [step("exit", events)]
    return scenario(supervisor=supervisor, actions=list(actions), expected={"steps": steps})


def step(op: str, events: Any = (), alive: Any = ()) -> Any:
    return {"op": op, "ret": "ok", "events": list(events), "alive": list(alive), "up": True}


def test_no_template() -> None:
    """A dynamic supervisor without children, but not with one."""
    assert rule_name(dynamic(children=[])) == "optional_template"
    assert rule_name(dynamic()) is None


def test_ignored_restart() -> None:
    """A dynamic child that ignores its restart."""
    events = [["exit", "d1", 1, "boom"], ["start", "d1", 2, "ignore"]]

    assert rule_name(dynamic(events=events)) == "dynamic_restart_quirk"
    assert rule_name(scenario(expected={"steps": [step("exit", events)]})) is None


def test_terminated_while_restarted() -> None:
    """A dynamic child is terminated by a call that was made during a start."""
    starts = [{"out": "ok"}, {"out": "error", "during": [{"op": "terminate_child", "pid_of": "d1", "tag": "q"}]}]

    assert rule_name(dynamic(actions=[{"label": "d1", "spec": {"starts": starts}}])) == "dynamic_restart_quirk"
    assert rule_name(dynamic(actions=[{"op": "terminate_child", "pid_of": "d1"}])) is None


# --------------------------------------------------------------------------------------------------- killed supervisors

TREE = {"children": [{"id": "a"}, {"id": "n", "supervisor": {"children": [{"id": "x"}]}}]}
UP = step("start_link", [], ["a#1", "n#1", "n/x#1"])
KILLED = ["exit", "n", 1, "killed"]


def after_kill(*events: Any, alive: Any = ("a#1",)) -> str | None:
    steps = [UP, step("exit", events, alive)]
    return rule_name(scenario(supervisor=TREE, expected={"steps": steps}))


def test_survivors_of_a_kill() -> None:
    """Below a killed supervisor a child ended in its own way, or did not end."""
    assert after_kill({"any": [[KILLED], ["exit", "n/x", 1, "odd"]]}) == "kill_is_complete"
    assert after_kill(KILLED, alive=["a#1", "n/x#1"]) == "kill_is_complete"
    assert after_kill(["exit", "a", 1, "shutdown"], ["sup_exit", "killed"], alive=[]) == "kill_is_complete"


def test_complete_kill() -> None:
    """All were killed, or only a child was."""
    assert after_kill(KILLED, ["exit", "n/x", 1, "killed"], ["start", "n/x", 2, "ok"], alive=["a#1", "n/x#2"]) is None
    assert after_kill(["exit", "a", 1, "killed"], alive=["n#1", "n/x#1"]) is None
    assert after_kill(["exit", "n", 1, "shutdown"], ["exit", "n/x", 1, "odd"]) is None


# ------------------------------------------------------------------------------------------------- calls in a circle


def calls(*operations: Any) -> str | None:
    data = {"actors": {}, "steps": [{"do": "a", "ops": list(operations)}, {"advance": 5}], "expected": []}
    return rule_name(Scenario("gs-x", "gen_server", "process", data))


def told(*operations: Any) -> Any:
    return {"m": "go", "do": list(operations)}


def test_call_cycle() -> None:
    """Whoever answers the call makes the next, and the circle closes."""
    assert calls(["call", "s", told(["call", "a", "x"])]) == "call_cycle"
    assert calls(["cast", "s", told(["call", "t", told(["call_nocatch", "s", "x", 100])])]) == "call_cycle"


def test_calls_without_cycle() -> None:
    """A chain is none, a cast does not wait, and calling oneself is an error in OTP, too."""
    assert calls(["call", "s", told(["call", "t", "x"])], ["call", "t", "x"]) is None
    assert calls(["call", "s", told(["cast", "a", told(["log", "x"])])]) is None
    assert calls(["call", "self", "x"]) is None
