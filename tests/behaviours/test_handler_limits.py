"""Limits for the run of handlers, by rules; and those of system messages."""

import math

import pytest
import trio

from nursery_otp import (
    CallExited,
    CallTimeout,
    Continue,
    GenServer,
    HandlerTimeout,
    Timeouts,
    call,
    cast,
    current_runtime,
    get_state,
    override_timeouts,
    send_nowait,
    set_timeouts,
    start,
    suspend,
)
from tests.behaviours.stage import Stage


class Mill(GenServer):
    """A server whose handlers take as long as they are told."""

    @call
    async def grind(self, seconds):
        await trio.sleep(seconds)
        return seconds

    @call
    async def mix(self, seconds):
        await trio.sleep(seconds)

    @cast
    async def clean(self, seconds):
        await trio.sleep(seconds)

    @cast
    def go_on(self, seconds):
        return Continue(seconds)

    async def handle_info(self, seconds):
        await trio.sleep(seconds)

    async def handle_continue(self, seconds):
        await trio.sleep(seconds)


class WindMill(Mill):
    """Another `mix`, the same `grind`."""

    @call
    async def mix(self, seconds):
        await trio.sleep(seconds)


ORIGINS = {
    "grind": lambda ref: Mill.grind.request(ref, 9),
    "clean": lambda ref: Mill.clean(ref, 9),
    "handle_info": lambda ref: send_nowait(ref, 9),
    "handle_continue": lambda ref: Mill.go_on(ref, 9),
}


@pytest.mark.parametrize("name", ORIGINS)
@pytest.mark.parametrize("key", ["Mill.{}", "{}", "*.{}", "Mill", Mill])
async def test_rules_for_handlers(autojump_clock, name, key):
    """A handler that runs longer than the rule for it allows crashes its server; that is counted."""
    key = key.format(name) if isinstance(key, str) else key
    async with Stage(timeouts=Timeouts(handler_rules={key: 2}, rules={key: 1}, default=math.inf)):
        ref = await start(Mill)
        ORIGINS[name](ref)
        reason = await ref.wait()

        assert 2 == trio.current_time()
        assert HandlerTimeout is type(reason.error)
        assert (f"Mill.{name}", 2) == (reason.error.operation, reason.error.limit)
        assert {(f"Mill.{name}", "handler"): 1} == current_runtime().limits.fired


async def test_other_handlers_are_not_limited(autojump_clock):
    """A rule holds for what it is about: other handlers have the general limit, and `math.inf` exempts one from it."""
    policy = Timeouts(default=math.inf, handler=4, handler_rules={Mill.grind: math.inf, Mill.mix: 1})
    async with Stage(timeouts=policy):
        mill, wind_mill = await start(Mill), await start(WindMill)

        assert 99 == await Mill.grind(mill, 99)
        assert 99 == await WindMill.grind(wind_mill, 99)
        assert None is await WindMill.mix(wind_mill, 3)
        with pytest.raises(CallExited) as caught:
            await WindMill.mix(wind_mill, 5)
        assert "WindMill.mix: the handler ran longer than its limit of 4 s" == str(caught.value.__cause__)
        with pytest.raises(CallExited) as caught:
            await Mill.mix(mill, 3)
        assert "Mill.mix: the handler ran longer than its limit of 1 s" == str(caught.value.__cause__)


async def test_the_class_of_the_server_counts(autojump_clock):
    """The server's own class decides about its handlers, by whichever client function it is called."""
    async with Stage(timeouts=Timeouts(handler_rules={WindMill: 1}, default=math.inf)):
        wind_mill = await start(WindMill)
        with pytest.raises(CallExited) as caught:
            await Mill.grind(wind_mill, 3)

    assert "WindMill.grind: the handler ran longer than its limit of 1 s" == str(caught.value.__cause__)


async def test_changes_reach_running_servers(autojump_clock):
    """Servers that have run a handler already have the new limits for the next one."""
    async with Stage(timeouts=Timeouts(default=math.inf)):
        mill = await start(Mill)
        assert 9 == await Mill.grind(mill, 9)
        with override_timeouts(handler_rules={Mill.grind: 1}), pytest.raises(CallExited):
            await Mill.grind(mill, 9)
        mill = await start(Mill)
        assert 9 == await Mill.grind(mill, 9)
        set_timeouts(Timeouts(default=math.inf, handler=2, factor=3))
        assert 5 == await Mill.grind(mill, 5)
        with pytest.raises(CallExited):
            await Mill.grind(mill, 7)


async def test_both_sides(autojump_clock):
    """The caller's limit and the handler's are independent: the first does not harm the server, the second does."""
    async with Stage(timeouts=Timeouts(rules={Mill: 2}, handler_rules={Mill: 4})):
        mill = await start(Mill)
        with pytest.raises(CallTimeout):
            await Mill.grind(mill, 3)
        assert mill.alive
        with pytest.raises(CallTimeout):
            await Mill.grind(mill, 9)
        await mill.wait()

        assert {("Mill.grind", "call"): 2, ("Mill.grind", "handler"): 1} == current_runtime().limits.fired


@pytest.mark.parametrize(
    ("rules", "limit"),
    [({"Mill.get_state": 2}, 2), ({"get_state": 2}, 2), ({"*.get_state": 2}, 2), ({Mill: 2}, 2), ({Mill.grind: 2}, 5)],
    ids=str,
)
async def test_system_messages(autojump_clock, rules, limit):
    """`get_state` and the like are operations of the server's class; nobody says `within`, so the policy decides."""
    async with Stage(timeouts=Timeouts(rules=rules)):
        mill = await start(Mill)
        Mill.clean(mill, 100)
        with pytest.raises(CallTimeout, match=r"^Mill\.get_state: no answer from .* within \d s$"):
            await get_state(mill)
        assert limit == trio.current_time()
        with pytest.raises(CallTimeout):
            await suspend(mill, within=0.5)

        assert {("Mill.get_state", "call"): 1, ("Mill.suspend", "call"): 1} == current_runtime().limits.fired
