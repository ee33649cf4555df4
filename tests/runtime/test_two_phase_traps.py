"""What a broadcast to all or to nobody easily gets wrong: breakers it holds, handlers that send, and cancellations."""

from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp import (
    BroadcastFailed,
    CircuitBreaker,
    CircuitOpen,
    MailboxFull,
    MailboxOptions,
    Name,
    NoProcess,
    ProcessDown,
    broadcast,
    current_ref,
    current_runtime,
    dead_letters,
    delivery_statistics,
    kill,
    open_supervisor,
    send,
    send_nowait,
    set_breaker,
    spawn,
)
from tests.runtime.helpers import Desk, idle

ONE, TWO, THREE = NAMES = Name("one"), Name("two"), Name("three")
POLICY = CircuitBreaker(failures=1, cool_down=10.0, buffer=10)
STRICT = CircuitBreaker(failures=1, cool_down=10.0)


async def opened(*names, policy=POLICY):
    """Give each a breaker, and make it open."""
    for name in names:
        set_breaker(name, policy)
        assert not await send(name, 0, on_error="ignore")
    assert set(names) <= set(delivery_statistics().breakers)


def process(name=None, capacity=5, overflow="block"):
    """A process that does nothing."""
    return spawn(idle, name=name, mailbox=MailboxOptions(capacity=capacity, overflow=overflow))


def items(ref):
    """What is in its mailbox."""
    return ref._process.mailbox.items()


def nothing_held(*refs):
    """No gate is kept, nobody waits, no alarm is set, and all room is there."""
    breakers = current_runtime().breakers
    assert [] == [gate for gate in breakers._gates.values() if gate._under_way or gate.state.probing or gate.line]
    assert [] == current_runtime().alarms.armed()
    assert [None] * len(refs) == [ref._process.mailbox.line for ref in refs]
    assert [] == [ref for ref in refs if ref._process.mailbox.booked]
    assert current_runtime().ledger().balanced


class Broadcasts:
    """Broadcasts in tasks of their own, and what became of each."""

    def __init__(self, nursery):
        self._nursery = nursery
        self.outcomes = {}
        self.scopes = {}

    def begin(self, message, *recipients, within=100.0):
        self.scopes[message] = trio.CancelScope()
        self._nursery.start_soon(self._send, message, recipients, within)

    async def _send(self, message, recipients, within):
        with self.scopes[message]:
            try:
                await broadcast(recipients, message, strategy="all_or_nothing", within=within)
                self.outcomes[message] = trio.current_time()
            except BroadcastFailed as error:
                ((recipient, cause),) = error.failures
                self.outcomes[message] = recipient, type(cause)


@pytest.fixture
def broadcasts(nursery):
    """None yet."""
    return Broadcasts(nursery)


# ------------------------------------------------------------------------------------------- breakers


@pytest.mark.parametrize("policy", [POLICY, STRICT])
async def test_one_recipient_twice(tree, policy, autojump_clock):
    """Two addresses of one recipient pass its half-open breaker together, as one probe."""
    await opened(ONE, policy=policy)
    ref = process(ONE)
    await trio.sleep(11)
    assert await broadcast([ONE, ref, ONE], "all", strategy="all_or_nothing")
    assert ["all"] * 3 == items(ref)
    assert {} == delivery_statistics().breakers
    nothing_held(ref)


async def test_one_recipient_twice_in_line(tree, broadcasts, autojump_clock):
    """The same where they have to wait in line for it."""
    await opened(ONE)
    ref = process(ONE)
    broadcasts.begin("all", ref, ONE)
    await wait_all_tasks_blocked()
    assert 1 == delivery_statistics().waiting
    await trio.sleep(11)
    assert {"all": 10.0} == broadcasts.outcomes
    assert ["all"] * 2 == items(ref)
    nothing_held(ref)


@pytest.mark.parametrize("many", [0, 200])
async def test_two_breakers(tree, broadcasts, many, autojump_clock):
    """Two broadcasts that have to pass the same breakers in opposite order do not wait for each other."""
    await opened(ONE, TWO)
    refs = process(ONE), process(TWO)
    others = [process() for _ in range(many)]
    broadcasts.begin("a", ONE, *others, TWO)
    broadcasts.begin("b", TWO, *others, ONE)
    await trio.sleep(11)
    assert {"a": 10.0, "b": 10.0} == broadcasts.outcomes
    assert [2, 2] == [len(items(ref)) for ref in refs]
    nothing_held(*refs)


async def test_breakers_that_are_replaced(tree, broadcasts, autojump_clock):
    """Nor do they if breakers are replaced and open anew while some wait for their turn."""
    await opened(ONE, TWO, THREE)
    third = process(THREE)
    broadcasts.begin("a", THREE, TWO, ONE)
    broadcasts.begin("b", ONE, TWO, THREE)
    await trio.sleep(5)
    for name in (ONE, TWO):
        set_breaker(name, None)
    await opened(TWO, ONE)
    refs = process(ONE), process(TWO), third
    broadcasts.begin("c", TWO, THREE, ONE)
    broadcasts.begin("d", ONE, THREE, TWO)
    await trio.sleep(40)
    assert {"a", "b", "c", "d"} == set(broadcasts.outcomes)
    nothing_held(*refs)


async def test_refused_at_once(tree, broadcasts, autojump_clock):
    """What is sure to be refused is in the way at once, even if another breaker has to be waited for before."""
    await opened(ONE)
    await opened(TWO, policy=STRICT)
    refs = process(ONE), process(TWO)
    broadcasts.begin("all", ONE, TWO)
    broadcasts.begin("nobody", ONE, Name("nobody"))
    await wait_all_tasks_blocked()
    assert (TWO, CircuitOpen) == broadcasts.outcomes["all"]
    assert Name("nobody") == broadcasts.outcomes["nobody"][0]
    nothing_held(*refs)


class Fickle:
    """An address that leads to a process once."""

    def __init__(self, *refs):
        self.refs = list(refs)

    def whereis(self):
        return self.refs.pop() if self.refs else None


async def test_blame(tree, broadcasts, autojump_clock):
    """Who is in the way by one of its addresses is, whichever of them has passed the breaker first."""
    set_breaker(ONE, CircuitBreaker(failures=1))
    ref, small = process(ONE), process(capacity=1)
    send_nowait(small, 0)

    class Way:
        def whereis(self):
            return ref

    broadcasts.begin("all", Way(), ref, ONE, small)
    await wait_all_tasks_blocked()
    kill(ref)
    await wait_all_tasks_blocked()
    assert ProcessDown is broadcasts.outcomes["all"][1]
    set_breaker(fickle := Fickle(other := process()), STRICT)
    broadcasts.begin("fickle", fickle, fickle)
    await wait_all_tasks_blocked()
    assert (fickle, NoProcess) == broadcasts.outcomes["fickle"]
    assert {fickle: "open"} == delivery_statistics().breakers
    set_breaker(fickle, None)
    set_breaker(TWO, CircuitBreaker(failures=1))
    tight = spawn(idle, name=TWO, mailbox=MailboxOptions(capacity=1))
    broadcasts.begin("too much", TWO, tight)
    await wait_all_tasks_blocked()
    assert (TWO, MailboxFull) == broadcasts.outcomes["too much"]
    assert {TWO: "open"} == delivery_statistics().breakers
    nothing_held(small, tight, other)


async def test_probe_is_given_back(tree, broadcasts, autojump_clock):
    """A broadcast that fails because of another recipient lets the next one be the probe."""
    await opened(ONE)
    fine, full = process(ONE), process(capacity=1)
    send_nowait(full, 0)
    broadcasts.begin("all", ONE, full, within=20.0)
    await trio.sleep(11)
    assert {ONE: "half-open"} == delivery_statistics().breakers
    await trio.sleep(10)
    assert full == broadcasts.outcomes["all"][0]
    assert await send(ONE, "next")
    assert ["next"] == items(fine)
    nothing_held(fine, full)


# --------------------------------------------------------------------------------------- handing over


@pytest.mark.parametrize("event", [("mailbox", "overflowed"), ("letter", "added")])
@pytest.mark.parametrize("overflow", ["reject", "drop_newest", "crash", "block"])
@pytest.mark.parametrize("first", [True, False])
async def test_handlers_that_send(tree, event, overflow, first):
    """Who hears of a message that makes way, and sends one itself, takes nobody's last place."""
    oldest, other = process(capacity=1, overflow="drop_oldest"), process(capacity=1, overflow=overflow)
    await wait_all_tasks_blocked()
    send_nowait(oldest, "first")

    def alert(*_):
        if not alerts:
            alerts.append("alert")
            with suppress(MailboxFull):
                send_nowait(other, "alert")

    alerts = []
    current_runtime().telemetry.attach(("nursery_otp", *event), alert)
    recipients = [oldest, other] if first else [other, oldest]
    assert await broadcast(recipients, "all", strategy="all_or_nothing")
    assert ["alert"] == alerts
    await wait_all_tasks_blocked()
    assert other.alive or overflow == "crash"
    had = [*items(oldest), *items(other), *(letter.message for letter in dead_letters())]
    assert 2 == had.count("all")
    nothing_held(oldest, other)


async def test_handler_that_kills(tree):
    """A recipient that is killed while the others get the message has it as well."""
    oldest, other = process(capacity=1, overflow="drop_oldest"), process(capacity=1, overflow="drop_oldest")
    for ref in (oldest, other):
        send_nowait(ref, "first")
    bus = current_runtime().telemetry
    bus.attach(("nursery_otp", "mailbox", "overflowed"), lambda *_: [kill(ref) for ref in (oldest, other)])
    assert await broadcast([oldest, other], "all", strategy="all_or_nothing")
    await wait_all_tasks_blocked()
    assert 2 == [letter.message for letter in dead_letters()].count("all")


async def test_room_is_there_again(tree):
    """Room that was booked for the moment alone is there for others when a handler hears of it the next time."""
    other = process(capacity=2, overflow="reject")
    assert await broadcast([other], "all", strategy="all_or_nothing")
    send_nowait(other, "next")
    with pytest.raises(MailboxFull):
        send_nowait(other, "too much")
    assert ["all", "next"] == items(other)
    nothing_held(other)


# ------------------------------------------------------------------------------------------ cancelled


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope before the so-manieth step of one task, or when it sleeps after that; and counts its steps."""

    def __init__(self, name, step, *, asleep):
        self.name, self.step, self.asleep = name, step, asleep
        self.scope = trio.CancelScope()
        self.steps = 0

    def __enter__(self):
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_):
        trio.lowlevel.remove_instrument(self)

    def before_task_step(self, task):
        if task.name == self.name:
            self.steps += 1
            if self.steps == self.step and not self.asleep:
                self.scope.cancel()

    def after_task_step(self, task):
        if task.name == self.name and self.steps == self.step and self.asleep:
            self.scope.cancel()


class SlowToReturn(Desk):
    """A server whose restart takes its time."""

    async def init(self):
        if current_ref().incarnation > 1:
            await trio.sleep(25)


async def cancelled_at(step, asleep):
    """A broadcast that has to wait for everything there is to wait for; its steps, and whether all have the message."""
    done = []
    async with open_supervisor(max_restarts=5) as tree:
        child = await tree.start(SlowToReturn, name=THREE)
        await opened(ONE)
        await trio.sleep(2)
        await opened(TWO)
        full = [process(ONE, capacity=2), process(capacity=2)]
        others = [process() for _ in range(110)]
        for ref in full:
            send_nowait(ref, 0)
            send_nowait(ref, 0)
        with CancelAtStep("sender", step, asleep=asleep) as canceller:
            async with trio.open_nursery() as nursery:

                async def sender():
                    with canceller.scope:
                        recipients = [TWO, ONE, full[0], *others, THREE, full[1]]
                        await broadcast(recipients, "all", strategy="all_or_nothing", within=1000.0)
                        done.append(1)

                kill(child)
                await child.wait()
                nursery.start_soon(sender, name="sender")
                await trio.sleep(5)
                two = process(TWO)
                await trio.sleep(30)
                for ref in full:
                    for _ in range(2):
                        await trio.sleep(5)
                        ref._process.mailbox.receive_nowait()
        got = [items(ref).count("all") for ref in (*full, *others, two)] + [(await Desk.history(THREE)).count("all")]
        assert got == ([2, *([1] * (len(got) - 1))] if done else [0] * len(got))
        for _ in items(full[0]):
            full[0]._process.mailbox.receive_nowait()
        for name in (ONE, TWO):
            assert await send(name, "afterwards", within=20.0)
        nothing_held(*full, *others, two)
        tree.shutdown()
    return canceller.steps, bool(done)


@pytest.mark.parametrize("asleep", [False, True])
def test_cancelled_at_every_step(asleep):
    """Whenever it is cancelled, all have the message or nobody has, and nothing is held or waited for any more."""

    def run(step):
        return trio.run(cancelled_at, step, asleep, clock=MockClock(autojump_threshold=0))

    steps, done = run(0)
    assert done
    assert steps > 6  # it had to wait for two breakers, a name and two mailboxes, and began
    outcomes = [run(step)[1] for step in range(1, steps + 1)]
    assert not any(outcomes[:-2])  # in the last but one all get it, and a cancellation afterwards comes too late
