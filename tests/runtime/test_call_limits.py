"""How long a call may take: the default, limits of its own, and the caller's own scopes."""

import math

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from nursery_otp import (
    CallTimeout,
    InvalidSpec,
    Timeouts,
    open_supervisor,
    process_info,
    spawn,
)
from tests.runtime.helpers import Desk, idle, nothing_left_of_calls


@pytest.fixture
async def desk(tree):
    """A server that is not restarted."""
    return await tree.start(Desk, restart="temporary")


async def test_default_limit(desk, autojump_clock):
    """Without a limit of its own a call has five seconds."""
    with pytest.raises(CallTimeout, match="within 5 s"):
        await Desk.run(desk, idle)
    assert 5 == trio.current_time()


async def test_limit_of_the_tree(autojump_clock):
    """The limits of a tree are those of its `Timeouts`."""
    async with open_supervisor(timeouts=Timeouts(default=2.5)) as tree:
        desk = await tree.start(Desk, shutdown="kill")
        with pytest.raises(CallTimeout, match=r"within 2\.5 s"):
            await Desk.run(desk, idle)
        tree.shutdown()
    assert 2.5 == trio.current_time()


async def test_no_limit(desk, autojump_clock):
    """`math.inf` means to wait as long as it takes."""
    assert "slow" == await Desk.slow.within(math.inf)(desk, 50)


@pytest.mark.parametrize("busy", [True, False])
async def test_limit_of_zero(desk, busy, autojump_clock):
    """A limit of 0 sends the request without waiting: the server handles it."""
    if busy:
        Desk.slow.request(desk, 1)
    with assert_checkpoints(), pytest.raises(CallTimeout):
        await Desk.echo.within(0)(desk, "sent")
    assert 0 == trio.current_time()

    assert "sent" == (await Desk.history(desk))[-1]
    nothing_left_of_calls(desk)


@pytest.mark.parametrize("within", [-1, math.nan, "5", None, False])
async def test_wrong_limit(desk, within):
    """What is no number of seconds is refused where it is written."""
    with pytest.raises(InvalidSpec, match="within="):
        Desk.echo.within(within)


async def test_outer_scope(desk, autojump_clock):
    """A caller's own scope may tighten the limit."""
    with pytest.raises(trio.TooSlowError), trio.fail_after(1):
        await Desk.run.within(30)(desk, idle)
    assert 1 == trio.current_time()


async def test_waits_for(desk):
    """While a process waits in a call, it can be seen for whom; not any more when that has failed."""
    go_on = trio.Event()

    async def calling():
        with trio.CancelScope() as scope:
            scopes.append(scope)
            await Desk.run(desk, idle)
        go_on.set()
        await idle()

    scopes = []
    ref = spawn(calling)
    await wait_all_tasks_blocked()
    assert desk is process_info(ref).waits_for
    scopes[0].cancel()
    await go_on.wait()

    assert process_info(ref).waits_for is None
