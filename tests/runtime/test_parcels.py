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
    Deadlock,
    DeliveryTimeout,
    Failed,
    GenServer,
    MailboxFull,
    MailboxOptions,
    MailboxOverflow,
    Message,
    Name,
    NoProcess,
    ProcessDown,
    Stop,
    call,
    cast,
    current_ref,
    current_runtime,
    kill,
    mailbox,
    open_supervisor,
    process_info,
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
from tests.runtime.boxes import OURS
from tests.runtime.helpers import Desk, as_process, idle


class Worker(GenServer):
    """Does as the message says."""

    def __init__(self) -> None:
        self.seen = []

    async def handle_info(self, message):
        self.seen.append(message)
        match message:
            case float():
                await trio.sleep(message)
            case Exception():
                raise message
            case _:
                pass
        return message if isinstance(message, Continue) else None

    def handle_continue(self, argument):
        raise argument

    @cast
    def note(self, message: object) -> None:
        self.seen.append(message)

    @call
    def answer(self, message: object) -> str:
        self.seen.append(message)
        return "nobody hears"

    @call
    def history(self) -> list[object]:
        return list(self.seen)


@pytest.fixture(params=OURS)
def box(request):
    """A mailbox of either kind."""
    return MailboxOptions(kind=request.param)


@pytest.fixture
async def worker(tree, box):
    """A server that is not restarted."""
    return await tree.start(Worker, restart="temporary", mailbox=box)


async def handled(recipient, message, **options):
    """Send and have it confirmed."""
    return await send(recipient, message, confirm="handled", **options)


async def failure(recipient, message, **options):
    """What a confirmed send fails with."""
    with pytest.raises(Exception) as caught:
        await handled(recipient, message, **options)
    return caught.value


def nothing_left(ref):
    """No message and no alarm, and every message accounted for."""
    assert 0 == len(ref._process.mailbox)
    assert [] == [alarm for _, alarm in current_runtime().alarms.armed() if hasattr(alarm, "confirmed")]
    assert current_runtime().ledger().balanced


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


# ------------------------------------------------------------------------------------------- deadlocks


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
