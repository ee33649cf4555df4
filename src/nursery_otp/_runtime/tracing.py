"""The seam for tracing: what a message carries from the one who sends it to the one who handles it.

A context never travels by inheritance: a process has forgotten whatever it was started under, and what it handles
decides what it is working for. So the tracer is asked at the producer for a context (None: this message carries
nothing, and not even an envelope is made), which then lies beside the message, in the `Call` or the `Envelope`.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from nursery_otp._policy import checks
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.exits import safe_repr, safe_str
from nursery_otp._runtime import log
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Envelope, Message
from nursery_otp._runtime.refs import Name

if TYPE_CHECKING:
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.refs import Ref
    from nursery_otp._runtime.telemetry import Telemetry

MessageKind: TypeAlias = Literal["call", "cast", "send", "timer", "interval", "retry"]


class TracedMessage:
    """A message on its way, as a `Tracer` gets to see it.

    `kind` is how it was sent: "call", "cast", "send", "timer" (`send_after`), "interval" (`send_interval`) or "retry"
    (a dead letter, once more). `address` is what it was sent to, `ref` the process there (None if there is none, or if
    it is not known yet). `original` is the context that a retried message had the first time, if it had one.
    """

    __slots__ = ("address", "correlation_id", "kind", "message", "original", "ref")

    kind: MessageKind

    def __init__(
        self,
        kind: MessageKind,
        address: Any,
        message: object,
        ref: Ref[Any] | None,
        original: Any = None,
        correlation_id: str | None = None,
    ) -> None:
        self.kind = kind
        self.address = address
        self.message = message
        self.ref = ref
        self.original = original
        self.correlation_id = correlation_id

    @property
    def is_request(self) -> bool:
        """Whether it asks a server for an operation, as calls and casts do."""
        return isinstance(self.message, Message)

    @property
    def operation(self) -> str:
        """What is asked for: the name of the operation, or the type of a message that is no request."""
        return self.message.operation if isinstance(self.message, Message) else type(self.message).__name__

    @property
    def receiver(self) -> str | None:
        """What kind of process it is for: its class or function. None if that is not known."""
        return None if self.ref is None else self.ref.label

    @property
    def name(self) -> str | None:
        """The name that it was sent to, or that the receiver has."""
        text = self.address.text if isinstance(self.address, Name) else None
        if text is None and self.ref is not None and self.ref.name is not None:
            text = self.ref.name.text
        return text

    def __repr__(self) -> str:
        return f"<TracedMessage: {self.kind} {self.operation} to {safe_str(self.address)}>"


@runtime_checkable
class Tracer(Protocol):
    """What takes a context from the sender of a message to its handler; see `Runtime.set_tracer`.

    The methods are called where it happens, in the task concerned, and must be quick. A tracer that raises is taken
    off, and the error logged.
    """

    def produce(self, message: TracedMessage) -> Any:
        """A message is about to be sent; the context that it shall carry, or None for nothing."""

    def produced(self, context: Any, error: BaseException | None) -> None:
        """The sender is done with it: it is on its way, a call is answered, or it has failed with `error`."""

    def enter(self, context: Any, message: TracedMessage) -> Any:
        """Its receiver begins to handle it; returns what `leave` shall get, which may be None."""

    def leave(self, entered: Any, error: BaseException | None, *, restore: bool) -> None:
        """It has been handled, or ended its receiver with `error`.

        What `enter` has put into context variables is to be taken back, but only with `restore`: without, this is
        another task, in whose context it is not (the process reads its mailbox in several tasks).
        """

    def clear(self) -> None:
        """A process begins: remove from its context variables what it has inherited."""

    def dump(self, context: Any) -> Any:
        """The context as data that JSON can hold, to be kept with a dead letter; None if there is nothing to keep.

        This one may be called in another thread.
        """

    def load(self, data: Any) -> Any:
        """The context again, perhaps in another run of the program; None for what is not a dump of one's own."""


class TraceContext:
    """A context beside its message, the tracer that made it (no other can read it), and how the message was sent."""

    __slots__ = ("context", "kind", "tracer")

    def __init__(self, tracer: Tracer, context: Any, kind: MessageKind) -> None:
        self.tracer = tracer
        self.context = context
        self.kind = kind


@protected
class Producing:
    """The block in which a message is sent, for the case that there is a tracer."""

    __slots__ = ("_telemetry", "carried")

    def __init__(
        self,
        telemetry: Telemetry,
        kind: MessageKind,
        address: Any,
        message: object,
        receiver: Process | None,
        *,
        original: TraceContext | None = None,
        correlation_id: str | None = None,
    ) -> None:
        self._telemetry = telemetry
        self.carried: TraceContext | None = None
        tracer = telemetry.tracer
        if tracer is None:
            return
        before = original.context if original is not None and original.tracer is tracer else None
        ref = None if receiver is None else receiver.ref
        traced = TracedMessage(kind, address, message, ref, before, correlation_id)
        context = ask(telemetry, tracer, "produce", traced)
        if context is not None:
            self.carried = TraceContext(tracer, context, kind)

    def wrap(self, message: object) -> object:
        """The message with its context; itself if it carries nothing."""
        return message if self.carried is None else Envelope(message, self.carried)

    def __enter__(self) -> Producing:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.over(error)

    def over(self, error: BaseException | None) -> None:
        """The sender is done with it; for where a block would not do."""
        carried = self.carried
        if carried is not None:
            ask(self._telemetry, carried.tracer, "produced", carried.context, error)


@protected
def context_for(
    telemetry: Telemetry, kind: MessageKind, address: Any, message: object, receiver: Process | None
) -> TraceContext | None:
    """What a message carries that is sent later, or to nobody."""
    with Producing(telemetry, kind, address, message, receiver) as producing:
        return producing.carried


@protected
def stamped(telemetry: Telemetry, kind: MessageKind, address: Any, message: object, receiver: Process | None) -> object:
    """The message with its context, where nothing can go wrong with the sending."""
    with Producing(telemetry, kind, address, message, receiver) as producing:
        return producing.wrap(message)


@protected
def ask(telemetry: Telemetry, tracer: Tracer, method: str, *args: Any, failed: object = None, **options: Any) -> Any:
    """Call the tracer; what is wrong with it must not reach the processes. It is reported once; then `failed`."""
    try:
        return getattr(tracer, method)(*args, **options)
    except Exception as error:
        if telemetry.tracer is tracer:
            telemetry.set_tracer(None)
            log.write("error", "tracer_detached", tracer=safe_repr(tracer), method=method, exc_info=error)
        return failed


@protected
def forget_inherited(telemetry: Telemetry) -> None:
    """A process begins, in a copy of the context of whoever started it."""
    if telemetry.tracer is not None:
        ask(telemetry, telemetry.tracer, "clear")


def check_tracer(field: str, tracer: object) -> None:
    """`InvalidSpec` for what is no tracer; a class has all the methods of one, and is none."""
    if isinstance(tracer, type):
        raise InvalidSpec(field, tracer, f"is a class; a tracer is made from it, as in {tracer.__name__}(...)")
    checks.instance(field, tracer, Tracer, "must be a Tracer, with all of its methods")


def checked_tracer(tracer: Any) -> Tracer | None:
    """A tracer, or None."""
    if tracer is not None:
        check_tracer("tracer", tracer)
    return tracer  # type: ignore[no-any-return] # just checked


# ------------------------------------------------------------------------------------- as text


def dump_context(carried: object) -> str | None:
    """A context as JSON text, for a dead letter; None if there is none, or if it cannot be kept. For any thread."""
    if not isinstance(carried, TraceContext):
        return None
    try:
        data = carried.tracer.dump(carried.context)
        return None if data is None else json.dumps(data)
    except Exception as error:
        log.write("warning", "trace_not_stored", tracer=safe_repr(carried.tracer), exc_info=error)
        return None


@protected
def load_context(telemetry: Telemetry, text: str | None) -> TraceContext | None:
    """What `dump_context` made; None for what the present tracer cannot read."""
    tracer = telemetry.tracer
    if tracer is None or text is None:
        return None
    try:
        data = json.loads(text)
    except ValueError:
        return None
    context = ask(telemetry, tracer, "load", data)
    return None if context is None else TraceContext(tracer, context, "retry")
