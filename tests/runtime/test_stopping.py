"""Polite stops: how a plain function is asked to end, what time it has for that, and what overrides it."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    NORMAL,
    SHUTDOWN,
    CallExited,
    Crashed,
    Deadlock,
    Exit,
    Failed,
    InvalidSpec,
    Name,
    NoProcess,
    Stop,
    StopTimeout,
    current_ref,
    kill,
    mailbox,
    send_exit,
    send_nowait,
    shutdown_scope,
    spawn,
    stop,
    stop_nowait,
    trap_exits,
)
from tests.runtime.helpers import Desk, Worker, as_process, idle

# ------------------------------------------------------------------------------------ plain functions


async def test_plain_function(tree):
    """A plain function is cancelled as a whole, and has ended with the reason asked for."""
    ref = spawn(idle)
    await stop(ref, "bye")

    assert Failed("bye") == ref.exit_reason


async def test_reason(tree):
    """The reason is normal unless another is given."""
    ref = spawn(idle)
    await stop(ref)

    assert NORMAL == ref.exit_reason


async def test_trapping_function(tree):
    """A function that traps exits gets `Exit` with the one who asked, and ends when it likes."""
    got = []

    async def trapping():
        trap_exits()
        got.append(await mailbox().receive())
        await trio.lowlevel.checkpoint()
        raise Stop(got[-1].reason)

    from_outside = spawn(trapping)
    await wait_all_tasks_blocked()
    await stop(from_outside, SHUTDOWN)

    async def asking(target):
        await stop(target, SHUTDOWN)

    from_inside = spawn(trapping)
    await wait_all_tasks_blocked()
    asker = spawn(asking, from_inside)
    await asker.wait()

    assert [Exit(None, SHUTDOWN), Exit(asker, SHUTDOWN)] == got
    assert (SHUTDOWN, SHUTDOWN, NORMAL) == (from_outside.exit_reason, from_inside.exit_reason, asker.exit_reason)


async def test_shutdown_scope(tree, autojump_clock):
    """A polite stop cancels a `shutdown_scope`, and the code behind it has all the time that it needs."""
    worker = Worker()
    ref = spawn(worker)
    await wait_all_tasks_blocked()
    await stop(ref, SHUTDOWN)

    assert ["work", ("stopped", True), "clean"] == worker.log
    assert SHUTDOWN == ref.exit_reason
    assert 1 == trio.current_time()


async def test_several_scopes(tree):
    """All scopes that are open, in whichever task of the process, are cancelled; one entered later is so at once."""
    log = []

    async def work(name):
        with shutdown_scope() as scope:
            await idle()
        log.append((name, scope.cancelled_caught))

    async def process():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, "task")
            await work("main")
        await work("later")

    ref = spawn(process)
    await wait_all_tasks_blocked()
    await stop(ref)

    assert [("main", True), ("task", True)] == sorted(log[:2])
    assert ("later", True) == log[2]


async def test_between_scopes(tree, autojump_clock):
    """Between two scopes a polite stop interrupts nothing: it takes effect in the next one."""
    log = []

    async def process():
        for number in range(2):
            with shutdown_scope() as scope:
                await trio.sleep(1)
            log.append((number, scope.cancelled_caught))
            await trio.sleep(2)

    ref = spawn(process)
    await trio.sleep(2)
    await stop(ref, "stop")

    assert [(0, False), (1, True)] == log
    assert 5 == trio.current_time()
    assert Failed("stop") == ref.exit_reason


async def test_scope_that_is_not_cancelled(tree):
    """A `shutdown_scope` that nobody cancels lets errors and values pass as any block does."""

    async def process():
        with shutdown_scope():
            raise ValueError("inside")

    reason = await spawn(process).wait()
    assert "inside" == str(reason.error)


async def test_crash_during_a_stop(tree):
    """A process that crashes while it is being stopped has crashed: that must not get lost."""

    async def process():
        with shutdown_scope():
            await idle()
        raise ValueError("clean-up")

    ref = spawn(process)
    await wait_all_tasks_blocked()
    with pytest.raises(CallExited) as caught:
        await stop(ref)

    assert "clean-up" == str(caught.value.reason.error)
    assert caught.value.reason == ref.exit_reason


async def test_crash_of_a_cancelled_function(tree):
    """The same for a function that is cancelled as a whole."""

    async def process():
        try:
            await idle()
        finally:
            raise ValueError("clean-up")

    ref = spawn(process)
    await wait_all_tasks_blocked()
    stop_nowait(ref, SHUTDOWN)

    assert isinstance(await ref.wait(), Crashed)


async def test_other_reason_of_its_own(tree):
    """A process that is asked to stop may still say `Stop` with a reason of its own."""

    async def process():
        with shutdown_scope():
            await idle()
        raise Stop("mine")

    ref = spawn(process)
    await wait_all_tasks_blocked()
    stop_nowait(ref)

    assert Failed("mine") == await ref.wait()


# ------------------------------------------------------------------------------------ before the start


async def test_before_the_first_step(tree):
    """A function that is asked to stop before its first step does not run, but ends with that reason."""
    log = []

    async def process():
        log.append("run")

    ref = spawn(process)
    stop_nowait(ref, "early")

    assert Failed("early") == await ref.wait()
    assert [] == log


@pytest.mark.parametrize("trapping", [True, False])
async def test_server_before_its_first_step(tree, trapping):
    """A server that is asked to stop before its first step stops, whether it traps exits or not."""

    class Server(Desk):
        trap_exits = trapping

    ref = spawn(Server)
    stop_nowait(ref, "early")

    assert Failed("early") == await ref.wait()


# ------------------------------------------------------------------------------------- who asks, and how


async def test_nobody_there(tree):
    """Asking nobody to stop is `NoProcess`, waiting or not."""
    ref = spawn(idle)
    kill(ref)
    await ref.wait()
    for target in (ref, Name("nobody")):
        with pytest.raises(NoProcess, match="stop: no process"):
            stop_nowait(target)
        with pytest.raises(NoProcess, match="stop: no process"):
            await stop(target)


async def test_by_name(tree):
    """A process can be stopped by its name."""
    ref = spawn(idle, name=Name("idle"))
    await stop(Name("idle"))

    assert NORMAL == ref.exit_reason


async def test_timeout(tree, autojump_clock):
    """Past its limit `stop` raises `StopTimeout`; the process has still been asked, and stops in its own time."""
    worker = Worker()
    ref = spawn(worker)
    await wait_all_tasks_blocked()
    with pytest.raises(StopTimeout, match=r"did not stop within 0.5 s") as caught:
        await stop(ref, within=0.5)

    assert isinstance(caught.value, trio.TooSlowError)
    assert 0.5 == trio.current_time()
    assert NORMAL == await ref.wait()
    assert "clean" == worker.log[-1]


async def test_cancelled(tree, autojump_clock):
    """Who gives up waiting for the end has still asked for it."""
    ref = spawn(Worker())
    await wait_all_tasks_blocked()
    with trio.move_on_after(0.5) as scope:
        await stop(ref)

    assert scope.cancelled_caught
    assert NORMAL == await ref.wait()


@pytest.mark.parametrize("within", [-1, "soon", None])
async def test_wrong_limit(tree, within):
    """A limit that is no number of seconds is refused before anything happens."""
    ref = spawn(idle)
    with pytest.raises(InvalidSpec, match="within"):
        await stop(ref, within=within)
    await wait_all_tasks_blocked()

    assert ref.alive


@as_process
async def test_oneself(tree):
    """A process that waits for its own end would do so for ever: `Deadlock`."""
    with pytest.raises(Deadlock, match="stop"):
        await stop(current_ref())


async def test_stop_twice(tree, autojump_clock):
    """Two may ask for the same stop: the first reason counts, and the second asker is told of it."""
    worker = Worker()
    ref = spawn(worker)
    await wait_all_tasks_blocked()
    stop_nowait(ref, "first")
    with pytest.raises(CallExited) as caught:
        await stop(ref, "second")

    assert Failed("first") == caught.value.reason


async def test_exit_signal_during_a_stop(tree):
    """An exit signal does not wait until the clean-up of a polite stop is over, and is the reason."""
    worker = Worker()
    ref = spawn(worker)
    await wait_all_tasks_blocked()
    stop_nowait(ref)
    await wait_all_tasks_blocked()
    send_exit(ref, "signal")

    assert Failed("signal") == await ref.wait()
    assert ["work", ("stopped", True)] == worker.log


async def test_drain(tree):
    """With `drain` a server handles what is queued before it stops; without it does not."""
    for drain, seen in ((True, [1, 2]), (False, [])):
        server = Desk()

        class Given(Desk):
            def __init__(self, server=server):
                self.seen = server.seen

        ref = await tree.start(Given, restart="temporary")
        for message in (1, 2):
            send_nowait(ref, message)
        await stop(ref, drain=drain)

        assert seen == server.seen


async def test_reason_that_cannot_be_compared(tree):
    """A reason whose `__eq__` raises does not hurt the one who stops."""

    class Hostile:
        def __eq__(self, other):
            raise ValueError

        __hash__ = None

    ref = spawn(idle)
    await stop(ref, Failed(Hostile()))

    assert isinstance(ref.exit_reason.detail, Hostile)
