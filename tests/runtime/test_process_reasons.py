"""Every way in which a process can end, and the exit reason that it is."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    Crashed,
    Failed,
    Ignore,
    Shutdown,
    Stop,
    current_ref,
    kill,
    send_exit,
    spawn,
    start,
)
from tests.runtime.helpers import as_task, idle


async def test_return(tree):
    """A function that returns has ended normally, whatever it returns."""

    async def function():
        return 5

    assert NORMAL == await spawn(function).wait()


async def test_crash(tree):
    """An exception is the exit reason, the object itself."""
    error = ValueError("boom")

    async def function():
        raise error

    ref = spawn(function)
    reason = await ref.wait()
    assert Crashed(error) == reason
    assert error is reason.error


async def test_crash_shows_the_user_where(tree):
    """The traceback of a crash begins in the user's code: the runtime's own frames are no news."""

    async def function():
        raise ValueError

    reason = await spawn(function).wait()
    assert "function" == reason.error.__traceback__.tb_frame.f_code.co_name


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (NORMAL, NORMAL),
        (SHUTDOWN, SHUTDOWN),
        (Shutdown("why"), Shutdown("why")),
        ("boom", Failed("boom")),
        (None, Failed(None)),
        (Failed(1), Failed(1)),
        (KILLED, KILLED),
        (NOPROC, NOPROC),
    ],
)
async def test_stop(tree, given, reason):
    """`Stop(reason)` ends the process with that reason; what is no reason is wrapped in `Failed`."""

    async def function():
        raise Stop(given)

    assert reason == await spawn(function).wait()


async def test_stop_without_a_reason(tree):
    """`Stop()` is a normal end."""

    async def function():
        raise Stop

    assert NORMAL == await spawn(function).wait()


async def test_stop_with_an_exception(tree):
    """`Stop(error)` is a crash with that error."""
    error = ValueError("boom")

    async def function():
        raise Stop(error)

    assert Crashed(error) == await spawn(function).wait()


async def test_stop_in_a_nursery(tree):
    """`Stop` raised by a task of the process's own nurseries ends the process as if it had raised it itself."""

    async def stopper():
        await trio.lowlevel.checkpoint()
        raise Stop("boom")

    async def function():
        async with trio.open_nursery() as outer:
            outer.start_soon(idle)
            async with trio.open_nursery() as inner:
                inner.start_soon(idle)
                inner.start_soon(stopper)

    assert Failed("boom") == await spawn(function).wait()


async def test_group_is_one_crash(tree):
    """What two tasks of its nursery raise is one crash of the process, with the whole `ExceptionGroup`."""

    async def crash(error):
        raise error

    async def function():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash, ValueError("a"))
            nursery.start_soon(crash, KeyError("b"))

    reason = await spawn(function).wait()
    assert {ValueError, KeyError} == set(map(type, reason.error.exceptions))


async def test_single_crash_in_a_nursery(tree):
    """One exception in a nursery is one crash too, and nothing of it is lost."""
    error = ValueError("a")

    async def crash():
        raise error

    async def function():
        await as_task(crash)

    reason = await spawn(function).wait()
    assert reason.error is error or reason.error.exceptions == (error,)


@pytest.mark.parametrize("errors", [(Stop(), KeyError("b")), (KeyError("b"), Stop()), (Stop(), Stop("boom"))])
async def test_stop_beside_a_crash(tree, errors):
    """`Stop` is no excuse for another crash, or another `Stop`, in the same nursery: the group is the reason."""

    async def function():
        raise ExceptionGroup("of a nursery", errors)

    reason = await spawn(function).wait()
    assert isinstance(reason, Crashed)
    assert errors == reason.error.exceptions


async def test_ignore_too_late(tree):
    """`Ignore` means something while a process starts; raised later it is a crash like any other."""

    async def function():
        raise Ignore

    reason = await spawn(function).wait()
    assert isinstance(reason.error, Ignore)


async def test_no_async_function(tree):
    """A function that gives no awaitable is a crash that says what a process has to be."""

    def function():
        return 5

    reason = await spawn(function).wait()
    assert isinstance(reason.error, TypeError)
    assert "function() returned 5: a process is an async function ('async def function')" == str(reason.error)


async def test_kill(tree):
    """A killed process ends at its next checkpoint, with `Killed()`; its clean-up code runs, but cannot wait."""
    log = []

    async def function():
        try:
            await trio.sleep_forever()
        finally:
            log.append("cleaning")
            await trio.lowlevel.checkpoint()  # noqa: ASYNC102 - cancelled is meant
            log.append("not reached")

    ref = spawn(function)
    await wait_all_tasks_blocked()
    kill(ref)
    assert ref.alive
    assert KILLED == await ref.wait()
    assert ["cleaning"] == log


async def test_signal(tree):
    """An exit signal ends a process with the reason of the signal."""
    ref = spawn(idle)
    await wait_all_tasks_blocked()
    send_exit(ref, "signal")

    assert Failed("signal") == await ref.wait()


@pytest.mark.parametrize("how", [kill, lambda ref: send_exit(ref, KILLED)])
async def test_signal_before_the_first_step(tree, how):
    """A process that is ended before its first step never runs."""
    log = []

    async def function():
        log.append("run")

    ref = spawn(function)
    how(ref)

    assert KILLED == await ref.wait()
    assert [] == log


async def test_signal_to_oneself(tree):
    """A process that signals itself goes on to its next checkpoint, or ends with that reason if it returns first."""
    log = []

    async def with_checkpoint():
        send_exit(current_ref(), "mine")
        log.append("goes on")
        await trio.lowlevel.checkpoint()
        log.append("not reached")

    async def without():
        send_exit(current_ref(), "mine")

    assert Failed("mine") == await spawn(with_checkpoint).wait()
    assert Failed("mine") == await spawn(without).wait()
    assert ["goes on"] == log


async def test_normal_signal(tree):
    """A signal with reason normal ends nobody but the process that sends it to itself."""
    ref = spawn(idle)
    send_exit(ref, NORMAL)

    async def to_itself():
        send_exit(ref, NORMAL)
        send_exit(current_ref(), NORMAL)
        await idle()

    assert NORMAL == await spawn(to_itself).wait()
    assert ref.alive


async def test_first_signal_counts(tree):
    """Of several exit signals the first one is the reason, as nobody dies twice."""
    ref = spawn(idle)
    send_exit(ref, "first")
    send_exit(ref, "second")
    kill(ref)

    assert Failed("first") == await ref.wait()


async def test_crash_while_being_killed(tree):
    """What the clean-up of a killed process raises does not change the reason."""

    async def function():
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError

    ref = spawn(function)
    await wait_all_tasks_blocked()
    kill(ref)

    assert KILLED == await ref.wait()


async def test_dead_is_dead(tree):
    """Signals to a process that has ended do nothing, and its reason stays."""
    ref = spawn(idle)
    kill(ref)
    await ref.wait()
    kill(ref)
    send_exit(ref, "late")

    assert KILLED == ref.exit_reason == await ref.wait()


async def test_scope_of_the_user(tree):
    """A cancel scope of its own is the process's own business: it goes on after it."""

    async def function():
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.sleep_forever()
        raise Stop("after the scope")

    assert Failed("after the scope") == await spawn(function).wait()


async def test_shielded(tree, autojump_clock):
    """Code that shields itself finishes; the process ends at the first checkpoint behind it."""

    async def function():
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
        await trio.sleep(3)

    ref = spawn(function)
    await wait_all_tasks_blocked()
    kill(ref)

    assert KILLED == await ref.wait()
    assert 3 == trio.current_time()


async def test_cancel_reason(tree):
    """The `Cancelled` that ends a process says who ended it, and why."""
    texts = []

    async def function():
        try:
            await idle()
        except trio.Cancelled as error:
            texts.append(error.reason)
            raise

    ref = spawn(function)
    await wait_all_tasks_blocked()
    send_exit(ref, "because")
    await ref.wait()

    assert ["<function#2>: failed('because') [incident 1]"] == texts


@pytest.mark.parametrize("error", [ValueError("boom"), Stop("boom")])
async def test_before_it_is_ready(tree, error):
    """The same reasons in a process that somebody is starting: they are the failure of the start."""

    async def function(task_status):
        raise error

    with pytest.raises(Exception, match="function failed to start") as caught:
        await start(function)
    assert (Crashed(error) if isinstance(error, ValueError) else Failed("boom")) == caught.value.reason


async def test_cancelled_that_nobody_sent(tree):
    """A `Cancelled` that a process has kept from elsewhere and raises is a crash like any other."""
    kept = []

    async def keep():
        try:
            await idle()
        except trio.Cancelled as error:
            kept.append(error)
            raise

    async def function():
        with trio.move_on_after(0):
            await keep()
        raise kept[0]

    reason = await spawn(function).wait()

    assert kept[0] is reason.error
    assert tree.ref.alive
