"""The run of a handler that somebody watches: its span and its trace. A server comes here only if anybody does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from nursery_otp._policy.exits import Stop, error_of
from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.crashes import own_crash
from nursery_otp._runtime.handling import Handling, carried_by, enter, leave
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Envelope, Message, Notice, Tick
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.telemetry import SpanEmitter
from nursery_otp.errors import HandlerTimeout

if TYPE_CHECKING:
    from nursery_otp._behaviours.server_loop import ServerLoop


async def run_observed(loop: ServerLoop, item: Any, handle: Callable[[Any], Awaitable[None]]) -> None:
    """What `await handle(item)` does, told to whoever listens, and in the scope of the message's trace."""
    span = loop.process.telemetry.handle
    unseen = carried_by(item) is None and (span is None or not span.heard)
    if unseen or isinstance(item, Notice) or loop.is_system(item):
        await handle(item)
        return
    observation = _Observation(loop, item)
    try:
        await handle(item)
    except BaseException as error:
        observation.failed(error)
        raise
    observation.done(loop.result)


def _operation_of(item: Any) -> str:
    message = item.message if isinstance(item, Call | Envelope | Tick) else item
    return message.operation if isinstance(message, Message) else "handle_info"


@protected
class _Observation:
    """One run of a handler."""

    __slots__ = ("_about", "_began", "_handling", "_process", "_span")

    def __init__(self, loop: ServerLoop, item: Any) -> None:
        process = loop.process
        self._process: Process = process
        self._span: SpanEmitter | None = process.telemetry.handle
        self._handling: Handling | None = enter(process, item)
        self._about = {"operation": f"{loop.service.__name__}.{_operation_of(item)}", "ref": process.ref}
        self._began = 0.0 if self._span is None else self._span.start(self._about)
        loop.result = "ok"

    def done(self, result: str) -> None:
        if self._span is not None:
            self._span.stop(self._began, self._about, result)
        self._leave(None)

    def failed(self, error: BaseException) -> None:
        stop = own_crash(error) if isinstance(error, Exception) else error
        if isinstance(stop, Stop):
            if self._span is not None:
                self._span.stop(self._began, self._about, "stopped")
            self._leave(error_of(stop.reason))
            return
        result = "cancelled" if not isinstance(error, Exception) else "error"
        if isinstance(error, HandlerTimeout):
            result = "timeout"
        if self._span is not None:
            self._span.exception(self._began, self._about, error, result)
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        if self._handling is not None:
            leave(self._process, self._handling, error)
