"""Waiting for room or for a confirmation in a circle: a deadlock is said at once, what is none is waited for."""

from typing import ClassVar

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    NORMAL,
    Deadlock,
    Delivery,
    GenServer,
    MailboxOptions,
    current_ref,
    mailbox,
    open_supervisor,
    process_info,
    send,
    send_nowait,
    spawn,
)
from tests.runtime.confirming import box, failure, handled, worker
from tests.runtime.helpers import Desk, as_process

__all__ = ["box", "worker"]  # fixtures, for pytest


@as_process
async def test_to_oneself(tree):
    """To wait until oneself has handled a message is a deadlock, and known at once."""
    with pytest.raises(Deadlock):
        await handled(current_ref(), 1)
    assert await send(current_ref(), 2)
    assert 2 == await mailbox().receive()


async def test_no_room_of_ones_own(tree):
    """So it is to wait for room in one's own mailbox."""

    async def function():
        send_nowait(current_ref(), 1)
        with pytest.raises(Deadlock):
            await send(current_ref(), 2)

    assert NORMAL == await spawn(function, mailbox=MailboxOptions(capacity=1)).wait()


async def test_circle(worker, tree):
    """A circle of a call and a confirmed send is found by whoever closes it."""
    outcomes = []

    async def front():
        outcomes.append(await failure_of(Desk.run(desk, back)))

    async def back():
        outcomes.append(await failure(ref, 1))

    desk = await tree.start(Desk)
    ref = spawn(front)
    await ref.wait()
    assert [Deadlock, type(None)] == list(map(type, outcomes))


async def failure_of(awaitable):
    """The error, or None."""
    try:
        await awaitable
    except Deadlock as error:
        return error


async def test_waits_for(worker, nursery, autojump_clock):
    """While a process waits for a confirmation, `process_info` says for whom."""

    async def sender():
        await handled(worker, 1.0)

    ref = spawn(sender)
    await trio.sleep(0.5)
    info = process_info(ref)
    assert ("waiting", worker) == (info.status, info.waits_for)
    await ref.wait()


async def test_read_by_another_task(tree):
    """A process that sends to itself while another of its tasks reads is no deadlock."""
    outcome = []

    async def reader():
        while True:
            outcome.append(await mailbox().receive())

    async def reads_elsewhere():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader)
            outcome.append(await send(current_ref(), "note to self", confirm="handled"))
            nursery.cancel_scope.cancel()

    await spawn(reads_elsewhere).wait()
    assert ["note to self", Delivery(delivered=True)] == outcome


async def test_read_by_nobody(tree):
    """Without such a task it is one, and said at once."""
    outcome = []

    async def alone():
        try:
            await send(current_ref(), "note to self", confirm="handled")
        except Deadlock as error:
            outcome.append(error)

    await spawn(alone).wait()
    assert [Deadlock] == [type(error) for error in outcome]


async def test_room_may_come_from_others(autojump_clock):
    """Two who wait for room at each other are no deadlock while something that may be taken back fills a mailbox."""
    ends = []

    class Pusher(GenServer):
        others: ClassVar = {}

        async def handle_info(self, message):
            if message == "go":
                await trio.sleep(1)
                ends.append(await send(self.others[current_ref()], "pushed", within=10))

    async with open_supervisor() as tree:
        first, second = [await tree.start(Pusher, id=n, mailbox=MailboxOptions(capacity=1)) for n in range(2)]
        Pusher.others.update({first: second, second: first})
        async with trio.open_nursery() as nursery:
            await send(first, "go")
            await wait_all_tasks_blocked()
            nursery.start_soon(lambda: send(first, "in the way", confirm="handled", within=3, on_error="ignore"))
            await send(second, "go")
            await wait_all_tasks_blocked()
            await send(second, "fills it")
        await trio.sleep(10)
        assert [True, True] == [bool(end) for end in ends]
        tree.shutdown()
