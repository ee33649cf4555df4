"""A call that somebody watches: its span and its trace. Calls come here only if there is anybody who does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from nursery_otp._runtime.context import process_of_task
from nursery_otp._runtime.tracing import Producing
from nursery_otp.errors import CallExited, CallTimeout, Deadlock, MailboxFull, NoProcess, UnknownOperation

if TYPE_CHECKING:
    from nursery_otp._runtime.calls import Call

# How the runtime's own errors name the call that failed: a handler may refuse with an error of the same type.
_RESULTS: tuple[tuple[type[BaseException], str, str], ...] = (
    (CallTimeout, "operation", "timeout"),
    (CallExited, "subject", "exited"),
    (NoProcess, "operation", "noproc"),
    (Deadlock, "operation", "deadlock"),
    (UnknownOperation, "operation", "unknown"),
)


def result_of(call: Call, error: BaseException) -> str:
    """The word for how a call failed; see `CALL_RESULTS`."""
    if isinstance(error, trio.Cancelled | KeyboardInterrupt | SystemExit | GeneratorExit):
        return "cancelled"
    if isinstance(error, MailboxFull):
        return "full"
    for kind, field, word in _RESULTS:
        if isinstance(error, kind) and getattr(error, field) == call.label:
            return word
    return "refused"


async def perform_observed(call: Call, limit: float) -> Any:
    """What `Call.perform` does, told to whoever listens and carrying a context to the server."""
    telemetry = call.runtime.telemetry
    span = telemetry.call
    if span is None:
        return await call.perform(limit, observed=True)
    if not span.heard:
        return await _perform_traced(call, limit)
    caller = process_of_task()
    about = {"operation": call.label, "target": call.address, "caller": None if caller is None else caller.ref}
    began = span.start(about)
    try:
        result = await _perform_traced(call, limit)
    except BaseException as error:
        span.exception(began, about, error, result_of(call, error))
        raise
    span.stop(began, about)
    return result


async def _perform_traced(call: Call, limit: float) -> Any:
    telemetry = call.runtime.telemetry
    if telemetry.tracer is None:
        return await call.perform(limit, observed=True)
    with Producing(telemetry, "call", call.address, call.message, call.receiver) as producing:
        call.context = producing.carried
        return await call.perform(limit, observed=True)
