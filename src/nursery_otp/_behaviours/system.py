"""Looking into a running server and holding it, for people and tools. OTP: the module `sys`.

Requests wait their turn among the messages; a suspended server handles them before anything else. They wait as long as
the timeout policy says (`Counter.get_state` is an operation like any other), unless `within` says something else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

import attrs

from nursery_otp._behaviours.server_loop import ServerLoop, SystemCall, TraceEvent
from nursery_otp._policy import checks
from nursery_otp._policy.exits import safe_repr
from nursery_otp._runtime.calls import checked_limit
from nursery_otp._runtime.refs import Address, Name, Ref, find

S = TypeVar("S")


@attrs.frozen
class Status:
    """What `get_status` tells of a server; `server` is its state as `format_status` shows it."""

    ref: Ref[Any]
    name: Name[Any] | None
    state: Literal["running", "suspended"]
    queue_length: int
    server: Any


async def _ask(target: Any, operation: str, action: Callable[[ServerLoop], Any], within: float | None) -> Any:
    process = find(target)
    if process is not None and process.reason is None and not isinstance(process.behaviour, ServerLoop):
        raise TypeError(f"{operation}: {process.ref} is no GenServer, it does not read system messages")
    service = None if process is None else process.service
    label = operation if service is None else f"{service.__name__}.{operation}"
    call = SystemCall(label, operation, (), {}, target)
    call.action = action
    limit = call.runtime.limits.of_system_call(service, operation)
    return await call.perform(limit if within is None else checked_limit(within))


async def get_state(target: Address[S], *, within: float | None = None) -> S:
    """A shallow copy of the server object. OTP: `sys:get_state/1,2`."""
    return cast("S", await _ask(target, "get_state", lambda loop: copy.copy(loop.server), within))


async def replace_state(target: Address[S], function: Callable[[S], S], *, within: float | None = None) -> S:
    """Put `function(server)` in the place of the server object, inside its process; a copy of the new one.

    If the function raises, the server keeps its state and the error comes back here. OTP: `sys:replace_state/2,3`.
    """
    checks.function("function", function)

    def replace(loop: ServerLoop) -> S:
        new = function(copy.copy(cast("S", loop.server)))
        if not isinstance(new, type(loop.server)):
            raise TypeError(
                f"replace_state: the function returned {safe_repr(new)}, not a {type(loop.server).__name__}"
            )
        loop.server = new
        return copy.copy(cast("S", new))

    return cast("S", await _ask(target, "replace_state", replace, within))


async def suspend(target: Address[Any], *, within: float | None = None) -> None:
    """Let the server read nothing but system messages and requests to stop, until `resume`. Does not nest.

    OTP: `sys:suspend/1,2`.
    """
    await _ask(target, "suspend", lambda loop: loop.set_suspended(True), within)


async def resume(target: Address[Any], *, within: float | None = None) -> None:
    """Let a suspended server go on with its messages. OTP: `sys:resume/1,2`."""
    await _ask(target, "resume", lambda loop: loop.set_suspended(False), within)


async def get_status(target: Address[Any], *, within: float | None = None) -> Status:
    """Whether the server runs or is suspended, and what it shows of itself. OTP: `sys:get_status/1,2`."""

    def status(loop: ServerLoop) -> Status:
        process = loop.process
        state: Literal["running", "suspended"] = "suspended" if loop.suspended else "running"
        return Status(process.ref, process.name, state, len(process.mailbox), loop.status()["state"])

    return cast("Status", await _ask(target, "get_status", status, within))


async def trace(
    target: Address[Any], sink: Callable[[TraceEvent], None] | None, *, within: float | None = None
) -> None:
    """Call `sink(TraceEvent)` for each message the server reads and each reply or refusal; None ends it.

    A reply that was put off with `Later` is not shown.

    A sink that raises is detached and the error logged. OTP: `sys:trace/2`, `sys:install/2`.
    """
    if sink is not None:
        checks.function("sink", sink)
    await _ask(target, "trace", lambda loop: setattr(loop, "sink", sink), within)
