"""Starts that fail, take too long or are given up: the caller is told exactly why, and nothing is left."""

import math

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    AlreadyStarted,
    Crashed,
    Exit,
    Failed,
    Ignore,
    InvalidSpec,
    Name,
    StartFailed,
    StartIgnored,
    StartTimeout,
    Stop,
    current_runtime,
    kill,
    mailbox,
    send_exit,
    spawn,
    start,
    start_link,
    trap_exits,
)
from tests.runtime.boxes import drain
from tests.runtime.helpers import Desk, as_process, as_task, cancelled, idle
from tests.runtime.starters import STARTERS, Hanging, failing, nothing_left, starter

__all__ = ["starter"]  # fixtures, for pytest


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("boom"), None),
        (Stop("boom"), Failed("boom")),
        (Stop(SHUTDOWN), SHUTDOWN),
        (Stop(), NORMAL),
    ],
)
@as_process
async def test_failed_init(tree, starter, error, reason):
    """An init that raises is `StartFailed` with the reason and the original exception; nothing is left."""
    trap_exits()
    with pytest.raises(StartFailed) as caught:
        await starter(failing(error), name=Name("name"))

    assert (reason or Crashed(error)) == caught.value.reason
    assert (error if reason is None else None) is caught.value.__cause__
    assert "Failing" == caught.value.child_id
    await nothing_left()


@as_process
async def test_failed_constructor(tree, starter):
    """An error in `__init__` is the same: the object is made in the process."""
    trap_exits()
    with pytest.raises(StartFailed, match=r"Desk failed to start: crashed\(TypeError") as caught:
        await starter(Desk, "one argument too many")

    assert isinstance(caught.value.__cause__, TypeError)
    await nothing_left()


@pytest.mark.parametrize("how", ["raise", "return"])
@as_process
async def test_never_started(tree, starter, how):
    """A function that ends without having called `task_status.started` has failed to start."""
    trap_exits()

    async def function(task_status):
        if how == "raise":
            raise ValueError("boom")

    with pytest.raises(StartFailed, match="function failed to start") as caught:
        await starter(function)

    assert (NORMAL if how == "return" else Crashed(caught.value.__cause__)) == caught.value.reason
    await nothing_left()


@as_process
async def test_ignore(tree, starter):
    """An init that raises `Ignore` declines: `StartIgnored`, and nothing is left."""
    trap_exits()

    async def function(task_status):
        raise Ignore

    for factory in (failing(Ignore()), function):
        with pytest.raises(StartIgnored, match="declined to be started"):
            await starter(factory, name=Name("name"))
    await nothing_left()


async def test_ignore_in_a_nursery(tree):
    """`Ignore` raised by a task of the starting process is that of the process."""

    async def declining():
        raise Ignore

    async def function(task_status):
        await as_task(declining)

    with pytest.raises(StartIgnored):
        await start(function)


@as_process
async def test_timeout(tree, starter, autojump_clock):
    """An init that takes longer than `within` is killed: `StartTimeout`, and nothing is left, not even news of it."""
    trap_exits()
    with pytest.raises(StartTimeout, match=r"Hanging did not start within 2 s and was killed") as caught:
        await starter(Hanging, name=Name("name"), within=2)

    assert isinstance(caught.value, trio.TooSlowError)
    assert 2 == trio.current_time()
    await nothing_left()
    assert [] == drain(mailbox())


@as_process
async def test_cancelled(tree, starter, autojump_clock):
    """Whoever gives up waiting for a start ends it: nothing is left, not even news of it."""
    trap_exits()
    with trio.move_on_after(2) as scope:
        await starter(Hanging, name=Name("name"))

    assert scope.cancelled_caught
    await nothing_left()
    assert [] == drain(mailbox())


@as_process
async def test_cancelled_before(tree, starter):
    """The same if the one who starts is cancelled already."""
    trap_exits()
    with cancelled() as scope:
        await starter(Desk)

    assert scope.cancelled_caught
    await nothing_left()
    assert [] == drain(mailbox())


@as_process
async def test_name_taken(tree, starter):
    """Under a name that is taken nothing is started; the error has the holder."""
    holder = spawn(idle, name=Name("name"))
    log = []
    with pytest.raises(AlreadyStarted) as caught:
        await starter(log.append, "run", name=Name("name"))

    assert (Name("name"), holder) == (caught.value.subject, caught.value.ref)
    await wait_all_tasks_blocked()
    assert [] == log
    assert ((), ()) == (current_runtime().links(), current_runtime().monitors())


async def test_killed_while_starting(tree):
    """A process that is killed while it starts has failed to start."""
    async with trio.open_nursery() as nursery:

        async def starting():
            with pytest.raises(StartFailed) as caught:
                await start(Hanging)
            assert KILLED == caught.value.reason

        nursery.start_soon(starting)
        await wait_all_tasks_blocked()
        kill(current_runtime().processes()[-1])


@pytest.mark.parametrize("within", [-1, math.nan, "5", None, True])
@as_process
async def test_wrong_limit(tree, starter, within):
    """A limit that is no number of seconds is refused, and nothing is started."""
    with pytest.raises(InvalidSpec, match="within="):
        await starter(Desk, within=within)
    await nothing_left()


@as_process
async def test_wrong_options(tree, starter):
    """So are a name and a mailbox that are none, and a factory that cannot be called."""
    for args, options in (((5,), {}), ((Desk,), {"name": "text"}), ((Desk,), {"mailbox": 5})):
        with pytest.raises(InvalidSpec):
            await starter(*args, **options)
    await nothing_left()


@pytest.mark.parametrize("function", STARTERS, ids=lambda function: function.__name__)
async def test_starter_dies(tree, function):
    """A starter that is ended by a signal has not given up: what it started lives on, or dies of its link."""
    ends = []

    async def starting():
        await function(Hanging)

    starter = spawn(starting)
    await wait_all_tasks_blocked()
    ref = current_runtime().processes()[-1]
    send_exit(starter, "signal")
    await starter.wait()
    await wait_all_tasks_blocked()
    ends.append(ref.exit_reason)

    assert [Failed("signal") if function is start_link else None] == ends


@pytest.mark.parametrize("error", [ValueError("boom"), Stop("boom"), Ignore()])
@as_process
async def test_exit_of_a_failed_start_link(tree, error):
    """As in OTP, a linked start that fails by itself also leaves its `Exit` with a starter that traps exits."""
    trap_exits()
    with pytest.raises((StartFailed, StartIgnored)):
        await start_link(failing(error))
    await wait_all_tasks_blocked()
    [message] = drain(mailbox())

    expected = {ValueError: Crashed(error), Stop: Failed("boom"), Ignore: NORMAL}
    assert isinstance(message, Exit)
    assert (expected[type(error)], False) == (message.reason, message.source.alive)


@as_process
async def test_no_exit_of_a_killed_start_link(tree):
    """One that is killed from outside while it starts is told by the error alone."""
    trap_exits()

    async def killing():
        await wait_all_tasks_blocked()
        kill(current_runtime().processes()[-1])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(killing)
        with pytest.raises(StartFailed) as caught:
            await start_link(Hanging)

    assert KILLED == caught.value.reason
    assert [] == drain(mailbox())
