"""Ending children: politely and within a limit, then without asking, and never pretending.

A task that shields itself from cancellation cannot be ended by anybody. It is waited for, and reported again and
again with the line it is at, until it ends by itself: a tree that said it had ended would be lying.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import trio

from nursery_otp._policy.exits import KILLED, SHUTDOWN
from nursery_otp._policy.specs import ShutdownLimit
from nursery_otp._runtime import log
from nursery_otp._runtime.call_sites import LIBRARIES
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.process import Process

FIRST_REPORT = 5.0


@protected
async def stop_child(process: Process, limit: ShutdownLimit, cause: int) -> None:
    """Ask a child to stop, give it `limit` seconds, then kill it; return when it has ended.

    `cause` is the number of the incident that this is done for.
    """
    process.on_end = None  # the supervisor knows
    if limit != "kill":
        process.request_stop(SHUTDOWN, cause=cause)
        with trio.CancelScope(deadline=process.runtime.now() + limit):
            await process.wait_ended()
        cause = _overrun(process, limit, cause)
    await kill_child(process, cause)


def _overrun(process: Process, limit: float, cause: int) -> int:
    """The incident that a child is killed for which did not stop in time."""
    if process.reason is not None:
        return cause
    return process.runtime.causes.record("kill", f"it had not stopped {limit:g} s after it was asked to", cause)


@protected
async def kill_child(process: Process, cause: int) -> None:
    """End a process without grace, if it has not ended; return when it has."""
    process.interrupt(KILLED, cause=cause)
    after = FIRST_REPORT
    killed_at = process.runtime.now()
    while process.reason is None:
        with trio.CancelScope(deadline=process.runtime.now() + after):
            await process.wait_ended()
        if process.reason is None:
            _report_survivor(process, process.runtime.now() - killed_at)
            after *= 2


@protected
async def end_children(
    processes: Sequence[Process], limits: Sequence[ShutdownLimit] | None = None, *, cause: int
) -> None:
    """End all at the same time; those with a limit are asked first. Return when all have ended."""
    asked: list[tuple[float, Process]] = []
    for process, limit in zip(processes, limits or ["kill"] * len(processes), strict=True):
        process.on_end = None
        if limit == "kill":
            process.interrupt(KILLED, cause=cause)
        else:
            process.request_stop(SHUTDOWN, cause=cause)
            asked.append((float(limit), process))
    began = processes[0].runtime.now() if processes else 0.0
    # They all were asked at once, so waiting for one after the other is waiting for all.
    for limit, process in sorted(asked, key=lambda pair: pair[0]):
        if limit < math.inf and process.reason is None:
            with trio.CancelScope(deadline=began + limit):
                await process.wait_ended()
            process.interrupt(KILLED, cause=_overrun(process, limit, cause))
    for process in processes:
        if process.interrupted == KILLED:
            await kill_child(process, cause)
        else:
            await process.wait_ended()


def _report_survivor(process: Process, seconds: float) -> None:
    log.write(
        "warning",
        "process_survives_kill",
        ref=repr(process.ref),
        seconds=round(seconds, 3),
        where=_where(process),
        hint="it is shielded from cancellation, or blocks in a thread; the tree waits for it",
    )


def _where(process: Process) -> str:
    """The innermost line of the user's that the process is at."""
    awaited = None if process.task is None else process.task.coro
    line = "?"
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is None:
            break
        if not frame.f_code.co_filename.startswith(LIBRARIES):
            line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return line
