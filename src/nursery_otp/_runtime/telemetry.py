"""The event bus of a runtime, in the manner of Erlang's `telemetry`: declared events, attached handlers, spans.

Every declared event has an attribute here that is None while nobody listens, so that a place which has something to
tell asks for that first and builds nothing in vain. A handler runs where the event happens, in the task of whoever
emits it; one that raises is detached and reported, and the process that emitted never hears of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from nursery_otp._policy import checks
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.events import EVENTS, SPANS, Event, EventName, SpanEvents, check_event_name
from nursery_otp._policy.exits import safe_repr
from nursery_otp._runtime import log
from nursery_otp._runtime.interrupts import protected

Handler: TypeAlias = Callable[[EventName, Mapping[str, Any], Mapping[str, Any]], object]
Emit: TypeAlias = Callable[[dict[str, Any], dict[str, Any]], None]

_DECLARED = {event.name: event for event in EVENTS}
_SPANS = {span.name: span for span in SPANS}


@protected
class SpanEmitter:
    """What the slot of a span holds while somebody listens."""

    __slots__ = ("_events", "_telemetry")

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

    def exception(self, began: float, metadata: dict[str, Any], error: BaseException) -> None:
        """The work failed."""
        duration = self._telemetry.now() - began
        self._telemetry.emit(self._events[2], {"duration": duration}, {**metadata, "error": error})


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

    # One attribute per declared event and span; see `nursery_otp.EVENTS`.
    process_started: Emit | None = None
    process_ended: Emit | None = None
    process_crashed: Emit | None = None
    child_restarted: Emit | None = None
    restart_limit_reached: Emit | None = None
    send_retried: Emit | None = None
    breaker_changed: Emit | None = None
    mailbox_overflowed: Emit | None = None
    letter_added: Emit | None = None
    letter_retried: Emit | None = None
    letter_removed: Emit | None = None
    letter_exhausted: Emit | None = None
    letters_stored: Emit | None = None
    store_failed: Emit | None = None
    store_recovered: Emit | None = None
    monitor_created: Emit | None = None
    monitor_cleaned: Emit | None = None
    owner_cleanup: Emit | None = None
    leaks_detected: Emit | None = None
    timeout_fired: Emit | None = None
    timeouts_changed: Emit | None = None
    call: SpanEmitter | None = None
    handle: SpanEmitter | None = None
    send: SpanEmitter | None = None

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._handlers: dict[EventName, tuple[Handler, ...]] = {}
        self._attachments: list[tuple[EventName, Handler]] = []
        self._declared = _DECLARED
        self._spans = _SPANS

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
        and the error logged. Returns the function that detaches it. OTP: `telemetry:attach/4`.
        """
        check_event_name("name", name, at_least=1)
        checks.function("handler", handler)
        if inspect.iscoroutinefunction(handler):
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
        for event in self._declared.values():
            setattr(self, event.slot, self._emitter(event.name) if self._handlers[event.name] else None)
        for span in self._spans.values():
            heard = any(self._handlers[part.name] for part in span.parts)
            setattr(self, span.slot, SpanEmitter(self, span) if heard else None)

    def _emitter(self, name: EventName) -> Emit:
        return lambda measurements, metadata: self.emit(name, measurements, metadata)

    # ------------------------------------------------------------------------------------- emitting

    def emit(self, name: EventName, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Tell everybody who listens. OTP: `telemetry:execute/3`."""
        if name not in self._declared:
            raise InvalidSpec("name", name, "is no declared event; see Telemetry.declare")
        for handler in self._handlers.get(name, ()):
            try:
                handler(name, measurements, metadata)
            except Exception as error:
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
        events = self._spans.get(name)
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
