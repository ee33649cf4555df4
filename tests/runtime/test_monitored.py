"""`monitored`: the watch is over when the block is, whichever way it is left, and nothing of it is in the mailbox."""

import contextlib

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    NOPROC,
    Down,
    InvalidSpec,
    Name,
    NotInProcess,
    current_ref,
    current_runtime,
    list_monitors,
    mailbox,
    monitor_stats,
    monitored,
    process_info,
    send_nowait,
    spawn,
)
from tests.runtime.boxes import drain
from tests.runtime.helpers import as_process, ended, idle, inside


@as_process
async def test_end_of_the_block(tree):
    """In the block the watch is on, after it it is over, and no `Down` comes."""
    ref = spawn(idle)
    with monitored(ref, tag="tag") as watch:
        assert (ref, current_ref(), "tag", True) == (watch.ref, watch.owner, watch.tag, watch.active)
        assert (watch,) == list_monitors() == process_info(current_ref()).monitors
    assert not watch.active
    assert () == list_monitors() == process_info(ref).monitored_by
    await ended(ref)

    assert [] == drain(mailbox())
    assert 1 == monitor_stats().cleaned_by_demonitor


class Stop(BaseException):
    """Not even an `Exception`."""


@pytest.mark.parametrize("kind", [ValueError, Stop, KeyboardInterrupt])
@as_process
async def test_exceptions(tree, kind):
    """An exception goes on, and the watch is over."""
    ref = spawn(idle)
    with pytest.raises(kind), monitored(ref):
        raise kind
    await ended(ref)

    assert [] == drain(mailbox())
    assert () == list_monitors()


@as_process
async def test_other_ways(tree):
    """`return`, `break` and a generator that is given up are ways out as well."""
    ref = spawn(idle)

    def returning():
        with monitored(ref):
            return len(list_monitors())

    def generator():
        with monitored(ref):
            yield len(list_monitors())

    assert 1 == returning()
    for _ in range(2):
        with monitored(ref):
            break
    assert 1 == next(generator())

    assert () == list_monitors()


@as_process
async def test_cancellation(tree):
    """A cancellation goes on, and the watch is over."""
    ref = spawn(idle)
    with trio.CancelScope() as scope:
        scope.cancel()
        with monitored(ref):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    await ended(ref)

    assert [] == drain(mailbox())
    assert () == list_monitors()


async def test_killed_owner(tree):
    """A process that is killed leaves its blocks like any other cancelled code."""

    async def watching():
        with monitored(ref):
            await idle()

    ref = spawn(idle)
    owner = spawn(watching)
    await wait_all_tasks_blocked()
    await ended(owner)

    assert () == list_monitors() == process_info(ref).monitored_by
    assert (1, 0) == (monitor_stats().cleaned_by_demonitor, monitor_stats().cleaned_by_owner)


@as_process
async def test_queued_down_is_flushed(tree):
    """A `Down` that came during the block and was not read is removed; other messages stay."""
    ref, other = spawn(idle), spawn(idle)
    with monitored(other) as outer:
        with monitored(ref):
            send_nowait(current_ref(), "message")
            await ended(ref)
            await ended(other)
        assert ["message", Down(outer, other, KILLED)] == drain(mailbox())

    assert {"flushed": 1} == current_runtime().ledger().dropped


@as_process
async def test_down_was_read(tree):
    """A `Down` that was read in the block is fine."""
    ref = spawn(idle)
    with monitored(ref) as watch:
        await ended(ref)
        assert Down(watch, ref, KILLED) == await mailbox().receive()

    assert (1, 0) == (monitor_stats().cleaned_by_target, monitor_stats().cleaned_by_demonitor)


@pytest.mark.parametrize("read", [False, True])
@as_process
async def test_dead_target(tree, read):
    """For a target that is dead the `Down` is there at once, and gone after the block."""
    with monitored(Name("nobody")) as watch:
        if read:
            assert [Down(watch, Name("nobody"), NOPROC)] == drain(mailbox())

    assert [] == drain(mailbox())


@as_process
async def test_name_is_looked_up_on_entering(tree):
    """Who is watched is decided when the block is entered."""
    block = monitored(Name("late"))
    ref = spawn(idle, name=Name("late"))
    with block as watch:
        assert ref is watch.ref


@as_process
async def test_helper_task(tree):
    """A helper task of a process may hold the block; the `Down` goes to the process."""
    ref = spawn(idle)

    async def helper():
        with monitored(ref) as watch:
            assert here is watch.owner
            await idle()

    here = current_ref()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(helper)
        await wait_all_tasks_blocked()
        assert 1 == len(list_monitors(owner=here))
        nursery.cancel_scope.cancel()

    assert () == list_monitors()


async def test_left_after_the_end_of_the_owner(tree):
    """A block that is left when its process has ended already does no harm."""
    block = []

    async def watching():
        stack = contextlib.ExitStack()
        stack.enter_context(monitored(ref))
        block.append(stack)

    ref = spawn(idle)
    await inside(watching)
    await ended(ref)
    block[0].close()

    assert (1, 0) == (monitor_stats().cleaned_by_owner, monitor_stats().active)
    assert current_runtime().ledger().balanced


@as_process
async def test_closed_mailbox(tree):
    """A block that is left when the mailbox is closed does no harm."""
    ref = spawn(idle)
    with monitored(ref):
        await mailbox().aclose()
        await ended(ref)

    assert current_runtime().ledger().balanced


@as_process
async def test_entered_once(tree):
    """A block is entered once."""
    block = monitored(spawn(idle))
    with block:
        pass
    with pytest.raises(RuntimeError, match="entered once"), block:
        pass

    assert () == list_monitors()


@as_process
async def test_bad_input(tree):
    """What is wrong is an error where it is written, and nothing is watched."""
    with pytest.raises(TypeError, match="not an address: 5"):
        monitored(5)
    with pytest.raises(InvalidSpec, match=r"tag=\[\]: must be hashable"):
        monitored(current_ref(), tag=[])

    assert 0 == monitor_stats().created


async def test_outside_of_a_process(tree):
    """`Down` needs a mailbox."""
    with pytest.raises(NotInProcess, match=r"monitored\(\) is about the process"):
        monitored(spawn(idle))
