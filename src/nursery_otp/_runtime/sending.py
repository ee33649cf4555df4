"""Plain messages: no reply, no copy, in the order sent."""

from __future__ import annotations

from typing import Any

import trio

from nursery_otp._runtime.context import process_var, runtime_for
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.refs import Address, Name, find
from nursery_otp._runtime.runtime import Runtime
from nursery_otp.errors import NoProcess


@protected
def send_nowait(target: Address[Any], message: object) -> None:
    """Put a message into the mailbox of a process, without waiting.

    A process that has ended makes it a dead letter, which is no error; a name or a `Via` that leads nowhere is one:
    `NoProcess`. `MailboxFull` if the mailbox is at its bound and its policy does not say what to drop. OTP: `!`.
    """
    process = find(target)
    if process is None:
        raise NoProcess(target, "send")
    process.accept(message)


@protected
async def send(target: Address[Any], message: object) -> None:
    """As `send_nowait`, but where the mailbox's policy is "block", wait for room. Cancelled: nothing was sent."""
    process = find(target)
    if process is None:
        await trio.lowlevel.checkpoint()
        raise NoProcess(target, "send")
    await process.accept_blocking(message)


@protected
def cast_message(target: Any, message: object) -> None:
    """Never blocks and never raises for want of a receiver: what finds none, or no room, is a dead letter."""
    process = find(target)
    if process is not None:
        process.accept_or_drop(message)
        return
    runtime = _runtime_near(target)
    runtime.count_sent_to_nobody()
    runtime.bury(target, message, "noproc")


def _runtime_near(target: Any) -> Runtime:
    inside: Process | None = process_var.get()
    if inside is not None:
        return inside.runtime
    return runtime_for(f"the name {target.text!r}" if isinstance(target, Name) else "a cast")
