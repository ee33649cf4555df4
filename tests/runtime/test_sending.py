"""Plain messages: in order, without a copy, never into nothing, to whoever is asked for once, and without garbage."""

import gc
from contextlib import suppress

import pytest
import trio
from trio.testing import assert_checkpoints, assert_no_checkpoints, wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    MailboxOptions,
    Message,
    Name,
    NoProcess,
    OTPError,
    ProcessDown,
    broadcast,
    current_ref,
    current_runtime,
    kill,
    mailbox,
    open_supervisor,
    send,
    send_nowait,
    spawn,
    start,
    whereis,
)
from tests.runtime.boxes import drain
from tests.runtime.helpers import Desk, as_process, cancelled, collect, idle


async def dead():
    """A process that has ended."""
    ref = spawn(idle, name=Name("dead"))
    kill(ref)
    await ref.wait()
    return ref


def letters():
    """The dead letters, without their times."""
    return [(letter.recipient, letter.message, letter.reason) for letter in current_runtime().dead_letters]


@as_process
async def test_no_copy(tree):
    """A message is the object that was sent, whatever it is."""
    message, box = object(), mailbox()
    for sent in (message, None, False, ValueError(), idle, [message]):
        send_nowait(current_ref(), sent)
        assert sent is await box.receive()


async def test_order_of_several_senders(tree):
    """From each sender messages arrive in the order in which it sent them, by whichever function and address."""
    got = []
    spawn(collect, got, name=Name("reader"))

    async def sender(label):
        for number in range(20):
            address = Name("reader") if number % 2 else whereis(Name("reader"))
            if number % 3:
                send_nowait(address, (label, number))
            else:
                await send(address, (label, number))

    for label in "abc":
        spawn(sender, label)
    await wait_all_tasks_blocked()

    for label in "abc":
        assert list(range(20)) == [number for sender, number in got if sender == label]


async def test_to_the_dead(tree):
    """What is sent to a process that has ended is a dead letter; whoever waits for news is told, and keeps it."""
    ref = await dead()
    with assert_no_checkpoints():
        send_nowait(ref, 1)
    with assert_checkpoints(), pytest.raises(ProcessDown) as caught:
        await send(ref, 2)

    assert (ref, KILLED) == (caught.value.target, caught.value.reason)
    assert [(Name("dead"), 1, "noproc")] == letters()


async def test_to_a_name_of_nobody(tree):
    """A message to a name that nobody holds is an error of its sender, and not sent."""
    with pytest.raises(NoProcess, match="send_nowait: no process at nobody"):
        send_nowait(Name("nobody"), 1)
    with pytest.raises(NoProcess, match="send: no process at nobody"):
        await send(Name("nobody"), 1)

    assert [] == letters()
    assert 0 == current_runtime().ledger().sent


async def test_dead_letter(tree, autojump_clock):
    """A dead letter tells the recipient (its name, if it had one), the message and the reason."""
    nameless = spawn(idle)
    kill(nameless)
    await nameless.wait()
    await trio.sleep(3)
    send_nowait(nameless, "message")

    (letter,) = current_runtime().dead_letters
    assert (nameless, "message", "noproc") == (letter.recipient, letter.message, letter.reason)


async def test_unread_messages(tree):
    """What a process has not read when it ends is a dead letter."""
    ref = spawn(idle)
    send_nowait(ref, 1)
    Desk.note(ref, 2)
    kill(ref)
    await ref.wait()

    assert [(ref, 1, "process ended"), (ref, Message("note", (2,)), "process ended")] == letters()


async def test_closed_mailbox(tree):
    """The same for a process that has closed its mailbox: then and from then on."""

    async def process():
        await mailbox().aclose()
        await idle()

    ref = spawn(process)
    send_nowait(ref, 1)
    await wait_all_tasks_blocked()
    send_nowait(ref, 2)
    with pytest.raises(NoProcess):
        await send(ref, 3)
    Desk.note(ref, 4)

    assert ref.alive
    assert ["mailbox closed", "noproc", "noproc"] == [reason for _, _, reason in letters()]
    with pytest.raises(NoProcess):
        await Desk.echo(ref, 5)
    assert current_runtime().ledger().balanced


async def test_cast_to_nobody(tree):
    """A cast never raises: to the dead and to nobody alike it is a dead letter."""
    ref = await dead()
    Desk.note(ref, 1)
    Desk.note(Name("nobody"), 2)

    message = Desk.note.message
    assert [(Name("dead"), message(1), "noproc"), (Name("nobody"), message(2), "noproc")] == letters()


async def test_cast_is_a_message(tree):
    """A cast on the wire is a value that can be sent by other means as well."""
    desk = await tree.start(Desk)
    send_nowait(desk, Message("note", (1,)))
    send_nowait(desk, Desk.note.message(2))
    Desk.note(desk, 3)

    assert [1, 2, 3] == await Desk.history(desk)
    assert "Message(note(1, key='x'))" == repr(Message("note", (1,), {"key": "x"}))


@pytest.mark.parametrize("alive", [True, False])
async def test_cancelled_before(tree, alive):
    """A `send` in a cancelled scope sends nothing, not even to the dead."""
    ref = spawn(idle) if alive else await dead()
    with cancelled() as scope:
        await send(ref, 1)

    assert scope.cancelled_caught
    assert 0 == current_runtime().ledger().sent


async def test_dead_letters_are_bounded(tree):
    """The dead letters that are kept are bounded, newest last; all are counted."""
    ref = await dead()
    for number in range(10_050):
        send_nowait(ref, number)
    kept = [message for _, message, _ in letters()]

    assert list(range(50, 10_050)) == kept
    assert {"noproc": 10_050} == current_runtime().ledger().dead_lettered


async def test_to_a_starting_server(tree, nursery):
    """What is sent to a process that is still starting is read after its init, in order."""
    go_on = trio.Event()

    class Slow(Desk):
        async def init(self):
            await go_on.wait()
            self.seen.append("init")

    async def starting():
        await start(Slow, name=Name("slow"))

    nursery.start_soon(starting)
    await wait_all_tasks_blocked()
    send_nowait(Name("slow"), 1)
    Desk.note(Name("slow"), 2)
    history = Desk.history.request(Name("slow"))
    go_on.set()

    assert ["init", 1, 2] == await history.receive()


@as_process
async def test_to_oneself(tree):
    """A process can send to itself."""
    send_nowait(current_ref(), 1)
    await send(current_ref(), 2)

    assert [1, 2] == drain(mailbox())


class Anybody:
    """An address that is asked who is there; its private parts are nobody's business."""

    def __init__(self, *refs):
        self.refs = refs
        self.asked = 0
        self._process = self.text = object()

    def whereis(self):
        self.asked += 1
        return self.refs[self.asked % len(self.refs)]


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
