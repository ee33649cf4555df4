"""Links and exit signals: processes that live and die together, unless they trap exits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nursery_otp._policy import checks
from nursery_otp._policy.exits import KILLED, NOPROC, ExitReason, Normal, as_reason
from nursery_otp._runtime.context import process_for, process_var
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Exit
from nursery_otp._runtime.refs import Address, find
from nursery_otp.errors import NoProcess

if TYPE_CHECKING:
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.runtime import Runtime


@protected
def link(target: Address[Any]) -> None:
    """Link the current process with another: when one ends abnormally, so does the other.

    Linking twice is linking once, and linking oneself does nothing. If the target has ended, `NoProcess` is raised; a
    process that traps exits gets `Exit(target, NOPROC)` instead. OTP: `link/1`.
    """
    process = process_for("link")
    other = find(target)
    if other is process:
        return
    if other is None or other.reason is not None:
        if not process.trap_exits or other is None:
            raise NoProcess(target, "link")
        process.deliver(Exit(other.ref, NOPROC))
        return
    connect(process, other)


@protected
def connect(one: Process, other: Process) -> None:
    """Link two living processes."""
    for process, peer in ((one, other), (other, one)):
        if process.links is None:
            process.links = {}
        process.links[peer] = None


@protected
def unlink(target: Address[Any], *, flush: bool = False) -> None:
    """Undo a link; nothing happens if there is none.

    An `Exit` of the other that is queued already stays there, unless `flush` is given. OTP: `unlink/1`.
    """
    process = process_for("unlink")
    other = find(target)
    if other is not None:
        disconnect(process, other)
        if flush:
            flush_exits(process, other)


@protected
def disconnect(one: Process, other: Process) -> None:
    """Remove the link between two processes, on both sides."""
    if one.links is not None:
        one.links.pop(other, None)
    if other.links is not None:
        other.links.pop(one, None)


def flush_exits(process: Process, other: Process) -> None:
    """Remove the queued `Exit` messages of another process."""
    process.mailbox.remove(lambda item: type(item) is Exit and item.source is other.ref, "flushed")


def trap_exits(enabled: bool = True) -> bool:
    """Let exit signals arrive as `Exit` messages instead of ending the current process; the previous setting.

    OTP: `process_flag(trap_exit, Enabled)`.
    """
    process = process_for("trap_exits")
    checks.flag("enabled", enabled)
    before, process.trap_exits = process.trap_exits, enabled
    return before


@protected
def send_exit(target: Address[Any], reason: object) -> None:
    """Send an exit signal: the target ends with `reason` at its next checkpoint, or gets `Exit` if it traps exits.

    `NORMAL` only ends the process that sends it to itself. Nothing happens if there is no such process. A process
    that signals itself goes on to its next checkpoint. OTP: `exit/2`.
    """
    other = find(target)
    source = process_var.get()
    if other is not None:
        why = as_reason(reason)
        signal(other, source, why, lambda runtime: runtime.causes.asked("signal", f"exit signal {why}", source))


@protected
def kill(target: Address[Any]) -> None:
    """End a process without grace: trapping does not help, and its `terminate` is not run. It ends with `KILLED`.

    The process ends at its next checkpoint (code that shields itself from cancellation is not interrupted, as
    anywhere in Trio). OTP: `exit(Pid, kill)`.
    """
    other = find(target)
    if other is not None and other.reason is None:
        other.interrupt(KILLED, cause=other.runtime.causes.asked("kill", "it was killed", process_var.get()))


@protected
def signal(target: Process, source: Process | None, reason: ExitReason, cause: Callable[[Runtime], int]) -> None:
    """What an exit signal does to a process; `cause` is asked for if it ends it."""
    if target.reason is not None:
        return
    if target.trap_exits:
        # The normal end of a peer is nothing to remember, unless the target ends with it.
        wanted = not isinstance(reason, Normal) or (source is not None and target.parent is source)
        number = cause(target.runtime) if wanted else 0
        target.deliver(Exit(None if source is None else source.ref, reason, cause=number))
    elif not isinstance(reason, Normal) or source is target:
        target.interrupt(reason, cause=cause(target.runtime))
