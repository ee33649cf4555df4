"""Supervised sends: what is delivered, what is a failure, what is told of both, and letters that are sent again."""

import inspect

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from nursery_otp import (
    DeliveryTimeout,
    InvalidSpec,
    MailboxOptions,
    Message,
    MessageInfo,
    Name,
    NoProcess,
    ProcessDown,
    Timeouts,
    current_runtime,
    kill,
    open_supervisor,
    override_timeouts,
    send,
    send_nowait,
    spawn,
    timeout_report,
    whereis,
)
from nursery_otp._policy.delivery import DELIVERED
from nursery_otp._runtime.delivery import redeliver
from nursery_otp._runtime.parcels import Parcel
from nursery_otp._runtime.sending import SendKeywords
from tests.runtime.boxes import OURS
from tests.runtime.deliveries import NOBODY, STEADY, counts, dead, events
from tests.runtime.helpers import Desk, cancelled, collect, idle

__all__ = ["dead", "events"]  # fixtures, for pytest


# ------------------------------------------------------------------------------------------- delivered


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"retries": 3, "on_error": "dead_letter", "within": 2.0, "backoff": STEADY},
        {"metadata": {"a": 1}},
        {"confirm": "".join(["en", "queued"])},
        {"retries": float("inf")},
    ],
)
async def test_delivered(tree, kind, options):
    """With whatever options: accepted by the mailbox is delivered, after one checkpoint, and counted."""
    ref = spawn(idle, mailbox=MailboxOptions(kind=kind))
    await wait_all_tasks_blocked()
    message = object()
    with assert_checkpoints():
        assert DELIVERED is await send(ref, message, **options)
    (item,) = ref._process.mailbox.items()
    assert message is (item if not options.get("metadata") else item.message)
    assert counts(delivered=1)


async def test_not_yet_started(tree, nursery):
    """A process that is starting takes messages like any other."""
    go_on = trio.Event()

    class Slow(Desk):
        async def init(self):
            await go_on.wait()

    nursery.start_soon(tree.start, Slow)
    await wait_all_tasks_blocked()
    slow = current_runtime().processes()[-1]
    assert await send(slow, 1)
    go_on.set()
    assert [1] == await Desk.history(slow)


@pytest.mark.parametrize("confirm", ["enqueued", "handled"])
async def test_cancelled_before(tree, dead, confirm):
    """In a cancelled scope nothing is sent, and nothing counted."""
    ref = spawn(collect, [])
    await wait_all_tasks_blocked()
    for recipient in (ref, dead, NOBODY):
        with cancelled() as scope:
            await send(recipient, 1, confirm=confirm, on_error="dead_letter", metadata={"x": 1})
        assert scope.cancelled_caught
    assert 0 == current_runtime().ledger().sent
    assert counts()


# ---------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("confirm", ["enqueued", "handled"])
async def test_failures(tree, dead, confirm):
    """Nobody there, and no longer there, are different failures."""
    with assert_checkpoints(), pytest.raises(NoProcess):
        await send(NOBODY, 1, confirm=confirm)
    with assert_checkpoints(), pytest.raises(ProcessDown):
        await send(dead, 1, confirm=confirm)
    assert counts(failed={"NoProcess": 1, "ProcessDown": 1}, reported=2)
    assert 0 == current_runtime().ledger().sent


async def test_doomed(tree):
    """A process that has been killed, and has not ended yet, will not read anything more."""
    ref = spawn(idle)
    await wait_all_tasks_blocked()
    kill(ref)
    with pytest.raises(ProcessDown):
        await send(ref, 1)
    assert 0 == current_runtime().ledger().sent


async def test_limit(tree, autojump_clock):
    """The wait for room ends with the limit of the timeout policy, or the one that is given."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1))
    send_nowait(ref, 1)
    with pytest.raises(DeliveryTimeout):
        await send(ref, 2)
    with override_timeouts(rules={"idle.send": 7}), pytest.raises(DeliveryTimeout):
        await send(ref, 2)
    with pytest.raises(DeliveryTimeout, match=r"not accepted by .* within 1 s"):
        await send(ref, 2, within=1.0)
    assert 5.0 + 7.0 + 1.0 == trio.current_time()


@pytest.mark.parametrize("by_name", [False, True])
async def test_limit_of_a_server(by_name, autojump_clock):
    """A rule for a server's class holds for sends to it as well, whatever the address is."""
    name = Name[Desk]("mailer")
    async with open_supervisor(timeouts=Timeouts(rules={Desk: 2.0})) as tree:
        desk = await tree.start(Desk, name=name)
        Desk.slow.request(desk, 100)
        with pytest.raises(DeliveryTimeout):
            await send(name if by_name else desk, 1, confirm="handled")
        line = timeout_report().line("Desk.send", "send")
        tree.shutdown()
    assert (2.0, 1) == (line.limit, line.fired)
    assert 2.0 <= trio.current_time() < 3.0 + 5.0


@pytest.mark.parametrize("options", [{"retry": 1}, {"on_error": "x"}, {"retries": -1}, {"within": 0}, {"confirm": 1}])
async def test_bad_options(tree, options):
    """An option that does not exist or hold is an error, even if the message could be delivered; it is not."""
    ref = spawn(idle)
    await wait_all_tasks_blocked()
    with pytest.raises((InvalidSpec, TypeError), match=next(iter(options))):
        await send(ref, 1, **options)
    assert 0 == len(ref._process.mailbox)


@pytest.mark.parametrize("options", [{}, {"metadata": {"a": 1}}, {"on_error": "ignore"}])
async def test_no_address(tree, options):
    """What is no address is an error of the program, whatever `on_error` says."""
    with pytest.raises(TypeError, match="not an address: 5"):
        await send(5, 1, **options)


async def test_broken_via(tree):
    """So is what an address of the user's own raises."""

    class Broken:
        def whereis(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await send(Broken(), 1, on_error="dead_letter", metadata={"a": 1})
    assert [] == list(current_runtime().dead_letters)


# -------------------------------------------------------------------------------------------- telemetry


async def test_span(tree, events, dead, autojump_clock):
    """Every send is a span: its start, and its stop or its exception, whatever becomes of the message."""
    ref = spawn(idle)
    await wait_all_tasks_blocked()
    await send(ref, Message("greet"))
    await send(dead, 1, on_error="ignore")
    with pytest.raises(ProcessDown):
        await send(dead, 1)
    with trio.move_on_after(1):
        await send(ref, 1, confirm="handled")
    told = [(name, about.get("result"), type(about.get("error"))) for name, _, about in events]
    assert told == [
        (("send", "start"), None, type(None)),
        (("send", "stop"), "delivered", type(None)),
        (("send", "start"), None, type(None)),
        (("send", "exception"), "error", ProcessDown),
        (("send", "start"), None, type(None)),
        (("send", "exception"), "error", ProcessDown),
        (("send", "start"), None, type(None)),
        (("send", "exception"), "cancelled", trio.Cancelled),
    ]
    assert ["greet", "int", "int", "int"] == [about["message_type"] for _, _, about in events[::2]]
    assert [ref, dead, dead, ref] == [about["recipient"] for _, _, about in events[::2]]


@pytest.mark.parametrize("overflow", ["block", "reject", "drop_newest", "drop_oldest", "crash"])
async def test_overflow_is_told_once(tree, events, overflow, autojump_clock):
    """A send that finds a mailbox full is one overflow, whatever the policy makes of it."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1, overflow=overflow))
    await wait_all_tasks_blocked()
    send_nowait(ref, 1)
    await send(ref, 2, on_error="ignore")
    overflows = [(measured, about) for name, measured, about in events if name == ("mailbox", "overflowed")]
    assert [({"queued": 1, "capacity": 1}, {"ref": ref, "policy": overflow})] == overflows


# ----------------------------------------------------------------------------------------------- redeliver


def parcel(recipient, message, info=None):
    return Parcel(recipient, message, info, confirmed=True)


async def test_redeliver(tree, dead):
    """A letter that is sent again is handled when that returns; what fails is raised, and nothing else comes of it."""
    desk = await tree.start(Desk, name=Name("desk"))
    info = MessageInfo(attempt=4)
    await redeliver(parcel(Name("desk"), Desk.note.message(1), info))
    assert [1] == await Desk.history(desk)
    with pytest.raises(ProcessDown):
        await redeliver(parcel(dead, 1))
    with pytest.raises(NoProcess):
        await redeliver(parcel(NOBODY, 1))
    assert [] == list(current_runtime().dead_letters)
    assert counts()
    assert whereis(NOBODY) is None


def test_signature():
    """The options show with their names and defaults, though they are taken together."""
    parameters = inspect.signature(send).parameters
    assert ["recipient", "message", "retries", "backoff", "on_error", "confirm"] == list(parameters)[:6]
    assert set(SendKeywords.__annotations__) == set(list(parameters)[2:])
    assert "raise" == parameters["on_error"].default
