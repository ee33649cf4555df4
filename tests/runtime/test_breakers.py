"""Circuit breakers at work: who may send, who waits in line, and in which order the line sets out."""

import gc

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CircuitBreaker,
    CircuitOpen,
    DeliveryOptions,
    DeliveryTimeout,
    InvalidSpec,
    MailboxOptions,
    Name,
    NoProcess,
    ProcessDown,
    broadcast,
    current_runtime,
    delivery_statistics,
    kill,
    open_supervisor,
    send,
    send_nowait,
    set_breaker,
    spawn,
)
from nursery_otp._runtime import breakers as module
from tests.runtime.helpers import Desk, collect, idle

NAME = Name("recipient")
POLICY = CircuitBreaker(failures=2, cool_down=10.0, buffer=3)


@pytest.fixture
async def tree():
    """A tree in which every recipient has a breaker."""
    with trio.fail_after(1000):
        async with open_supervisor(delivery=DeliveryOptions(breaker=POLICY)) as supervisor:
            yield supervisor
            supervisor.shutdown()


@pytest.fixture
async def changes(tree):
    """What the breakers did."""
    seen = []
    bus = current_runtime().telemetry
    bus.attach(("nursery_otp", "breaker"), lambda _name, _measured, about: seen.append(tuple(about.values())))
    return seen


async def fails(recipient, error, **options):
    """A send that fails."""
    with pytest.raises(error) as caught:
        await send(recipient, 1, **options)
    return caught.value


async def opened(recipient=NAME):
    """Make the breaker of a recipient open."""
    for _ in range(2):
        await fails(recipient, NoProcess)


class Line:
    """Senders in line, and what became of each."""

    def __init__(self, nursery):
        self.nursery = nursery
        self.outcomes = {}
        self.scopes = {}

    async def join(self, message, **options):
        self.scopes[message] = trio.CancelScope()
        self.nursery.start_soon(self._send, message, options)
        await wait_all_tasks_blocked()

    async def _send(self, message, options):
        with self.scopes[message]:
            try:
                await send(NAME, message, **options)
            except Exception as error:
                self.outcomes[message] = type(error)
            else:
                self.outcomes[message] = "delivered"


@pytest.fixture
def line(nursery):
    """Nobody yet."""
    return Line(nursery)


# ------------------------------------------------------------------------------------- opening, closing


async def test_told(tree, changes, caplog, autojump_clock):
    """Each change is an event and a line in the log."""
    caplog.set_level("INFO")
    await opened()
    spawn(idle, name=NAME)
    await trio.sleep(10)
    assert await send(NAME, 1)
    assert [(NAME, "closed", "open"), (NAME, "open", "half-open"), (NAME, "half-open", "closed")] == changes
    assert 3 == caplog.text.count("circuit_breaker_changed")


async def test_refuses(autojump_clock):
    """Without a buffer a send to whoever has an open breaker fails at once."""
    async with open_supervisor() as tree:
        set_breaker(NAME, CircuitBreaker(failures=2, cool_down=10.0))
        await opened()
        got = []
        spawn(collect, got, name=NAME)
        await trio.sleep(4)
        error = await fails(NAME, CircuitOpen)
        assert (NAME, 6.0) == (error.target, error.retry_after)
        assert "for another 6 s" in str(error)
        assert {NAME: "open"} == delivery_statistics().breakers
        await trio.sleep(6)
        assert await send(NAME, "hello")
        await wait_all_tasks_blocked()
        assert ["hello"] == got
        assert {} == delivery_statistics().breakers
        tree.shutdown()


async def test_success_starts_again(tree, autojump_clock):
    """Failures count in a row."""
    ref = spawn(idle, name=NAME)
    await wait_all_tasks_blocked()
    for _ in range(3):
        assert await send(NAME, 1)
        kill(ref)
        await ref.wait()
        await fails(NAME, NoProcess)
        ref = spawn(idle, name=NAME)
        await wait_all_tasks_blocked()
    assert {} == delivery_statistics().breakers


async def test_probe_fails(tree, line, autojump_clock):
    """The first in line is the probe; if it fails the others wait for another cool-down, and keep their order."""
    await opened()
    for number in range(3):
        await line.join(number, within=100.0)
    await trio.sleep(11)
    assert {0: NoProcess} == line.outcomes
    got = []
    spawn(collect, got, name=NAME)
    await trio.sleep(5)
    assert [] == got
    await trio.sleep(6)
    assert [1, 2] == got
    assert {0: NoProcess, 1: "delivered", 2: "delivered"} == line.outcomes


async def test_drained_in_order(tree, line, autojump_clock):
    """When it closes, those in line are delivered in their order, before anybody who comes later."""
    await opened()
    for number in range(3):
        await line.join(number, within=100.0)
    assert (3, 3) == (delivery_statistics().buffered, delivery_statistics().waiting)
    got = []
    spawn(collect, got, name=NAME)
    await trio.sleep(10)
    await send(NAME, "later")
    await wait_all_tasks_blocked()
    assert [0, 1, 2, "later"] == got
    assert (3, 0) == (delivery_statistics().buffered, delivery_statistics().waiting)


async def test_bounded(tree, line, autojump_clock):
    """The line has a bound; who is beyond it fails at once."""
    await opened()
    for number in range(5):
        await line.join(number, within=100.0)
    assert {3: CircuitOpen, 4: CircuitOpen} == line.outcomes


async def test_limit_in_line(tree, line, autojump_clock):
    """A wait in line ends with the limit of the send, or with its cancellation; then nothing of it is left."""
    await opened()
    await line.join("short", within=3.0)
    await line.join("cancelled", within=100.0)
    await line.join("long", within=100.0)
    await trio.sleep(4)
    line.scopes["cancelled"].cancel()
    await wait_all_tasks_blocked()
    assert {"short": DeliveryTimeout} == line.outcomes
    got = []
    spawn(collect, got, name=NAME)
    await trio.sleep(10)
    assert ["long"] == got
    assert [] == current_runtime().alarms.armed()
    assert {} == current_runtime().breakers._gates


async def test_confirmed_probe(tree, line, autojump_clock):
    """The probe of a confirmed send is over when the message has been handled; others wait for that."""
    await opened()
    await line.join(4.0, confirm="handled", within=100.0)
    await line.join("next", within=100.0)
    got = []

    class Slow(Desk):
        async def handle_info(self, message):
            got.append((message, trio.current_time()))
            if isinstance(message, float):
                await trio.sleep(message)

    await tree.start(Slow, name=NAME)
    await trio.sleep(12)
    assert {NAME: "half-open"} == delivery_statistics().breakers
    await trio.sleep(12)
    assert [(4.0, 10.0), ("next", 14.0)] == got


async def test_cancelled_probe(tree, line, autojump_clock):
    """If the probe is cancelled the next one is the probe."""
    await opened()
    await line.join(50.0, confirm="handled", within=100.0)
    await line.join("next", within=100.0)
    ref = spawn(idle, name=NAME)
    await trio.sleep(11)
    assert ["recipient"] == [name.text for name in delivery_statistics().breakers]
    line.scopes[50.0].cancel()
    await wait_all_tasks_blocked()
    assert {"next": "delivered"} == line.outcomes
    assert ["next"] == ref._process.mailbox.items()


async def test_retries_count(tree, autojump_clock):
    """Each attempt counts, and an open breaker is a failure that may pass."""
    set_breaker(NAME, CircuitBreaker(failures=2, cool_down=10.0))
    delivery = await send(NAME, 1, retries=3, on_error="ignore")
    assert isinstance(delivery.error, CircuitOpen)
    assert 4 == delivery.attempts


async def test_timeouts_count(tree, autojump_clock):
    """Limits that pass and mailboxes that are full are failures of the recipient."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1))
    send_nowait(ref, 1)
    for _ in range(2):
        await fails(ref, DeliveryTimeout, within=1.0)
    assert {ref: "open"} == delivery_statistics().breakers


# ------------------------------------------------------------------------------------------ whose it is


async def test_logical_recipient(tree, autojump_clock):
    """A name and whoever holds it have one breaker."""
    ref = spawn(idle, name=NAME, mailbox=MailboxOptions(capacity=1, overflow="reject"))
    send_nowait(ref, 1)
    await fails(NAME, Exception)
    await fails(ref, Exception)
    assert {NAME: "open"} == delivery_statistics().breakers


async def test_own_and_none(tree, autojump_clock):
    """A recipient can have a breaker of its own, or none; to take it away lets those in line go."""
    set_breaker(NAME, None)
    for _ in range(9):
        await fails(NAME, NoProcess)
    assert {} == delivery_statistics().breakers
    set_breaker(NAME, CircuitBreaker(failures=1, buffer=9))
    await fails(NAME, NoProcess)
    outcomes = []

    async def sender():
        outcomes.append(type(await fails(NAME, NoProcess)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender)
        await wait_all_tasks_blocked()
        set_breaker(NAME, None)
    assert [NoProcess] == outcomes


async def test_unhashable_via(tree, autojump_clock):
    """An address that cannot be the key of a table has a breaker all the same."""

    class Nowhere:
        __hash__ = None

        def whereis(self):
            return None

    nowhere = Nowhere()
    await fails(nowhere, NoProcess)
    await fails(nowhere, NoProcess)
    assert ["open"] == [gate.state.position for gate in current_runtime().breakers._gates.values()]


async def test_bad_breaker(tree, autojump_clock):
    """What is no breaker, or no address, is refused."""
    with pytest.raises(InvalidSpec, match="breaker"):
        set_breaker(NAME, 5)
    with pytest.raises(TypeError, match="not an address"):
        set_breaker(5, None)
    with pytest.raises(InvalidSpec, match="delivery"):
        open_supervisor(delivery=POLICY)


async def test_others_are_not_concerned(tree, autojump_clock):
    """The breaker of one recipient is not that of another."""
    await opened()
    assert await send(spawn(idle), 1)


async def test_program_errors_do_not_count(tree, autojump_clock):
    """An error of the program says nothing about the recipient."""

    class Broken:
        def whereis(self):
            raise ZeroDivisionError

    broken = Broken()
    for _ in range(5):
        await fails(broken, ZeroDivisionError)
    assert {} == delivery_statistics().breakers


async def test_broadcast(tree, autojump_clock):
    """Broadcasts ask the breakers too, and their outcomes count."""
    spawn(idle, name=Name("fine"))
    await wait_all_tasks_blocked()
    set_breaker(NAME, CircuitBreaker(failures=2))
    for _ in range(2):
        assert not await broadcast([NAME, Name("fine")], 1)
    for strategy in ("best_effort", "all_or_nothing"):
        try:
            failures = (await broadcast([Name("fine"), NAME], 1, strategy=strategy)).failures
        except Exception as error:
            failures = error.failures
        assert [(NAME, CircuitOpen)] == [(recipient, type(error)) for recipient, error in failures]
    assert {NAME: "open"} == delivery_statistics().breakers


# ---------------------------------------------------------------------------------------------- its end


async def test_end_of_the_tree(autojump_clock):
    """Who waits in line when the tree ends, from wherever, is told."""
    errors = []

    async def sender():
        errors.append(type(await fails(NAME, CircuitOpen, within=100.0)))

    async with trio.open_nursery() as nursery:
        async with open_supervisor(delivery=DeliveryOptions(breaker=POLICY)) as tree:
            ref = spawn(idle)
            await opened()
            nursery.start_soon(sender)
            await wait_all_tasks_blocked()
            tree.shutdown()
        assert [CircuitOpen] == errors
        await fails(ref, ProcessDown)  # what is the tree's is over, and nobody has to wait


async def test_memory(tree, monkeypatch, autojump_clock):
    """Breakers of recipients that nobody sends to any more are forgotten; one that works costs nothing at all."""
    monkeypatch.setattr(module, "MANY", 10)
    current_runtime().breakers._check_at = 10
    gates = current_runtime().breakers._gates
    spawn(idle, name=NAME)
    for number in range(100):
        await fails(Name(f"name-{number}"), NoProcess)
        assert await send(NAME, 1)
        await trio.sleep(5)
    gc.collect()
    assert NAME not in gates
    assert len(gates) < 40


async def test_breakers_of_the_dead_are_forgotten(tree, monkeypatch):
    """A breaker that one process without a name was given does not outlive it for ever."""
    monkeypatch.setattr(module, "MANY", 10)
    gates = current_runtime().breakers
    gates._prune_at = 10
    for _ in range(100):
        ref = spawn(trio.lowlevel.checkpoint)
        set_breaker(ref, CircuitBreaker())
        await ref.wait()

    assert len(gates._own) <= 20
