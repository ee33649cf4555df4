"""What the runtime tells about itself: every event, declared as a value.

An event has a name (a tuple of words), measurements (numbers that one may add up or average) and metadata (what it is
about). Tools find here what exists; a test holds every place that emits one to what is declared.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from nursery_otp._policy.errors import InvalidSpec

EventName: TypeAlias = tuple[str, ...]
ROOT = "nursery_otp"


@attrs.frozen
class Event:
    """One kind of event: its name, the keys of its measurements and of its metadata, and when it happens.

    >>> Event(("shop", "order", "paid"), ("amount",), ("order",), "An order has been paid.").slot
    'order_paid'
    """

    name: EventName
    measurements: tuple[str, ...]
    metadata: tuple[str, ...]
    doc: str

    def __attrs_post_init__(self) -> None:
        check_event_name("name", self.name)

    @property
    def slot(self) -> str:
        """For an event of the library: the attribute of `Telemetry` that is None while nobody listens."""
        return "_".join(self.name[1:])


@attrs.frozen
class SpanEvents:
    """Three events around one piece of work: `start`, then either `stop` or `exception`.

    `stop` and `exception` measure the `duration` in seconds and name the `result`, `exception` also the `error`.
    """

    name: EventName
    metadata: tuple[str, ...]
    doc: str

    def __attrs_post_init__(self) -> None:
        check_event_name("name", self.name)

    @property
    def slot(self) -> str:
        """For an event of the library: the attribute of `Telemetry` that is None while nobody listens."""
        return "_".join(self.name[1:])

    @property
    def start(self) -> Event:
        """The work begins."""
        return Event((*self.name, "start"), ("time",), self.metadata, f"{self.doc} It begins.")

    @property
    def stop(self) -> Event:
        """The work is done."""
        return Event((*self.name, "stop"), ("duration",), (*self.metadata, "result"), f"{self.doc} It is done.")

    @property
    def exception(self) -> Event:
        """The work failed."""
        return Event(
            (*self.name, "exception"), ("duration",), (*self.metadata, "result", "error"), f"{self.doc} It failed."
        )

    @property
    def parts(self) -> tuple[Event, Event, Event]:
        """All three."""
        return self.start, self.stop, self.exception


def check_event_name(field: str, name: object, *, at_least: int = 2) -> None:
    """An event name is a tuple of words, the first being whose event it is."""
    if not isinstance(name, tuple) or len(name) < at_least or not all(isinstance(word, str) and word for word in name):
        raise InvalidSpec(field, name, f"must be a tuple of words, at least {at_least}, such as ('shop', 'paid')")


def _event(words: str, measurements: str, metadata: str, doc: str) -> Event:
    return Event((ROOT, *words.split()), tuple(measurements.split()), tuple(metadata.split()), doc)


SINGLE = (
    _event("process started", "", "ref label name supervisor incarnation", "The init of a process is over."),
    _event("process ended", "handled", "ref reason", "A process has ended, for whatever reason."),
    _event("process crashed", "", "report", "A process has crashed, and its supervisor has decided."),
    _event("child restarted", "restarts allowed", "supervisor child reason", "A supervisor has restarted a child."),
    _event("restart_limit reached", "restarts allowed", "supervisor child reason", "A supervisor gives up."),
    _event("send retried", "attempt delay", "recipient error", "A send failed and is tried again after `delay`."),
    _event("breaker changed", "", "recipient before after", "A circuit breaker opened, half-opened or closed."),
    _event("mailbox overflowed", "queued capacity", "ref policy", "A message found a mailbox full."),
    _event("letter added", "queued", "letter", "A message became a dead letter."),
    _event("letter retried", "attempts", "letter result", "A dead letter was sent again: 'delivered' or the error."),
    _event("letter removed", "queued", "letter cause", "It left the queue: delivered, purged, expired or evicted."),
    _event("letter exhausted", "attempts", "letter", "A dead letter is not retried automatically any more."),
    _event("letters stored", "letters duration", "store", "A batch of dead letters is durable."),
    _event("store failed", "waiting", "store error", "The store is out of order; letters are kept in memory."),
    _event("store recovered", "waiting", "store", "The store works again."),
    _event("monitor created", "", "monitor", "A monitor is on."),
    _event("monitor cleaned", "duration", "monitor cause", "It is off: 'demonitor', 'target' or 'owner' (ended)."),
    _event("owner cleanup", "count", "owner", "A process ended, and with it the monitors it had."),
    _event("leaks detected", "count", "tags monitors", "Monitors are older than they should ever get."),
    _event("timeout fired", "limit", "operation kind", "A limit has passed: of a 'call', 'handler' or 'send'."),
    _event("timeouts changed", "", "before after", "The policy of timeouts was changed or overridden."),
)
SPANS = (
    SpanEvents((ROOT, "call"), ("operation", "target", "caller"), "A call, as its caller sees it; see `CALL_RESULTS`."),
    SpanEvents((ROOT, "handle"), ("operation", "ref"), "The run of a server's handler; see `HANDLE_RESULTS`."),
    SpanEvents((ROOT, "send"), ("recipient", "message_type"), "A supervised send."),
)
CALL_RESULTS = ("ok", "refused", "timeout", "exited", "noproc", "full", "deadlock", "unknown", "cancelled")
"""How a call can end for its caller: "ok" stops its span, each of the others is an exception event.

"refused" is an error that the handler chose to answer with; "unknown" an operation that the server does not have.
"""
HANDLE_RESULTS = ("ok", "refused", "expired", "unknown", "stopped", "error", "timeout", "cancelled")
"""How the run of a handler can end. The first four leave the server running and are stop events.

"stopped" is a stop event as well: the handler ended the server on purpose. "timeout" is the limit of the handler,
"cancelled" a signal that ended the server in the middle; these two and "error" are exception events.
"""
EVENTS: tuple[Event, ...] = (*SINGLE, *(part for span in SPANS for part in span.parts))
"""Everything the library emits."""
