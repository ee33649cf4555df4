"""Sending dead letters again: in order for each recipient, concurrently for different ones, and in small steps.

A letter is claimed while it is sent, and its recipient's line is busy while one of its letters may be; whoever comes
meanwhile leaves that line alone. Claims are given back on every way out, so that a retry which is cancelled, or whose
process is killed, loses nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

import attrs
import trio

from nursery_otp._policy.dead_letters import AutomaticRetry, RetryReport, UnreadableMessage
from nursery_otp._policy.letter_retries import Candidate, Round, due_at, next_round, state_after_failure
from nursery_otp._runtime.context import process_var, runtime_var
from nursery_otp._runtime.delivery import redeliver
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.letter_entries import Entry, line_of
from nursery_otp._runtime.pacing import Pace
from nursery_otp._runtime.parcels import Parcel
from nursery_otp.errors import CannotLoad, CircuitOpen

if TYPE_CHECKING:
    from nursery_otp._runtime.letter_box import LetterBox

LOOKS = 5
"""How many letters are looked at between two checkpoints."""
BUSY_WAIT = 1.0
"""When to come back to letters that were asked for while somebody else was retrying their line."""


@attrs.define
class _Outcomes:
    """What one run did so far."""

    delivered: dict[int, str] = attrs.field(factory=dict)
    failed: dict[int, tuple[str, str]] = attrs.field(factory=dict)
    skipped: dict[int, str] = attrs.field(factory=dict)

    def report(self) -> RetryReport:
        return RetryReport(
            delivered=tuple(identity for _, identity in sorted(self.delivered.items())),
            failed=dict(found for _, found in sorted(self.failed.items())),
            skipped=tuple(identity for _, identity in sorted(self.skipped.items())),
        )


@protected
class Retrying:
    """What sends the letters of a queue again."""

    def __init__(self, queue: LetterBox) -> None:
        self.queue = queue
        self.attempts = 0
        self.busy: set[Hashable] = set()
        self.requested: dict[int, None] = {}
        self.watching = False  # whether a sleeping process wants to know of new letters
        self._last_round = queue.runtime.now()
        self._scope: trio.CancelScope | None = None
        self._pace = Pace()

    # --------------------------------------------------------------------------------------- a run

    async def run(
        self, numbers: Sequence[int], concurrency: int, *, wanted: bool = False, by_clock: AutomaticRetry | None = None
    ) -> tuple[RetryReport, Round]:
        """Send those of these letters that may go, line by line; `by_clock` if they have to be due.

        Nobody else sends letters of the same lines until this is over.
        """
        planned, outcomes = Round(self.queue.runtime.now(), self.busy), _Outcomes()
        try:
            await self._plan(planned, numbers, wanted, by_clock)
            todo = deque(planned.lines.values())
            if len(todo) == 1:
                await self._work(todo, outcomes)
            else:
                async with trio.open_nursery() as nursery:
                    for _ in range(min(concurrency, len(todo))):
                        nursery.start_soon(self._work, todo, outcomes)
        finally:
            planned.over()
        self._skip(planned.left, outcomes)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return outcomes.report(), planned

    async def _plan(
        self, planned: Round, numbers: Sequence[int], wanted: bool, by_clock: AutomaticRetry | None
    ) -> None:
        queue = self.queue
        for count, number in enumerate(numbers, start=1):
            if number in queue.letters:
                entry = queue.entry(number)
                due = self._due(entry, by_clock)
                planned.consider(Candidate(number, line_of(entry.recipient), entry.state, due, wanted))
            if count % LOOKS == 0:
                await trio.lowlevel.checkpoint()

    def _skip(self, numbers: Iterable[int], outcomes: _Outcomes) -> None:
        queue = self.queue
        outcomes.skipped.update((number, queue.ids[number]) for number in numbers if number in queue.letters)

    def _due(self, entry: Entry, options: AutomaticRetry | None) -> float:
        if entry.claimed:
            return math.inf  # it is being handled still; a line in which a letter is on its way is busy
        if options is None:
            return -math.inf
        if entry.due is None:
            chance = self.queue.runtime.random.random()
            entry.due = due_at(options, entry.first_failure, entry.last_attempt, entry.attempts, chance)
        return entry.due

    async def _work(self, todo: deque[list[int]], outcomes: _Outcomes) -> None:
        while todo:
            await self._send_line(deque(todo.popleft()), outcomes)

    async def _send_line(self, numbers: deque[int], outcomes: _Outcomes) -> None:
        while numbers:
            await self._pace.wait()
            number = numbers.popleft()
            if number in self.queue.letters and not await self._attempt(number, outcomes):
                self._skip(numbers, outcomes)
                return

    async def _attempt(self, number: int, outcomes: _Outcomes) -> bool:
        """Send one letter; False if those behind it have to stay."""
        entry, identity = self.queue.entry(number), self.queue.ids[number]
        error = await self._send(entry, number)
        if isinstance(error, CircuitOpen):  # nothing was tried
            outcomes.failed[number] = identity, f"{type(error).__name__}: {error}"
            entry.due = self.queue.runtime.now() + error.retry_after
            return False
        self.attempts += 1
        if error is None:
            outcomes.delivered[number] = identity
            self._delivered(entry, number)
            return True
        outcomes.failed[number] = identity, f"{type(error).__name__}: {error}"
        return self._failed(entry, number, error)

    async def _send(self, entry: Entry, number: int) -> Exception | None:
        queue = self.queue
        message = entry.open(queue.decode)
        if isinstance(message, UnreadableMessage):
            await trio.lowlevel.checkpoint()
            return CannotLoad(message.problem)
        parcel = Parcel(entry.recipient, message, entry.info(queue.key_of(queue.ids[number])), confirmed=True)
        self._claim(entry)
        try:
            await redeliver(parcel, original=entry.original(queue.runtime.telemetry))
        except Exception as error:
            self._settle(entry, number, parcel)
            return error
        except BaseException:  # cancelled
            self._settle(entry, number, parcel)
            queue.expire_late(number)
            raise
        self._settle(entry, number, parcel)
        return None

    def _settle(self, entry: Entry, number: int, parcel: Parcel) -> None:
        self._release(entry, number)
        if parcel.handling and self.queue.letters.get(number) is entry:
            self.hold(number, parcel)

    def hold(self, number: int, parcel: Parcel) -> None:
        """Its message is being handled, although its sender does not wait any more: nobody may send it meanwhile."""
        entry = self.queue.entry(number)
        self._claim(entry)

        def over(parcel: Parcel) -> None:
            self._release(entry, number)
            if parcel.failure() is None:
                self._delivered(entry, number)
            else:
                self.queue.expire_late(number)

        parcel.afterwards(over)

    def _delivered(self, entry: Entry, number: int) -> None:
        if self.queue.letters.get(number) is entry:
            self._tell_retried(entry, number, "delivered")
            self.queue.remove(number, "delivered")

    def _claim(self, entry: Entry) -> None:
        entry.claimed = True
        self.queue.claimed += 1
        self.queue.exhausted -= entry.state == "exhausted"

    def _release(self, entry: Entry, number: int) -> None:
        entry.claimed = False
        if self.queue.letters.get(number) is entry:  # if not, it has been removed meanwhile, and its claim with it
            self.queue.claimed -= 1
            self.queue.exhausted += entry.state == "exhausted"

    def _failed(self, entry: Entry, number: int, error: Exception) -> bool:
        queue = self.queue
        if queue.letters.get(number) is not entry:
            return True
        before = entry.state
        entry.attempts += 1
        entry.last_attempt = queue.runtime.now()
        entry.due = None
        entry.state = state_after_failure(entry.attempts, before, queue.options.max_attempts)
        queue.exhausted += entry.state != before and not entry.claimed
        self._answered(entry, number)
        if queue.mirror is not None:
            queue.mirror.changed(number)
        self._tell_retried(entry, number, error)
        if entry.state != before:
            self._tell_exhausted(entry, number)
        queue.expire_late(number)
        return before == "exhausted"

    def _tell_retried(self, entry: Entry, number: int, result: object) -> None:
        queue = self.queue
        emit = queue.runtime.telemetry.letter_retried
        if emit is not None:
            emit({"attempts": entry.attempts}, {"letter": queue.view(number), "result": result})
        if len(queue.subscriptions) and result != "delivered":
            queue.subscriptions.tell("retried", queue.view(number))

    def _tell_exhausted(self, entry: Entry, number: int) -> None:
        queue = self.queue
        emit = queue.runtime.telemetry.letter_exhausted
        if emit is not None:
            emit({"attempts": entry.attempts}, {"letter": queue.view(number)})
        if len(queue.subscriptions):
            queue.subscriptions.tell("exhausted", queue.view(number))

    # ------------------------------------------------------------------------------------ by itself

    async def serve(self) -> None:
        """Send what somebody asked for in the store's file, and by the clock what is due: the body of a process."""
        # Letters are addressed to processes of the tree that the queue belongs to, and sent by none of them.
        runtime_var.set(self.queue.runtime)
        process_var.set(None)
        while True:
            await self._send_requested()
            await self._sleep_until(min(await self._send_due(), self._next_look()))
            await self._look_at_file()

    def _next_look(self) -> float:
        """When to look into the file: at every interval, as what is asked for there is due whatever the queue says."""
        options = self.queue.options.retry
        if options is None or self.queue.mirror is None:
            return math.inf
        return self.queue.runtime.now() + options.interval

    async def _look_at_file(self) -> None:
        mirror = self.queue.mirror
        if mirror is not None and self.queue.options.retry is not None:
            await mirror.refresh(patient=True)

    def request(self, number: int) -> None:
        """Somebody outside of the program wants this letter to be sent."""
        self.queue.entry(number).requested = True
        self.requested[number] = None
        if self._scope is not None:
            self._scope.cancel(reason="a dead letter is asked for")

    def _answered(self, entry: Entry, number: int) -> None:
        if entry.requested:
            entry.requested, entry.answered = False, True
            del self.requested[number]
            self.queue.keep_longer(number)

    async def _send_requested(self) -> None:
        queue, numbers = self.queue, sorted(self.requested)
        if not numbers:
            return
        _, planned = await self.run(numbers, queue.options.concurrency, wanted=True)
        for number in (number for line in planned.lines.values() for number in line):
            if number in self.requested and number in queue.letters:  # it would have overtaken another one
                self._answered(queue.entry(number), number)
                if queue.mirror is not None:
                    queue.mirror.changed(number)

    async def _send_due(self) -> float:
        """Send what is due; when to look again."""
        queue, options = self.queue, self.queue.options.retry
        if options is None or len(queue) == queue.exhausted:
            return math.inf
        earliest = self._last_round + options.interval
        if queue.runtime.now() < earliest:
            return earliest
        self._last_round = queue.runtime.now()
        _, planned = await self.run(list(queue.letters), options.concurrency, by_clock=options)
        if planned.lines:
            return self._last_round + options.interval
        soon = planned.next_due == math.inf or planned.blocked  # these may be due as soon as the others are done
        return next_round(self._last_round, options.interval, 0.0 if soon else planned.next_due)

    async def _sleep_until(self, deadline: float) -> None:
        """Sleep, unless there is something to do; somebody may make it shorter."""
        if self.requested:  # somebody else is retrying letters of the same recipients
            deadline = min(deadline, self.queue.runtime.now() + BUSY_WAIT)
        with trio.CancelScope(deadline=deadline) as self._scope:
            self.watching = self.queue.options.retry is not None
            try:
                await trio.sleep_forever()
            finally:
                self.watching, self._scope = False, None

    def added(self, now: float) -> None:
        """There is a new letter, which may be due before all others."""
        options = self.queue.options.retry
        if options is None or self._scope is None:
            return
        soonest = next_round(self._last_round, options.interval, due_at(options, now, now, 1, 0.0))
        self._scope.deadline = min(self._scope.deadline, soonest)
        self.watching = False  # all that come later are due later
