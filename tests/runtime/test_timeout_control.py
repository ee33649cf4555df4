"""Asking for limits and changing them while a tree runs."""

import math
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CallTimeout,
    InvalidSpec,
    NoRuntime,
    Timeouts,
    current_runtime,
    explain_timeout,
    get_timeout,
    observe_timeouts,
    open_supervisor,
    override_timeouts,
    set_timeouts,
    spawn,
    timeout_report,
)
from nursery_otp._policy.timeout_rules import Origin
from nursery_otp._runtime.limits import Limits
from nursery_otp._runtime.registry import Registry
from nursery_otp._runtime.telemetry import Telemetry
from tests.runtime.helpers import Desk, idle

HERE = f"runtime/{Path(__file__).name}"


async def waited(client, *args):
    """How long a call waits until it gives up."""
    begun = trio.current_time()
    with pytest.raises(CallTimeout):
        await client(*args)
    return trio.current_time() - begun


@pytest.fixture
async def desk(tree):
    """A server."""
    return await tree.start(Desk, restart="temporary")


# ------------------------------------------------------------------------------------------ asking


async def test_get_timeout():
    """What `get_timeout` says is what a call waits, for client functions, classes, texts and tuples."""
    policy = Timeouts(default=4, rules={Desk.echo: 1, "*.slow": 2, ("a", "b"): 3}, handler_rules={Desk: 9})
    async with open_supervisor(timeouts=policy) as tree:
        identifiers = [Desk.echo, Desk.slow, Desk, "Desk.echo", ("a", "b"), Desk.echo.within(7)]
        assert [1, 2, 4, 1, 3, 7] == [get_timeout(identifier) for identifier in identifiers]
        assert [1, 2, 4, 1, 3, 7] == [explain_timeout(identifier).seconds for identifier in identifiers]
        assert 9 == get_timeout(Desk.note, kind="handler") == explain_timeout(Desk.note, kind="handler").seconds
        assert math.inf == get_timeout("x.y", kind="handler")
        assert policy == current_runtime().timeouts
        tree.shutdown()


async def test_what_is_said_is_what_is_waited(autojump_clock):
    """Calls wait as long as the rules say, tiers and the factor included."""
    policy = Timeouts(default=4, rules={"put_off": 1, "*.slow": "long", Desk.run: math.inf}, factor=2)
    async with open_supervisor(timeouts=policy) as tree:
        desk = await tree.start(Desk, shutdown="kill")
        assert 2 == await waited(Desk.put_off, desk, 1)
        assert "slow" == await Desk.slow(desk, 59)
        assert 60 == await waited(Desk.slow, desk, 61)
        with trio.move_on_after(10_000) as scope:
            await Desk.run(desk, idle)
        assert scope.cancelled_caught
        tree.shutdown()


@pytest.mark.parametrize(
    "use",
    [
        lambda: get_timeout(Desk),
        lambda: explain_timeout(Desk),
        lambda: set_timeouts(Timeouts()),
        lambda: override_timeouts(default=1).__enter__(),
        lambda: observe_timeouts().__enter__(),
        timeout_report,
    ],
)
def test_outside_of_a_tree(use):
    """Limits are those of a tree; outside of one there are none."""
    with pytest.raises(NoRuntime, match=r"_timeouts?\(\) needs|timeout_report\(\) needs"):
        use()


# ---------------------------------------------------------------------------------------- overriding


async def test_override_reaches_what_exists(desk, autojump_clock):
    """An override holds for client functions that exist and have been used, and ends with its block."""
    client, other = Desk.put_off, Desk.put_off.while_restarting("fail")
    assert [5, 5] == [await waited(client, desk, 1), await waited(other, desk, 1)]
    with override_timeouts(default=2):
        assert [2, 2] == [await waited(client, desk, 1), await waited(other, desk, 1)]
        with override_timeouts(rules={Desk.put_off: 1}):
            assert [1, 1] == [await waited(client, desk, 1), await waited(other, desk, 1)]
        assert [2, 2] == [await waited(client, desk, 1), await waited(other, desk, 1)]

    assert [5, 5] == [await waited(client, desk, 1), await waited(other, desk, 1)]


async def test_override_holds_for_all_processes(desk, autojump_clock):
    """It is the tree that has other limits, not the one who says so; explicit ones are not touched."""
    seen = []

    async def process():
        seen.append(await waited(Desk.put_off, desk, 1))
        seen.append(await waited(Desk.put_off.within(3), desk, 1))

    with override_timeouts(default=2):
        await spawn(process).wait()

    assert [2, 3] == seen


async def test_a_wait_keeps_its_limit(desk, autojump_clock):
    """A call that has begun keeps the limit that it began with."""
    seen = []

    async def calling():
        seen.append(await waited(Desk.put_off, desk, 1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(calling)
        await wait_all_tasks_blocked()
        with override_timeouts(default=1):
            await trio.sleep(2)
            assert [] == seen
    assert [5] == seen


async def test_leaving_out_of_order(tree):
    """Overlapping overrides each take away their own, in whatever order they end."""
    first, second, third = (
        override_timeouts(default=1, factor=2),
        override_timeouts(default=2, rules={Desk: 7}),
        override_timeouts(rules={Desk: 9}),
    )
    for override in (first, second, third):
        override.__enter__()
    assert (4, 18) == (get_timeout("x"), get_timeout(Desk))
    first.__exit__(None, None, None)
    assert (2, 9) == (get_timeout("x"), get_timeout(Desk))
    third.__exit__(None, None, None)
    assert (2, 7) == (get_timeout("x"), get_timeout(Desk))
    second.__exit__(None, None, None)
    assert Timeouts() == current_runtime().timeouts


async def test_override_by_error(tree):
    """An override ends with its block however that is left."""
    with pytest.raises(ValueError, match="x"), override_timeouts(default=1):
        raise ValueError("x")
    with trio.CancelScope() as scope, override_timeouts(default=1):
        scope.cancel()
        await trio.lowlevel.checkpoint()

    assert Timeouts() == current_runtime().timeouts


async def test_override_again(tree):
    """One override can be used again, but not twice at once."""
    override = override_timeouts(default=1)
    for _ in range(2):
        with override:
            assert 1 == get_timeout("x")
            with pytest.raises(RuntimeError, match="in use already; make another one"):
                override.__enter__()
            assert 1 == get_timeout("x")
        assert 5 == get_timeout("x")


async def test_wrong_override(tree):
    """An override that does not hold is refused as a whole; the error says where it was made."""
    with override_timeouts(rules={"a*.x": 1}):
        for changes in ({"default": 2, "factor": 0}, {"default": 2, "rules": {"*b.x": 1}}, {"rules": {Desk: "lnog"}}):
            with pytest.raises(InvalidSpec, match=rf"\(override at {HERE}:\d+\)$"):
                override_timeouts(**changes).__enter__()
            assert 5 == get_timeout("x")
    with pytest.raises(TypeError, match="did you mean 'default'"):
        override_timeouts(defualt=2).__enter__()
    assert Timeouts() == current_runtime().timeouts


async def test_source_of_an_override(tree):
    """An explanation names the line where the override was made, also if it was made by `with` in another frame."""
    with override_timeouts(default=1, tiers={"long": 2}):
        assert explain_timeout("x").source.startswith(f"override at {HERE}:")
        line = int(explain_timeout("x").source.rpartition(":")[2])
        text = Path(__file__).read_text(encoding="utf-8").splitlines()[line - 1]
        assert "override_timeouts(default=1, tiers=" in text


async def test_restarting_mode(tree):
    """What a call to a child that is being restarted does can be overridden as well."""
    assert current_runtime().limits.wait_for_restart
    with override_timeouts(while_restarting="fail"):
        assert not current_runtime().limits.wait_for_restart
    assert current_runtime().limits.wait_for_restart


async def test_two_trees():
    """An override in one tree is none in another."""
    async with open_supervisor() as outer:
        with override_timeouts(default=1):
            async with open_supervisor() as inner:
                assert 5 == get_timeout("x")
                inner.shutdown()
            assert 1 == get_timeout("x")
        outer.shutdown()


# --------------------------------------------------------------------------------------- replacing


async def test_set_timeouts(desk, autojump_clock):
    """Another policy is in force at once, also for client functions that exist, and gives back the one before."""
    assert 5 == await waited(Desk.put_off, desk, 1)
    before = set_timeouts(Timeouts(default=2))

    assert Timeouts() == before
    assert 2 == await waited(Desk.put_off, desk, 1)
    assert Timeouts(default=2) == set_timeouts(before)
    assert 5 == await waited(Desk.put_off, desk, 1)


async def test_overrides_stay_on_top(tree):
    """A new policy goes below the overrides, and is what is left when they end."""
    with override_timeouts(default=1):
        set_timeouts(Timeouts(default=2, rules={Desk: 3}))
        assert (1, 3) == (get_timeout("x"), get_timeout(Desk))
        assert explain_timeout(Desk).source.startswith(f"set_timeouts at {HERE}:")
    assert (2, 3) == (get_timeout("x"), get_timeout(Desk))


@pytest.mark.parametrize("policy", [None, 5, {"default": 2}, Timeouts])
async def test_wrong_policy(tree, policy):
    """Only a policy can be put in force."""
    with pytest.raises(InvalidSpec, match=r"^policy=.*: must be a Timeouts$"):
        set_timeouts(policy)


async def test_policy_that_does_not_go_with_an_override(tree):
    """A policy that an override contradicts, or whose tiers it needs, is refused; nothing changes."""
    set_timeouts(Timeouts(default=3, tiers={"night": 9}))
    with override_timeouts(rules={"a*.x": 1, "y": "night"}):
        for policy in (Timeouts(rules={"*b.x": 1}, tiers={"night": 1}), Timeouts(default=4)):
            with pytest.raises(InvalidSpec, match=r"\(override at "):
                set_timeouts(policy)
            assert (3, 9) == (get_timeout("x"), get_timeout("y"))
    assert Timeouts(default=3, tiers={"night": 9}) == current_runtime().timeouts


# ------------------------------------------------------------------------------- layers and another base


async def test_set_timeouts_without_the_tier_of_an_override(tree):
    """A policy that lacks a tier which an override changes is refused, and leaving the override still works."""
    set_timeouts(Timeouts(tiers={"slow": 9}))
    with override_timeouts(tiers={"slow": 5}):
        with pytest.raises(InvalidSpec, match=r"^tiers\['slow'\]=5: is no tier; .*\(override at "):
            set_timeouts(Timeouts())
        inner = override_timeouts(rules={"x": "slow"})
        inner.__enter__()
        assert 5 == get_timeout("x")
    assert 9 == get_timeout("x")
    inner.__exit__(None, None, None)

    assert Timeouts(tiers={"slow": 9}) == current_runtime().timeouts
    set_timeouts(Timeouts())


TIERS = st.dictionaries(st.sampled_from(["slow", "fast"]), st.sampled_from([1, 2]), max_size=1)
RULES = st.dictionaries(
    st.sampled_from(["a.b", "*.b", "a.*", "b", Desk, "Desk", Desk.echo, "Desk.echo"]),
    st.sampled_from([1, 2, "slow", "fast"]),
    max_size=2,
)
CHANGES = st.fixed_dictionaries({"tiers": TIERS}, optional={"rules": RULES, "handler_rules": RULES})
STEPS = st.lists(
    st.tuples(st.just("set"), CHANGES)
    | st.tuples(st.just("push"), CHANGES)
    | st.tuples(st.just("pop"), st.integers(0)),
    max_size=12,
)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(STEPS)
def test_a_layer_can_always_be_removed(steps):
    """Whatever was set and laid over it in the meantime: removing a layer never fails, and leaves the others."""
    limits = Limits(Timeouts(tiers={"slow": 3, "fast": 4}), Telemetry(lambda: 0.0, lambda _error: None), Registry())
    base, layers = limits.policy, []
    for step, value in steps:
        if step == "pop":
            if layers:
                limits.remove(layers.pop(value % len(layers)))
            continue
        with suppress(InvalidSpec):
            if step == "set":
                policy = Timeouts(**value)
                limits.replace(policy, Origin("set"))
                base = policy
            else:
                layers.append(limits.push(value, Origin("push")))
    for layer in layers:
        limits.remove(layer)

    assert base == limits.policy
