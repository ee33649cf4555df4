"""A broadcast to all or to nobody.

First everybody is found, see `searching`. Then room is booked in the mailbox of everybody, always in the order of their
pids, so that two broadcasts never wait for each other. When everybody has room, nothing awaits any more until everybody
has the message. An end, a limit or a cancellation before that gives all rooms back.

Where the policy is "block" one can wait for room. The other mailboxes are asked at the last moment, and their room is
booked for that moment alone; nobody loses a message for a mere booking. One that drops its oldest message tells of it,
and who hears that may send to the others: so those come last, when the room of the others is used.
"""

from __future__ import annotations

from typing import Any

import trio

from nursery_otp._policy.delivery import DELIVERED, BroadcastResult
from nursery_otp._runtime.context import process_of_task
from nursery_otp._runtime.cycles import deadlock
from nursery_otp._runtime.delivery import begin_span, context_of, end_span
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.mailbox import Booking
from nursery_otp._runtime.messages import Envelope, MessageInfo
from nursery_otp._runtime.parcels import SEND, why_lost
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.searching import BATCH, Finding, Obstacle, Order, Search, Sleeper
from nursery_otp.errors import BroadcastFailed, DeliveryTimeout

WAITS = "block"
TAKES_ALL = "drop_oldest"


@protected
class Hold:
    """What is booked with one process, for one or more addresses that lead there."""

    __slots__ = ("_sleeper", "booking", "has_room", "process", "searches")

    def __init__(self, sleeper: Sleeper, process: Process) -> None:
        self._sleeper = sleeper
        self.booking: Booking | None = None
        self.has_room = False
        self.process = process
        self.searches: list[Search] = []

    @property
    def address(self) -> Any:
        """What the process was found by."""
        return self.searches[0].address

    def book(self) -> None:
        """Have room kept, at once or in turn; it `has_room` when that is so."""
        self.booking = Booking(len(self.searches), self)
        if self.process.mailbox.book(self.booking):
            self.has_room = True
        else:
            self.process.mailbox.line_up(self.booking)

    def claim(self) -> None:
        """Have the room kept that is there, where none was booked before."""
        if self.booking is None and self.process.mailbox.overflow != TAKES_ALL:
            self.booking = Booking(len(self.searches), self)
            self.process.mailbox.keep_room(self.booking)

    def release(self) -> None:
        """Give the room back, or the place in the line."""
        booking, self.booking = self.booking, None
        if booking is not None:
            mailbox = self.process.mailbox
            if not self.has_room:
                mailbox.leave_line(self)
            mailbox.cancel_booking(booking)

    def refusal(self) -> Exception | None:
        """Why this process cannot get the message, if waiting for room would not help."""
        process, mailbox = self.process, self.process.mailbox
        can_be_made = mailbox.overflow in (WAITS, TAKES_ALL)
        room = mailbox.bound if can_be_made else mailbox.bound - len(mailbox)
        if process.doomed or mailbox.closed or len(self.searches) > room:
            return why_lost(self.address, process)
        return None

    def hand_over(self, message: object, info: MessageInfo | None) -> None:
        """Now everybody has room: here it is used."""
        for search in self.searches:
            bare = info is None and search.context is None
            item = message if bare else Envelope(message, search.context, info)
            if self.booking is None:
                self.process.offer(item)
            else:
                self.process.deliver(item)

    def admitted(self) -> None:
        """There was room at last."""
        self.has_room = True
        self._sleeper.wake()

    def lost(self, process: Process) -> Exception:
        """The process has ended, or wants nothing more."""
        return why_lost(self.address, process)

    def fail(self, error: BaseException) -> bool:
        """That is in everybody's way."""
        self._sleeper.wake((self.searches[0], error))
        return True


@protected
class TwoPhases:
    """One broadcast."""

    __slots__ = ("_finding", "_holds", "_order", "_sleeper", "_wanted", "alarm", "searches")

    def __init__(self, order: Order) -> None:
        caller = process_of_task()
        self._holds: dict[Process, Hold] = {}
        self._order = order
        self._sleeper = Sleeper()
        self._wanted: Hold | None = None
        self.alarm = 0
        self.searches = [Search(recipient, order.message, caller) for recipient in order.recipients]
        self._finding = Finding(order, self.searches, self._sleeper)

    async def run(self) -> Obstacle | None:
        """Deliver to all, or tell who is in the way and why."""
        try:
            await self._finding.run()
            await self._book_all()
            return self._sleeper.obstacle or self._commit()
        finally:
            self._finding.end()
            for hold in self._holds.values():
                hold.release()

    # ------------------------------------------------------------------------------------- having room

    async def _book_all(self) -> None:
        if self._sleeper.obstacle is not None:
            return
        for search in self.searches:
            if search.found not in self._holds:
                self._holds[search.found] = Hold(self._sleeper, search.found)
            self._holds[search.found].searches.append(search)
        # Every broadcast goes through the mailboxes in this order, so that no two of them wait for each other.
        in_order = sorted(self._holds.values(), key=lambda hold: (id(hold.process.runtime), hold.process.pid))
        for number, hold in enumerate(in_order, start=1):
            if number % BATCH == 0:
                await trio.lowlevel.checkpoint()
            await self._book(hold)
            if self._sleeper.obstacle is not None:
                return

    async def _book(self, hold: Hold) -> None:
        error = hold.refusal()
        if error is not None:
            hold.fail(error)
        elif hold.process.mailbox.overflow == WAITS:
            hold.book()
            if not hold.has_room:
                await self._wait_for(hold)

    async def _wait_for(self, hold: Hold) -> None:
        search, alarms = hold.searches[0], hold.process.runtime.alarms
        caller = search.caller
        self._wanted = hold
        cycle = deadlock(SEND, caller, hold.process) if self.certain else None
        if cycle is not None:
            self._wanted = None
            hold.fail(cycle)
            return
        alarms.arm(search.deadline, self)
        if caller is not None:
            caller.waits_for = self
        try:
            await self._sleeper.until(lambda: hold.has_room)
        finally:
            alarms.disarm(self)
            self._wanted = None
            if caller is not None:
                caller.waits_for = None

    @property
    def process(self) -> Process | None:
        """Whose mailbox has to get room."""
        return None if self._wanted is None else self._wanted.process

    @property
    def certain(self) -> bool:
        """Whether only that process can bring about what is waited for."""
        return self._wanted is None or not self._wanted.process.mailbox.may_shrink

    def on_alarm(self) -> None:
        """The limit has passed."""
        if self._wanted is not None:
            search = self._wanted.searches[0]
            search.runtime.limits.send_fired(search.address, search.limit)
            self._wanted.fail(DeliveryTimeout(search.address, search.limit, "accepted", handling=False))

    # ------------------------------------------------------------------------------------------ handing over

    def _commit(self) -> Obstacle | None:
        """See whether anything has changed while others were waited for; if not, all have it. Nothing here awaits."""
        for hold in self._holds.values():
            error = hold.refusal()
            if error is not None:
                return hold.searches[0], error
        for hold in self._holds.values():
            hold.claim()
        # What follows may run code of users. The room of the first ones is theirs, and the last ones always have room.
        for takes_all in (False, True):
            for hold in self._holds.values():
                if (hold.booking is None) == takes_all:
                    hold.hand_over(self._order.message, self._order.info)
        return None


# ---------------------------------------------------------------------------------------- the outcome


@protected
async def all_or_nothing(order: Order) -> BroadcastResult:
    """Carry out a broadcast to all or to nobody."""
    phases = TwoPhases(order)
    spans = {
        search: begin_span(search.runtime, search.address, order.message, order.correlation_id)
        for search in phases.searches
    }
    for search, span in spans.items():
        search.context = context_of(span)
    try:
        obstacle = await phases.run()
    except BaseException as interruption:
        for search, span in spans.items():
            search.over(interruption)
            search.runtime.delivery_counts.cancelled += 1
            end_span(span, interruption)
        raise
    failure = None if obstacle is None else _failure(order, *obstacle)
    for search, span in spans.items():
        error = obstacle[1] if obstacle is not None and search is obstacle[0] else failure
        _tell_breaker(search, obstacle)
        search.runtime.delivery_counts.told(error)
        end_span(span, error)
    await trio.lowlevel.cancel_shielded_checkpoint()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure, error, obstacle  # its traceback refers to this frame, and only the collector undoes a cycle
    return BroadcastResult(order.strategy, order.recipients, (DELIVERED,) * len(order.recipients))


def _tell_breaker(search: Search, obstacle: Obstacle | None) -> None:
    """Whoever passed the gate with the one in the way shares the blame: only the first of them has the leave."""
    if obstacle is None:
        search.over(None)
    else:
        culprit, error = obstacle
        guilty = search is culprit or (search.gate is not None and search.gate is culprit.gate)
        search.over(error, guilty=guilty)


def _failure(order: Order, culprit: Search, error: Exception) -> BroadcastFailed:
    return BroadcastFailed(order.strategy, len(order.recipients), ((culprit.address, error),))
