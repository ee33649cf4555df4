"""What can be asked about a process."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    NoProcess,
    ProcessInfo,
    current_runtime,
    kill,
    link,
    mailbox,
    process_info,
    resume,
    send_nowait,
    spawn,
    start,
    stop,
    suspend,
    trap_exits,
)
from tests.runtime.helpers import Desk, idle


async def test_idle_process(tree):
    """A process that has nothing to do with anybody."""
    ref = spawn(idle)
    await wait_all_tasks_blocked()

    assert ProcessInfo(ref, "running", frozenset(), (), (), 0, False, None, 1) == process_info(ref)


async def test_queue_links_traps(tree):
    """Queue length, links and trapping are those of the moment."""
    other = spawn(idle)

    async def process():
        trap_exits()
        link(other)
        await idle()

    ref = spawn(process)
    await wait_all_tasks_blocked()
    send_nowait(ref, 1)
    info = process_info(ref)

    assert (1, frozenset({other}), True) == (info.queue_length, info.links, info.trap_exits)


async def test_status_while_starting(tree, nursery):
    """A process is starting until its init is over; whoever starts it under a supervisor waits for it."""
    begun, go_on = trio.Event(), trio.Event()
    refs = []

    class Server(Desk):
        async def init(self):
            refs.append(self)
            begun.set()
            await go_on.wait()

    nursery.start_soon(tree.start, Server)
    await begun.wait()
    ref = current_runtime().processes()[-1]
    assert "starting" == process_info(ref).status
    assert ("waiting", ref) == (process_info(tree.ref).status, process_info(tree.ref).waits_for)
    go_on.set()
    await wait_all_tasks_blocked()

    assert "running" == process_info(ref).status
    assert ("running", None) == (process_info(tree.ref).status, process_info(tree.ref).waits_for)


async def test_status_while_calling(tree):
    """A process that waits for an answer shows whom it waits for, until it has the answer."""
    desk, go_on = await tree.start(Desk), trio.Event()

    async def caller():
        await Desk.run(desk, go_on.wait)
        await idle()

    ref = spawn(caller)
    await wait_all_tasks_blocked()
    assert ("waiting", desk) == (process_info(ref).status, process_info(ref).waits_for)
    go_on.set()
    await wait_all_tasks_blocked()

    assert ("running", None) == (process_info(ref).status, process_info(ref).waits_for)


async def test_status_while_starting_and_stopping_another(tree, autojump_clock):
    """The same for a process that waits until another one is up, or has ended."""

    class Slow(Desk):
        async def init(self):
            await trio.sleep(1)

        async def terminate(self, reason):
            await trio.sleep(1)

    async def process():
        await stop(await start(Slow))
        await idle()

    ref = spawn(process)
    for moment in (0.5, 1.5):
        await trio.sleep(moment - trio.current_time())
        other = current_runtime().processes()[-1]
        assert ("waiting", other) == (process_info(ref).status, process_info(ref).waits_for)
        assert "Slow" == other._process.label
    await trio.sleep(2)

    assert ("running", None) == (process_info(ref).status, process_info(ref).waits_for)


async def test_status_while_suspended(tree):
    """A suspended server shows it."""
    desk = await tree.start(Desk)
    await suspend(desk)
    assert "suspended" == process_info(desk).status
    await resume(desk)

    assert "running" == process_info(desk).status


async def test_no_mailbox_for_servers(tree):
    """A server that would read its own requests, and leave their callers waiting, is told what to do instead."""
    seen = []

    class Reader(Desk):
        def init(self):
            seen.append(refused())

        def handle_info(self, message):
            seen.append(refused())

    def refused():
        with pytest.raises(RuntimeError, match="what is sent to Reader comes to its handlers and handle_info"):
            mailbox()
        return True

    ref = await tree.start(Reader)
    send_nowait(ref, "hello")
    await wait_all_tasks_blocked()
    assert [True, True] == seen


async def test_dead(tree):
    """Nothing is known of a process that has ended but its reason, which its ref tells."""
    ref = spawn(idle)
    kill(ref)
    await ref.wait()
    with pytest.raises(NoProcess, match="process_info: no process at"):
        process_info(ref)
