"""Confirmed sends that are given up: taken back from wherever they are, cheaply, and never handled later."""

import sys

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    DeliveryTimeout,
    MailboxFull,
    MailboxOptions,
    MailboxOverflow,
    Name,
    NoProcess,
    current_runtime,
    kill,
    open_supervisor,
    send,
    send_nowait,
    spawn,
)
from tests.runtime.boxes import OURS
from tests.runtime.confirming import Worker, box, failure, handled, nothing_left, worker
from tests.runtime.helpers import collect, idle

__all__ = ["box", "worker"]  # fixtures, for pytest


# --------------------------------------------------------------------------------- taking it back


async def test_limit_in_the_mailbox(worker, autojump_clock):
    """When the limit passes before it is handled, it is taken back, and never handled."""
    send_nowait(worker, 10.0)
    error = await failure(worker, "late", within=4.0)
    assert isinstance(error, DeliveryTimeout)
    assert (worker, 4.0, False) == (error.target, error.limit, error.handling)
    assert 4.0 == trio.current_time()
    assert "it was taken back" in str(error)
    assert [10.0] == await Worker.history.within(20)(worker)
    assert {"send: taken back": 1} == current_runtime().ledger().dropped
    nothing_left(worker)


async def test_limit_while_handling(worker, autojump_clock):
    """When it passes while it is handled, the error says that, and there is no second attempt."""
    error = await failure(worker, 5.0, within=2.0, retries=3)
    assert error.handling
    assert "it is being handled still" in str(error)
    assert 2.0 == trio.current_time()
    assert [5.0] == await Worker.history(worker)
    nothing_left(worker)


@pytest.mark.parametrize("busy", [0.0, 3.0])
async def test_cancelled(worker, busy, autojump_clock):
    """Whoever is cancelled takes back what is not handled yet."""
    send_nowait(worker, busy)
    await wait_all_tasks_blocked()
    with trio.move_on_after(1):
        await handled(worker, 2.0)
    assert ([0.0, 2.0] if busy == 0.0 else [3.0]) == await Worker.history(worker)
    nothing_left(worker)


async def test_limit_in_the_line(tree, nursery, autojump_clock, box):
    """A message for which there was no room in time was never in the mailbox, and those behind it move up."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1, kind=box.kind))
    send_nowait(ref, 1)
    for number in range(3):
        nursery.start_soon(failing_send, ref, number, 2.0 + number)
    await trio.sleep(1)
    assert 3 == ref._process.mailbox.statistics().waiting_senders
    await trio.sleep(5)
    assert 0 == ref._process.mailbox.statistics().waiting_senders
    assert 1 == len(ref._process.mailbox)
    assert current_runtime().ledger().balanced


async def failing_send(ref, message, within):
    """A send that comes too late."""
    with pytest.raises(DeliveryTimeout):
        await send(ref, message, within=within)


async def test_counted(worker, autojump_clock):
    """A limit that has passed is counted and told of, under the label of the recipient."""
    fired = []
    current_runtime().telemetry.attach(("nursery_otp", "timeout", "fired"), lambda *event: fired.append(event[1:]))
    await failure(worker, 5.0, within=2.0)
    assert [({"limit": 2.0}, {"operation": "Worker.send", "kind": "send"})] == fired
    assert 1 == current_runtime().limits.fired["Worker.send", "send"]


# -------------------------------------------------------------------------------------- full mailboxes


@pytest.mark.parametrize("overflow", ["reject", "drop_newest"])
async def test_no_room(tree, box, overflow):
    """Where one cannot wait for room the sender is told, and the message is nowhere."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1, overflow=overflow, kind=box.kind))
    send_nowait(ref, 1)
    for confirm in ("enqueued", "handled"):
        with pytest.raises(MailboxFull):
            await send(ref, 2, confirm=confirm)
    assert [] == list(current_runtime().dead_letters)
    assert current_runtime().ledger().balanced


async def test_dropped(tree, nursery, box):
    """A confirmed message that has to make room for another one fails at once."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1, overflow="drop_oldest", kind=box.kind))
    errors = []

    async def sender():
        errors.append(await failure(ref, 1))

    nursery.start_soon(sender)
    await wait_all_tasks_blocked()
    assert await send(ref, 2)
    await wait_all_tasks_blocked()
    assert [MailboxFull] == list(map(type, errors))
    assert [] == list(current_runtime().dead_letters)
    assert {"send: drop_oldest": 1} == current_runtime().ledger().dropped


async def test_overflow_crash(tree, box):
    """Where a full mailbox is the end of its process, the confirmed sender is told so."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1, overflow="crash", kind=box.kind))
    send_nowait(ref, 1)
    error = await failure(ref, 2)
    assert isinstance(error.reason.error, MailboxOverflow)


# ------------------------------------------------------------------------------- names being restarted

NAME = Name("worker")


@pytest.mark.parametrize("confirm", ["enqueued", "handled"])
async def test_waits_for_the_next(confirm, autojump_clock):
    """A send to a child that is being restarted waits for its next incarnation."""

    class Slow(Worker):
        async def init(self):
            await trio.sleep(1)

    async with open_supervisor(max_restarts=5) as tree:
        first = await tree.start(Slow, name=NAME)
        kill(first)
        await first.wait()
        assert await send(NAME, "hello", confirm=confirm)
        assert 2.0 == trio.current_time()
        assert ["hello"] == await Worker.history(NAME)
        tree.shutdown()


async def test_does_not_come_back(autojump_clock):
    """If it does not come back, the send fails in the moment when that is known."""

    class Broken(Worker):
        starts = 0

        async def init(self):
            type(self).starts += 1
            await trio.sleep(1)
            if self.starts > 1:
                raise ValueError("planted")

    with pytest.raises(Exception, match=r"root|ended once too often"):
        async with open_supervisor(max_restarts=1) as tree:
            first = await tree.start(Broken, name=NAME)
            errors = []

            async def sender():
                errors.append(await failure(NAME, "hello"))

            reader = spawn(sender)
            kill(first)
            await reader.wait()
            await trio.sleep_forever()
    assert [NoProcess] == list(map(type, errors))


async def test_limit_at_the_name(tree, autojump_clock):
    """The wait for the next incarnation ends with the limit, and leaves nothing behind."""

    class Slow(Worker):
        starts = 0

        async def init(self):
            type(self).starts += 1
            if self.starts > 1:
                await trio.sleep(10)

    first = await tree.start(Slow, name=NAME)
    kill(first)
    await first.wait()
    with pytest.raises(DeliveryTimeout) as caught:
        await send(NAME, "hello")
    assert (5.0, 5.0) == (trio.current_time(), caught.value.limit)
    await trio.sleep(10)
    assert [] == await Worker.history(NAME)
    assert current_runtime().ledger().balanced


# ---------------------------------------------------------------------------------------- given up


async def give_up(kind, count):
    """How many lines of Python it takes to cancel so many sends that lie in one mailbox."""
    ref = spawn(idle, mailbox=MailboxOptions(kind=kind))
    lines = 0

    def tracer(_frame, event, _arg):
        nonlocal lines
        lines += event == "line"
        return tracer

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(lambda number=number: send(ref, number, confirm="handled"))
        await wait_all_tasks_blocked()
        assert count == len(ref._process.mailbox)
        before = sys.gettrace()
        sys.settrace(tracer)
        nursery.cancel_scope.cancel()
        sys.settrace(before)
    assert 0 == len(ref._process.mailbox) == len(ref._process.mailbox.items())
    assert ref._process.mailbox.voids < 100
    assert current_runtime().ledger().balanced
    return lines


@pytest.mark.parametrize("kind", OURS)
async def test_giving_up_many(tree, kind):
    """Cancelling twice as many sends to one process is about twice the work."""
    few, many = await give_up(kind, 100), await give_up(kind, 400)
    assert few < many < 6 * few


@pytest.mark.parametrize("kind", OURS)
async def test_given_up_are_not_read(tree, kind):
    """What was taken back is never read, leaves its place to others at once, and nothing else loses its order."""
    got = []
    ref = spawn(collect, got, mailbox=MailboxOptions(kind=kind, capacity=6))
    async with trio.open_nursery() as nursery:
        for number in range(3):
            send_nowait(ref, number)
            nursery.start_soon(lambda: send(ref, "never", confirm="handled"))
        nursery.cancel_scope.cancel()
    for number in range(3, 6):
        send_nowait(ref, number)
    await wait_all_tasks_blocked()
    assert [0, 1, 2, 3, 4, 5] == got
    assert current_runtime().ledger().balanced
