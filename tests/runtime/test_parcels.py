"""Confirmed sends: handled means handled, and what was not handled never will be."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    Continue,
    Crashed,
    Delivery,
    Failed,
    Message,
    Name,
    NoProcess,
    ProcessDown,
    Stop,
    current_runtime,
    kill,
    mailbox,
    resume,
    send,
    send_exit,
    send_nowait,
    shutdown_scope,
    spawn,
    stop_nowait,
    suspend,
    trace,
)
from tests.runtime.confirming import Worker, box, failure, handled, nothing_left, worker
from tests.runtime.helpers import idle

__all__ = ["box", "worker"]  # fixtures, for pytest


# ------------------------------------------------------------------------------------------ servers


async def test_handled(worker, autojump_clock):
    """It returns when the handler has, not before."""
    assert await handled(worker, 2.5)
    assert 2.5 == trio.current_time()
    assert [2.5] == await Worker.history(worker)


@pytest.mark.parametrize("message", [Worker.note.message(1), Worker.answer.message(1), Message("note", (1,)), 1])
async def test_by_every_handler(worker, message):
    """A cast, a call as a message, and any other message are handled by whatever handles them."""
    assert await handled(worker, message)
    (seen,) = await Worker.history(worker)
    assert 1 == seen


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN])
async def test_stop_in_peace(worker, reason):
    """A handler that stops its server with a normal reason is done with the message."""
    assert await handled(worker, Stop(reason))
    assert reason == await worker.wait()


async def test_crash(worker):
    """A handler that crashes has not handled it: the sender is told with what reason the process ended."""
    crash = ValueError("planted")
    error = await failure(worker, crash)
    assert isinstance(error, ProcessDown)
    assert (worker, Crashed(crash)) == (error.target, error.reason)
    assert crash is error.__cause__
    nothing_left(worker)


async def test_abnormal_stop(worker):
    """So does one that stops with another reason."""
    assert Failed("no") == (await failure(worker, Stop("no"))).reason


async def test_crash_afterwards(worker):
    """What comes after the handler has returned is not the sender's matter."""
    assert await handled(worker, Continue(ValueError("planted")))
    assert isinstance(await worker.wait(), Crashed)


@pytest.mark.parametrize(("end", "reason"), [(kill, KILLED), (lambda ref: send_exit(ref, "go"), Failed("go"))])
async def test_killed_while_handling(worker, nursery, end, reason, autojump_clock):
    """A process that is ended from outside in the middle of it has not handled it."""
    errors = []

    async def sender():
        errors.append(await failure(worker, 4.0))

    nursery.start_soon(sender)
    await wait_all_tasks_blocked()
    end(worker)
    await wait_all_tasks_blocked()
    assert [reason] == [error.reason for error in errors]


async def test_ends_before(worker, nursery, autojump_clock):
    """A message that lies in the mailbox when the process ends, however peacefully, was not handled."""
    errors = []

    async def sender(message):
        errors.append(await failure(worker, message))

    send_nowait(worker, 1.0)
    await wait_all_tasks_blocked()
    stop_nowait(worker, NORMAL)
    nursery.start_soon(sender, "late")
    await worker.wait()
    await wait_all_tasks_blocked()

    assert [NORMAL] == [error.reason for error in errors]
    assert {"send: process ended": 1} == current_runtime().ledger().dropped
    assert [] == list(current_runtime().dead_letters)
    nothing_left(worker)


async def test_suspended(worker, nursery):
    """A suspended server handles it when it is resumed."""
    await suspend(worker)
    done = []

    async def sender():
        done.append(await handled(worker, 1))

    nursery.start_soon(sender)
    await wait_all_tasks_blocked()
    assert [] == done
    await resume(worker)
    await wait_all_tasks_blocked()
    assert [True] == list(map(bool, done))


async def test_traced(worker):
    """A trace shows the message, not its wrapping."""
    shown = []
    await trace(worker, shown.append)
    await handled(worker, "hello")
    assert "hello" == shown[0].content


async def test_supervisor(tree, caplog):
    """A supervisor does with it what it does with any message: it logs and forgets it."""
    assert await handled(tree.ref, "hello")
    assert "received=\"'hello'\"" in caplog.text


# ---------------------------------------------------------------------------------- plain functions


async def test_asks_for_the_next(tree, nursery, box, autojump_clock):
    """A plain function has handled a message when it asks for the next one; it gets the message itself."""
    got, done = [], []

    async def reader():
        got.append(await mailbox().receive())
        await trio.sleep(1)
        await mailbox().receive()

    ref = spawn(reader, mailbox=box)

    async def sender():
        await handled(ref, "hello")
        done.append(trio.current_time())

    nursery.start_soon(sender)
    await trio.sleep(0.5)
    assert ["hello"] == got
    assert [] == done
    await trio.sleep(1)
    assert [1] == done


@pytest.mark.parametrize("leave", [lambda: None, lambda: _raise(Stop(SHUTDOWN))])
async def test_ends_by_itself(tree, box, leave):
    """One that ends by itself and in peace has handled what it got last."""

    async def once():
        await mailbox().receive()
        leave()

    ref = spawn(once, mailbox=box)
    assert await handled(ref, 1)
    assert not ref.alive


def _raise(error):
    raise error


async def test_crashes(tree, box):
    """One that crashes has not."""

    async def once():
        _raise(ValueError(await mailbox().receive()))

    assert isinstance((await failure(spawn(once, mailbox=box), "x")).reason, Crashed)


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN])
async def test_stopped_in_the_middle(tree, nursery, box, reason):
    """One that is stopped in the middle has not, even if it ends with a normal reason."""
    errors = []

    async def once():
        with shutdown_scope():
            await mailbox().receive()
            await idle()

    ref = spawn(once, mailbox=box)

    async def sender():
        errors.append(await failure(ref, 1))

    nursery.start_soon(sender)
    await wait_all_tasks_blocked()
    stop_nowait(ref, reason)
    await wait_all_tasks_blocked()
    assert [reason] == [error.reason for error in errors]


async def test_without_waiting(tree, box):
    """Looking whether there is a message is asking for the next one."""
    checked = []

    async def reader():
        first = await mailbox().receive()
        with pytest.raises(trio.WouldBlock):
            mailbox().receive_nowait()
        checked.append(first)
        await idle()

    assert await handled(spawn(reader, mailbox=box), 1)
    assert [1] == checked


async def test_closes_its_mailbox(tree, nursery, box):
    """What is queued when a mailbox is closed fails; so does what comes later."""
    errors = []

    async def closing():
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        await mailbox().aclose()
        await idle()

    ref = spawn(closing, mailbox=box)

    async def sender():
        errors.append(await failure(ref, 1))

    nursery.start_soon(sender)
    await wait_all_tasks_blocked()
    await sender()
    assert [NoProcess, NoProcess] == list(map(type, errors))
    nothing_left(ref)


@pytest.mark.parametrize("end", [None, Stop()])
async def test_came_to_its_end(tree, end):
    """A function that has come to its end by itself has handled its message, whatever signal was on its way to it."""
    got = []

    async def once():
        got.append(await mailbox().receive())
        if end is not None:
            raise end

    ref = spawn(once, name=Name("once"))
    await wait_all_tasks_blocked()
    outcome = []

    async def sender():
        outcome.append(await send(Name("once"), "order", confirm="handled", retries=1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender)
        while len(ref._process.mailbox) == 0 and not got:
            await trio.lowlevel.checkpoint()
        kill(ref)
    assert ["order"] == got
    assert [Delivery(delivered=True)] == outcome
