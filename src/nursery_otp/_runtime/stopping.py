"""Asking a process to end, and waiting until it has."""

from __future__ import annotations

import math
from typing import Any

import trio

from nursery_otp._policy import checks
from nursery_otp._policy.exits import NORMAL, ExitReason, as_reason
from nursery_otp._runtime.context import process_of_task, process_var
from nursery_otp._runtime.cycles import deadlock
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.refs import Address, find, find_alive
from nursery_otp.errors import CallExited, NoProcess, StopTimeout


@protected
def stop_nowait(target: Address[Any], reason: object = NORMAL, *, drain: bool = False) -> None:
    """Ask a process to end with `reason`, and go on. `NoProcess` if there is none.

    A server runs its `terminate`: before it reads another message, or, with `drain`, after what is in its mailbox
    now. A plain function gets an `Exit` message if it traps exits; else its `shutdown_scope` blocks are cancelled,
    or the whole function if it has none.
    """
    process = find_alive(target, "stop")
    process.request_stop(as_reason(reason), drain=drain, cause=_asked(process))


@protected
async def stop(target: Address[Any], reason: object = NORMAL, *, drain: bool = False, within: float = math.inf) -> None:
    """Ask a process to end with `reason`, as `stop_nowait`, and wait until it has.

    Raises `NoProcess` if there is none, `CallExited` if it ended with another reason than asked for (its `terminate`
    crashed, say), `StopTimeout` if it has not ended `within` seconds. OTP: `gen_server:stop/1,3` (with `drain`).
    """
    checks.seconds("within", within)
    process = find(target)
    if process is None or process.reason is not None:
        await trio.lowlevel.checkpoint()
        raise NoProcess(target, "stop")
    caller = process_of_task()
    cycle = deadlock("stop", caller, process)
    if cycle is not None:
        await trio.lowlevel.checkpoint()
        raise cycle
    asked = as_reason(reason)
    process.request_stop(asked, drain=drain, cause=_asked(process))
    if caller is None:
        await _wait(process, asked, within)
        return
    caller.waits_for = _Ending(process)  # a terminate that calls the one who waits for it gets a Deadlock
    try:
        await _wait(process, asked, within)
    finally:
        caller.waits_for = None


def _asked(process: Process) -> int:
    return process.runtime.causes.asked("stop", "it was asked to stop", process_var.get())


def _same(ended: ExitReason, asked: ExitReason) -> bool:
    try:
        return ended is asked or bool(ended == asked)
    except Exception:  # of a user's __eq__, about which the stop is not
        return False


class _Ending:
    """The wait for the end of a process."""

    __slots__ = ("certain", "process")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.certain = True


async def _wait(process: Process, asked: ExitReason, within: float) -> None:
    ended: ExitReason | None = None
    with trio.CancelScope(deadline=process.runtime.now() + within):
        ended = await process.wait_ended()
    if ended is None:
        raise StopTimeout(process.ref, within)
    if not _same(ended, asked):
        raise CallExited(f"stop of {process.ref}", ended)
