"""What happens while a start attempt is under way, so that it waits in the supervisor's queue when that is over."""

from __future__ import annotations

from typing import Any

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import ExitReason, Killed, Ref, SupervisorHandle, kill, send_nowait
from tests.conformance.supervisor_stage import Stage
from tests.conformance.supervisor_terms import Json, Script, read_reason


@attrs.frozen
class Leave:
    """The message that makes a scripted child end with this reason."""

    reason: ExitReason


async def rehearse(stage: Stage, supervisor: Ref[Any] | None, attempt: Script) -> None:
    """Let happen what the script of this attempt wants to happen before its outcome."""
    for event in attempt.get("during", ()):
        assert supervisor is not None, "a child that is only checked is never started"
        await _happen(stage, supervisor, event)
    if attempt.get("delay_ms", 0):
        await trio.sleep(attempt["delay_ms"] / 1000)


async def _happen(stage: Stage, supervisor: Ref[Any], event: Script) -> None:
    match event["op"]:
        case "exit":
            await end_child(stage, event["child"], event["reason"])
        case "stop":
            request_stop(supervisor, event["reason"])
        case _:
            stage.unanswered.add(event["tag"])
            stage.jobs.send_nowait(lambda: _queued_call(stage, supervisor, event))
            await wait_all_tasks_blocked()  # now it is in the queue


async def _queued_call(stage: Stage, supervisor: Ref[Any], event: Script) -> None:
    answer = await stage.call(stage, supervisor, event)
    stage.queued[event["tag"]] = answer
    stage.unanswered.discard(event["tag"])


async def end_child(stage: Stage, path: str, reason: Json) -> str:
    """Make the live instance of `path` end with `reason`; returns when its supervisor has been notified."""
    ref = stage.live(path)
    if ref is None:
        return "not_alive"
    if reason == "killed":
        kill(ref)
    else:
        send_nowait(ref, Leave(read_reason(reason)))
    await ref.wait()
    return "ok"


def request_stop(supervisor: Ref[Any], reason: Json) -> None:
    """Ask a supervisor to stop, as its parent would; `killed` does not ask."""
    wanted = read_reason(reason)
    if isinstance(wanted, Killed):
        kill(supervisor)
    else:
        SupervisorHandle(supervisor).shutdown(wanted)
