"""Play a supervisor scenario on the library, through its public API alone.

A neutral host keeps the runtime; in it the scenario's root supervisor is started as a process of its own, which nobody
supervises, so that its end is only observed. Time is virtual: delays cost nothing, and whatever would wait for ever
ends the play with `NoProgress`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp import (
    CallExited,
    NoProcess,
    Ref,
    StartFailed,
    StartIgnored,
    SupervisorHandle,
    Timeouts,
    child,
    current_runtime,
    kill,
    open_supervisor,
    spawn,
    start,
)
from tests.conformance.guard import NoProgress
from tests.conformance.supervisor_calls import call, checked
from tests.conformance.supervisor_children import Gate, gate_child
from tests.conformance.supervisor_rehearsal import end_child, request_stop
from tests.conformance.supervisor_specs import ScriptedSupervisor
from tests.conformance.supervisor_stage import ROOT, Job, Stage
from tests.conformance.supervisor_terms import Json, Script, show_reason

HANG = 4 * 3600.0  # virtual seconds, far beyond the end of any scenario
FOREVER = float("inf")
TOO_MANY_ROUNDS = 1000


def observe(scenario: Script) -> list[Json]:
    """The steps of `scenario` on the library, in the shape of `expected.steps`."""
    return trio.run(_play, scenario, clock=MockClock(autojump_threshold=0))


async def _play(scenario: Script) -> list[Json]:
    sender, receiver = trio.open_memory_channel[Job](FOREVER)
    stage = Stage(call, sender)
    stage.scope.relative_deadline = HANG
    with stage.scope:
        async with open_supervisor(timeouts=Timeouts(default=FOREVER)) as host, trio.open_nursery() as helpers:
            helpers.start_soon(_run_jobs, receiver)
            steps = await _perform(stage, scenario)
            helpers.cancel_scope.cancel(reason="the play is over")
            host.shutdown()
    if stage.scope.cancelled_caught:
        raise NoProgress(f"gave up in step {stage.step} of {len(scenario['actions'])}")
    return steps


async def _run_jobs(jobs: trio.MemoryReceiveChannel[Job]) -> None:
    """Run the jobs as tasks of their own: none of them is part of the process that asked for it."""
    async with trio.open_nursery() as nursery:
        async for job in jobs:
            nursery.start_soon(job)


async def _perform(stage: Stage, scenario: Script) -> list[Json]:
    current_runtime().on_exit(stage.ended)
    stage.stranger = spawn(trio.sleep_forever)
    first = {"op": "start_link", "supervisor": scenario["supervisor"]}
    try:
        return [await _step(stage, action) for action in (first, *scenario["actions"])]
    finally:
        _clear(stage)


def _clear(stage: Stage) -> None:
    """Whoever is left goes at once."""
    for ref in (stage.stranger, stage.root, *stage.supervisors):
        if ref is not None:
            kill(ref)


# -------------------------------------------------------------------------------------------------------------- steps


async def _step(stage: Stage, action: Script) -> Json:
    stage.step += 1
    began = trio.current_time()
    answer = await _ACTIONS.get(action["op"], _call)(stage, action)
    step = {"op": action["op"], "ret": answer}
    if action.get("nowait"):
        return {**step, "nowait": True}
    await _settle(stage)
    if "elapsed_ms" in action:
        step["elapsed_ms"] = round((trio.current_time() - began) * 1000, 6)
    events, queued = stage.collect()
    up = stage.root is not None and stage.root.alive
    step |= {"events": events, "alive": stage.alive(), "up": up}
    return {**step, "queued": queued} if queued else step


async def _settle(stage: Stage) -> None:
    """Wait until every supervisor answers, all calls are answered, nobody is leaving and nothing more happens."""
    for _ in range(TOO_MANY_ROUNDS):
        before = len(stage.events)
        await _sync_with_supervisors(stage)
        for ref in stage.still_leaving():
            await ref.wait()
        await wait_all_tasks_blocked()
        stage.look_for_opened()
        if len(stage.events) == before and not stage.unanswered and not stage.still_leaving():
            return
    raise NoProgress(f"step {stage.step} does not settle; calls without an answer: {sorted(stage.unanswered)}")


async def _sync_with_supervisors(stage: Stage) -> None:
    for ref in [ref for ref in stage.supervisors if ref.alive]:
        with suppress(NoProcess, CallExited):
            await SupervisorHandle(ref).count_children()


# ------------------------------------------------------------------------------------------------------------ actions


async def _start(stage: Stage, action: Script) -> Json:
    """Start the root."""
    try:
        await start(ScriptedSupervisor, stage, None, ROOT, action)
    except StartIgnored:
        return "ignore"
    except StartFailed as error:
        return ["error", show_reason(error.reason)]
    return "ok"


async def _exit(stage: Stage, action: Script) -> Json:
    answer = await end_child(stage, action["child"], action["reason"])
    await wait_all_tasks_blocked()  # whoever was told has reacted, so that `nowait` does not depend on luck
    return answer


async def _wait(_stage: Stage, action: Script) -> Json:
    await trio.sleep(action["ms"] / 1000)


async def _stop(stage: Stage, action: Script) -> Json:
    ref = stage.live(action.get("sup", ROOT))
    if ref is None:
        return "not_alive"
    request_stop(ref, action["reason"])
    if not action.get("nowait"):
        await ref.wait()
    return "ok"


async def _check(stage: Stage, action: Script) -> Json:
    await trio.lowlevel.checkpoint()
    return checked(stage, action)


async def _call(stage: Stage, action: Script) -> Json:
    return await call(stage, stage.latest(action.get("sup", ROOT)), action)


async def _burst(stage: Stage, action: Script) -> Json:
    """Several exits that the supervisor finds together, because the start of one more child keeps it busy."""
    path = action.get("sup", ROOT)
    supervisor = stage.live(path)
    if supervisor is None:
        return "not_alive"
    gate = Gate()
    stage.jobs.send_nowait(lambda: _hold(stage, path, supervisor, gate))
    await gate.opened.wait()
    answers = [await end_child(stage, each["child"], each["reason"]) for each in action["exits"]]
    gate.release.set()
    return answers


async def _hold(stage: Stage, path: str, supervisor: Ref[Any], gate: Gate) -> None:
    stage.unanswered.add("@gate")
    handle = SupervisorHandle(supervisor)
    with suppress(NoProcess, CallExited):
        if path in stage.dynamic:
            await handle.start_child("@gate", gate)
        else:
            await handle.start_child(child(gate_child, gate, id="@gate", restart="temporary"))
    stage.unanswered.discard("@gate")


_ACTIONS: Mapping[str, Callable[[Stage, Script], Awaitable[Json]]] = {
    "start_link": _start,
    "exit": _exit,
    "burst": _burst,
    "wait": _wait,
    "stop": _stop,
    "check_childspecs": _check,
}
