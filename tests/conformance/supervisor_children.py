"""The scripted children of a supervisor scenario.

A child plays one element of its `starts`: first what happens `during` the attempt, then the delay, then the outcome.
Once started it obeys three things: the message to leave, its timer to leave, and the polite request to stop.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs
import trio

from nursery_otp import Exit, ExitReason, Ignore, Ref, Stop, current_ref, mailbox, send_after
from tests.conformance.supervisor_rehearsal import Leave, rehearse
from tests.conformance.supervisor_stage import Stage
from tests.conformance.supervisor_terms import Raised, Script, path_of, read, read_reason

Status: TypeAlias = "trio.TaskStatus[Info | None]"


@attrs.frozen
class Info:
    """What an `ok_info` start tells beside that it is over."""

    term: object


async def static_child(
    stage: Stage,
    supervisor: Ref[Any] | None,
    path: str,
    script: Script,
    *,
    task_status: Status = trio.TASK_STATUS_IGNORED,
) -> None:
    """A child of a supervisor whose children have ids."""
    number = stage.next_attempt(path)
    attempt = attempt_of(script, number)
    await rehearse(stage, supervisor, attempt)
    if attempt["out"] in ("ok", "ok_info", "init_crash"):  # a process of its own is made: the supervisor waits
        await stage.pause()
    if attempt["out"] not in ("ok", "ok_info"):
        decline(stage, path, number, attempt)
    stage.enter(path, number, current_ref())
    stage.started(path, number, "ok")
    task_status.started(Info(read(attempt.get("reason"))) if attempt["out"] == "ok_info" else None)
    await _live(stage, attempt.get("then_exit"), script.get("on_shutdown", {"do": "exit"}))


async def dynamic_child(
    stage: Stage,
    supervisor: Ref[Any] | None,
    parent: str,
    template: Script,
    label: str,
    behaviour: Script | Gate,
    *,
    task_status: Status = trio.TASK_STATUS_IGNORED,
) -> None:
    """A child of a simple_one_for_one supervisor; the last two arguments are those of `start_child`."""
    if isinstance(behaviour, Gate):
        await gate_child(behaviour, task_status=task_status)
    else:
        script = {**template, **behaviour}
        await static_child(stage, supervisor, path_of(parent, label), script, task_status=task_status)


@attrs.frozen(eq=False)
class Gate:
    """Keeps a supervisor busy: the start of the child `gate_child` is over when `release` is set."""

    opened: trio.Event = attrs.field(factory=trio.Event)
    release: trio.Event = attrs.field(factory=trio.Event)


async def gate_child(gate: Gate, *, task_status: Status = trio.TASK_STATUS_IGNORED) -> None:
    """Blocks while it is started, and then leaves no trace: `task_status` is never told."""
    gate.opened.set()
    await gate.release.wait()
    raise Ignore


async def rehearsal_child(
    stage: Stage, supervisor: Ref[Any] | None, attempt: Script, *, task_status: Status = trio.TASK_STATUS_IGNORED
) -> None:
    """What happens while a nested supervisor is started by `supervisor`; not a child: `task_status` is never told."""
    await rehearse(stage, supervisor, attempt)
    raise Ignore


# ---------------------------------------------------------------------------------------------------------- starting


def attempt_of(script: Script, number: int) -> Script:
    """The script of start attempt `number` (from 1); the last one serves for all that follow."""
    starts: list[Script] = script.get("starts", [{"out": "ok"}])
    return starts[min(number, len(starts)) - 1]


def decline(stage: Stage, path: str, number: int, attempt: Script) -> None:
    """End an attempt that is not to succeed, in the way the script says. Never returns."""
    out, reason = attempt["out"], attempt.get("reason")
    stage.started(path, number, "ignore" if out == "ignore" else [out, reason])
    if out == "ignore":
        raise Ignore
    if out == "raise":
        raise Raised(read(reason))
    raise Stop(read_reason(reason))  # error, init_crash, throw, bad_return: OTP's ways to give a reason


# ------------------------------------------------------------------------------------------------------------ living


async def _live(stage: Stage, timer: Script | None, on_shutdown: Script) -> None:
    if timer is not None:
        await _set(stage, timer)
    async for message in mailbox():
        match message:
            case Leave(reason):
                raise Stop(reason)
            case Exit(_, reason) if on_shutdown["do"] == "exit":
                await _leave(stage, reason, on_shutdown)


async def _set(stage: Stage, timer: Script) -> None:
    reason = read_reason(timer["reason"])
    if timer["after_ms"] > 0:
        send_after(timer["after_ms"] / 1000, current_ref(), Leave(reason))
    else:
        await stage.first_pause()
        raise Stop(reason)


async def _leave(stage: Stage, asked: ExitReason, on_shutdown: Script) -> None:
    """Obey the polite request, at the script's own pace and for its own reason."""
    stage.leaving.add(current_ref())
    if on_shutdown.get("after_ms", 0):
        await trio.sleep(on_shutdown["after_ms"] / 1000)
    raise Stop(read_reason(on_shutdown["reason"]) if "reason" in on_shutdown else asked)
