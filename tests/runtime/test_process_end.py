"""The one place where every process ends: what happens there, and in which order."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    CallExited,
    Deadlock,
    Down,
    Exit,
    Failed,
    MailboxOptions,
    Name,
    ProcessDown,
    RequestCollection,
    Stop,
    current_ref,
    current_runtime,
    kill,
    link,
    mailbox,
    monitor,
    open_supervisor,
    register,
    send,
    send_nowait,
    spawn,
    stop_nowait,
    trap_exits,
    whereis,
)
from nursery_otp._behaviours.supervisor_loop import ChildEnded
from nursery_otp._runtime.lean_mailbox import LeanMailbox
from tests.runtime.helpers import Desk, as_process, as_task, idle

NAME = Name("server")


class Scene:
    """A server that everybody has an interest in, and a look at it in each moment of its end."""

    def __init__(self, monkeypatch):
        self.log = []
        original = LeanMailbox.put

        def put(box, signal):
            if isinstance(signal, Down | Exit | ChildEnded):
                self.look(type(signal).__name__)
            original(box, signal)

        monkeypatch.setattr(LeanMailbox, "put", put)

    def watch(self, ref):
        self.ref = ref
        self.waiting = Desk.echo.request(ref, "not read any more")
        self.owed = Desk.put_off.request(ref, "key")
        self.waiting._call.listener = self.owed._call.listener = lambda _call: self.look("caller")
        current_runtime().on_exit(lambda ref, _reason: ref is self.ref and self.look("hook"))

    def look(self, what):
        box = self.ref._process.mailbox
        done = (self.owed.done, self.waiting.done) if what != "caller" else "not all yet"
        letters = [letter.message for letter in current_runtime().dead_letters]
        self.log.append((what, box.closed, whereis(NAME), self.ref.alive, done, letters))


async def test_order_of_the_end(tree, monkeypatch, autojump_clock):
    """Mailbox, name, callers, monitors, links, hooks, supervisor, dead letters: in this order, and in one go."""
    scene = Scene(monkeypatch)
    ref = await tree.start(Desk, name=NAME, restart="temporary")

    async def watcher():
        monitor(ref)
        await idle()

    async def linked():
        trap_exits()
        link(ref)
        await idle()

    spawn(linked)  # before the watcher: the order of the end is not that of the beginning
    spawn(watcher)
    await wait_all_tasks_blocked()
    slow = Desk.run.request(ref, idle)
    scene.watch(ref)
    send_nowait(ref, "letter")
    await wait_all_tasks_blocked()
    kill(ref)
    await wait_all_tasks_blocked()

    during = (True, None, False)
    assert [
        ("caller", *during, "not all yet", []),
        ("caller", *during, "not all yet", []),
        ("Down", *during, (True, True), []),
        ("Exit", *during, (True, True), []),
        ("hook", *during, (True, True), []),
        ("ChildEnded", *during, (True, True), []),
    ] == scene.log
    assert ["letter"] == [letter.message for letter in current_runtime().dead_letters]
    assert slow.done


async def test_all_callers_are_failed(tree):
    """The caller being served, those in the mailbox, those in line before it and those put off: all are told."""
    ref = await tree.start(Desk, restart="temporary", mailbox=MailboxOptions(capacity=1))
    requests = [Desk.put_off.request(ref, "key")]
    await wait_all_tasks_blocked()
    requests.append(Desk.run.request(ref, idle))
    await wait_all_tasks_blocked()
    requests += [Desk.echo.request(ref, number) for number in range(3)]
    assert 2 == ref._process.mailbox.statistics().waiting_senders
    ref._process.interrupt(Failed("gone"))
    await ref.wait()

    for request in requests:
        with pytest.raises(CallExited) as caught:
            await request.receive()
        assert Failed("gone") == caught.value.reason


async def test_waiting_senders_are_told(tree, nursery):
    """Who waits for room in the mailbox of a process that ends has sent nothing, and is told why it ended."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1))
    send_nowait(ref, 1)
    errors = []

    async def sending():
        try:
            await send(ref, 2)
        except ProcessDown as error:
            errors.append((error.target, error.reason))

    nursery.start_soon(sending)
    await wait_all_tasks_blocked()
    kill(ref)
    await wait_all_tasks_blocked()

    assert [(ref, KILLED)] == errors
    assert [1] == [letter.message for letter in current_runtime().dead_letters]
    assert current_runtime().ledger().balanced


@as_process
async def test_messages_before_down(tree):
    """What a process sent before it ended arrives before the news of its end."""
    here = current_runtime().processes()[-1]

    async def function():
        send_nowait(here, 1)
        await trio.lowlevel.checkpoint()
        send_nowait(here, 2)
        raise Stop("end")

    ref = spawn(function)
    watch = monitor(ref)

    assert [1, 2, Down(watch, ref, Failed("end"))] == [await mailbox().receive() for _ in range(3)]


async def test_name_is_free_when_others_hear_of_it(tree):
    """Whoever is told of an end can take the name at once."""
    ref = spawn(idle, name=NAME)

    async def successor():
        monitor(ref)
        await mailbox().receive()
        register(NAME, whereis_me())
        await idle()

    def whereis_me():
        return heir

    heir = spawn(successor)
    await wait_all_tasks_blocked()
    kill(ref)
    await wait_all_tasks_blocked()

    assert heir is whereis(NAME)


async def test_ref_of_an_ended_process(tree):
    """A ref outlives its process: it knows the reason, and the name for reports, and shows both."""
    ref = spawn(idle, name=NAME)
    assert (True, None) == (ref.alive, ref.exit_reason)
    assert "<idle#2 'server'>" == repr(ref)
    kill(ref)
    await ref.wait()

    assert (False, NAME) == (ref.alive, ref.name)
    assert "<idle#2 'server' ended: killed>" == repr(ref)


async def test_wait(tree, nursery):
    """Any number of tasks can wait for an end; one that is cancelled meanwhile is nobody's problem."""
    ref = spawn(idle)
    reasons = []

    async def waiting():
        reasons.append(await ref.wait())

    nursery.start_soon(waiting)
    with trio.CancelScope() as scope:
        nursery.start_soon(waiting)
        await wait_all_tasks_blocked()
        scope.cancel()
        await ref.wait()
    kill(ref)
    await wait_all_tasks_blocked()

    assert scope.cancelled_caught
    assert [ref.exit_reason] * 2 == reasons
    with trio.testing.assert_checkpoints():
        await ref.wait()


# ------------------------------------------------------------------------------ what is nobody's crash


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("supervised", [True, False])
async def test_fatal_errors_leave_the_tree(error, supervised):
    """KeyboardInterrupt and SystemExit are no crash: nothing is restarted, all is stopped, the error goes on."""
    starts, ends = [], []

    async def neighbour():
        try:
            await idle()
        finally:
            ends.append("neighbour")

    async def process():
        starts.append("started")
        await trio.lowlevel.checkpoint()
        raise error

    with pytest.raises(error):
        async with open_supervisor(max_restarts=10) as tree:
            await tree.start(neighbour)
            if supervised:
                await tree.start(process)
            else:
                spawn(process)
            await idle()

    assert ["started"] == starts
    assert ["neighbour"] == ends


async def test_fatal_error_in_a_nursery():
    """The same in a nursery of the process: it leaves in its group."""

    async def interrupted():
        raise KeyboardInterrupt

    async def process():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(idle)
            nursery.start_soon(interrupted)

    with pytest.RaisesGroup(KeyboardInterrupt, flatten_subgroups=True):
        async with open_supervisor(max_restarts=10) as tree:
            await tree.start(process)
            await idle()


async def test_fatal_error_is_told():
    """The body that called the process that was interrupted does not wait in vain: it is cancelled."""
    errors = []

    async def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        async with open_supervisor() as tree:
            ref = await tree.start(Desk)
            try:
                await Desk.run(ref, interrupt)
            except CallExited as error:
                errors.append(error)

    assert [] == errors


async def test_collection_hears_of_the_end(tree):
    """A request in a collection fails with the server, as one that is waited for by itself does."""
    ref = await tree.start(Desk, restart="temporary")
    collection = RequestCollection()
    collection.add(Desk.put_off.request(ref, 1), "label")
    await wait_all_tasks_blocked()
    stop_nowait(ref, "bye")

    with pytest.raises(CallExited) as caught:
        await collection.receive()
    assert Failed("bye") == caught.value.reason


@as_process
async def test_waiting_for_oneself(tree):
    """A process that waits for its own end would do so for ever: `Deadlock`; a task of it may."""
    with pytest.raises(Deadlock, match="wait: would wait for ever"):
        await current_ref().wait()
    with trio.move_on_after(0) as scope:
        await as_task(current_ref().wait)

    assert scope.cancelled_caught
