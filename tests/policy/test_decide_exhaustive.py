"""Every state that a small supervisor can get into, and every event in each: the laws hold without exception.

Handles, numbers of retries and places in the order are replaced by what matters about them, and all happens at one
moment, so that the window only fills up: the states are finitely many, and all of them are visited.
"""

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest

from nursery_otp._policy import supervision as s
from nursery_otp._policy.decide import initial
from nursery_otp._policy.exits import NORMAL, SHUTDOWN
from nursery_otp._policy.restarts import Backoff
from nursery_otp._policy.specs import RESTARTS, ChildSpec, SupervisorFlags
from tests.policy.builders import BOOM, Incarnation, plain, spec, to_stop
from tests.policy.laws import taken
from tests.policy.steps import Step

STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one"]
SLOWLY = Backoff(initial=1.0, jitter=0)

# The retries that were asked for: whether the restart of this child, by the number of its retry, is counted already.
Retries: TypeAlias = dict[tuple[s.Key, int], bool]


def essence(state: s.State, retries: Retries) -> Any:
    """What is the same in two states that behave in the same way."""
    order = state.ordered()
    names = {child.key: place if state.flags.dynamic else child.key for place, child in enumerate(order)}
    children = tuple(
        (
            names[child.key],
            child.spec.restart,
            child.spec.backoff,
            child.status,
            child.returning,
            retries.get((child.key, child.retry)),
        )
        for child in order
    )
    return children, _plan(state.plan, names), len(state.window.times), len(state.waiting)


def _plan(plan: s.Plan | None, names: dict[s.Key, Any]) -> Any:
    if plan is None:
        return None
    purpose = plain(plan.purpose)
    if isinstance(purpose, s.Add | s.Revive | s.Terminate | s.RestartGroup | s.Delay):
        purpose = type(purpose), names.get(purpose.key)
    return purpose, *(tuple(names.get(key) for key in keys) for keys in (to_stop(plan), plan.to_start))


def outcomes(state: s.State) -> Iterator[s.Event]:
    """What can come of the action under way."""
    yield s.Kill()
    plan = state.plan
    assert plan is not None
    if plan.next_stop is not None:
        yield s.Stopped()
    elif plan.next_start is not None:
        key = plan.next_start
        yield from (s.Started(key, Incarnation(key, 0), 0.0), s.Ignored(key), s.Failed(key, BOOM))


def news(state: s.State, retries: Retries) -> Iterator[s.Event]:
    """What can happen while nothing is under way, and what a late message of the past would look like."""
    for child in state.ordered():
        if child.status == "running":
            yield from (s.Exited(child.key, child.handle, reason, 0.0) for reason in (NORMAL, BOOM))
        if child.status == "restarting":
            yield s.Retry(child.key, child.retry, retries[child.key, child.retry], 0.0)
            yield s.Exited(child.key, child.handle, BOOM, 0.0)  # heard twice
        yield s.Exited(child.key, object(), BOOM, 0.0)
        yield s.Retry(child.key, child.retry - 1, False, 0.0)
    yield from (s.StopServices(), s.StopRequest(SHUTDOWN), s.Kill())


def calls(state: s.State, extra: ChildSpec) -> Iterator[s.Event]:
    """Everything that can be asked of it."""
    keys = [child.key for child in state.ordered()]
    if state.flags.dynamic:
        yield s.AddChild(object(), extra)
        yield s.AddChild(object(), extra, wait=len(state.waiting) < 2)
        yield from (s.Withdraw(entry.token) for entry in state.waiting)
        yield from (s.TerminateChild(object(), c.key, c.handle, c.status == "running") for c in state.ordered())
        return
    yield from (s.AddChild(object(), extra.with_id(key)) for key in dict.fromkeys([*keys, extra.id]))
    for key, ask in itertools.product([*keys, "?"], [s.TerminateChild, s.RestartChild, s.DeleteChild]):
        yield ask(object(), key)


def explore(flags: SupervisorFlags, specs: list[ChildSpec], extra: ChildSpec | None = None) -> list[Step]:
    """Take every step that there is; with `extra` (one more child to add) also every call."""
    seen: set[Any] = set()
    steps = [taken(initial(flags, specs), s.Begin())]
    queue: deque[tuple[s.State, Retries]] = deque([(steps[0].after, {})])
    while queue:
        state, retries = queue.popleft()
        if state.plan is not None:
            events = outcomes(state)
        else:
            events = itertools.chain(news(state, retries), calls(state, extra) if extra is not None else ())
        for event in events:
            step = taken(state, event)
            steps.append(step)
            if step.of(s.Finish):
                continue
            scheduled = {(action.key, action.number): action.counted for action in step.of(s.RetryLater)}
            known = essence(step.after, found := {**retries, **scheduled})
            if known not in seen:
                seen.add(known)
                queue.append((step.after, found))
    return steps


def kinds(steps: list[Step]) -> set[str]:
    """What the exploration has seen, so that a test notices when it saw nothing."""
    plans = {type(step.after.plan.purpose).__name__ for step in steps if step.after.plan is not None}
    answers = {reply.answer for step in steps for reply in step.of(s.Reply)}
    ends = {type(getattr(step.ending, "detail", None)).__name__ for step in steps if step.ending is not None}
    return plans | answers | ends


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("backoff", [None, SLOWLY], ids=["at_once", "backoff"])
def test_two_children_of_all_types(strategy, backoff):
    """All that two children can do to their supervisor, and it to them."""
    for restarts in itertools.product(RESTARTS, repeat=2):
        flags = SupervisorFlags(strategy=strategy, max_restarts=1)
        steps = explore(
            flags, [spec(name, restart, backoff=backoff) for name, restart in zip("ab", restarts, strict=True)]
        )

        expected = {"Start", "End", "FailedToStart", "NoneType"}
        if restarts != ("temporary", "temporary"):
            expected |= {"RestartGroup", "RestartLimitReached"}
        assert expected <= kinds(steps)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("backoffs", ["", "b", "bc"])
def test_three_children(strategy, backoffs):
    """All that three children can do, with no and with two restarts allowed."""
    for max_restarts in (0, 2):
        flags = SupervisorFlags(strategy=strategy, max_restarts=max_restarts)
        steps = explore(flags, [spec(name, backoff=SLOWLY if name in backoffs else None) for name in "abc"])

        assert {"RestartLimitReached", "FailedToStart"} <= kinds(steps)
        assert ("Delay" in kinds(steps)) == (backoffs != "" and strategy != "one_for_one" and max_restarts > 0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_calls(strategy):
    """All that can be asked of a supervisor of two children, in every state, in between and in any order."""
    flags = SupervisorFlags(strategy=strategy, max_restarts=1)
    steps = explore(flags, [spec("a", "transient")], extra=spec("x", backoff=SLOWLY))

    assert {"Add", "Revive", "Terminate", "RestartGroup", "End"} <= kinds(steps)
    answers = {"ok", "ignored", "already_present", "already_started", "running", "restarting", "not_found", "failed"}
    assert answers <= kinds(steps)


@pytest.mark.parametrize("mode", ["never", "any_significant", "all_significant"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_significant_children(strategy, mode):
    """Automatic shutdown, in every state and with every ending."""
    for restarts in itertools.product(["transient", "temporary"], repeat=2):
        children = [spec(name, restart, significant=True) for name, restart in zip("ac", restarts, strict=True)]
        flags = SupervisorFlags(strategy=strategy, max_restarts=1, auto_shutdown=mode)
        steps = explore(flags, [children[0], spec("b"), children[1]])

        assert ("AutoShutdown" in kinds(steps)) == (mode != "never")


@pytest.mark.parametrize("restart", RESTARTS)
@pytest.mark.parametrize("backoff", [None, SLOWLY], ids=["at_once", "backoff"])
def test_dynamic_children(restart, backoff):
    """A supervisor with two places, and calls that wait for one."""
    flags = SupervisorFlags(strategy="simple_one_for_one", max_restarts=1, max_children=2)
    steps = explore(flags, [], extra=spec(None, restart, backoff=backoff))

    assert {"Add", "Terminate", "End", "ok", "failed", "ignored", "max_children"} <= kinds(steps)
    assert ("RestartLimitReached" in kinds(steps)) == (restart != "temporary")


@pytest.mark.soak
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("restarts", list(itertools.product(RESTARTS, repeat=3)), ids="-".join)
def test_three_children_and_calls(strategy, restarts):
    """Three children of all types, with and without backoff, and every call."""
    for backoffs in ("", "a", "bc"):
        children = [
            spec(name, restart, backoff=SLOWLY if name in backoffs else None)
            for name, restart in zip("abc", restarts, strict=True)
        ]
        explore(SupervisorFlags(strategy=strategy, max_restarts=1), children[:2], extra=children[2])
        explore(SupervisorFlags(strategy=strategy, max_restarts=2), children)
