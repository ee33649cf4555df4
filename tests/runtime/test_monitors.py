"""Monitors: the news of an end, exactly once, to the one who asked for it."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    NOPROC,
    NORMAL,
    Down,
    Failed,
    Name,
    NotInProcess,
    Stop,
    current_ref,
    current_runtime,
    demonitor,
    kill,
    mailbox,
    monitor,
    process_info,
    register,
    send_nowait,
    spawn,
    spawn_monitor,
    unregister,
)
from tests.runtime.boxes import drain
from tests.runtime.helpers import as_process, idle


async def ended(ref):
    """End a process."""
    kill(ref)
    await ref.wait()


@pytest.mark.parametrize("reason", [NORMAL, Failed("boom")])
@as_process
async def test_down(tree, reason):
    """When the watched process ends, `Down` tells which monitor, which target and why, whatever the reason."""

    async def ending():
        raise Stop(reason)

    ref = spawn(ending)
    watch = monitor(ref)

    assert Down(watch, ref, reason) == await mailbox().receive()
    assert not watch.active
    assert () == current_runtime().monitors()


@as_process
async def test_once(tree):
    """`Down` comes once."""
    ref = spawn(idle)
    monitor(ref)
    await ended(ref)
    await wait_all_tasks_blocked()

    assert 1 == len(drain(mailbox()))


@as_process
async def test_stacked(tree):
    """Every `monitor` is one of its own: each has its `Down`, and can be ended by itself."""
    ref = spawn(idle)
    watches = [monitor(ref) for _ in range(3)]
    assert demonitor(watches[1])
    await ended(ref)

    assert [Down(watches[0], ref, KILLED), Down(watches[2], ref, KILLED)] == drain(mailbox())


@as_process
async def test_dead_target(tree):
    """A monitor on a process that has ended has its `Down` at once, with the reason `NOPROC`."""
    ref = spawn(idle)
    await ended(ref)
    watch = monitor(ref)

    assert [Down(watch, ref, NOPROC)] == drain(mailbox())
    assert not watch.active


@as_process
async def test_by_name(tree):
    """A monitor by name shows the name, and stays with the process that held it then."""
    ref = spawn(idle, name=Name("watched"))
    watch = monitor(Name("watched"))
    unregister(Name("watched"))
    heir = spawn(idle, name=Name("watched"))
    assert (Name("watched"), ref) == (watch.target, watch.ref)
    await ended(heir)
    assert [] == drain(mailbox())
    await ended(ref)

    assert [Down(watch, Name("watched"), KILLED)] == drain(mailbox())


@as_process
async def test_by_a_name_of_nobody(tree):
    """A name that nobody holds is `NOPROC` at once, and does not wait for a holder."""
    watch = monitor(Name("nobody"))
    register(Name("nobody"), spawn(idle))

    assert [Down(watch, Name("nobody"), NOPROC)] == drain(mailbox())
    assert watch.ref is None


@as_process
async def test_by_via(tree):
    """Any object that can find a process can be monitored; it is what `Down` shows."""

    class Via:
        def __init__(self, ref):
            self.ref = ref

        def whereis(self):
            return self.ref

    ref = spawn(idle)
    here, nowhere = Via(ref), Via(None)
    watches = monitor(here), monitor(nowhere)
    await ended(ref)

    assert [Down(watches[1], nowhere, NOPROC), Down(watches[0], here, KILLED)] == drain(mailbox())


@as_process
async def test_oneself(tree):
    """A monitor on oneself does nothing."""
    watch = monitor(current_ref())

    assert not watch.active
    assert () == process_info(current_ref()).monitors
    assert not demonitor(watch)


@as_process
async def test_demonitor(tree):
    """After `demonitor` there is no `Down`; it tells whether the monitor was on."""
    ref = spawn(idle)
    watch = monitor(ref)
    assert watch.active
    assert demonitor(watch) is True
    assert demonitor(watch) is False
    await ended(ref)

    assert [] == drain(mailbox())


@as_process
async def test_demonitor_flushes(tree):
    """A `Down` that is queued already is removed, and no other message; it is counted as dropped."""
    one, other = spawn(idle), spawn(idle)
    watches = monitor(one), monitor(other), monitor(one)
    send_nowait(current_ref(), "message")
    await ended(one)
    await ended(other)
    assert demonitor(watches[0]) is False

    assert ["message", Down(watches[2], one, KILLED), Down(watches[1], other, KILLED)] == drain(mailbox())
    assert {"flushed": 1} == current_runtime().ledger().dropped


@as_process
async def test_demonitor_without_flush(tree):
    """Without `flush` a `Down` that is queued stays."""
    ref = spawn(idle)
    watch = monitor(ref)
    await ended(ref)
    assert demonitor(watch, flush=False) is False

    assert [Down(watch, ref, KILLED)] == drain(mailbox())


@as_process
async def test_only_the_owner(tree):
    """A monitor can only be ended by the process that it belongs to."""
    ref = spawn(idle)
    watch = monitor(ref)

    async def thief():
        with pytest.raises(ValueError, match="belongs to"):
            demonitor(watch)

    assert NORMAL == await spawn(thief).wait()
    assert watch.active


async def test_end_of_the_owner(tree):
    """A process that ends takes its monitors with it: nothing is sent, nothing is left."""
    target = spawn(idle)

    async def watching():
        monitor(target)
        await idle()

    owner = spawn(watching)
    await wait_all_tasks_blocked()
    assert (owner,) == process_info(target).monitored_by
    await ended(owner)
    assert () == process_info(target).monitored_by
    await ended(target)

    assert () == current_runtime().monitors()
    assert 0 == current_runtime().ledger().sent


@as_process
async def test_two_watchers_of_each_other(tree):
    """Two processes that watch each other hear of each other, in both orders."""
    here = current_ref()

    async def other():
        monitor(here)
        await idle()

    ref = spawn(other)
    watch = monitor(ref)
    await wait_all_tasks_blocked()
    assert 2 == len(current_runtime().monitors())
    await ended(ref)

    assert [Down(watch, ref, KILLED)] == drain(mailbox())
    assert () == current_runtime().monitors()


@as_process
async def test_process_info(tree):
    """Monitors are visible from both of their ends while they are on."""
    ref, watch = spawn_monitor(idle)
    assert (watch,) == process_info(current_ref()).monitors == current_runtime().monitors()
    assert (current_ref(),) == process_info(ref).monitored_by
    assert (current_ref(), ref, ref) == (watch.owner, watch.ref, watch.target)
    assert f"<Monitor of {ref} by {current_ref()}>" == repr(watch)
    await ended(ref)

    assert () == process_info(current_ref()).monitors
    assert repr(watch).endswith(", over>")


async def test_many_cycles(tree):
    """Monitors that come and go leave nothing behind."""
    target = spawn(idle)

    async def cycles():
        for _ in range(1000):
            demonitor(monitor(target))

    ref = spawn(cycles)
    await ref.wait()

    assert () == process_info(target).monitored_by == current_runtime().monitors()


async def test_outside_of_a_process(tree):
    """`Down` needs a mailbox: outside of a process there is none."""
    ref = spawn(idle)
    with pytest.raises(NotInProcess, match=r"monitor\(\) is about the process that calls it"):
        monitor(ref)
    with pytest.raises(NotInProcess):
        spawn_monitor(idle)
    await trio.lowlevel.checkpoint()

    assert () == current_runtime().monitors()
