"""Restarts that fail, and the waits before restarts."""

import math

import pytest
import trio
import trio.testing

from nursery_otp import Backoff, ChildRestarting, RestartLimitReached, current_runtime, kill, open_supervisor, whereis
from tests.behaviours.moody import CALM, NAME, Moody, crash_of
from tests.behaviours.stage import Puppet, Stage

# ------------------------------------------------------------------------------------------- retries


async def test_failed_restart_is_retried():
    """A restart that fails is tried again, each attempt counts, and calls are served in between."""
    async with Stage(max_restarts=3) as supervisor:
        ref = await supervisor.start(Moody, [None, KeyError(), KeyError()], id="x")
        await crash_of(ref)

        assert ["running"] == [info.status for info in await supervisor.which_children()]


async def test_failed_restarts_reach_the_limit():
    """Failed attempts count like restarts: with the limit used up the supervisor gives up."""
    with pytest.raises(RestartLimitReached) as caught:
        async with open_supervisor(max_restarts=2) as supervisor:
            ref = await supervisor.start(Moody, [None, KeyError("1"), KeyError("2"), KeyError("3")], id="x")
            await crash_of(ref)
            await trio.sleep_forever()

    assert "KeyError('2')" == repr(caught.value.__cause__)


async def test_calls_while_retrying():
    """While a restart fails for ever the supervisor still answers."""
    async with Stage(max_restarts=math.inf) as supervisor:
        ref = await supervisor.start(Moody, [None, *[KeyError()] * 1000], id="x")
        kill(ref)
        await ref.wait()
        with pytest.raises(ChildRestarting):
            await supervisor.restart_child("x")
        await supervisor.start(Puppet, id="y")
        await supervisor.terminate_child("x")

        assert ["stopped", "running"] == [info.status for info in await supervisor.which_children()]


# ------------------------------------------------------------------------------------------- backoff


async def wait_before_restarts(times, **options):
    """Kill a child again and again, each time as soon as it is back; how long it took to come back."""
    waits = []
    async with Stage(max_restarts=math.inf) as supervisor:
        await supervisor.start(Puppet, name=NAME, backoff=Backoff(jitter=0, **options))
        for alive in times:
            await trio.sleep(alive)
            killed = trio.current_time()
            await crash_of(whereis(NAME))
            await Puppet.ask.within(math.inf)(NAME, None)
            waits.append(trio.current_time() - killed)
    return waits


async def test_backoff_grows(autojump_clock):
    """The waits before restarts grow by the factor, up to the maximum."""
    assert [1, 3, 9, 20, 20] == await wait_before_restarts([0] * 5, initial=1, factor=3, maximum=20)


async def test_backoff_starts_again(autojump_clock):
    """A child that stayed up long enough starts again at the first wait."""
    options = {"initial": 1, "factor": 10, "maximum": 1000, "stable_after": 50}

    assert [1, 10, 1, 10, 100, 1] == await wait_before_restarts([0, 49, 50, 0, 1, 60], **options)


async def test_backoff_of_failing_restarts(autojump_clock):
    """Attempts that fail wait longer each time, too."""
    born = []
    async with Stage(max_restarts=math.inf) as supervisor:
        moods = [None, KeyError(), KeyError(), KeyError()]
        backoff = Backoff(initial=1, factor=2, maximum=100, jitter=0)
        ref = await supervisor.start(Moody, moods, born, id="x", backoff=backoff)
        kill(ref)
        await trio.sleep(100)

    assert [0, 1, 3, 7, 15] == born


async def test_backoff_and_seed(autojump_clock):
    """The jitter comes from the tree's randomness: the same seed gives the same waits, another one others."""

    async def waits(seed):
        born = []
        begun = trio.current_time()
        async with Stage(max_restarts=math.inf, seed=seed) as supervisor:
            backoff = Backoff(initial=10, jitter=0.5, stable_after=0)
            await supervisor.start(Moody, [], born, name=NAME, backoff=backoff)
            for _ in range(4):
                kill(whereis(NAME))
                await trio.sleep(30)
        return [round(time - begun, 6) for time in born]

    first, again, other = await waits(1), await waits(1), await waits(2)
    assert first == again
    assert first != other
    for number, time in enumerate(first[1:]):
        assert 5 <= time - 30 * number <= 15


async def test_backoff_ends_with_the_supervisor(autojump_clock):
    """A child that waits for its restart does not keep a supervisor from ending, nor start afterwards."""
    born = []
    async with Stage(max_restarts=9) as supervisor:
        await crash_of(await supervisor.start(Moody, [], born, name=NAME, backoff=CALM))
    await trio.sleep(100)

    assert 1 == len(born)


async def test_backoff_keeps_the_block(autojump_clock):
    """A child that waits for its restart is still one: the block waits for it."""
    born = []

    async def twice():
        born.append(trio.current_time())
        if len(born) == 1:
            raise KeyError

    async with open_supervisor(max_restarts=9) as supervisor:
        await supervisor.start(twice, restart="transient", backoff=CALM)

    assert [0, 10] == born


async def test_terminate_while_waiting(autojump_clock):
    """`terminate_child` ends the wait for the restart for good."""
    born = []
    async with Stage(max_restarts=9) as supervisor:
        await crash_of(await supervisor.start(Moody, [], born, name=NAME, backoff=CALM))
        await supervisor.terminate_child("x")
        await trio.sleep(100)

        assert 1 == len(born)
        assert {} == current_runtime().names()
