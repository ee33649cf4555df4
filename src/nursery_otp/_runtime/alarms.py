"""All waits of the runtime that end by the clock: one heap, one task.

A cancel scope per wait costs a multiple of the wait itself, so limits of calls, idle timeouts, `send_after` and the
like are entries here, and a single task sleeps until the earliest. An entry that is no longer wanted stays in the
heap until its time comes or until such entries are the majority; it is only a number there, which nobody answers to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Protocol

import trio

from nursery_otp._runtime.interrupts import protected


class Alarmed(Protocol):
    """Something that waits for a moment. `alarm` is 0 while it does not; `on_alarm` must not raise."""

    alarm: int

    def on_alarm(self) -> None:
        """The moment has come."""


@protected
class Alarms:
    """The alarm heap of a runtime. `run` must be running for alarms to go off."""

    __slots__ = ("_heap", "_number", "_scope", "_waiters", "now")

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._heap: list[tuple[float, int]] = []
        self._waiters: dict[int, Alarmed] = {}
        self._number = 0
        self._scope: trio.CancelScope | None = None

    def arm(self, deadline: float, waiter: Alarmed) -> None:
        """Call `waiter.on_alarm()` at `deadline` (seconds on the runtime's clock) unless it is disarmed before."""
        if deadline == math.inf:
            return
        if waiter.alarm:
            del self._waiters[waiter.alarm]
        self._number += 1
        waiter.alarm = self._number
        self._waiters[self._number] = waiter
        heappush(self._heap, (deadline, self._number))
        scope = self._scope
        if scope is not None and deadline < scope.deadline:
            scope.deadline = deadline

    def disarm(self, waiter: Alarmed) -> None:
        """Forget the alarm of `waiter`, if it has one."""
        if waiter.alarm:
            del self._waiters[waiter.alarm]
            waiter.alarm = 0
            entries = len(self._heap)
            if entries > 1000 and len(self._waiters) * 2 < entries:
                self._heap = [entry for entry in self._heap if entry[1] in self._waiters]
                heapify(self._heap)

    def armed(self) -> list[tuple[float, Alarmed]]:
        """The alarms that are set, soonest first."""
        waiters = self._waiters
        return [(deadline, waiters[number]) for deadline, number in sorted(self._heap) if number in waiters]

    async def run(self) -> None:
        """Set alarms off until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._ring()) as self._scope:
                await trio.sleep_forever()

    def _ring(self) -> float:
        """Set off what is due; the next deadline."""
        while self._heap:
            deadline, number = self._heap[0]
            if number in self._waiters and deadline > self.now():
                return deadline
            heappop(self._heap)
            waiter = self._waiters.pop(number, None)
            if waiter is not None:
                waiter.alarm = 0
                waiter.on_alarm()
        return math.inf
