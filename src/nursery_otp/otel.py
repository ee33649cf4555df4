"""The bridge to OpenTelemetry: messages carry the trace of the request they belong to. Needs the extra `otel`.

It follows OpenTelemetry's conventions for messaging: a producer span where a message is sent, a consumer span where it
is handled, and a link from the second to the first. As one message is handled at a time, the producer span is also the
parent of the consumer span, so that a request is one trace. What happens later and for another reason begins a trace of
its own, with the link: each message of `send_interval`, and a dead letter that is retried.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from typing import Any, Literal

from nursery_otp import MessageKind, TracedMessage
from nursery_otp.errors import InvalidSpec, MissingExtra

try:
    from opentelemetry import context as ambient
    from opentelemetry import trace
    from opentelemetry.baggage.propagation import W3CBaggagePropagator
    from opentelemetry.context import Context
    from opentelemetry.propagators.composite import CompositePropagator
    from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TracerProvider
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as missing:
    raise MissingExtra("nursery_otp.otel", "opentelemetry-api", "otel") from missing

__all__ = ["OpenTelemetryTracer"]

SYSTEM = "nursery_otp"
_OPERATIONS: dict[MessageKind, str] = {"timer": "send_after", "interval": "send_interval"}
_W3C = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


class _Carried:
    """What a message carries: the producer span (if any), its context with the baggage, and what to link to."""

    __slots__ = ("context", "originals", "span")

    def __init__(self, span: Span | None, context: Context, originals: tuple[SpanContext, ...] = ()) -> None:
        self.span = span
        self.context = context
        self.originals = originals

    @property
    def traces(self) -> tuple[SpanContext, ...]:
        """Where the message comes from, for those who handle it later: the first time counts."""
        return self.originals or (trace.get_current_span(self.context).get_span_context(),)


class _Entered:
    """A consumer span, and how to take it out of the ambient context again."""

    __slots__ = ("span", "token")

    def __init__(self, span: Span, token: Token[Context]) -> None:
        self.span = span
        self.token = token


class OpenTelemetryTracer:
    """A `Tracer` that makes spans: `open_supervisor(tracer=OpenTelemetryTracer())`.

    A message is traced if its sender is in a sampled trace, and costs next to nothing if not. With `root_spans=True` a
    message that is sent outside of any trace begins one. `relation="link"` links consumer spans to the producer's
    and does not make them its children. `tracer_provider` is the global one unless given.

    Spans are called "call Counter.add", "cast Log.write", "send printer" and "process Counter.add": how it is sent, to
    what kind of process, and which operation, if the message is a request.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        *,
        root_spans: bool = False,
        relation: Literal["parent", "link"] = "parent",
    ) -> None:
        if relation not in ("parent", "link"):
            raise InvalidSpec("relation", relation, "must be one of 'parent', 'link'")
        if not isinstance(root_spans, bool):
            raise InvalidSpec("root_spans", root_spans, "must be True or False")
        if tracer_provider is not None and not isinstance(tracer_provider, TracerProvider):
            raise InvalidSpec("tracer_provider", tracer_provider, "must be an OpenTelemetry TracerProvider")
        self._tracer = trace.get_tracer(SYSTEM, tracer_provider=tracer_provider)
        self._root_spans = root_spans
        self._as_child = relation == "parent"

    def produce(self, message: TracedMessage) -> _Carried | None:
        """A producer span, if the sender's trace is sampled."""
        sampled = trace.get_current_span().get_span_context().trace_flags.sampled
        first: _Carried | None = message.original
        if not sampled and first is None and not self._root_spans:
            return None
        originals = () if first is None else first.traces
        unspanned = None if first is None else _Carried(None, first.context, originals)
        if not sampled and (not self._root_spans or unspanned is not None):
            return unspanned
        operation = _OPERATIONS.get(message.kind, message.kind)
        span = self._tracer.start_span(
            f"{operation} {_destination(message)}",
            kind=SpanKind.PRODUCER,
            attributes=_attributes(message, operation, "send"),
            links=[Link(original) for original in originals],
        )
        if not span.get_span_context().trace_flags.sampled:
            return unspanned
        return _Carried(span, trace.set_span_in_context(span, None if first is None else first.context), originals)

    def produced(self, context: _Carried, error: BaseException | None) -> None:
        """The producer span ends."""
        if context.span is not None:
            _finish(context.span, error)

    def enter(self, context: _Carried, message: TracedMessage) -> _Entered:
        """A consumer span, which is the current one for the handler."""
        as_child = self._as_child and context.span is not None and message.kind != "interval"
        parent = context.context if as_child else trace.set_span_in_context(trace.INVALID_SPAN, context.context)
        producers = () if context.span is None else (context.span.get_span_context(),)
        attributes = _attributes(message, "process", "process")
        if message.ref is not None:
            attributes["messaging.client.id"] = f"{message.receiver}#{message.ref.pid}"
        span = self._tracer.start_span(
            f"process {_destination(message)}",
            parent,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=[Link(linked) for linked in (*producers, *context.originals)],
        )
        return _Entered(span, ambient.attach(trace.set_span_in_context(span, parent)))

    def leave(self, entered: _Entered, error: BaseException | None, *, restore: bool) -> None:
        """The consumer span ends."""
        if restore:
            ambient.detach(entered.token)
        _finish(entered.span, error)

    def clear(self) -> None:
        """A process begins without a span and without baggage."""
        ambient.attach(Context())

    def dump(self, context: _Carried) -> dict[str, str] | None:
        """W3C trace context and baggage. A message that was a dead letter before keeps its first trace."""
        kept = trace.set_span_in_context(NonRecordingSpan(context.traces[0]), context.context)
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, kept)
        return carrier if "traceparent" in carrier else None

    def load(self, data: Any) -> _Carried | None:
        """The trace to link to."""
        if not isinstance(data, Mapping):
            return None
        context = _W3C.extract(data, Context())
        original = trace.get_current_span(context).get_span_context()
        return _Carried(None, context, (original,)) if original.is_valid else None


def _destination(message: TracedMessage) -> str:
    """The kind of process, with the operation of a request: of low cardinality, as the name of a span should be."""
    receiver = message.receiver or message.name or "(unknown)"
    return f"{receiver}.{message.operation}" if message.is_request else receiver


def _attributes(message: TracedMessage, operation: str, kind: str) -> dict[str, str | bool]:
    attributes: dict[str, str | bool] = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "nursery_otp.operation": message.operation,
    }
    if message.name is not None:
        attributes["messaging.destination.name"] = message.name
    else:
        attributes["messaging.destination.anonymous"] = True
    if message.receiver is not None:
        attributes["messaging.destination.template"] = message.receiver
    if message.correlation_id is not None:
        attributes["messaging.message.conversation_id"] = message.correlation_id
    return attributes


def _finish(span: Span, error: BaseException | None) -> None:
    """End a span, whatever the error is like: what is wrong with one of the application's must not end tracing."""
    try:
        if error is not None:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(StatusCode.ERROR, _text_of(error) or type(error).__name__)
            _record(span, error)
    finally:
        span.end()


def _record(span: Span, error: BaseException) -> None:
    try:
        span.record_exception(error)
    except Exception:
        attributes = {"exception.type": type(error).__qualname__, "exception.message": _text_of(error)}
        span.add_event("exception", attributes)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:
        return f"<{type(error).__name__} whose text raised {type(problem).__name__}>"
