"""The counts of a runtime, group by group: right, readable from any thread, and never going back."""

import sys
import threading

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    CallTimeout,
    Census,
    CircuitBreaker,
    GenServer,
    GroupCounts,
    MailboxOptions,
    Name,
    call,
    cast,
    current_runtime,
    kill,
    monitor,
    open_supervisor,
    send,
    send_nowait,
    set_breaker,
    spawn,
    start,
    stop,
)


class Counter(GenServer):
    @call
    def add(self, amount):
        return amount

    @cast
    def crash(self):
        raise KeyError


class Idler(GenServer):
    @cast
    def work(self):
        pass


@pytest.fixture
async def tree():
    async with open_supervisor(max_restarts=10**9) as supervisor:
        yield supervisor
        supervisor.shutdown()


@pytest.fixture
def fast_switching():
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("kind", ["lean", "channel"])
async def test_counts(tree, kind):
    """A group's counts are the sums over its processes, those that have ended included."""
    census = Census(current_runtime())
    counters = [await start(Counter, mailbox=MailboxOptions(kind=kind)) for _ in range(4)]
    for counter in counters:
        await Counter.add(counter, 1)
    await stop(counters[0])
    Counter.crash(counters[1])
    kill(counters[2])
    await counters[2].wait()
    sleeper = spawn(trio.sleep_forever, mailbox=MailboxOptions(kind=kind))
    other = spawn(trio.sleep_forever, mailbox=MailboxOptions(kind=kind))
    for _ in range(3):
        send_nowait(sleeper, 1)
    send_nowait(other, 1)
    await wait_all_tasks_blocked()
    groups = census.read().groups

    assert groups["Counter"] == GroupCounts(
        alive=1, started=4, ended={"normal": 1, "crashed": 1, "killed": 1}, sent=5, handled=5
    )
    assert groups["sleep_forever"] == GroupCounts(alive=2, queued=4, longest=3, started=2, sent=4)


async def test_lost(tree):
    """Dead letters and what was dropped are counted by reason."""
    census = Census(current_runtime())
    Counter.crash(Name[Counter]("nobody"))
    full = spawn(trio.sleep_forever, mailbox=MailboxOptions(capacity=1, overflow="drop_newest"))
    send_nowait(full, 1)
    send_nowait(full, 2)
    counts = census.read()

    assert {"noproc": 1} == counts.dead_lettered
    assert {"drop_newest": 1} == counts.dropped


async def test_others(tree, autojump_clock):
    """So are sends, timeouts, monitors, letters and circuit breakers."""
    census = Census(current_runtime())
    watched = spawn(trio.sleep_forever)

    async def watcher():
        monitor(watched)
        await trio.sleep_forever()

    spawn(watcher)
    set_breaker(Name("flaky"), CircuitBreaker(failures=1))
    await send(watched, 1)
    for _ in range(2):
        await send(Name("flaky"), 1, on_error="dead_letter")
    with pytest.raises(CallTimeout):
        await Counter.add.within(1)(watched, 1)
    counts = census.read()

    assert {"delivered": 1, "cancelled": 0, "NoProcess": 1, "CircuitOpen": 1} == counts.sends
    assert (2, 0, 1, 1) == (counts.letters, counts.retried, counts.monitors.created, counts.monitors.active)
    assert {("Counter.add", "call"): 1} == counts.timeouts
    assert {"closed": 0, "open": 1, "half-open": 0} == counts.breakers


async def test_close(tree):
    """A census that is closed counts no ends any more."""
    census = Census(current_runtime())
    census.close()
    await spawn(trio.lowlevel.checkpoint).wait()

    assert "checkpoint" not in census.read().groups
    assert "Census of" in repr(census)


async def test_ledger_in_a_thread(tree, fast_switching):
    """The ledger can be read from a thread while processes come and go."""
    runtime, over, problems, reads = current_runtime(), threading.Event(), [], []

    def read():
        try:
            while not over.is_set():
                reads.append(runtime.ledger())
        except Exception as error:
            problems.append(error)

    await hammer(read, over)

    assert [] == problems
    assert len(reads) > 10


async def hammer(read, over):
    """Processes of ever new kinds come and go while a thread reads."""
    thread = threading.Thread(target=read)
    thread.start()
    try:
        for number in range(600):
            kind = type(f"Kind{number % 150}", (Idler,), {})
            refs = [await start(kind) for _ in range(3)]
            for ref in refs:
                kind.work(ref)
            await trio.lowlevel.checkpoint()
            for ref in refs:
                kill(ref)
                await ref.wait()
    finally:
        over.set()
        thread.join()


def backwards(before, after):
    """What has become less that may only grow."""
    for label, count in before.items():
        now = after[label]
        for field in ("started", "sent", "handled"):
            if getattr(now, field) < getattr(count, field):
                yield label, field
        for kind, number in count.ended.items():
            if now.ended.get(kind, 0) < number:
                yield label, kind


async def test_trap_changed_size(tree, fast_switching):
    """TRAP: a thread reads while processes of ever new groups come and go: no error, and no counter goes back."""
    census, over, problems = Census(current_runtime()), threading.Event(), []
    reads = 0

    def read():
        nonlocal reads
        before = census.read().groups
        try:
            while not over.is_set():
                after = census.read().groups
                problems.extend(backwards(before, after))
                before = after
                reads += 1
        except Exception as error:
            problems.append(error)

    await hammer(read, over)
    counts = census.read().groups

    assert [] == problems
    assert reads > 10
    assert 1800 == sum(count.started for count in counts.values()) - counts["root"].alive
    assert 1800 == sum(count.ended.get("killed", 0) for count in counts.values())


class Fake:
    """A process as the census sees one, whose end is done in the three steps in which the runtime does it."""

    def __init__(self, world, label):
        self.world, self.label = world, label
        self.reason, self.mailbox, self._process = None, self, self
        self.sent = self.handled = 0
        self.left = [self.begin_to_end, self.tell_hooks, self.forget]

    def roughly(self):
        self.world.meanwhile()
        return self.sent - self.handled

    def begin_to_end(self):
        self.reason = KILLED

    def tell_hooks(self):
        for hook in self.world.hooks:
            hook(self, KILLED)

    def forget(self):
        self.sent = self.handled = 0
        del self.world.table[id(self)]


class World(dict):
    """A process table in which things happen while it is read; it is the runtime as well."""

    def __init__(self, during):
        self.table, self.hooks, self.during, self.all, self.total = self, [], list(during), [], 0

    def on_exit(self, hook):
        self.hooks.append(hook)
        return lambda: None

    def values(self):
        self.meanwhile()
        return super().values()

    def meanwhile(self):
        for step in self.during[:1]:
            del self.during[0]
            self.step(*step)

    def step(self, kind, index):
        if kind == "start":
            process = Fake(self, "ab"[index % 2])
            self[id(process)] = process
            self.all.append(process)
        elif self.all:
            process = self.all[index % len(self.all)]
            if kind == "message" and process.reason is None:
                process.sent += 1
                self.total += 1
            elif kind == "end" and process.left:
                process.left.pop(0)()


def naive(world):
    """A reader that goes through the table as it is."""
    return sum(process.roughly() for process in world.values())


@pytest.mark.parametrize("ours", [True, False])
def test_trap_changed_while_read(ours):
    """TRAP: a process that comes while the table is read. The naive reader, a plain loop, fails in that."""
    world = World([])
    census = Census(world)
    world.step("start", 0)
    world.during = [("message", 0), ("start", 1)]
    if ours:
        assert {"a": GroupCounts(alive=1, queued=1, longest=1, started=1, sent=1)} == census.groups()
    else:
        with pytest.raises(RuntimeError, match="dictionary changed size during iteration"):
            naive(world)


STEP = st.tuples(st.sampled_from(["start", "message", "message", "end", "end"]), st.integers(0, 5))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(STEP, st.just(("read", 0))), max_size=30), st.lists(STEP, max_size=15))
def test_never_back(steps, during):
    """Whatever happens between any two steps of a reading, no counter goes back, and at rest all are exact."""
    world = World(during)
    census = Census(world)
    before = census.groups()
    for kind, index in steps:
        if kind == "read":
            after = census.groups()
            assert [] == list(backwards(before, after))
            assert sum(count.sent for count in after.values()) <= world.total
            before = after
        else:
            world.step(kind, index)
    world.during.clear()
    for process in world.all:
        while process.left and len(process.left) < 3:
            process.left.pop(0)()  # nobody is half ended
    counts = census.groups().values()

    assert len(world.all) == sum(count.started for count in counts)
    assert world.total == sum(count.sent for count in counts)
    assert len(world) == sum(count.alive for count in counts)
