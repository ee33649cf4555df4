"""All waits of the runtime that end by the clock: one heap, one task.

A cancel scope per wait costs a multiple of the wait itself, so limits of calls, idle timeouts, `send_after` and the
like are entries here, and a single task sleeps until the earliest. An entry that is no longer wanted stays in the
heap until its time comes or until such entries are the majority; it is recognised by its number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Protocol

import trio


class Alarmed(Protocol):
    """Something that waits for a moment. `alarm` is 0 while it does not; `on_alarm` must not raise."""

    alarm: int

    def on_alarm(self) -> None:
        """The moment has come."""


class Alarms:
    """The alarm heap of a runtime. `run` must be running for alarms to go off."""

    __slots__ = ("_heap", "_number", "_scope", "_void", "now")

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._heap: list[tuple[float, int, Alarmed]] = []
        self._number = 0
        self._void = 0
        self._scope: trio.CancelScope | None = None

    def arm(self, deadline: float, waiter: Alarmed) -> None:
        """Call `waiter.on_alarm()` at `deadline` (seconds on the runtime's clock) unless it is disarmed before."""
        if deadline == math.inf:
            return
        self._number += 1
        waiter.alarm = self._number
        heappush(self._heap, (deadline, self._number, waiter))
        scope = self._scope
        if scope is not None and deadline < scope.deadline:
            scope.deadline = deadline

    def disarm(self, waiter: Alarmed) -> None:
        """Forget the alarm of `waiter`, if it has one."""
        if waiter.alarm:
            waiter.alarm = 0
            self._void += 1
            if self._void > 1000 and self._void * 2 > len(self._heap):
                self._prune()

    def _prune(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2].alarm == entry[1]]
        heapify(self._heap)
        self._void = 0

    def armed(self) -> list[tuple[float, Alarmed]]:
        """The alarms that are set, soonest first."""
        return [(deadline, waiter) for deadline, number, waiter in sorted(self._heap) if waiter.alarm == number]

    async def run(self) -> None:
        """Set alarms off until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._ring()) as self._scope:
                await trio.sleep_forever()

    def _ring(self) -> float:
        """Set off what is due; the next deadline."""
        heap = self._heap
        while heap:
            deadline, number, waiter = heap[0]
            if waiter.alarm != number:
                self._void -= 1
            elif deadline > self.now():
                return deadline
            else:
                waiter.alarm = 0
                heappop(heap)
                waiter.on_alarm()
                heap = self._heap
                continue
            heappop(heap)
        return math.inf
