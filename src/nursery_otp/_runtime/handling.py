"""The consumer's side of tracing: what a process works for while it handles a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Envelope, Message, Tick
from nursery_otp._runtime.parcels import Parcel
from nursery_otp._runtime.tracing import TraceContext, TracedMessage, ask

if TYPE_CHECKING:
    from nursery_otp._runtime.process import Process


_FAILED: Any = object()
"""Not None, which a tracer may well give `leave`."""


class Handling:
    """A message that is being handled in the tracer's scope."""

    __slots__ = ("entered", "task", "tracer")

    def __init__(self, tracer: Any, entered: Any) -> None:
        self.tracer = tracer
        self.entered = entered
        self.task = trio.lowlevel.current_task()


def carried_by(item: object) -> TraceContext | None:
    """The context that an item in a mailbox carries."""
    if isinstance(item, Call):
        return getattr(item, "context", None)  # set only where there is a tracer
    if type(item) is Envelope:
        context = item.context
        return context if isinstance(context, TraceContext) else None
    return item.timer.context if type(item) is Tick else None


def operation_of(process: Process, item: object) -> str:
    """What a process does while it handles an item, in words: "Counter.add", or the type of a plain message."""
    if isinstance(item, Call) and not isinstance(item, Parcel):
        return item.label
    message = item.message if isinstance(item, Envelope | Tick | Parcel) else item
    return f"{process.label}.{message.operation}" if isinstance(message, Message) else type(message).__name__


def _as_traced(process: Process, item: Any, carried: TraceContext) -> TracedMessage:
    message = item.message if isinstance(item, Call | Envelope | Tick) else item
    info = getattr(item, "info", None) if isinstance(item, Envelope | Parcel) else None
    correlation_id = None if info is None else info.correlation_id
    return TracedMessage(carried.kind, process.name or process.ref, message, process.ref, None, correlation_id)


@protected
def enter(process: Process, item: object) -> Handling | None:
    """The process begins to handle an item; None if nobody traces it."""
    carried, telemetry = carried_by(item), process.telemetry
    if carried is None or carried.tracer is not telemetry.tracer:
        return None
    traced = _as_traced(process, item, carried)
    entered = ask(telemetry, carried.tracer, "enter", carried.context, traced, failed=_FAILED)
    return None if entered is _FAILED else Handling(carried.tracer, entered)


@protected
def leave(process: Process, handling: Handling, error: BaseException | None) -> None:
    """It is done with that. In another task than the one that began, there is nothing to restore."""
    restore = trio.lowlevel.current_task() is handling.task
    ask(process.telemetry, handling.tracer, "leave", handling.entered, error, restore=restore)
