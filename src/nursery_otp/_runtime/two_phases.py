"""A broadcast to all or to nobody.

First room is booked in the mailbox of everybody, always in the order of their pids, so that two broadcasts never wait
for each other. When everybody has room, nothing awaits any more until everybody has the message. An end, a limit or a
cancellation before that gives all rooms back. Only where the policy is "block" there is something to book, as only
there one can wait; the other mailboxes are asked at the last moment, and nobody loses a message for a mere booking.
"""

from __future__ import annotations

from typing import Any

import attrs
import outcome
import trio

from nursery_otp._policy.delivery import DELIVERED, BroadcastResult, SendOptions, Strategy
from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.context import process_of_task
from nursery_otp._runtime.cycles import deadlock
from nursery_otp._runtime.delivery import begin_span, context_of, end_span
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.limits import send_label
from nursery_otp._runtime.mailbox import Booking
from nursery_otp._runtime.messages import Envelope, MessageInfo
from nursery_otp._runtime.parcels import SEND, Parcel, why_lost
from nursery_otp._runtime.process import Process
from nursery_otp.errors import BroadcastFailed, DeliveryTimeout

BATCH = 100
"""How many recipients are seen to between two checkpoints."""
WAITS = "block"
TAKES_ALL = "drop_oldest"


@attrs.frozen
class Order:
    """What a broadcast is to do."""

    recipients: tuple[Any, ...]
    message: object
    info: MessageInfo | None
    strategy: Strategy
    options: SendOptions

    @property
    def correlation_id(self) -> str | None:
        """What the message belongs to."""
        return None if self.info is None else self.info.correlation_id

    def limit_of(self, parcel: Parcel) -> float:
        """How long it may take with this recipient, in seconds."""
        within = self.options.within
        return parcel.runtime.limits.of_send(parcel.address) if within is None else within


@protected
class Search(Parcel):
    """A parcel that only looks where it would have to go, and there keeps the leave of the circuit breaker."""

    __slots__ = ("found",)

    def bind(self, process: Process) -> None:
        """This is where it would have to go."""
        if self.done:
            return
        if process.doomed or process.mailbox.closed:
            self.fail(self.lost(process))
        else:
            self.found = process
            self.reply(None)

    def take(self, result: outcome.Outcome[Any]) -> None:
        """The sender's side; the breaker is told later what became of it."""
        Call.take(self, result)

    def over(self, error: BaseException | None, *, guilty: bool = False) -> None:
        """The broadcast is over; `guilty` if this recipient was in its way."""
        passage, self.passage = self.passage, None
        if passage is None:
            return
        if error is None or (guilty and isinstance(error, Exception)):
            passage.over(error)
        else:
            passage.given_up()


@protected
class Hold:
    """What is booked with one process, for one or more addresses that lead there."""

    __slots__ = ("_phases", "booking", "process", "searches")

    def __init__(self, phases: TwoPhases, process: Process) -> None:
        self._phases = phases
        self.booking: Booking | None = None
        self.process = process
        self.searches: list[Search] = []

    @property
    def address(self) -> Any:
        """What the process was found by."""
        return self.searches[0].address

    def book(self) -> bool:
        """Have room kept; False if one has to wait for it in line."""
        self.booking = Booking(len(self.searches), self)
        if self.process.mailbox.book(self.booking):
            return True
        self.process.mailbox.line_up(self.booking)
        return False

    def release(self) -> None:
        """Give the room back, or the place in the line."""
        if self.booking is not None:
            mailbox = self.process.mailbox
            mailbox.leave_line(self)
            mailbox.cancel_booking(self.booking)

    def refusal(self) -> Exception | None:
        """Why this process cannot get the message, if waiting for room would not help."""
        process, mailbox = self.process, self.process.mailbox
        room = mailbox.bound if mailbox.overflow == WAITS else mailbox.bound - len(mailbox)
        fits = len(self.searches) <= room or mailbox.overflow == TAKES_ALL
        if process.doomed or mailbox.closed or not fits:
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
        self._phases.wake(None)

    def lost(self, process: Process) -> Exception:
        """The process has ended, or wants nothing more."""
        return why_lost(self.address, process)

    def fail(self, error: BaseException) -> bool:
        """That is in everybody's way."""
        self._phases.wake((self.searches[0], error))
        return True


@protected
class TwoPhases:
    """One broadcast."""

    __slots__ = ("_left", "_order", "_task", "_wanted", "alarm", "holds", "obstacle", "searches")

    def __init__(self, order: Order) -> None:
        caller = process_of_task()
        self._order = order
        self._left = 0
        self._task: trio.lowlevel.Task | None = None
        self._wanted: Hold | None = None
        self.alarm = 0
        self.holds: dict[Process, Hold] = {}
        self.obstacle: tuple[Search, Any] | None = None
        self.searches = [Search(recipient, order.message, confirmed=False) for recipient in order.recipients]
        for search in self.searches:
            search.caller = caller

    async def run(self) -> tuple[Search, Any] | None:
        """Deliver to all, or tell who is in the way and why."""
        try:
            obstacle = await self._find_all() or await self._book_all() or self._last_look()
            if obstacle is None:
                for hold in self.holds.values():
                    hold.hand_over(self._order.message, self._order.info)
            return obstacle
        finally:
            self._let_go()

    # ------------------------------------------------------------------------------------- who it is

    async def _find_all(self) -> tuple[Search, Any] | None:
        self._left = len(self.searches)
        for number, search in enumerate(self.searches, start=1):
            search.listener = self._found
            search.start(self._order.limit_of(search))
            if number % BATCH == 0:
                await trio.lowlevel.checkpoint()
        while self._left > 0 and self.obstacle is None:
            await self._park()
        return self.obstacle

    def _found(self, search: Any) -> None:
        self._left -= 1
        error = search.failure()
        self.wake(None if error is None else (search, error))

    # ------------------------------------------------------------------------------------- having room

    async def _book_all(self) -> tuple[Search, Any] | None:
        for search in self.searches:
            if search.found not in self.holds:
                self.holds[search.found] = Hold(self, search.found)
            self.holds[search.found].searches.append(search)
        # Every broadcast goes through the mailboxes in this order, so that no two of them wait for each other.
        in_order = sorted(self.holds.values(), key=lambda hold: (id(hold.process.runtime), hold.process.pid))
        for number, hold in enumerate(in_order, start=1):
            if number % BATCH == 0:
                await trio.lowlevel.checkpoint()
            error = hold.refusal()
            if error is not None:
                return hold.searches[0], error
            if hold.process.mailbox.overflow == WAITS and not hold.book():
                await self._wait_for(hold)
            if self.obstacle is not None:
                return self.obstacle
        return None

    async def _wait_for(self, hold: Hold) -> None:
        search, alarms = hold.searches[0], hold.process.runtime.alarms
        caller = search.caller
        cycle = deadlock(SEND, caller, hold.process)
        if cycle is not None:
            self.obstacle = search, cycle
            return
        self._wanted = hold
        alarms.arm(search.deadline, self)
        if caller is not None:
            caller.waits_for = self
        try:
            await self._park()
        finally:
            alarms.disarm(self)
            self._wanted = None
            if caller is not None:
                caller.waits_for = None

    @property
    def process(self) -> Process | None:
        """Whose mailbox has to get room."""
        return None if self._wanted is None else self._wanted.process

    def on_alarm(self) -> None:
        """The limit has passed."""
        if self._wanted is not None:
            search = self._wanted.searches[0]
            search.runtime.limits.count_fired(send_label(search.address), "send", search.limit)
            self.wake((search, DeliveryTimeout(search.address, search.limit, "accepted", handling=False)))

    def _last_look(self) -> tuple[Search, Any] | None:
        """Whether anything has changed while others were waited for; from here on nothing awaits."""
        for hold in self.holds.values():
            error = hold.refusal()
            if error is not None:
                return hold.searches[0], error
        return None

    # ------------------------------------------------------------------------------------------ waiting

    async def _park(self) -> None:
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def wake(self, obstacle: tuple[Search, Any] | None) -> None:
        """Something has happened that was waited for, or that nobody hoped for."""
        self.obstacle = self.obstacle or obstacle
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _let_go(self) -> None:
        for search in self.searches:
            search.listener = None
            search.abandon()
        for hold in self.holds.values():
            hold.release()


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
        guilty = obstacle is not None and search is obstacle[0]
        error = obstacle[1] if obstacle is not None and guilty else failure
        search.over(error, guilty=guilty)
        search.runtime.delivery_counts.told(error)
        end_span(span, error)
    await trio.lowlevel.cancel_shielded_checkpoint()
    if failure is not None:
        raise failure
    return BroadcastResult(order.strategy, order.recipients, (DELIVERED,) * len(order.recipients))


def _failure(order: Order, culprit: Search, error: Exception) -> BroadcastFailed:
    return BroadcastFailed(order.strategy, len(order.recipients), ((culprit.address, error),))
