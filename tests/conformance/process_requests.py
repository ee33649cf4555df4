"""Ops of a process scenario that ask another process and wait for it: calls, starts, stops, system requests.

`REQUESTS` has them by their names in a scenario.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from nursery_otp import (
    AlreadyStarted,
    CallExited,
    CallTimeout,
    Name,
    StartFailed,
    StartIgnored,
    StartTimeout,
    get_state,
    get_status,
    replace_state,
    resume,
    start,
    start_link,
    start_monitor,
    stop,
    stop_nowait,
    suspend,
)
from tests.conformance.process_server import ScriptedServer
from tests.conformance.process_terms import (
    FAILURES,
    Json,
    read,
    read_reason,
    seconds,
    show_failure,
    show_reason,
)
from tests.conformance.process_world import Op, Process

BEHAVIOURS: dict[str, type[Any]] = {"server": ScriptedServer}
STARTS: dict[str, Callable[..., Awaitable[Any]]] = {
    "start": start,
    "start_link": start_link,
    "start_monitor": start_monitor,
}


def behaviour(process: Process, target: str) -> type[Any]:
    """The class whose client functions reach `target`; for a stranger, a plain process or nobody: the server's."""
    ref = process.find(target)
    kind = "server" if ref is None else process.world.kinds.get(ref, "server")
    return BEHAVIOURS.get(kind, ScriptedServer)


async def attempt(process: Process, event: list[Json], work: Awaitable[object]) -> None:
    """Log what comes of `work`: its value, or why there is none."""
    try:
        value = await work
    except FAILURES as error:
        process.log(*event, ["exit", show_failure(error, process.world)])
    else:
        process.log(*event, ["ok", process.show(value)])


async def ok(work: Awaitable[object]) -> str:
    """Only that `work` succeeded."""
    await work
    return "ok"


# Calls


def cast(process: Process, target: str, message: Json) -> None:
    behaviour(process, target).order(process.target(target), read(message))


async def call(process: Process, target: str, message: Json, limit: Json = 5000) -> None:
    term = read(message)
    await attempt(process, ["call", target, process.show(term)], answered(process, target, term, limit))


async def call_or_end(process: Process, target: str, message: Json, limit: Json = 5000) -> None:
    term = read(message)
    value = await answered(process, target, term, limit)
    process.log("call", target, process.show(term), ["ok", process.show(value)])


def answered(process: Process, target: str, term: object, limit: Json) -> Awaitable[object]:
    request: Awaitable[object] = behaviour(process, target).request.within(seconds(limit))(process.target(target), term)
    return request


def send_request(process: Process, label: str, target: str, message: Json) -> None:
    request = behaviour(process, target).request.request(process.target(target), read(message))
    process.world.requests[label] = request


async def receive_response(process: Process, label: str, limit: Json = "infinity") -> None:
    await response(process, label, process.world.requests[label].receive(within=seconds(limit)))


async def wait_response(process: Process, label: str, limit: Json = "infinity") -> None:
    await response(process, label, process.world.requests[label].wait(within=seconds(limit)))


async def response(process: Process, label: str, waiting: Awaitable[object]) -> None:
    try:
        value = await waiting
    except CallTimeout:
        process.log("response", label, "timeout")
    except FAILURES as error:
        process.log("response", label, ["error", show_failure(error, process.world)])
    else:
        process.log("response", label, ["reply", process.show(value)])


# Starts and stops


async def start_by(op: str, process: Process, name: str, spec: Json, options: Json = None) -> None:
    process.log(op, name, await started(STARTS[op], process.child(name, spec), options or {}))


async def started(starter: Callable[..., Awaitable[Any]], child: Process, options: Json) -> Json:
    """Start `child`, and what its starter logs about it."""
    name = Name[Any](options["name"]) if "name" in options else None
    limit = seconds(options.get("timeout", "infinity"))
    try:
        result = await starter(BEHAVIOURS[child.spec["kind"]], child, name=name, within=limit)
    except StartIgnored:
        return "ignore"
    except StartTimeout:
        return ["error", "timeout"]
    except AlreadyStarted as error:
        return ["error", ["already_started", child.show(error.ref)]]
    except StartFailed as error:
        return ["error", show_reason(error.reason, child.world)]
    if isinstance(result, tuple):
        child.world.label(options["ref"], result[1])
    return "ok"


async def stop_and_wait(process: Process, target: str, reason: Json = "normal", limit: Json = "infinity") -> None:
    asked, ref = read_reason(reason), process.find(target)
    try:
        await stop(process.target(target), asked, drain=True, within=seconds(limit))
    except FAILURES as error:
        shown = show_failure(error, process.world)
        terminated = ref is not None and process.world.terminated.get(ref) == asked
        process.log("stop", target, ["exit", without_call(shown) if terminated else shown])
    else:
        process.log("stop", target, ["ok", "ok"])


def without_call(reason: Json) -> Json:
    """A failure is shown without its outermost "@call"; that of a stop is the failed call in terminate, if any."""
    match reason:
        case [shown, "@call"]:
            return shown
        case _:
            return reason


async def sys_terminate(process: Process, target: str, reason: Json) -> None:
    await attempt(process, ["sys_terminate", target], ok(terminating(process, target, reason)))


async def terminating(process: Process, target: str, reason: Json) -> None:
    """The stop request, until it is answered: as soon as the target terminates."""
    ref = process.ref(target)
    asked = read_reason(reason)
    stop_nowait(ref, asked, drain=True)
    await process.world.ending[ref].wait()
    if process.world.terminated.get(ref) != asked:
        raise CallExited("sys_terminate", await ref.wait())


# System requests


async def state_of(process: Process, target: str, limit: Json = 5000) -> None:
    await attempt(process, ["get_state", target], state(get_state(process.target(target), within=seconds(limit))))


async def put_state(process: Process, target: str, value: Json) -> None:
    def put(server: ScriptedServer) -> ScriptedServer:
        other = copy.copy(server)
        other.state = read(value)
        return other

    replaced = replace_state(process.target(target), put, within=math.inf)
    await attempt(process, ["replace_state", target], state(replaced))


async def state(server: Awaitable[Any]) -> object:
    """The scripted state of the server object that a system request returns."""
    return (await server).state


async def pause(process: Process, target: str) -> None:
    await attempt(process, ["suspend", target], ok(suspend(process.target(target), within=math.inf)))


async def go_on(process: Process, target: str) -> None:
    await attempt(process, ["resume", target], ok(resume(process.target(target), within=math.inf)))


async def status_of(process: Process, target: str) -> None:
    await attempt(process, ["get_status", target], status(process, target))


async def status(process: Process, target: str) -> object:
    return (await get_status(process.target(target), within=math.inf)).state


REQUESTS: dict[str, Op] = {
    "cast": cast,
    "call": call,
    "call_nocatch": call_or_end,
    "send_request": send_request,
    "receive_response": receive_response,
    "wait_response": wait_response,
    **{op: partial(start_by, op) for op in STARTS},
    "stop": stop_and_wait,
    "sys_terminate": sys_terminate,
    "get_state": state_of,
    "replace_state": put_state,
    "suspend": pause,
    "resume": go_on,
    "get_status": status_of,
}
