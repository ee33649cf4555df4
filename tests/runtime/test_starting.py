"""Processes that are started: the caller waits for the init, and is told exactly how it went."""

from functools import partial

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    NORMAL,
    Crashed,
    Down,
    Exit,
    Failed,
    MailboxOptions,
    Name,
    StartFailed,
    Stop,
    Supervisor,
    current_ref,
    kill,
    mailbox,
    process_info,
    send_exit,
    spawn,
    start,
    start_link,
    start_monitor,
    trap_exits,
)
from tests.runtime.boxes import drain
from tests.runtime.helpers import Desk, as_process, idle, inside
from tests.runtime.starters import failing, starter

__all__ = ["starter"]  # fixtures, for pytest


# ------------------------------------------------------------------------------------------- success


@as_process
async def test_server(tree, starter):
    """A server is up when its start is over: its `init` has run."""

    class Server(Desk):
        async def init(self):
            await trio.lowlevel.checkpoint()
            self.seen.append("init")

    with assert_checkpoints():
        ref = await starter(Server)

    assert ["init"] == await Desk.history(ref)


@as_process
async def test_function(tree, starter):
    """A function that takes no `task_status` is up at once; it gets its arguments."""
    log = []

    async def function(*args):
        log.append(args)
        await idle()

    ref = await starter(function, 1, 2)

    assert ref.alive
    await wait_all_tasks_blocked()
    assert [(1, 2)] == log


class WithStatus:
    """All kinds of functions that have a parameter `task_status`."""

    async def method(self, task_status):
        task_status.started("value")
        await idle()

    async def __call__(self, *, task_status=trio.TASK_STATUS_IGNORED):
        await self.method(task_status)


async def function_with_status(argument, *, task_status):
    await WithStatus().method(task_status)


@pytest.mark.parametrize(
    "function",
    [
        WithStatus().method,
        WithStatus(),
        partial(function_with_status, "argument"),
        partial(partial(function_with_status, argument="argument")),
    ],
    ids=["method", "object", "partial", "partial of partial"],
)
@as_process
async def test_task_status(tree, starter, function):
    """A function with `task_status` is up when it says so, as with `nursery.start`; the value is at its ref."""
    ref = await starter(function)

    assert "value" == ref.start_value
    assert "running" == process_info(ref).status


async def test_waits_for_task_status(tree, nursery):
    """The start is over when `started` is called, not before; from any task of the process."""
    go_on, log = trio.Event(), []

    async def announcing(task_status):
        await go_on.wait()
        task_status.started()

    async def function(task_status):
        async with trio.open_nursery() as own:
            own.start_soon(announcing, task_status)
            own.start_soon(idle)

    async def starting():
        log.append(await start(function))

    nursery.start_soon(starting)
    await wait_all_tasks_blocked()
    assert [] == log
    go_on.set()
    await wait_all_tasks_blocked()

    assert log[0].alive


async def test_task_status_of_a_spawned_function(tree):
    """A spawned function may call `task_status.started` although nobody waits for it."""
    ref = spawn(WithStatus())
    await wait_all_tasks_blocked()

    assert ("value", "running") == (ref.start_value, process_info(ref).status)


async def test_started_twice(tree):
    """`task_status.started` twice is a mistake of the function: it crashes."""

    async def function(task_status):
        task_status.started()
        task_status.started()

    ref = await start(function)
    reason = await ref.wait()

    assert isinstance(reason.error, RuntimeError)
    assert "task_status.started() was called twice" == str(reason.error)


async def test_end_right_after_the_start(tree):
    """A process that is up and ends before its starter runs again has been started."""

    async def function(task_status):
        task_status.started()
        raise Stop("at once")

    ref = await start(function)

    assert Failed("at once") == ref.exit_reason


async def test_options(tree):
    """A started process has the name and the mailbox that were asked for."""
    ref = await start(Desk, name=Name("desk"), mailbox=MailboxOptions(capacity=7))

    assert ("desk", 7) == (str(ref.name), ref._process.mailbox.capacity)


# ------------------------------------------------------------------------------- link, monitor, parent


@as_process
async def test_start_link(tree):
    """`start_link` links the two from the first moment on."""
    trap_exits()
    ref = await start_link(Desk)
    assert frozenset({ref}) == process_info(current_ref()).links
    kill(ref)

    assert Exit(ref, KILLED) == await mailbox().receive()


async def test_failed_start_link_without_trapping(tree):
    """As in OTP, a linked start that fails ends a starter that does not trap exits, with the same reason."""
    error = ValueError("boom")

    async def starter():
        await start_link(failing(error))

    assert Crashed(error) == await spawn(starter).wait()


@pytest.mark.parametrize("trapping", [True, False])
async def test_parent(tree, trapping):
    """The starter of a linked server is its parent: its abnormal end ends the server, which terminates if it traps."""
    log = []

    class Server(Desk):
        trap_exits = trapping

        def terminate(self, reason):
            log.append(reason)

    refs = []

    async def parent():
        refs.append(await start_link(Server))
        await idle()

    ref = spawn(parent)
    await wait_all_tasks_blocked()
    send_exit(ref, "boom")
    assert Failed("boom") == await refs[0].wait()

    assert ([Failed("boom")] if trapping else []) == log


@as_process
async def test_start_monitor(tree):
    """`start_monitor` watches from the first moment on; a failed start leaves no `Down`."""
    ref, watch = await start_monitor(Desk)
    with pytest.raises(StartFailed):
        await start_monitor(failing(ValueError()))
    kill(ref)

    assert Down(watch, ref, KILLED) == await mailbox().receive()
    await wait_all_tasks_blocked()
    assert [] == drain(mailbox())


@as_process
async def test_end_between_start_and_monitor(tree):
    """A process that ends right after its start is not missed."""

    async def function(task_status):
        task_status.started()
        raise Stop("at once")

    ref, watch = await start_monitor(function)

    assert [Down(watch, ref, Failed("at once"))] == drain(mailbox())


async def test_supervisors(tree):
    """Supervisors can be started and linked, too; their parent's end is theirs."""

    class Team(Supervisor):
        pass

    async def parent():
        return await start_link(Team)

    ref = await inside(parent)
    await wait_all_tasks_blocked()

    assert NORMAL == ref.exit_reason
