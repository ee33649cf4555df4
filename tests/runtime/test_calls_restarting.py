"""Calls by the name of a child that is being restarted: they wait for it, within their limit."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Backoff,
    CallTimeout,
    Name,
    NoProcess,
    Timeouts,
    current_runtime,
    kill,
    open_supervisor,
    process_info,
    spawn,
    whereis,
)
from tests.runtime.helpers import Desk, idle

DESK = Name("desk")
WAIT = Backoff(initial=2.0, factor=1.0, jitter=0.0)


class Fragile(Desk):
    """A server whose next starts fail, decline, or take their time, as a script says."""

    script = ()

    async def init(self):
        step, *type(self).script = type(self).script or [0]
        if isinstance(step, Exception):
            raise step
        await trio.sleep(step)


@pytest.fixture
async def fragile(tree):
    """The class of a server that is up, and is restarted after two seconds."""

    class Server(Fragile):
        pass

    await tree.start(Server, name=DESK, backoff=WAIT)
    return Server


@pytest.fixture
async def tree():
    """A tree that allows many restarts."""
    with trio.fail_after(1000):
        async with open_supervisor(max_restarts=20, period=1.0) as supervisor:
            yield supervisor
            supervisor.shutdown()


async def killed():
    """End the child."""
    ref = whereis(DESK)
    kill(ref)
    await ref.wait()
    await wait_all_tasks_blocked()


async def test_call_waits(fragile, autojump_clock):
    """A call waits until the next incarnation is up."""
    await killed()
    assert 1 == await Desk.echo(DESK, 1)

    assert 2 == trio.current_time()
    assert [] == current_runtime().alarms.armed()


async def test_calls_keep_their_order(fragile, autojump_clock):
    """Calls that wait are put through in the order in which they were made, before those that come later."""
    await killed()
    requests = [Desk.echo.request(DESK, number) for number in range(5)]
    await requests[0].receive()
    await Desk.echo(DESK, "later")

    assert [0, 1, 2, 3, 4, "later"] == await Desk.history(DESK)


async def test_call_at_the_moment_of_the_crash(tree, autojump_clock):
    """A call that was under way when the server crashed is failed; one made right afterwards waits."""
    desk = await tree.start(Desk, name=DESK, backoff=WAIT)
    request = Desk.run.request(DESK, idle)
    await wait_all_tasks_blocked()
    kill(desk)
    await desk.wait()
    assert request.done
    assert 1 == await Desk.echo(DESK, 1)


async def test_call_right_after_the_kill(fragile, autojump_clock):
    """A call by name right after a kill, before the server has had its turn, waits for the next incarnation."""
    kill(DESK)
    assert whereis(DESK).alive
    assert 1 == await Desk.echo(DESK, 1)

    assert 2 == trio.current_time()


async def test_call_waits_for_the_init(fragile, autojump_clock):
    """An incarnation that is still starting is not up yet: its `init` comes first."""
    fragile.script = [3]
    await killed()
    await Desk.echo.within(10)(DESK, 1)

    assert 5 == trio.current_time()


async def test_call_waits_while_starts_fail(fragile, autojump_clock):
    """A restart that fails is tried again, and the call goes on waiting."""
    fragile.script = [ValueError("first"), ValueError("second"), 0]
    await killed()
    await Desk.echo.within(10)(DESK, 1)

    assert 6 == trio.current_time()


async def test_limit_of_the_wait(fragile, autojump_clock):
    """The wait for the restart is part of the limit; a call that gave up is not put through."""
    await killed()
    with pytest.raises(CallTimeout, match=r"no answer from desk within 1 s"):
        await Desk.echo.within(1)(DESK, "gave up")
    await trio.sleep(5)

    assert [] == await Desk.history(DESK)


async def test_limit_is_not_started_again(fragile, autojump_clock):
    """What the wait for the restart has used up is missing for the answer."""
    await killed()
    with pytest.raises(CallTimeout):
        await Desk.slow.within(3)(DESK, 2)

    assert 3 == trio.current_time()


async def test_cancelled_wait(fragile, autojump_clock):
    """A caller that is cancelled while it waits leaves nothing behind, and is not put through."""
    await killed()
    with trio.move_on_after(1):
        await Desk.echo(DESK, "gave up")
    assert [] == [waiter for _, waiter in current_runtime().alarms.armed() if not hasattr(waiter, "action")]
    await trio.sleep(5)

    assert [] == await Desk.history(DESK)


async def test_child_that_does_not_come_back(tree, fragile, autojump_clock):
    """When the supervisor gives the child up, whoever waits for it is told at once: `NoProcess`."""
    await killed()
    request = Desk.echo.request(DESK, 1)
    await wait_all_tasks_blocked()
    await tree.terminate_child("desk")
    with pytest.raises(NoProcess):
        await request.receive()

    assert 0 == trio.current_time()
    with pytest.raises(NoProcess):
        await Desk.echo(DESK, 2)


async def test_end_of_the_supervisor(autojump_clock):
    """The same when the supervisor ends."""
    async with open_supervisor() as tree:
        await tree.start(Desk, name=DESK, backoff=WAIT)
        await killed()
        request = Desk.echo.request(DESK, 1)
        tree.shutdown()
        with pytest.raises((NoProcess, trio.Cancelled)):
            await request.receive()
    assert request.done


async def test_wait_is_visible(fragile, autojump_clock):
    """A process that waits for a restart waits for nobody yet."""

    async def calling():
        await Desk.echo(DESK, 1)
        await idle()

    await killed()
    ref = spawn(calling)
    await wait_all_tasks_blocked()
    assert ("waiting", None) == (process_info(ref).status, process_info(ref).waits_for)
    await trio.sleep(3)

    assert "running" == process_info(ref).status


async def test_no_wait_on_request(fragile, autojump_clock):
    """Who would rather know at once says so, for a call or for the whole tree."""
    await killed()
    with pytest.raises(NoProcess):
        await Desk.echo.while_restarting("fail")(DESK, 1)
    assert 0 == trio.current_time()

    async with open_supervisor(timeouts=Timeouts(while_restarting="fail")) as other:
        desk = await other.start(Desk, name=DESK, backoff=WAIT)
        kill(desk)
        await desk.wait()
        await wait_all_tasks_blocked()
        with pytest.raises(NoProcess):
            await Desk.echo(DESK, 1)
        assert 1 == await Desk.echo.while_restarting("wait")(DESK, 1)
        other.shutdown()


async def test_limit_of_zero(fragile, autojump_clock):
    """A call that does not wait at all does not wait for a restart, and is not put through later."""
    await killed()
    with pytest.raises(CallTimeout):
        await Desk.echo.within(0)(DESK, 1)
    assert 0 == trio.current_time()
    await trio.sleep(5)

    assert [] == await Desk.history(DESK)


async def test_first_start(tree, nursery, autojump_clock):
    """The first start of a named child is waited for as well, once the name is its own."""

    class Slow(Desk):
        async def init(self):
            await trio.sleep(1)

    async def starting():
        await tree.start(Slow, name=DESK)

    nursery.start_soon(starting)
    await wait_all_tasks_blocked()

    assert 1 == await Desk.echo(DESK, 1)
    assert 1 == trio.current_time()


async def test_first_start_that_fails(tree, nursery, autojump_clock):
    """If it fails, whoever waited is told."""

    class Failing(Desk):
        async def init(self):
            await trio.sleep(1)
            raise ValueError

    async def starting():
        with pytest.raises(Exception, match="failed to start"):
            await tree.start(Failing, name=DESK)

    nursery.start_soon(starting)
    await wait_all_tasks_blocked()
    with pytest.raises(NoProcess):
        await Desk.echo(DESK, 1)

    assert 1 == trio.current_time()
