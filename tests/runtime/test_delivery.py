"""Supervised sends: attempts, retries, what becomes of a message that cannot be delivered, and what is told."""

import inspect

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from nursery_otp import (
    Backoff,
    Crashed,
    Deadlock,
    Delivery,
    DeliveryTimeout,
    InvalidSpec,
    MailboxFull,
    MailboxOptions,
    Message,
    MessageInfo,
    Name,
    NoProcess,
    NotInProcess,
    ProcessDown,
    Timeouts,
    current_message,
    current_ref,
    current_runtime,
    delivery_statistics,
    kill,
    mailbox,
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
from tests.runtime.boxes import OURS, drain
from tests.runtime.helpers import Desk, as_process, cancelled, collect, idle

NOBODY = Name("nobody")
STEADY = Backoff(initial=1.0, factor=2.0, maximum=3.0, jitter=0.0)


@pytest.fixture
async def events(tree):
    """The names, measurements and metadata of everything told about sends and mailboxes."""
    seen = []
    bus = current_runtime().telemetry
    for name in (("nursery_otp", "send"), ("nursery_otp", "mailbox")):
        bus.attach(name, lambda name, measured, about: seen.append((name[1:], dict(measured), dict(about))))
    return seen


@pytest.fixture
async def dead(tree):
    """A process that has ended."""
    ref = spawn(idle)
    kill(ref)
    await ref.wait()
    return ref


def counts(**expected):
    """Whether the statistics are these and otherwise zero."""
    statistics = delivery_statistics()
    numbers = ("delivered", "cancelled", "reported", "dead_lettered", "logged", "ignored", "retried", "buffered")
    found = {name: getattr(statistics, name) for name in numbers if getattr(statistics, name)}
    if statistics.failed:
        found["failed"] = statistics.failed
    given_up = statistics.reported + statistics.dead_lettered + statistics.logged + statistics.ignored
    assert sum(statistics.failed.values()) == given_up
    return expected == found


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


# ----------------------------------------------------------------------------------------------- retries


async def test_retries(tree, events, autojump_clock):
    """A failure that may pass is tried again, each time after a longer wait, up to the cap."""
    with pytest.raises(NoProcess) as caught:
        await send(NOBODY, 1, retries=4, backoff=STEADY)
    assert 1.0 + 2.0 + 3.0 + 3.0 == trio.current_time()
    assert ["after 5 attempts"] == caught.value.__notes__
    retried = [(measured, about["error"]) for name, measured, about in events if name == ("send", "retried")]
    assert [{"attempt": 2, "delay": 1.0}, {"attempt": 3, "delay": 2.0}] == [measured for measured, _ in retried][:2]
    assert [NoProcess] * 4 == [type(error) for _, error in retried]
    assert counts(failed={"NoProcess": 1}, reported=1, retried=4)


async def test_jitter(autojump_clock):
    """The waits come from the randomness of the tree."""
    waits = []
    for seed in (1, 1, 2):
        async with open_supervisor(seed=seed) as tree:
            began = trio.current_time()
            await send(NOBODY, 1, retries=2, on_error="ignore")
            waits.append(trio.current_time() - began)
            tree.shutdown()
    assert waits[0] == pytest.approx(waits[1])
    assert waits[0] != pytest.approx(waits[2])
    assert all(0.15 <= wait <= 0.45 for wait in waits)


async def test_looked_up_anew(tree, nursery, autojump_clock):
    """Each attempt looks the name up again, and finds who holds it now."""
    got = []

    async def later():
        await trio.sleep(2)
        spawn(collect, got, name=NOBODY)

    nursery.start_soon(later)
    delivery = await send(NOBODY, "hello", retries=5, backoff=STEADY)
    assert Delivery(True, attempts=3) == delivery
    await wait_all_tasks_blocked()
    assert ["hello"] == got
    assert counts(delivered=1, retried=2)


async def test_next_incarnation(autojump_clock):
    """A message that a server has crashed with goes to the next one, and its handler sees which attempt it is."""
    attempts = []

    class Weak(Desk):
        def handle_info(self, message):
            info = current_message()
            attempts.append((message, None if info is None else info.attempt))
            if len(attempts) < 3:
                raise ValueError("planted")

    async with open_supervisor(max_restarts=5) as tree:
        await tree.start(Weak, name=NOBODY)
        delivery = await send(NOBODY, "poison", confirm="handled", retries=5)
        assert (True, 3) == (delivery.delivered, delivery.attempts)
        assert [("poison", None), ("poison", 2), ("poison", 3)] == attempts
        tree.shutdown()


async def test_not_retried(tree, dead, autojump_clock):
    """What cannot pass is not tried again: an incarnation that has ended, or a deadlock."""
    with pytest.raises(ProcessDown):
        await send(dead, 1, retries=9)

    async def function():
        await send(current_ref(), 1, retries=9, confirm="handled")

    reason = await spawn(function).wait()
    assert isinstance(reason, Crashed)
    assert isinstance(reason.error, Deadlock)
    assert 0.0 == trio.current_time()


async def test_full_is_retried(tree, nursery, autojump_clock):
    """There may be room the next time."""
    got = []

    async def slow():
        while True:
            await trio.sleep(2)
            got.append(await mailbox().receive())

    ref = spawn(slow, mailbox=MailboxOptions(capacity=1, overflow="reject"))
    send_nowait(ref, 1)
    assert 2 <= (await send(ref, 2, retries=5, backoff=STEADY)).attempts
    await trio.sleep(5)
    assert [1, 2] == got


async def test_cancelled_between_attempts(tree, nursery, autojump_clock):
    """Cancelled in a wait for the next attempt: there is no next attempt."""
    got = []
    with trio.move_on_after(1.5) as scope:
        await send(NOBODY, 1, retries=5, backoff=STEADY, on_error="dead_letter")
    assert scope.cancelled_caught
    spawn(collect, got, name=NOBODY)
    await trio.sleep(10)
    assert [] == got
    assert [] == list(current_runtime().dead_letters)
    assert counts(cancelled=1, retried=1)


# ---------------------------------------------------------------------------------------------- on_error


async def test_dead_letter(tree, caplog, autojump_clock):
    """The message is in the dead-letter queue when the send returns, with all that is known, and a warning logged."""
    delivery = await send(
        NOBODY,
        "hello",
        on_error="dead_letter",
        retries=1,
        metadata={"order": 7},
        correlation_id="c",
        idempotency_key="k",
    )
    (letter,) = current_runtime().dead_letters
    assert not delivery
    assert (False, 2, letter) == (delivery.delivered, delivery.attempts, delivery.letter)
    assert isinstance(delivery.error, NoProcess)
    assert (NOBODY, "hello", "send: NoProcess") == (letter.recipient, letter.message, letter.reason)
    assert ({"order": 7}, 2, "c", "k") == (
        letter.metadata,
        letter.attempts,
        letter.correlation_id,
        letter.idempotency_key,
    )
    assert "no process at nobody" in letter.cause
    assert 1 == caplog.text.count("send_dead_lettered")
    assert {"send: NoProcess": 1} == current_runtime().ledger().dead_lettered
    assert current_runtime().ledger().balanced
    assert counts(failed={"NoProcess": 1}, dead_lettered=1, retried=1)


async def test_dead_letter_of_a_ref(tree):
    """It is addressed to the name, if the process had one, so that the next holder can get it."""
    ref = spawn(idle, name=Name("named"))
    kill(ref)
    await ref.wait()
    await send(ref, 1, on_error="dead_letter")
    assert [Name("named")] == [letter.recipient for letter in current_runtime().dead_letters]


@pytest.mark.parametrize("on_error", ["log", "ignore"])
async def test_given_up(tree, caplog, on_error):
    """A message that is given up is counted as dropped, and logged if that was asked for."""
    delivery = await send(NOBODY, Desk.note.message(1), on_error=on_error)
    assert (False, 1, None) == (delivery.delivered, delivery.attempts, delivery.letter)
    assert isinstance(delivery.error, NoProcess)
    assert (on_error == "log") == ("send_failed" in caplog.text)
    if on_error == "log":
        assert "message_type='note'" in caplog.text
    assert {"send: given up": 1} == current_runtime().ledger().dropped
    assert current_runtime().ledger().balanced
    assert counts(failed={"NoProcess": 1}, **{"logged" if on_error == "log" else "ignored": 1})


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


# --------------------------------------------------------------------------------------- current_message


@pytest.mark.parametrize("kind", OURS)
async def test_info(tree, kind):
    """A handler, or a plain function, sees what the sender said about the message it handles; else None."""
    seen = []

    class Curious(Desk):
        def note(self, value):
            raise AssertionError

        def handle_info(self, message):
            seen.append((message, current_message()))

    async def reader():
        async for message in mailbox():
            seen.append((message, current_message()))
            if message == "plain":
                return

    options = MailboxOptions(kind=kind)
    metadata = {"order": 7}
    told = MessageInfo({"order": 7}, "c", "k")
    for ref in (await tree.start(Curious, mailbox=options), spawn(reader, mailbox=options)):
        for confirm in ("enqueued", "handled"):
            await send(ref, confirm, metadata=metadata, correlation_id="c", idempotency_key="k", confirm=confirm)
        metadata["order"] = 8
        await send(ref, "plain", confirm="handled")
        assert [("enqueued", told), ("handled", told), ("plain", None)] == seen
        seen.clear()
        metadata["order"] = 7


@as_process
async def test_info_is_over(tree):
    """It is about the message being handled: not before the first, and not when there is no next."""
    assert current_message() is None
    await send(current_ref(), 1, metadata={"a": 1})
    assert 1 == await mailbox().receive()
    assert {"a": 1} == current_message().metadata
    assert [] == drain(mailbox())
    assert current_message() is None


async def test_info_outside(tree):
    """Outside of a process there is no message."""
    with pytest.raises(NotInProcess, match="current_message"):
        current_message()


async def test_info_of_the_dead(tree):
    """What a sender said goes with the message, when the process ends before it reads it."""
    ref = spawn(idle)
    await send(ref, 1, metadata={"order": 7}, correlation_id="c", idempotency_key="k")
    kill(ref)
    await ref.wait()
    (letter,) = current_runtime().dead_letters
    assert ({"order": 7}, "c", "k") == (letter.metadata, letter.correlation_id, letter.idempotency_key)


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


async def test_full_mailbox_in_order(tree, nursery):
    """Senders that wait for room are served in their order, and one that comes when there is room is behind them."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1))
    await wait_all_tasks_blocked()
    for number in range(5):
        nursery.start_soon(send, ref, number)
        await wait_all_tasks_blocked()
    box, got = ref._process.mailbox, []
    while len(box):
        got += [box.receive_nowait()]
        with pytest.raises(MailboxFull) if box.statistics().queued else pytest.raises(trio.WouldBlock):
            send_nowait(ref, "pushy") if len(box) else box.receive_nowait()
        await wait_all_tasks_blocked()
    assert list(range(5)) == got


def test_signature():
    """The options show with their names and defaults, though they are taken together."""
    parameters = inspect.signature(send).parameters
    assert ["recipient", "message", "retries", "backoff", "on_error", "confirm"] == list(parameters)[:6]
    assert set(SendKeywords.__annotations__) == set(list(parameters)[2:])
    assert "raise" == parameters["on_error"].default
