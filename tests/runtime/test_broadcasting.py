"""One message for many, each on its own: a result for everybody, all at the same time."""

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from nursery_otp import (
    BroadcastFailed,
    Deadlock,
    DeliveryTimeout,
    InvalidSpec,
    MailboxFull,
    MailboxOptions,
    Name,
    NoProcess,
    ProcessDown,
    broadcast,
    current_message,
    current_ref,
    current_runtime,
    delivery_statistics,
    kill,
    mailbox,
    send_nowait,
    spawn,
)
from tests.runtime.boxes import kind
from tests.runtime.helpers import Desk, as_process, cancelled, collect, idle

__all__ = ["kind"]  # a fixture, for pytest

NOBODY = Name("nobody")


def full(kind, overflow="block"):
    """A process that does nothing, with a full mailbox."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1, overflow=overflow, kind=kind))
    send_nowait(ref, "first")
    return ref


def queued(ref):
    """What lies in the mailbox."""
    return ref._process.mailbox.items()


async def test_all(tree, kind):
    """Everybody gets the message, in one checkpoint, and the result is true."""
    refs = [spawn(idle, mailbox=MailboxOptions(kind=kind)) for _ in range(5)]
    message = object()
    with assert_checkpoints():
        result = await broadcast(refs, message)
    assert result
    assert tuple(refs) == result.recipients == result.delivered
    assert () == result.failures
    assert all([message] == queued(ref) for ref in refs)
    assert 5 == delivery_statistics().delivered


async def test_best_effort(tree, kind, autojump_clock):
    """Whoever can get it gets it; the others are listed in their order, each with its error."""
    dead = spawn(idle)
    kill(dead)
    await dead.wait()
    got = []
    fine = spawn(collect, got)
    recipients = [NOBODY, fine, full(kind), dead, full(kind, "reject"), fine]
    result = await broadcast(iter(recipients), "hello", within=3.0)
    assert not result
    assert tuple(recipients) == result.recipients
    assert (fine, fine) == result.delivered
    expected = [NoProcess, DeliveryTimeout, ProcessDown, MailboxFull]
    assert expected == [type(error) for _, error in result.failures]
    assert 3.0 == trio.current_time()
    assert ["hello", "hello"] == got
    statistics = delivery_statistics()
    assert (2, 4, 4) == (statistics.delivered, statistics.reported, sum(statistics.failed.values()))
    assert current_runtime().ledger().balanced


async def test_at_the_same_time(tree, autojump_clock):
    """One that is slow delays nobody: all waits run side by side."""
    desks = [await tree.start(Desk, id=number) for number in range(5)]
    for desk in desks:
        Desk.slow.request(desk, 3.0)
    result = await broadcast(desks, Desk.note.message("x"), confirm="handled")
    assert result
    assert 3.0 == trio.current_time()


async def test_at_least_one(tree, autojump_clock):
    """It is enough if one has it; if nobody has, the failure tells why, for each of them."""
    ref = spawn(idle)
    assert (ref,) == (await broadcast([NOBODY, ref], 1, strategy="at_least_one")).delivered
    with pytest.raises(BroadcastFailed) as caught:
        await broadcast([NOBODY, full("lean")], 1, strategy="at_least_one")
    failures = [type(error) for _, error in caught.value.failures]
    assert [NoProcess, DeliveryTimeout] == failures
    assert "at_least_one: 2 of 2 failed: send: no process at nobody" in str(caught.value)
    assert caught.value.failures[0][1] is caught.value.__cause__


async def test_cancelled(tree, kind, nursery):
    """Cancelled: who has not got it yet does not get it, and nothing is left."""
    fine, stuck = spawn(idle), full(kind)
    scope = trio.CancelScope()

    async def sender():
        with scope:
            await broadcast([fine, stuck], "hello")

    nursery.start_soon(sender)
    await wait_all_tasks_blocked()
    scope.cancel()
    await wait_all_tasks_blocked()
    assert (["hello"], ["first"]) == (queued(fine), queued(stuck))
    assert 0 == stuck._process.mailbox.statistics().waiting_senders
    assert (1, 1) == (delivery_statistics().delivered, delivery_statistics().cancelled)
    assert [] == current_runtime().alarms.armed()


@pytest.mark.parametrize("strategy", ["best_effort", "at_least_one", "all_or_nothing"])
async def test_cancelled_before(tree, strategy):
    """In a cancelled scope nobody gets anything."""
    ref = spawn(idle)
    with cancelled() as scope:
        await broadcast([ref], 1, strategy=strategy)
    assert scope.cancelled_caught
    assert [] == queued(ref)


async def test_handled(tree):
    """Confirmed: who crashes with the message has not handled it."""

    class Weak(Desk):
        def handle_info(self, message):
            raise ValueError

    strong, weak = await tree.start(Desk), await tree.start(Weak, restart="temporary")
    result = await broadcast([weak, strong], 1, confirm="handled")
    assert (strong,) == result.delivered
    assert [ProcessDown] == [type(error) for _, error in result.failures]


async def test_info(tree):
    """What is said about the message goes to everybody."""
    seen = []

    async def reader():
        await mailbox().receive()
        seen.append(current_message())

    await broadcast([spawn(reader), spawn(reader)], 1, metadata={"a": 1}, correlation_id="c", confirm="handled")
    await broadcast([spawn(reader)], 1, idempotency_key="k", strategy="all_or_nothing")
    await wait_all_tasks_blocked()
    assert [({"a": 1}, "c", None)] * 2 + [({}, None, "k")] == [
        (info.metadata, info.correlation_id, info.idempotency_key) for info in seen
    ]


@as_process
async def test_to_oneself(tree):
    """One can be among the recipients, but not wait until one has handled it."""
    assert await broadcast([current_ref()], 1)
    result = await broadcast([current_ref()], 2, confirm="handled")
    assert [Deadlock] == [type(error) for _, error in result.failures]
    assert 1 == await mailbox().receive()


@pytest.mark.parametrize("strategy", ["best_effort", "all_or_nothing"])
async def test_nobody(tree, strategy):
    """A broadcast to nobody is a success, and a checkpoint."""
    with assert_checkpoints():
        assert await broadcast([], 1, strategy=strategy)


@pytest.mark.parametrize("strategy", ["best_effort", "at_least_one", "all_or_nothing"])
async def test_broken_via(tree, strategy):
    """An address of the user's own that raises is that recipient's failure."""

    class Broken:
        def whereis(self):
            raise ZeroDivisionError

    broken = Broken()
    if strategy == "best_effort":
        failures = (await broadcast([broken], 1)).failures
    else:
        with pytest.raises(BroadcastFailed) as caught:
            await broadcast([broken], 1, strategy=strategy)
        failures = caught.value.failures
    assert [(broken, ZeroDivisionError)] == [(recipient, type(error)) for recipient, error in failures]


@pytest.mark.parametrize(
    ("recipients", "options", "field"),
    [
        ([], {"strategy": "at_least_one"}, "recipients"),
        (5, {}, "recipients"),
        (None, {"strategy": "some"}, "strategy"),
        (None, {"strategy": ["best_effort"]}, "strategy"),
        (None, {"confirm": "x"}, "confirm"),
        (None, {"strategy": "all_or_nothing", "confirm": "handled"}, "confirm"),
        (None, {"within": 0}, "within"),
        (None, {"metadata": 5}, "metadata"),
        (None, {"idempotency_key": 5}, "idempotency_key"),
    ],
)
async def test_bad_options(tree, recipients, options, field):
    """What does not hold is refused before anybody gets anything."""
    ref = spawn(idle)
    with pytest.raises(InvalidSpec) as caught:
        await broadcast([ref] if recipients is None else recipients, 1, **options)
    assert field == caught.value.field
    assert [] == queued(ref)


@pytest.mark.parametrize("strategy", ["best_effort", "at_least_one", "all_or_nothing"])
async def test_bad_recipient(tree, strategy):
    """So is what is no address, wherever it stands."""
    ref = spawn(idle)
    with pytest.raises(TypeError, match="not an address: 5"):
        await broadcast([ref, 5], 1, strategy=strategy)
    assert [] == queued(ref)


@pytest.mark.parametrize("strategy", ["best_effort", "all_or_nothing"])
async def test_spans(tree, strategy, autojump_clock):
    """Every recipient's share is a span of its own."""
    told = []
    bus = current_runtime().telemetry
    bus.attach(("nursery_otp", "send"), lambda name, _, about: told.append((name[-1], about["recipient"])))
    refs = [spawn(idle), spawn(idle)]
    await broadcast(refs, 1, strategy=strategy)
    stuck = full("lean")
    with trio.move_on_after(1):
        await broadcast([refs[0], stuck], 1, strategy=strategy)
    try:
        await broadcast([NOBODY], 1, strategy=strategy)
    except BroadcastFailed:
        pass
    ends = [("stop", ref) for ref in refs]
    interrupted = [("exception" if strategy == "all_or_nothing" else "stop", refs[0]), ("exception", stuck)]
    assert sorted(map(str, [*ends, *interrupted, ("exception", NOBODY)])) == sorted(
        str(each) for each in told if each[0] != "start"
    )
    assert 5 == sum(each[0] == "start" for each in told)


@pytest.mark.parametrize("strategy", ["best_effort", "all_or_nothing"])
async def test_many(tree, strategy, nursery):
    """A broadcast to many lets others run in between; cancelled then, it leaves nobody with half of anything."""
    refs = [spawn(idle) for _ in range(250)]
    await wait_all_tasks_blocked()
    turns = []

    async def other():
        while True:
            turns.append(sum(len(ref._process.mailbox) for ref in refs))
            await trio.lowlevel.checkpoint()

    scope = trio.CancelScope()

    async def spoil():
        with scope:
            await broadcast(refs, 1, strategy=strategy)

    nursery.start_soon(other)
    assert await broadcast(refs, 1, strategy=strategy)
    assert 250 == sum(len(ref._process.mailbox) for ref in refs)
    assert len(turns) >= 2
    nursery.start_soon(spoil)
    await trio.lowlevel.checkpoint()
    scope.cancel()
    for _ in range(5):
        await trio.lowlevel.checkpoint()
    arrived = sum(len(ref._process.mailbox) for ref in refs) - 250
    assert arrived in ((0, 250) if strategy == "all_or_nothing" else range(251))
    assert all(ref._process.mailbox.booked in (None, {}) for ref in refs)
    statistics = delivery_statistics()
    assert 250 + arrived == statistics.delivered
