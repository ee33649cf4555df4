"""Random lives of a supervisor: the laws hold after every decision, and the whole story adds up."""

import itertools
import math
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nursery_otp._policy import supervision as s
from nursery_otp._policy.exits import KILLED, NORMAL, SHUTDOWN, Failed, Shutdown
from nursery_otp._policy.restarts import Backoff
from nursery_otp._policy.specs import AUTO_SHUTDOWNS, ChildSpec, SupervisorFlags
from tests.policy.builders import BOOM, spec
from tests.policy.shell import Shell

REASONS = [NORMAL, SHUTDOWN, Shutdown("moved"), BOOM, Failed("three"), KILLED]
QUICK = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

WORDS = ["ok"] * 4 + ["fail", "ignore", "die", "die", "time", "time", "terminate", "restart", "delete", "add", "add"]
RARE = ["stale", "withdraw", "services"]

numbers = range(6)
stories = st.lists(
    st.sampled_from([*itertools.product(WORDS, numbers, numbers), *itertools.product(RARE, numbers, [0])]),
    min_size=30,
    max_size=60,
)


@st.composite
def flags(draw: st.DrawFn, *strategies: str) -> SupervisorFlags:
    """Flags with limits small enough to be reached."""
    strategy: Any = draw(st.sampled_from(strategies))
    dynamic = strategy == "simple_one_for_one"
    return SupervisorFlags(
        strategy=strategy,
        max_restarts=draw(st.sampled_from([0, 1, 2, 3, 9, math.inf])),
        period=draw(st.sampled_from([0.5, 2.0, 5.0])),
        auto_shutdown=draw(st.sampled_from(AUTO_SHUTDOWNS)),
        max_children=draw(st.sampled_from([0, 1, 2, 3, math.inf])) if dynamic else math.inf,
    )


def sort_of(id: Any, number: int) -> ChildSpec:
    """A child of one of six sorts."""
    return [
        spec(id),
        spec(id, "transient", shutdown="kill"),
        spec(id, "temporary", service=True),
        spec(id, "transient", significant=True),
        spec(id, "temporary", significant=True),
        spec(id, "permanent", service=True, backoff=Backoff(initial=1.0, jitter=0.5, stable_after=2.0)),
    ][number]


static = flags("one_for_one", "one_for_all", "rest_for_one")
dynamic = flags("simple_one_for_one")
sorts = st.lists(st.sampled_from(numbers), max_size=4)  # one number for each child to start with


def perform(shell: Shell, command: tuple[str, int, int]) -> None:
    """One command of a story."""
    word, one, two = command
    match word:
        case "ok" | "fail" | "ignore":
            shell.resolve(word)
        case "die":
            shell.die(one, REASONS[two])
        case "time":
            shell.pass_time([0.0, 0.25, 0.5, 1.0, 2.0, 5.0][one])
        case "stale":
            shell.stale(one)
        case "withdraw":
            shell.withdraw(one)
        case "services":
            shell.post(s.StopServices())
        case _ if shell.flags.dynamic:
            call_dynamic(shell, word, one, two)
        case _:
            call_static(shell, word, "abcdxy"[one], two)


def call_static(shell: Shell, word: str, key: str, sort: int) -> None:
    """A call about an id."""
    match word:
        case "add":
            shell.call(lambda token: s.AddChild(token, sort_of(key, sort)))
        case "terminate":
            shell.call(lambda token: s.TerminateChild(token, key))
        case "restart":
            shell.call(lambda token: s.RestartChild(token, key))
        case "delete":
            shell.call(lambda token: s.DeleteChild(token, key))


def call_dynamic(shell: Shell, word: str, which: int, sort: int) -> None:
    """A call about an incarnation, or for one more child (every second one would wait for a place)."""
    if word in {"add", "restart"} or not shell.past:
        shell.call(lambda token: s.AddChild(token, sort_of(None, sort), wait=word == "restart"))
    elif word == "delete":
        shell.call(lambda token: s.DeleteChild(token, which))
    else:
        handle = shell.past[which % len(shell.past)]
        alive = handle in shell.alive.values()
        shell.call(lambda token: s.TerminateChild(token, handle.key, handle, alive))


def lived(flags: SupervisorFlags, sorts: list[int], story: list[tuple[str, int, int]], *, up: bool = True) -> Shell:
    """A supervisor after all these commands, or at its end; `up`: its start succeeds."""
    shell = Shell(flags, [sort_of(name, sort) for name, sort in zip("abcd", sorts, strict=False)])
    while up and shell.work is not None:
        shell.resolve()
    for command in story:
        if shell.finished is None:
            perform(shell, command)
    return shell


@QUICK
@given(static, sorts, stories)
def test_static_supervisor_settles(flags, sorts, story):
    """Whatever happened, once everything succeeds a supervisor comes to rest, and no earlier state has changed."""
    shell = lived(flags, sorts, story)
    shell.settle()
    shell.check_history()


@QUICK
@given(static, sorts, stories, st.sampled_from(REASONS))
def test_static_supervisor_stops(flags, sorts, story, reason):
    """Whatever happened, a request to stop ends a supervisor, after what is under way."""
    lived(flags, sorts, story).stop(reason)


@QUICK
@given(dynamic, stories)
def test_dynamic_supervisor_settles(flags, story):
    """The same for dynamic children; starts that wait for a place get one or go on waiting."""
    shell = lived(flags, [], story)
    shell.settle()
    shell.check_history()


@QUICK
@given(dynamic, stories, st.sampled_from(REASONS))
def test_dynamic_supervisor_stops(flags, story, reason):
    """A request to stop ends a dynamic supervisor, whatever it is doing."""
    lived(flags, [], story).stop(reason)


@QUICK
@given(static | dynamic, sorts, stories)
def test_kill(flags, sorts, story):
    """A supervisor can be killed in every state, also in the middle of a start or a stop."""
    lived(flags, sorts if not flags.dynamic else [], story).kill()


@QUICK
@given(static, sorts, stories)
def test_start(flags, sorts, story):
    """The laws hold for a supervisor whose start takes its time, or fails."""
    lived(flags, sorts, story, up=False).settle()
