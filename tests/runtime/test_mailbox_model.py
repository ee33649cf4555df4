"""Mailboxes against a list: whatever is done to them, both hold what the list holds, and every item is counted."""

import math
from collections import Counter
from contextlib import suppress

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from trio.testing import wait_all_tasks_blocked

from nursery_otp import Exit, MailboxOptions, Normal, open_supervisor
from nursery_otp._runtime import lean_mailbox, mailbox
from nursery_otp._runtime.channel_mailbox import ChannelMailbox
from nursery_otp._runtime.lean_mailbox import LeanMailbox
from nursery_otp._runtime.mailbox import EMPTY, Booking
from nursery_otp._runtime.parcels import Parcel
from tests.runtime.boxes import ALL, drain, open_box

OVERFLOWS = ("block", "block", "block", "drop_newest", "drop_oldest", "drop_oldest", "reject", "crash")


class RecordingOwner:
    """Stands for the process."""

    def __init__(self):
        self.discarded = []
        self.crashes = self.overflows = 0

    def discard(self, item, reason):
        self.discarded.append((item, reason))

    def overflowed(self):
        self.overflows += 1

    def overflow_crash(self, _capacity):
        self.crashes += 1

    def received(self, _item):
        """Nobody waits for an answer."""


class InLine:
    """Whoever stands in line: with one message, or for some places."""

    def __init__(self, item, places=0):
        self.item = item
        self.places = places
        self.booking = Booking(places, self) if places else None
        self.inside = False

    def admitted(self):
        assert not self.inside
        self.inside = True


class MailboxMachine(RuleBasedStateMachine):
    """Everything that the runtime does with a mailbox, except for sleeping."""

    @initialize(
        kind=st.sampled_from([LeanMailbox, ChannelMailbox]),
        capacity=st.sampled_from([1, 2, 2, 3, math.inf]),
        overflow=st.sampled_from(OVERFLOWS),
    )
    def open(self, kind, capacity, overflow):
        self.owner = RecordingOwner()
        self.mailbox = kind(MailboxOptions(capacity=capacity, overflow=overflow), self.owner)
        self.capacity, self.overflow = capacity, overflow
        self.items = []
        self.line = []
        self.booked = []
        self.sent = self.handled = self.crashes = self.number = 0
        self.gone = []

    def __init__(self):
        super().__init__()
        # So that few messages are enough for the part that has been read to be cut off.
        self.short, lean_mailbox._SHORT = lean_mailbox._SHORT, 2
        self.many, mailbox._MANY = mailbox._MANY, 2

    def teardown(self):
        lean_mailbox._SHORT = self.short
        mailbox._MANY = self.many

    def next_number(self):
        self.number += 1
        return self.number

    def admit(self):
        """The model of waiting senders: whoever is first gets in as soon as there is room."""
        while self.line and self.room() >= max(1, self.line[0].places):
            first = self.line.pop(0)
            if first.booking is not None:
                self.booked.append(first)
            else:
                self.items.append(first.item)
                self.sent += 1

    def room(self):
        return self.capacity - len(self.items) - sum(each.places for each in self.booked)

    @rule()
    def signal(self):
        """A signal is accepted in any case."""
        item = Exit(None, Normal())
        self.mailbox.put(item)
        self.items.append(item)
        self.sent += 1

    @rule()
    def parcel(self):
        """A parcel is a message that may be taken back, if there is room for it."""
        item = Parcel.__new__(Parcel)
        item.void = False
        if self.room() > 0 and not self.line:
            assert self.mailbox.offer(item)
            self.items.append(item)
            self.sent += 1

    @rule(count=st.integers(1, 4))
    def messages(self, count):
        """Ordinary messages go by the policy."""
        for _ in range(count):
            self.message()

    def message(self):
        item = self.next_number()
        accepted = self.mailbox.offer(item)
        full = self.room() <= 0 or bool(self.line)
        assert accepted == (not full or self.overflow not in {"block", "reject"})
        if accepted:
            self.sent += 1
        if not full:
            self.items.append(item)
        elif self.overflow == "drop_newest":
            self.gone.append((item, "drop_newest"))
        elif self.overflow == "drop_oldest":
            oldest = next((old for old in self.items if not isinstance(old, Exit)), None)
            if oldest is not None:
                self.items = [old for old in self.items if old is not oldest]
                self.gone.append((oldest, "drop_oldest"))
            self.items.append(item)
        elif self.overflow == "crash":
            self.items.append(item)
            self.crashes += 1
        elif self.overflow == "block":
            sender = InLine(item)
            self.mailbox.queue_up(item, sender)
            self.line.append(sender)

    @rule()
    def take(self):
        """The first item, if there is one."""
        item = self.mailbox.take()
        if not self.items:
            assert item is EMPTY
            return
        assert self.items.pop(0) is item
        self.handled += 1
        self.admit()

    @rule(rest=st.integers(0, 2))
    def take_first(self, rest):
        """The first item of a kind, past all others."""
        item = self.mailbox.take_first(lambda item: isinstance(item, int) and item % 3 == rest)
        index = next((i for i, old in enumerate(self.items) if isinstance(old, int) and old % 3 == rest), None)
        if index is None:
            assert item is EMPTY
            return
        assert self.items.pop(index) is item
        self.handled += 1
        self.admit()

    @rule(rest=st.integers(0, 2))
    def remove(self, rest):
        """All items of a kind, together with those that come in while there is room for them."""

        def unwanted(item):
            return not isinstance(item, int) or item % 3 == rest

        removed = self.mailbox.remove(unwanted, "flushed")
        count = 0
        while any(map(unwanted, self.items)):
            item = next(filter(unwanted, self.items))
            self.items = [old for old in self.items if old is not item]
            self.gone.append((item, "flushed"))
            self.admit()
            count += 1
        assert count == removed

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def leave_line(self, data):
        """Who waits may give up."""
        sender = data.draw(st.sampled_from(self.line))
        assert self.mailbox.leave_line(sender)
        assert not self.mailbox.leave_line(sender)
        self.line.remove(sender)
        self.admit()

    @precondition(lambda self: self.overflow == "block")
    @rule(places=st.integers(1, 3))
    def book(self, places):
        """Places can be had for later; who does not get them at once stands in line for them, like a message."""
        sender = InLine(None, places)
        at_once = not self.line and self.room() >= places
        assert self.mailbox.book(sender.booking) == at_once
        if at_once:
            sender.admitted()
            self.booked.append(sender)
        else:
            self.mailbox.line_up(sender.booking)
            self.line.append(sender)

    @precondition(lambda self: self.booked)
    @rule(data=st.data(), used=st.booleans())
    def end_booking(self, data, used):
        """A booking is used, or given up: then whoever waits may have the room."""
        sender = data.draw(st.sampled_from(self.booked))
        if used:
            for _ in range(sender.places):
                item = self.next_number()
                self.mailbox.put(item)
                self.items.append(item)
                self.sent += 1
        self.mailbox.cancel_booking(sender.booking)
        self.mailbox.cancel_booking(sender.booking)
        self.booked.remove(sender)
        self.admit()

    @precondition(lambda self: any(isinstance(item, Parcel) for item in self.items))
    @rule(data=st.data())
    def take_back(self, data):
        """A parcel can be taken back: from then on it is as if it was not there."""
        item = data.draw(st.sampled_from([item for item in self.items if isinstance(item, Parcel)]))
        self.mailbox.take_back(item)
        self.items = [other for other in self.items if other is not item]
        self.gone.append((item, "taken back"))
        self.admit()

    @rule()
    def close(self):
        """All that is left is handed over; nothing of it counts as handled."""
        left, line = self.mailbox.close()
        assert self.items == left
        assert self.line + self.booked == [waiter.sender for waiter in line]
        assert self.capacity == self.mailbox.bound
        self.gone += [(item, "left") for item in left]
        self.owner.discarded += [(item, "left") for item in left]
        self.items, self.line, self.booked = [], [], []

    @invariant()
    def agree(self):
        """Contents, order, counters, and the law of conservation."""
        statistics = self.mailbox.statistics()
        assert list(map(id, self.items)) == list(map(id, self.mailbox.items()))
        assert (len(self.items), len(self.line)) == (statistics.queued, statistics.waiting_senders)
        assert (self.sent, self.handled) == (statistics.sent, statistics.handled)
        assert self.gone == self.owner.discarded
        assert self.crashes == self.owner.crashes
        assert statistics.sent == statistics.handled + statistics.queued + len(self.gone)
        assert not self.line or self.room() < max(1, self.line[0].places)
        assert all(sender.inside for sender in self.booked)
        assert not any(sender.inside for sender in self.line)
        assert (self.capacity, self.mailbox.bound) == (statistics.capacity, self.capacity)


TestMailboxMachine = MailboxMachine.TestCase
TestMailboxMachine.settings = settings(max_examples=150, stateful_step_count=30, derandomize=True, deadline=None)


STEPS = st.one_of(
    st.just(("send",)),
    st.tuples(st.just("send_nowait"), st.integers(1, 4)),
    st.just(("receive",)),
    st.just(("receive_nowait",)),
    st.just(("rest",)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
)


@settings(max_examples=80, derandomize=True, deadline=None)
@given(capacity=st.sampled_from([1, 2, math.inf]), steps=st.lists(STEPS, min_size=5, max_size=40))
def test_nothing_is_lost(capacity, steps):
    """However sending, reading and cancelling mix, what has been sent is read once, in order; and nothing else is."""
    for kind in ALL:
        trio.run(play, kind, capacity, steps)


async def play(kind, capacity, steps):
    """One mailbox, one reader at a time, any number of senders; every task may be cancelled at any moment."""
    async with open_supervisor() as tree:
        await Play(open_box(kind, capacity)).run(steps)
        tree.shutdown()


class Play:
    def __init__(self, box):
        self.box = box
        self.scopes = []
        self.sent, self.got = [], []
        self.reading = False
        self.number = 0

    async def run(self, steps):
        async with trio.open_nursery() as nursery:
            for step in steps:
                await self.step(nursery, *step)
            await wait_all_tasks_blocked()
            while self.box.counts() != (0, 0):
                self.got += drain(self.box)
                await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert Counter(self.sent) == Counter(self.got)
        assert self.got == sorted(self.got)

    async def step(self, nursery, kind, index=0):
        if kind == "send":
            self.number += 1
            nursery.start_soon(self.send, self.number, self.new_scope())
            await wait_all_tasks_blocked()  # so that the senders come in the order of their numbers
        elif kind == "send_nowait":
            for _ in range(index):
                self.number += 1
                with suppress(trio.WouldBlock):
                    self.box.send_nowait(self.number)
                    self.sent.append(self.number)
        elif kind == "receive" and not self.reading:
            self.reading = True
            nursery.start_soon(self.receive, self.new_scope())
        elif kind == "receive_nowait" and not self.reading:
            try:
                self.got.append(self.box.receive_nowait())
            except trio.WouldBlock:
                return
        elif kind == "rest":
            await wait_all_tasks_blocked()
        elif kind == "cancel" and index < len(self.scopes):
            self.scopes[index].cancel()

    def new_scope(self):
        self.scopes.append(trio.CancelScope())
        return self.scopes[-1]

    async def send(self, number, scope):
        with scope:
            await self.box.send(number)
            self.sent.append(number)

    async def receive(self, scope):
        with scope:
            self.got.append(await self.box.receive())
        self.reading = False
