"""What a send must not do: overtake, look twice, believe in a deadlock that is none, or take long to be given up."""

import gc
import sys
from contextlib import suppress
from typing import ClassVar

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CircuitBreaker,
    Deadlock,
    Delivery,
    GenServer,
    MailboxFull,
    MailboxOptions,
    Name,
    OTPError,
    Stop,
    broadcast,
    call,
    cast,
    current_message,
    current_ref,
    current_runtime,
    kill,
    mailbox,
    open_supervisor,
    process_context,
    send,
    send_after,
    send_nowait,
    set_breaker,
    spawn,
    stop,
)
from tests.runtime.boxes import OURS
from tests.runtime.helpers import collect, idle


class Anybody:
    """An address that is asked who is there; its private parts are nobody's business."""

    def __init__(self, *refs):
        self.refs = refs
        self.asked = 0
        self._process = self.text = object()

    def whereis(self):
        self.asked += 1
        return self.refs[self.asked % len(self.refs)]


# ------------------------------------------------------------------------------------- whom it goes to


@pytest.mark.parametrize("options", [{}, {"metadata": {"a": 1}}, {"confirm": "handled"}])
async def test_asked_once(tree, options):
    """An object with `whereis` is asked once for each attempt, so that taking turns works."""
    got = [], []
    refs = [spawn(collect, into, mailbox=MailboxOptions(overflow="reject")) for into in got]
    address = Anybody(*refs)
    for number in range(4):
        await send(address, number, **options)
    await wait_all_tasks_blocked()

    assert 4 == address.asked
    assert ([1, 3], [0, 2]) == got


@pytest.mark.parametrize("options", [{}, {"metadata": {"a": 1}}, {"confirm": "handled"}])
@pytest.mark.parametrize("listener", [False, True])
async def test_from_outside(options, listener):
    """From outside of any tree an object with `whereis` is as good as a ref, whoever listens."""
    async with trio.open_nursery() as nursery:
        ready, done, got = trio.Event(), trio.Event(), []

        async def inside():
            async with open_supervisor():
                nonlocal address
                address = Anybody(spawn(collect, got))
                if listener:
                    current_runtime().telemetry.attach(("nursery_otp", "send"), lambda *_: None)
                ready.set()
                await done.wait()
                assert current_runtime().delivery_counts.delivered == 1

        address = None
        nursery.start_soon(inside)
        await ready.wait()
        assert await send(address, "hello", **options)
        await wait_all_tasks_blocked()
        assert ["hello"] == got
        done.set()


# ----------------------------------------------------------------------------------------- in its turn


@pytest.mark.parametrize("kind", OURS)
async def test_no_overtaking(tree, autojump_clock, kind):
    """Who comes while others wait for room stands behind them, though there may be a place for one."""
    ref = spawn(idle, mailbox=MailboxOptions(kind=kind, capacity=2))
    box = ref._process.mailbox
    send_nowait(ref, 0)
    send_nowait(ref, 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: broadcast([ref, ref], "both", strategy="all_or_nothing"))
        await wait_all_tasks_blocked()
        nursery.start_soon(send, ref, "polite")
        await wait_all_tasks_blocked()
        assert 0 == box.take()
        with pytest.raises(MailboxFull):
            send_nowait(ref, "newcomer")
        assert 1 == box.take()
        await wait_all_tasks_blocked()
        assert ["both", "both"] == box.items()
        assert "both" == box.take()
    assert ["both", "polite"] == box.items()
    assert not box.unusual


@pytest.mark.parametrize("kind", OURS)
async def test_room_made_by_a_handler(tree, mock_clock, kind):
    """A handler of the overflow that makes room lets in whoever it was about."""
    ref = spawn(idle, mailbox=MailboxOptions(kind=kind, capacity=1))
    timer = send_after(1, ref, "tick")
    await wait_all_tasks_blocked()
    mock_clock.jump(1)
    await wait_all_tasks_blocked()
    current_runtime().telemetry.attach(("nursery_otp", "mailbox", "overflowed"), lambda *_: timer.cancel())

    assert await send(ref, "hello", within=100)
    assert ["hello"] == ref._process.mailbox.items()


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


# ------------------------------------------------------------------------------------------- deadlocks


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


# ---------------------------------------------------------------------------------- handled to the end


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


async def test_message_in_terminate(tree):
    """While a server terminates it handles no message any more."""
    seen = []

    class Last(GenServer):
        @cast
        async def work(self) -> None:
            seen.append(current_message().idempotency_key)
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()

        @call
        def nothing(self) -> None: ...

        def terminate(self, reason):
            seen.append((current_message(), process_context().get("operation")))

    ref = await tree.start(Last)
    await send(ref, Last.work.message(), idempotency_key="k")
    while not seen:
        await trio.lowlevel.checkpoint()
    await stop(ref)
    assert ["k", (None, None)] == seen


# ------------------------------------------------------------------------------------- who comes back


async def test_nobody_is_lost_in_the_line(autojump_clock):
    """A handler that makes room while somebody is let in may let in others, who may queue up again: nobody is lost."""
    async with open_supervisor() as tree:
        set_breaker(Name("r"), CircuitBreaker(failures=1, cool_down=5, buffer=10))
        await send(Name("r"), 0, on_error="ignore")
        go, got = trio.Event(), []

        async def reader():
            await go.wait()
            while True:
                got.append(await mailbox().receive())
                await trio.sleep(100)

        ref = spawn(reader, name=Name("r"), mailbox=MailboxOptions(capacity=2))
        await wait_all_tasks_blocked()
        send_nowait(ref, "first")
        timer = send_after(0, ref, "tick")
        await trio.sleep(1)
        current_runtime().telemetry.attach(("nursery_otp", "send", "stop"), lambda *_: timer.cancel())
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(lambda number=number: send(Name("r"), number, within=1000))
                await wait_all_tasks_blocked()
            await trio.sleep(10)
            go.set()
        await trio.sleep(500)
        assert ["first", 0, 1, 2, 3] == got
        tree.shutdown()


async def test_own_metadata(tree):
    """What a receiver does to the metadata of a message is not seen by others who get it, or by the next attempt."""
    seen = []

    class Marks(GenServer):
        def handle_info(self, message):
            seen.append(dict(current_message().metadata))
            current_message().metadata["mark"] = True

    refs = [await tree.start(Marks, id=number) for number in range(2)]
    await broadcast(refs, "hello", metadata={"order": 7})
    await wait_all_tasks_blocked()
    assert [{"order": 7}] * 2 == seen


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


# ------------------------------------------------------------------------------------------- garbage


@pytest.mark.parametrize("strategy", [None, "best_effort", "at_least_one", "all_or_nothing"])
@pytest.mark.parametrize("target", [Name("nobody"), None])
async def test_no_garbage(tree, strategy, target):
    """A send or broadcast, whether it fails or not, leaves nothing that only the garbage collector could free."""
    target = target or spawn(idle)

    async def once():
        with suppress(OTPError):
            if strategy is None:
                await send(target, 1, metadata={"a": 1})
            else:
                await broadcast([target], 1, strategy=strategy)

    await once()
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await once()
        assert gc.collect() < 10
    finally:
        gc.enable()
