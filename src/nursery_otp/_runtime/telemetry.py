"""The event bus of a runtime, in the manner of Erlang's `telemetry`: declared events, attached handlers, spans.

Every declared event has an attribute here that is None while nobody listens, so that a place which has something to
tell asks for that first and builds nothing in vain. A handler runs where the event happens, in the task of whoever
emits it; one that raises is detached and reported, and the process that emitted never hears of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from nursery_otp._policy import checks
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.events import EVENTS, SINGLE, SPANS, Event, EventName, SpanEvents, check_event_name
from nursery_otp._policy.exits import safe_repr
from nursery_otp._runtime import log
from nursery_otp._runtime.interrupts import protected

if TYPE_CHECKING:
    from nursery_otp._runtime.tracing import Tracer

Handler: TypeAlias = Callable[[EventName, Mapping[str, Any], Mapping[str, Any]], object]
Emit: TypeAlias = Callable[[dict[str, Any], dict[str, Any]], None]

_DECLARED = {event.name: event for event in EVENTS}
_SPANS = {span.name: span for span in SPANS}
SLOTS = tuple(event.slot for event in (*SINGLE, *SPANS))
TRACED = frozenset({"call", "handle", "send"})
"""The spans that a tracer needs as well: so that each place asks one question, not two."""


@protected
class SpanEmitter:
    """What the slot of a span holds while somebody listens."""

    __slots__ = ("_events", "_telemetry")

    heard = True

    def __init__(self, telemetry: Telemetry, events: SpanEvents) -> None:
        self._telemetry = telemetry
        self._events = tuple(part.name for part in events.parts)

    def start(self, metadata: dict[str, Any]) -> float:
        """The work begins; what to hand to `stop` or `exception`."""
        now = self._telemetry.now()
        self._telemetry.emit(self._events[0], {"time": now}, metadata)
        return now

    def stop(self, began: float, metadata: dict[str, Any], result: object = "ok") -> None:
        """The work is done."""
        duration = self._telemetry.now() - began
        self._telemetry.emit(self._events[1], {"duration": duration}, {**metadata, "result": result})

    def exception(self, began: float, metadata: dict[str, Any], error: BaseException, result: object = "error") -> None:
        """The work failed."""
        duration = self._telemetry.now() - began
        self._telemetry.emit(self._events[2], {"duration": duration}, {**metadata, "result": result, "error": error})


@protected
class UnheardSpan(SpanEmitter):
    """What it holds if it is there for the tracer alone."""

    __slots__ = ()

    heard = False

    def start(self, metadata: dict[str, Any]) -> float:
        """Nobody wants to know."""
        return 0.0

    def stop(self, began: float, metadata: dict[str, Any], result: object = "ok") -> None:
        """Nobody wants to know."""

    def exception(self, began: float, metadata: dict[str, Any], error: BaseException, result: object = "error") -> None:
        """Nobody wants to know."""


@protected
class Telemetry:
    """The event bus of a runtime: `current_runtime().telemetry`. OTP: the application `telemetry`.

    >>> async def main() -> None:
    ...     async with open_supervisor() as supervisor:
    ...         bus = current_runtime().telemetry
    ...         with bus.attached(("nursery_otp", "process"), lambda name, measured, about: print(name[1:])):
    ...             await supervisor.start(Counter, 10)
    ...         supervisor.shutdown()
    >>> trio.run(main)
    ('process', 'started')
    """

    # One attribute per declared event and span (see `nursery_otp.EVENTS`), and the tracer. They are slots because the
    # question whether one is None is asked for every message.
    __slots__ = ("_attachments", "_declared", "_handlers", "_spans", "_take_fatal", "now", "tracer", *SLOTS)

    process_started: Emit | None
    process_ended: Emit | None
    process_crashed: Emit | None
    child_restarted: Emit | None
    restart_limit_reached: Emit | None
    send_retried: Emit | None
    breaker_changed: Emit | None
    mailbox_overflowed: Emit | None
    letter_added: Emit | None
    letter_retried: Emit | None
    letter_removed: Emit | None
    letter_exhausted: Emit | None
    letters_stored: Emit | None
    store_failed: Emit | None
    store_recovered: Emit | None
    monitor_created: Emit | None
    monitor_cleaned: Emit | None
    owner_cleanup: Emit | None
    leaks_detected: Emit | None
    timeout_fired: Emit | None
    timeouts_changed: Emit | None
    call: SpanEmitter | None
    handle: SpanEmitter | None
    send: SpanEmitter | None
    tracer: Tracer | None

    def __init__(self, now: Callable[[], float], take_fatal: Callable[[BaseException], None]) -> None:
        self.now = now
        self._take_fatal = take_fatal
        self._handlers: dict[EventName, tuple[Handler, ...]] = {}
        self._attachments: list[tuple[EventName, Handler]] = []
        self._declared = _DECLARED
        self._spans = _SPANS
        self.tracer = None
        self._refresh()

    def __repr__(self) -> str:
        return f"<Telemetry: {len(self._declared)} events, {len(self._attachments)} handlers>"

    # ----------------------------------------------------------------------------------- the events

    @property
    def events(self) -> tuple[Event, ...]:
        """All declared events."""
        return tuple(self._declared.values())

    def declare(self, event: Event | SpanEvents) -> None:
        """Make an event of one's own known, so that it can be emitted and listened to."""
        checks.instance("event", event, (Event, SpanEvents), "must be an Event or SpanEvents")
        parts = event.parts if isinstance(event, SpanEvents) else (event,)
        known = next((part.name for part in parts if part.name in self._declared), None)
        if known is not None:
            raise InvalidSpec("event", known, "is declared already")
        self._declared = self._declared | {part.name: part for part in parts}
        if isinstance(event, SpanEvents):
            self._spans = self._spans | {event.name: event}
        self._refresh()

    # ------------------------------------------------------------------------------------ listening

    def attach(self, name: EventName, handler: Handler) -> Callable[[], None]:
        """Call `handler(name, measurements, metadata)` for an event, or for all whose names begin with `name`.

        The handler is a plain function and must be quick: it runs inside whatever emits. One that raises is detached
        and the error logged; a `SystemExit` or the like also ends the tree, as if a process had raised it. Returns the
        function that detaches it. OTP: `telemetry:attach/4`.
        """
        check_event_name("name", name, at_least=1)
        checks.function("handler", handler)
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
            raise InvalidSpec("handler", handler, "must be a plain function: events cannot wait")
        if not any(_matches(name, known) for known in self._declared):
            raise InvalidSpec("name", name, "no declared event has this name, or one that begins with it")
        attachment = (name, handler)
        self._attachments.append(attachment)
        self._refresh()
        return lambda: self._detach(attachment)

    @contextmanager
    def attached(self, name: EventName, handler: Handler) -> Iterator[None]:
        """`attach` for the length of a block."""
        detach = self.attach(name, handler)
        try:
            yield
        finally:
            detach()

    def _detach(self, attachment: tuple[EventName, Handler]) -> None:
        for index, known in enumerate(self._attachments):
            if known is attachment:
                del self._attachments[index]
                self._refresh()
                return

    def _refresh(self) -> None:
        """Only what somebody listens to has a slot that is not None."""
        self._handlers = {
            name: tuple(handler for prefix, handler in self._attachments if _matches(prefix, name))
            for name in self._declared
        }
        for event in SINGLE:
            setattr(self, event.slot, self._emitter(event.name) if self._handlers[event.name] else None)
        for span in SPANS:  # events of users have no slots, which could be anybody's attributes
            emitter: SpanEmitter | None = None
            if any(self._handlers[part.name] for part in span.parts):
                emitter = SpanEmitter(self, span)
            elif self.tracer is not None and span.slot in TRACED:
                emitter = UnheardSpan(self, span)
            setattr(self, span.slot, emitter)

    def _emitter(self, name: EventName) -> Emit:
        return lambda measurements, metadata: self.emit(name, measurements, metadata)

    def set_tracer(self, tracer: Tracer | None) -> None:
        """What `Runtime.set_tracer` does."""
        self.tracer = tracer
        self._refresh()

    # ------------------------------------------------------------------------------------- emitting

    def emit(self, name: EventName, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Tell everybody who listens. OTP: `telemetry:execute/3`."""
        if not isinstance(name, tuple) or name not in self._declared:
            raise InvalidSpec("name", name, "is no declared event; see Telemetry.declare")
        handlers = self._handlers.get(name, ())
        if handlers:  # none of them can change what the next one sees
            measurements, metadata = MappingProxyType(dict(measurements)), MappingProxyType(dict(metadata))
        for handler in handlers:
            try:
                handler(name, measurements, metadata)
            except BaseException as error:  # noqa: ASYNC103 - handlers are plain functions; what is fatal ends the tree
                # Whoever emits must not be stopped half way, not even by a SystemExit: that ends the tree instead.
                if not isinstance(error, Exception):
                    self._take_fatal(error)
                self._detach_failed(handler)
                log.write(
                    "error", "telemetry_handler_detached", event_name=name, handler=safe_repr(handler), exc_info=error
                )

    def _detach_failed(self, handler: Handler) -> None:
        self._attachments = [attachment for attachment in self._attachments if attachment[1] is not handler]
        self._refresh()

    @contextmanager
    def span(self, name: EventName, metadata: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Emit the three events of a declared span around a block; what the block yields may be added to.

        OTP: `telemetry:span/3`.
        """
        events = self._spans.get(name) if isinstance(name, tuple) else None
        if events is None:
            raise InvalidSpec("name", name, "is no declared span; see Telemetry.declare")
        emitter = SpanEmitter(self, events)
        about = dict(metadata)
        began = emitter.start(about)
        try:
            yield about
        except BaseException as error:
            emitter.exception(began, about, error)
            raise
        emitter.stop(began, about, about.pop("result", "ok"))


def _matches(prefix: EventName, name: EventName) -> bool:
    return name[: len(prefix)] == prefix
