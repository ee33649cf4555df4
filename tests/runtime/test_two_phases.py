"""A broadcast to all or to nobody: room is booked with everybody, and then all have the message or nobody ever will."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    BroadcastFailed,
    Crashed,
    Deadlock,
    DeliveryTimeout,
    GenServer,
    MailboxFull,
    MailboxOptions,
    NoProcess,
    ProcessDown,
    broadcast,
    call,
    current_ref,
    current_runtime,
    delivery_statistics,
    kill,
    mailbox,
    open_supervisor,
    send,
    send_exit,
    send_nowait,
    spawn,
)
from tests.runtime.atomic import KEPT, Sender, capacities, messages, process, take
from tests.runtime.boxes import kind
from tests.runtime.helpers import Desk, idle

__all__ = ["kind"]  # a fixture, for pytest


async def test_at_once(tree, kind):
    """With room everywhere, all have it at once."""
    refs = [process(kind) for _ in range(3)]
    result = await broadcast(refs, "all", strategy="all_or_nothing")
    assert result
    assert [1, 1, 1] == messages(*refs)
    assert [(2, 0)] * 3 == capacities(*refs)
    assert 3 == delivery_statistics().delivered


async def test_waits_for_room(tree, kind, nursery):
    """While one has no room nobody gets it; the room with the others is kept, and then all get it together."""
    refs = process(kind), process(kind, queued=2), process(kind, queued=1)
    sender = Sender(nursery, *refs)
    await wait_all_tasks_blocked()
    assert [0, 0, 0] == messages(*refs)
    assert 2 == refs[0]._process.mailbox.statistics().capacity
    send_nowait(refs[0], 1)
    with pytest.raises(MailboxFull, match="full: 2 messages"):
        send_nowait(refs[0], 2)  # the other place is kept
    take(refs[1])
    await wait_all_tasks_blocked()
    assert [1, 1, 1] == messages(*refs)
    assert sender.outcome
    assert current_runtime().ledger().balanced


async def test_rooms_are_used_by_others(tree, nursery, autojump_clock):
    """When it fails, who waits for the room that was kept gets it."""
    refs = process(capacity=1), process(queued=2)
    sender = Sender(nursery, *refs, within=3.0)
    await wait_all_tasks_blocked()
    nursery.start_soon(send, refs[0], "other")
    await trio.sleep(1)
    assert [] == refs[0]._process.mailbox.items()
    await trio.sleep(3)
    assert (refs[1], DeliveryTimeout) == sender.outcome
    assert ["other"] == refs[0]._process.mailbox.items()
    assert [(1, 0), (2, 0)] == capacities(*refs)
    assert [] == current_runtime().alarms.armed()


@pytest.mark.parametrize("end", [kill, lambda ref: send_exit(ref, "go"), lambda ref: ref._process.close_mailbox()])
@pytest.mark.parametrize("which", [0, 1])
async def test_one_ends(tree, kind, nursery, end, which):
    """If one of them ends while another one is waited for, nobody gets it, and that is known at once."""
    refs = process(kind), process(kind, queued=2), process(kind)
    sender = Sender(nursery, *refs)
    await wait_all_tasks_blocked()
    end(refs[which])
    await wait_all_tasks_blocked()
    assert refs[which] == sender.outcome[0]
    assert sender.outcome[1] in (ProcessDown, NoProcess)
    living = [ref for ref in refs if ref is not refs[which]]
    assert [0, 0] == messages(*living)
    assert [(2, 0), (2, 0)] == capacities(*living)
    statistics = delivery_statistics()
    assert {sender.outcome[1].__name__: 1, "BroadcastFailed": 2} == statistics.failed


async def test_cancelled(tree, kind, nursery):
    """Cancelled while it waits: nobody gets it, and every room is free again."""
    refs = process(kind), process(kind, queued=2)
    sender = Sender(nursery, *refs)
    await wait_all_tasks_blocked()
    sender.scope.cancel()
    await wait_all_tasks_blocked()
    assert [0, 0] == messages(*refs)
    assert [(2, 0), (2, 0)] == capacities(*refs)
    assert 2 == delivery_statistics().cancelled


@pytest.mark.parametrize(
    ("overflow", "gets"), [("reject", False), ("drop_newest", False), ("crash", False), ("drop_oldest", True)]
)
async def test_policies(tree, kind, overflow, gets):
    """A full mailbox is in the way where one cannot wait, and harms nobody; one that drops the oldest never is."""
    fine, full = process(kind), process(kind, queued=2, overflow=overflow)
    await wait_all_tasks_blocked()
    if gets:
        assert await broadcast([fine, full], "all", strategy="all_or_nothing")
        assert [1, "all"] == full._process.mailbox.items()
    else:
        with pytest.raises(BroadcastFailed) as caught:
            await broadcast([fine, full], "all", strategy="all_or_nothing")
        assert [(full, MailboxFull)] == [(recipient, type(error)) for recipient, error in caught.value.failures]
        await wait_all_tasks_blocked()
        assert full.alive
        assert [] == list(current_runtime().dead_letters)
        assert [0, 0] == messages(fine, full)


async def test_fills_up_meanwhile(tree, kind, nursery):
    """Where nothing can be booked, the room is looked for in the last moment."""
    first, stuck = process(kind, overflow="reject"), process(kind, queued=2)
    sender = Sender(nursery, first, stuck)
    await wait_all_tasks_blocked()
    send_nowait(first, 1)
    send_nowait(first, 2)
    take(stuck)
    await wait_all_tasks_blocked()
    assert (first, MailboxFull) == sender.outcome
    assert [0, 0] == messages(first, stuck)


async def test_same_process_twice(tree, kind, nursery):
    """Two addresses of one process are two messages, for which there must be room at the same time."""
    twice, small = process(kind, queued=1, name=KEPT), process(kind, capacity=1)
    sender = Sender(nursery, twice, KEPT)
    await wait_all_tasks_blocked()
    assert [0] == messages(twice)
    take(twice)
    await wait_all_tasks_blocked()
    assert [2] == messages(twice)
    assert sender.outcome
    sender = Sender(nursery, small, small)
    await wait_all_tasks_blocked()
    assert (small, MailboxFull) == sender.outcome  # there never can be


async def test_signals_take_no_room(tree, kind):
    """What is booked is there, even if signals have filled the mailbox meanwhile."""
    refs = process(kind, capacity=1, trap_exits=True), process(kind, queued=2)
    async with trio.open_nursery() as nursery:
        Sender(nursery, *refs)
        await wait_all_tasks_blocked()
        send_exit(refs[0], "signal")
        send_exit(refs[0], "signal")
        take(refs[1])
    assert [1, 1] == messages(*refs)
    assert [(1, 0), (2, 0)] == capacities(*refs)


async def test_two_broadcasts(tree, kind, nursery):
    """Two broadcasts that name the same recipients in opposite order do not wait for each other for ever."""
    one, two = process(kind, capacity=1, queued=1), process(kind, capacity=1, queued=1)
    senders = Sender(nursery, one, two), Sender(nursery, two, one)
    await wait_all_tasks_blocked()
    for _ in range(2):
        for ref in (two, one):
            take(ref)
            await wait_all_tasks_blocked()
    assert all(sender.outcome for sender in senders)


async def test_restarting(autojump_clock):
    """A child that is being restarted is waited for, and the others wait with it."""

    class Slow(Desk):
        async def init(self):
            await trio.sleep(1)

    async with open_supervisor(max_restarts=5) as tree:
        first = await tree.start(Slow, name=KEPT)
        other = process()
        kill(first)
        await first.wait()
        async with trio.open_nursery() as nursery:
            Sender(nursery, other, KEPT)
            await trio.sleep(0.5)
            assert [0] == messages(other)
        assert [1] == messages(other)
        assert ["all"] == await Desk.history(KEPT)
        tree.shutdown()


async def test_deadlock(tree):
    """To wait for room in one's own mailbox is a deadlock."""

    async def function():
        send_nowait(current_ref(), 1)
        await broadcast([current_ref()], 2, strategy="all_or_nothing")

    reason = await spawn(function, mailbox=MailboxOptions(capacity=1)).wait()
    assert isinstance(reason, Crashed)
    assert isinstance(reason.error.__cause__, Deadlock)


async def test_deadlock_of_others(tree, autojump_clock):
    """A call to somebody who waits for room at the caller, in a broadcast, is one too, and said at once."""
    asked = []

    async def caller():
        await trio.sleep(1)
        try:
            await Asks.nothing(await_ref[0])
        except Deadlock as error:
            asked.append((trio.current_time() - began, len(error.cycle)))
        asked.append(await mailbox().receive())
        asked.append(await mailbox().receive())

    class Asks(GenServer):
        @call
        def nothing(self) -> None: ...

        async def handle_info(self, message):
            await broadcast([target], "all", strategy="all_or_nothing")

    await_ref, began = [], trio.current_time()
    target = spawn(caller, mailbox=MailboxOptions(capacity=1))
    send_nowait(target, "full")
    await_ref.append(await tree.start(Asks))
    send_nowait(await_ref[0], "go")
    await trio.sleep(10)
    assert [(1.0, 3), "full", "all"] == asked


async def test_drop_oldest_twice(tree):
    """A mailbox that would drop the first copy for the second has no room for both."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1, overflow="drop_oldest"))
    with pytest.raises(BroadcastFailed, match="is full"):
        await broadcast([ref, ref], "x", strategy="all_or_nothing")
    assert [] == ref._process.mailbox.items()


# --------------------------------------------------------------------------------------------- at random


async def test_closed_box(tree):
    """A mailbox that its reader has closed is in everybody's way."""

    async def closing():
        await mailbox().aclose()
        await idle()

    ref = spawn(closing)
    await wait_all_tasks_blocked()
    with pytest.raises(BroadcastFailed) as caught:
        await broadcast([process(), ref], "all", strategy="all_or_nothing")
    assert [NoProcess] == [type(error) for _, error in caught.value.failures]
