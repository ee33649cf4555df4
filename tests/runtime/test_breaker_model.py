"""Sends, broadcasts and breakers in any history, with handlers of events that meddle whenever they can."""

import math
from collections import Counter

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp import (
    BroadcastFailed,
    CircuitBreaker,
    MailboxFull,
    MailboxOptions,
    Name,
    NameTaken,
    broadcast,
    current_runtime,
    dead_letters,
    delivery_statistics,
    kill,
    mailbox,
    open_supervisor,
    send,
    send_nowait,
    set_breaker,
    spawn,
    unregister,
    whereis,
)

NAMES = Name("a"), Name("b"), Name("c")
WHERE = st.integers(0, 5)
POLICIES = st.sampled_from([None, (1, 0), (1, 1), (1, math.inf), (2, math.inf)])
LIMITS = st.sampled_from([0.5, 3.0, 50.0])

MEDDLING = st.one_of(
    st.tuples(st.just("breaker"), WHERE, POLICIES),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("kill"), WHERE),
    st.tuples(st.just("unregister"), WHERE),
    st.tuples(st.just("fill"), WHERE),
    st.tuples(st.just("nothing")),
)
STEPS = st.one_of(
    st.tuples(st.just("send"), WHERE, st.sampled_from(["enqueued", "handled"]), LIMITS),
    st.tuples(st.just("broadcast"), st.lists(WHERE, max_size=5), st.just("best_effort"), LIMITS),
    st.tuples(st.just("broadcast"), st.lists(WHERE, max_size=5), st.just("all_or_nothing"), LIMITS),
    st.tuples(st.just("hold"), WHERE, st.sampled_from(["block", "reject", "drop_oldest"]), st.booleans()),
    st.tuples(st.just("pass"), st.sampled_from([0.0, 0.0, 1.0, 2.0, 5.0])),
    MEDDLING,
)


class Via:
    """An address that cannot be a key, and leads to whoever holds a name."""

    __hash__ = None

    def __init__(self, name):
        self.name = name

    def whereis(self):
        return whereis(self.name)


class World:
    """Some recipients, and the tasks that send to them."""

    def __init__(self, nursery, meddling):
        self.nursery = nursery
        self.meddling = list(reversed(meddling))
        self.refs = []
        self.got = []
        self.scopes = []
        self.open = 0
        self.wanted = Counter()
        self.maybe = set()
        self.vias = [Via(name) for name in NAMES]

    def address(self, index):
        """A name, or what leads to its holder: a ref, which may be an old one, or an object."""
        name, way = NAMES[index % 3], index // 3
        if way == 0:
            return name
        return self.refs[index % len(self.refs)] if self.refs and index % 2 else self.vias[index % 3]

    def on_event(self, _event, _measured, _about):
        """Do the next thing that is to be done behind everybody's back."""
        if self.meddling:
            self.do(*self.meddling.pop())

    def do(self, what, *arguments):
        """One step."""
        getattr(self, f"do_{what}")(*arguments)

    def do_nothing(self):
        """This time nobody meddles."""

    def do_breaker(self, where, policy):
        """Give a recipient another breaker, or none."""
        chosen = policy and CircuitBreaker(failures=policy[0], cool_down=2.0, buffer=policy[1])
        set_breaker(self.address(where), chosen)

    def do_cancel(self, which):
        """Cancel one of those who send."""
        if self.scopes:
            self.scopes[which % len(self.scopes)].cancel()

    def do_kill(self, where):
        """End a holder."""
        ref = whereis(NAMES[where % 3])
        if ref is not None:
            kill(ref)

    def do_unregister(self, where):
        """Take the name away from a holder."""
        if whereis(NAMES[where % 3]) is not None:
            unregister(NAMES[where % 3])

    def do_fill(self, where):
        """Send something that nobody waits for."""
        ref = whereis(NAMES[where % 3])
        if ref is not None:
            try:
                send_nowait(ref, "filler")
            except MailboxFull:
                return

    def do_hold(self, where, overflow, reads):
        """Let somebody hold a name."""
        try:
            box = MailboxOptions(capacity=2, overflow=overflow)
            self.refs.append(spawn(self.read if reads else trio.sleep_forever, name=NAMES[where % 3], mailbox=box))
        except NameTaken:
            return

    async def read(self):
        """A holder that reads now and then."""
        async for message in mailbox():
            self.got.append(message)
            await trio.sleep(0.25)

    def do_send(self, where, confirm, within):
        """A send."""
        self.begin(self.send, self.address(where), confirm, within)

    def do_broadcast(self, recipients, strategy, within):
        """A broadcast."""
        self.begin(self.broadcast, [self.address(where) for where in recipients], strategy, within)

    def begin(self, work, *arguments):
        """Let one more send; its message is its number."""
        number, scope = len(self.scopes), trio.CancelScope()
        self.scopes.append(scope)
        self.open += 1

        async def run():
            with scope:
                await work(number, *arguments)
            self.open -= 1

        self.nursery.start_soon(run)

    async def send(self, number, recipient, confirm, within):
        """Send the number."""
        if confirm == "handled":
            self.maybe.add(number)  # it may be handled, and the sender cancelled meanwhile
        self.wanted[number] = int(
            bool(await send(recipient, number, confirm=confirm, within=within, on_error="ignore"))
        )

    async def broadcast(self, number, recipients, strategy, within):
        """Send the number to many. Cancelled: some may have it, unless it is for all or nobody."""
        if strategy != "all_or_nothing":
            self.maybe.add(number)
        try:
            result = await broadcast(recipients, number, strategy=strategy, within=within)
            self.wanted[number] = len(result.delivered)
            self.maybe.discard(number)
        except BroadcastFailed:
            return

    def check(self):
        """Everybody has been told the truth, and nothing is left of anybody."""
        runtime = current_runtime()
        assert 0 == self.open
        found = Counter(message for message in self.got if message != "filler")
        found.update(letter.message for letter in dead_letters() if letter.message != "filler")
        for ref in runtime.processes():
            box = ref._process.mailbox
            found.update(message for message in box.items() if message != "filler")
            assert (None, 0) == (box.line, len(box.booked or ()))
        for number in range(len(self.scopes)):
            assert number in self.maybe or found[number] == self.wanted[number], number
        assert 0 == delivery_statistics().waiting
        assert [] == runtime.alarms.armed()
        for gate in runtime.breakers._gates.values():
            assert not any((gate._under_way, gate._walking, gate.line, gate.state.probing, gate.taken_away))
        ledger = runtime.ledger()
        assert ledger.balanced, ledger


async def play(clock, steps, meddling):
    """One history, and a long time for everything to come to its end."""
    async with open_supervisor() as tree:
        async with trio.open_nursery() as nursery:
            world = World(nursery, meddling)
            for prefix in (("breaker",), ("mailbox",), ("send", "stop"), ("letter", "added")):
                current_runtime().telemetry.attach(("nursery_otp", *prefix), world.on_event)
            for name in NAMES[:2]:
                set_breaker(name, CircuitBreaker(failures=1, cool_down=2.0, buffer=3))
            for what, *arguments in steps:
                if what == "pass":
                    await wait_all_tasks_blocked()
                    clock.jump(arguments[0])
                    await wait_all_tasks_blocked()
                else:
                    world.do(what, *arguments)
            clock.autojump_threshold = 0
        await trio.sleep(1000)
        world.check()
        tree.shutdown()


@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.lists(STEPS, min_size=5, max_size=40), st.lists(MEDDLING, max_size=12))
def test_any_history(steps, meddling):
    """Whatever handlers do at any event: who was told that all have it, they have; who failed, nobody has; all end."""
    clock = MockClock()
    trio.run(play, clock, steps, meddling, clock=clock)
