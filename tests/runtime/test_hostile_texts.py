"""Addresses, messages, ids and errors whose text cannot be had: whoever deals with them gets what is due to him."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CallExited,
    CallTimeout,
    ChildNotFound,
    CircuitBreaker,
    Crashed,
    Deadlock,
    DeliveryTimeout,
    GenServer,
    MailboxFull,
    MailboxOptions,
    NoProcess,
    ProcessDown,
    StartFailed,
    StopTimeout,
    SupervisorHandle,
    call,
    cast,
    child,
    current_ref,
    current_runtime,
    dead_letters,
    delivery_statistics,
    explain,
    get_state,
    kill,
    mailbox,
    monitor,
    open_supervisor,
    replace_state,
    send,
    send_after,
    set_breaker,
    spawn,
    start,
    stop,
)
from nursery_otp._runtime.parcels import Parcel
from nursery_otp._runtime.tracing import TraceContext, dump_context
from tests.runtime.helpers import as_process, collect, ended


class Untold:
    """An address, a message or an id; what it is cannot be told."""

    ref = None

    def whereis(self):
        return self.ref

    def __repr__(self):
        raise ZeroDivisionError("no repr")


class UntoldError(Exception):
    def __str__(self):
        raise ZeroDivisionError("no text")

    __repr__ = __str__


class Desk(GenServer):
    """Fails, waits and answers as it is told."""

    @call
    async def fail(self):
        raise UntoldError

    @call
    async def slow(self):
        await trio.sleep(10)

    @call
    def answer(self):
        return 1

    @call
    async def ask_myself(self, address):
        await Desk.answer(address)

    @cast
    def take(self, what):
        """Whatever."""


@pytest.fixture
async def at_desk(tree):
    """An address that leads to a server; what is wrong with it must not end the tree."""
    address = Untold()
    address.ref = await tree.start(Desk, restart="temporary")
    yield address
    assert tree.ref.alive


async def crashing():
    async for _ in mailbox():
        await trio.sleep(5)
        raise UntoldError


async def test_ends_while_it_handles(tree, autojump_clock):
    """The recipient of a confirmed send dies while it handles the message: links and watchers are told, too."""
    address = Untold()
    address.ref = spawn(crashing)
    delivery = await send(address, 0, on_error="ignore", confirm="handled", within=60)
    assert isinstance(delivery.error, ProcessDown)
    assert isinstance(await address.ref.wait(), Crashed)
    assert "<Untold whose text raised ZeroDivisionError> is down" in str(delivery.error)
    assert tree.ref.alive


async def test_limit_passes(at_desk, autojump_clock):
    """The limit of a send, a call, a stop passes: each is the error that it should be."""
    at_desk.ref = spawn(crashing)
    with pytest.raises(DeliveryTimeout, match="not handled by <Untold whose text"):
        await send(at_desk, 0, confirm="handled", within=3)
    at_desk.ref = await start(Desk)
    with pytest.raises(CallTimeout, match="no answer from <"):
        await Desk.slow.within(1)(at_desk)
    at_desk.ref = spawn(shielded)
    await wait_all_tasks_blocked()
    with pytest.raises(StopTimeout, match="did not stop within 1 s"):
        await stop(at_desk, within=1)
    kill(at_desk.ref)


async def shielded():
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(10)


@pytest.mark.parametrize("on_error", ["log", "dead_letter"])
async def test_failure_is_told(tree, on_error, caplog):
    """A failed send is logged or kept, counted once, and does not raise."""
    delivery = await send(Untold(), Untold(), on_error=on_error)
    assert isinstance(delivery.error, NoProcess)
    statistics = delivery_statistics()
    assert {"NoProcess": 1} == statistics.failed
    assert (on_error == "log", on_error == "dead_letter") == (statistics.logged, statistics.dead_lettered)
    assert "<Untold whose repr raised ZeroDivisionError>" in caplog.text


async def test_letter_is_explained(tree):
    """A dead letter of such a message to such an address can be explained."""
    letter = await dead_letters().add(Untold(), Untold(), "why")
    assert "to <Untold whose text raised ZeroDivisionError>: why" in str(explain(letter))


async def test_breaker(tree, caplog):
    """A breaker of such an address opens, which is logged, and lets its line go on."""
    address = Untold()
    set_breaker(address, CircuitBreaker(failures=1, cool_down=10, buffer=5))
    assert isinstance((await send(address, 0, on_error="ignore")).error, NoProcess)
    assert "circuit_breaker_changed" in caplog.text
    assert "whose repr raised" in caplog.text
    [gate] = current_runtime().breakers._gates.values()
    assert "open" in repr(gate)
    assert {"NoProcess": 1} == delivery_statistics().failed


async def test_call(at_desk):
    """A call whose server ends is told so, as is one to nobody."""
    with pytest.raises(CallExited, match="UntoldError whose repr raised"):
        await Desk.fail(at_desk)
    at_desk.ref = None
    with pytest.raises(NoProcess, match=r"Desk\.fail: no process at <Untold whose text raised ZeroDivisionError>"):
        await Desk.fail(at_desk)


async def test_deadlock(at_desk):
    """A server that asks itself by such an address gets a `Deadlock`."""
    with pytest.raises(CallExited) as caught:
        await Desk.ask_myself(at_desk, at_desk)
    assert isinstance(caught.value.__cause__, Deadlock)


async def test_mailbox_full(at_desk):
    """A full mailbox refuses."""
    at_desk.ref = spawn(trio.sleep_forever, mailbox=MailboxOptions(capacity=1, overflow="reject"))
    await send(at_desk, Untold())
    with pytest.raises(MailboxFull):
        await send(at_desk, Untold())


async def test_requests_in_a_repr(at_desk):
    """What lies in a mailbox can be printed."""
    requests = []

    async def keep():
        requests.append(await mailbox().receive())

    at_desk.ref = spawn(keep)
    with pytest.raises(CallExited):
        await Desk.answer(at_desk)
    assert "<call Desk.answer to <Untold whose text raised ZeroDivisionError>" in repr(requests[0])
    assert "take(<Untold whose repr raised ZeroDivisionError>)" in str(Desk.take.message(Untold()))
    assert "what=<Untold whose repr" in str(Desk.take.message(what=Untold()))


async def test_supervisor_handle(tree):
    """A supervisor can be asked through such an address, and is asked for a child of such an id."""
    address = Untold()
    address.ref = tree.ref
    handle = SupervisorHandle(address)
    assert "<SupervisorHandle of <Untold whose text" in repr(handle)
    ref = await handle.start(Desk, id=address)
    assert ref.alive
    with pytest.raises(ChildNotFound, match="child <Untold whose repr"):
        await handle.terminate_child(Untold())
    with pytest.raises(StartFailed):
        await handle.start(Desk, "too much", id=Untold())


async def test_restarted(caplog):
    """A child of such an id is restarted after a crash, which is reported."""
    async with open_supervisor([child(Desk, id=Untold())]) as tree:
        [info] = await tree.which_children()
        with pytest.raises(CallExited):
            await Desk.fail(info.ref)
        [info] = await tree.which_children()
        assert 1 == await Desk.answer(info.ref)
        assert 2 == info.ref.incarnation
        assert "restarted <Untold whose repr" in str(explain(info.ref))
        tree.shutdown()
    assert "path='root/<Untold whose text raised ZeroDivisionError>'" in caplog.text


async def test_replaced_state(at_desk):
    """A wrong new state is refused, and the server lives."""
    with pytest.raises(TypeError, match="the function returned <Untold whose repr"):
        await replace_state(at_desk, lambda _state: Untold())
    assert isinstance(await get_state(at_desk), Desk)


async def test_unexpected_message(at_desk, caplog):
    """A message that nobody expects is logged, and the server lives."""
    await send(at_desk, Untold(), confirm="handled")
    assert 1 == await Desk.answer(at_desk)
    assert "unexpected_message" in caplog.text


async def test_no_process_made(tree):
    """What is no process fails to start."""
    with pytest.raises(StartFailed) as caught:
        await start(lambda: Untold())
    assert "returned <Untold whose repr raised ZeroDivisionError>" in str(caught.value.__cause__)


async def test_exit_hook(tree, caplog):
    """A hook that fails is taken off, and the others are asked."""

    class Hook(Untold):
        def __call__(self, *_about):
            raise KeyError("in the hook")

    class Seeing:
        def __call__(self, process, _reason):
            seen.append(process)

    seen = []
    current_runtime().on_exit(Hook())
    current_runtime().on_exit(Seeing())
    await ended(spawn(trio.sleep_forever))
    assert "exit_hook_detached" in caplog.text
    assert "<Hook whose repr raised" in caplog.text
    assert 1 == len(seen)


async def test_timer(tree, autojump_clock, caplog):
    """A timer whose target cannot be looked up says so, and others go on."""

    class Broken(Untold):
        def whereis(self):
            if current_runtime().now() >= 1:
                raise KeyError("in whereis")

    seen = []
    send_after(1, Broken(), "x")
    send_after(2, spawn(collect, seen), "y")
    await trio.sleep(3)
    assert ["y"] == seen
    assert "timer_target_lookup_failed" in caplog.text
    assert "<Broken whose repr raised" in caplog.text


@as_process
async def test_down(tree):
    """The watchers of a process that ends with such an error are told."""
    ref = spawn(crashing)
    monitor(ref)
    await send(ref, 0)
    down = await mailbox().receive()
    assert "UntoldError whose repr raised ZeroDivisionError" in str(down.reason)
    assert current_ref().alive


class UntoldTracer(Untold):
    """A tracer that cannot keep what it carries, and fails when it is asked to enter."""

    def produce(self, message):
        assert "<Untold whose text raised" in repr(message) or message.address is not untold
        return 1

    def produced(self, context, error):
        pass

    def enter(self, context, message):
        raise KeyError("in enter")

    def leave(self, entered, error, *, restore):
        pass

    def clear(self):
        pass

    def dump(self, context):
        raise KeyError("in dump")

    def load(self, data):
        pass


untold = Untold()


async def test_tracer(tree, caplog):
    """A tracer that fails is reported, and what it does not keep, too."""
    tracer = UntoldTracer()
    current_runtime().set_tracer(tracer)
    await send(untold, 1, on_error="ignore")
    assert tracer is current_runtime().tracer
    assert None is dump_context(TraceContext(tracer, 1, "send"))
    assert "trace_not_stored tracer='<UntoldTracer whose repr" in caplog.text
    await send(spawn(collect, []), 1)
    await wait_all_tasks_blocked()
    assert "tracer_detached tracer='<UntoldTracer whose repr" in caplog.text
    assert None is current_runtime().tracer


async def test_parcel(at_desk):
    """A message whose sender waits for its handling can be printed."""
    assert "<parcel to <Untold whose text" in repr(Parcel(at_desk, 1, None, confirmed=True))


def test_decorated():
    """`@call` says of what it cannot be for."""
    with pytest.raises(TypeError, match="not for <Untold whose repr"):
        call(Untold())
