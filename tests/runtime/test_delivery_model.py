"""Whatever happens to recipients and senders, every outcome of a send agrees with what the recipients really did."""

from collections import Counter

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp import (
    Backoff,
    CircuitBreaker,
    DeliveryOptions,
    DeliveryTimeout,
    GenServer,
    MailboxOptions,
    Name,
    ProcessDown,
    Stop,
    broadcast,
    current_runtime,
    dead_letters,
    delivery_statistics,
    kill,
    mailbox,
    open_supervisor,
    resume,
    send,
    spawn,
    stop_nowait,
    suspend,
)
from tests.runtime.boxes import OURS

NAMES = [Name(f"recipient-{number}") for number in range(4)]
BACKOFF = Backoff(initial=0.5, factor=2.0, maximum=2.0, jitter=0.5)
WORK = st.sampled_from(["quick", "slow", "slow", "slow", "crash", "stop"])
SEND = st.fixed_dictionaries(
    {
        "recipient": st.integers(0, 3),
        "by_ref": st.booleans(),
        "work": WORK,
        "confirm": st.sampled_from(["enqueued", "handled", "handled"]),
        "retries": st.sampled_from([0, 0, 2]),
        "on_error": st.sampled_from(["raise", "raise", "log", "dead_letter", "ignore"]),
        "within": st.sampled_from([0.5, 2.0, 9.0]),
    }
)
STEP = st.one_of(
    st.tuples(st.just("send"), SEND),
    st.tuples(st.just("send"), SEND),
    st.tuples(st.just("send"), SEND),
    st.tuples(st.just("broadcast"), st.lists(st.integers(0, 3), max_size=4)),
    st.tuples(st.sampled_from(["kill", "stop", "close", "suspend", "resume"]), st.integers(0, 3)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("pass"), st.sampled_from([0.0, 0.25, 1.0, 4.0])),
)
TREE = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(OURS),
        "capacity": st.sampled_from([1, 2, 100]),
        "overflow": st.lists(
            st.sampled_from(["block", "block", "reject", "drop_newest", "drop_oldest"]), min_size=4, max_size=4
        ),
        "breaker": st.sampled_from([None, None, CircuitBreaker(failures=2, cool_down=3.0, buffer=2)]),
    }
)


class Record:
    """What recipients did with messages, by number."""

    def __init__(self):
        self.started = Counter()
        self.finished = Counter()

    async def work(self, message):
        """What a message asks for."""
        number, work = message
        self.started[number] += 1
        match work:
            case "slow":
                await trio.sleep(1.5)
            case "crash":
                raise ValueError("planted")
            case "stop":
                self.finished[number] += 1
                raise Stop
        self.finished[number] += 1


class Server(GenServer):
    def __init__(self, record: Record) -> None:
        self.record = record

    async def handle_info(self, message):
        await self.record.work(message)


async def reader(record):
    """The same as a plain function; it ends when its mailbox is closed."""
    try:
        async for message in mailbox():
            await record.work(message)
    except trio.ClosedResourceError:
        return


class Sent:
    """One send and its outcome."""

    def __init__(self, number, options):
        self.number = number
        self.options = dict(options)
        self.scope = trio.CancelScope()
        self.delivery = self.error = None
        self.cancelled = False

    async def run(self, recipient):
        options = {key: self.options[key] for key in ("confirm", "retries", "on_error", "within")}
        message = (self.number, self.options["work"])
        with self.scope:
            try:
                self.delivery = await send(recipient, message, backoff=BACKOFF, **options)
            except trio.Cancelled:
                self.cancelled = True
                raise
            except Exception as error:
                self.error = error

    @property
    def failure(self):
        return self.error or (self.delivery.error if self.delivery is not None else None)

    def check(self, record, letters):
        """Does the outcome agree with what happened?"""
        started, finished = record.started[self.number], record.finished[self.number]
        confirmed, once = self.options["confirm"] == "handled", self.options["retries"] == 0
        assert started >= finished
        assert finished <= 1 or not once
        if self.cancelled:
            assert started <= 1 or not once
        elif self.delivery:
            if confirmed:
                assert finished == 1
                assert started == self.delivery.attempts or not once
                assert self.number not in letters
            else:
                assert started + letters[self.number] == 1  # read, or left behind; never both, never neither
        else:
            self._check_failure(started, finished, confirmed, once)
            handled = isinstance(self.failure, DeliveryTimeout) and self.failure.handling and finished
            kept = self.options["on_error"] == "dead_letter" and not handled
            assert letters[self.number] == kept

    def _check_failure(self, started, finished, confirmed, once):
        error = self.failure
        assert error is not None
        if isinstance(error, DeliveryTimeout) and error.handling:
            assert confirmed
            assert started >= 1
        elif isinstance(error, ProcessDown) and confirmed:
            assert finished == 0 or not once  # killed in the middle of it, perhaps
        elif once:
            assert started == 0
        if not confirmed:
            assert started == 0


class World:
    """Four recipients under a supervisor, any number of senders."""

    def __init__(self, tree, nursery, clock, options):
        self.tree, self.nursery, self.clock, self.options = tree, nursery, clock, options
        self.record = Record()
        self.sent, self.broadcasts = [], []
        self.number = 0

    async def open(self):
        for index, name in enumerate(NAMES):
            overflow = self.options["overflow"][index]
            box = MailboxOptions(capacity=self.options["capacity"], overflow=overflow, kind=self.options["kind"])
            factory = Server if index % 2 else reader
            restart = ("permanent", "permanent", "transient", "temporary")[index]
            shutdown = 1.0
            await self.tree.start(
                factory, self.record, name=name, mailbox=box, restart=restart, shutdown=shutdown,
                backoff=BACKOFF if index < 2 else None,
            )  # fmt: skip

    def ref(self, index):
        return current_runtime().names().get(NAMES[index].text)

    async def step(self, kind, value):
        self.number += 1
        ref = self.ref(value) if isinstance(value, int) and value < 4 else None
        match kind:
            case "send":
                one = Sent(self.number, value)
                self.sent.append(one)
                recipient = NAMES[value["recipient"]]
                if value["by_ref"]:
                    recipient = self.ref(value["recipient"]) or recipient
                self.nursery.start_soon(one.run, recipient)
            case "broadcast":
                self.nursery.start_soon(self.broadcast, self.number, [NAMES[index] for index in value])
            case "kill" if ref is not None:
                kill(ref)
            case "stop" if ref is not None:
                stop_nowait(ref)
            case "close" if ref is not None and value % 2 == 0:
                ref._process.close_mailbox()
            case "suspend" | "resume" if ref is not None and value % 2 == 1:
                self.nursery.start_soon(self.system, suspend if kind == "suspend" else resume, ref)
            case "cancel" if self.sent:
                self.sent[value % len(self.sent)].scope.cancel()
            case "pass":
                await wait_all_tasks_blocked()
                self.clock.jump(value)
                await wait_all_tasks_blocked()

    async def system(self, request, ref):
        try:
            await request(ref, within=1.0)
        except Exception:
            return

    async def broadcast(self, number, recipients):
        try:
            result = await broadcast(recipients, (number, "quick"), within=2.0)
        except Exception as error:
            raise AssertionError from error
        self.broadcasts.append((number, result))

    def check(self):
        letters = Counter(letter.message[0] for letter in dead_letters())
        for one in self.sent:
            one.check(self.record, letters)
        for number, result in self.broadcasts:
            assert self.record.started[number] + letters[number] == len(result.delivered)
        statistics = delivery_statistics()
        begun = [one for one in self.sent if one.delivery is not None or one.error is not None]
        failed = sum(one.failure is not None for one in begun)
        shares = sum(len(result.recipients) for _, result in self.broadcasts)
        missed = sum(len(result.failures) for _, result in self.broadcasts)
        assert statistics.delivered == len(begun) - failed + shares - missed
        assert sum(statistics.failed.values()) == failed + missed
        assert statistics.waiting == 0
        assert statistics.cancelled <= sum(one.cancelled for one in self.sent)
        assert [] == [waiter for _, waiter in current_runtime().alarms.armed() if hasattr(waiter, "confirmed")]
        for process in current_runtime().table.values():
            assert process.waits_for is None
            assert not process.mailbox.line
            assert not process.mailbox.booked
        assert current_runtime().ledger().balanced


@settings(max_examples=200, derandomize=True, deadline=None)
@given(TREE, st.lists(STEP, min_size=20, max_size=60))
def test_outcomes(options, steps):
    """What is delivered was handled or lies there, what failed was not and never will be, and all of it is counted."""
    clock = MockClock()
    trio.run(play, clock, options, steps, clock=clock)


async def play(clock, options, steps):
    """One tree, one history."""
    delivery = DeliveryOptions(breaker=options["breaker"])
    async with open_supervisor(max_restarts=1000, delivery=delivery, seed=1) as tree:
        async with trio.open_nursery() as nursery:
            world = World(tree, nursery, clock, options)
            await world.open()
            for step in steps:
                await world.step(*step)
            clock.autojump_threshold = 0
        await trio.sleep(100)
        for index in (1, 3):
            if world.ref(index) is not None:
                await world.system(resume, world.ref(index))  # a full mailbox may refuse; then it is killed below
        await trio.sleep(1000)  # what is left is worked off
        for ref in current_runtime().processes()[1:]:
            if len(ref._process.mailbox):
                kill(ref)
                await ref.wait()
        world.check()
        tree.shutdown()


async def test_spawned_reader(autojump_clock):
    """The recipients of the model do what the model says."""
    record = Record()
    async with open_supervisor() as tree:
        ref = spawn(reader, record)
        assert await send(ref, (1, "slow"), confirm="handled")
        assert (1, 1) == (record.started[1], record.finished[1])
        tree.shutdown()
