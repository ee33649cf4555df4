"""A pace for work that is in no hurry, so that those who share the event loop with it hardly notice."""

from __future__ import annotations

from collections import deque

import trio

from nursery_otp._runtime.interrupts import protected

PAUSE = 16
"""Turns of the event loop between two steps."""


@protected
class Pace:
    """Lets one task pass every so many turns of the event loop, in the order in which they came."""

    __slots__ = ("_line", "_taken")

    def __init__(self) -> None:
        self._taken = False
        self._line: deque[trio.lowlevel.Task] = deque()

    async def wait(self) -> None:
        """Wait for one's turn."""
        if self._taken:
            await self._stand_in_line()
        self._taken = True
        try:
            for _ in range(PAUSE):
                await trio.lowlevel.checkpoint()
        finally:
            self._taken = False
            if self._line:
                self._taken = True
                trio.lowlevel.reschedule(self._line.popleft())

    async def _stand_in_line(self) -> None:
        task = trio.lowlevel.current_task()
        self._line.append(task)

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._line.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
