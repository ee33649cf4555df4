"""What may be said about a supervised send, and when it is worth another attempt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from nursery_otp._policy import checks
from nursery_otp._policy.breaker import CircuitBreaker, Position
from nursery_otp._policy.dead_letters import DeadLetter
from nursery_otp._policy.restarts import Backoff

OnError: TypeAlias = Literal["raise", "log", "dead_letter", "ignore"]
Confirm: TypeAlias = Literal["enqueued", "handled"]
Strategy: TypeAlias = Literal["best_effort", "at_least_one", "all_or_nothing"]

ON_ERROR = ("raise", "log", "dead_letter", "ignore")
ENQUEUED: Confirm = "enqueued"
HANDLED: Confirm = "handled"
CONFIRM = (ENQUEUED, HANDLED)
STRATEGIES = ("best_effort", "at_least_one", "all_or_nothing")

DEFAULT_BACKOFF = Backoff(initial=0.1, factor=2.0, maximum=10.0, jitter=0.5)
"""Before the retries of a send. Much jitter, as many senders may have failed in the same moment."""


@attrs.frozen(kw_only=True)
class DeliveryOptions:
    """How a runtime delivers messages: `breaker` is the circuit breaker that every recipient has, None for none.

    >>> DeliveryOptions(breaker=CircuitBreaker(failures=3)).breaker.cool_down
    30.0
    """

    breaker: CircuitBreaker | None = None

    def __attrs_post_init__(self) -> None:
        checks.instance("breaker", self.breaker, (CircuitBreaker, type(None)), "must be a CircuitBreaker")


DEFAULT_DELIVERY = DeliveryOptions()


@attrs.frozen(kw_only=True)
class SendOptions:
    """The options of one send, checked."""

    retries: float = 0
    backoff: Backoff = DEFAULT_BACKOFF
    on_error: OnError = "raise"
    confirm: Confirm = "enqueued"
    within: float | None = None

    def __attrs_post_init__(self) -> None:
        checks.count("retries", self.retries)
        checks.instance("backoff", self.backoff, Backoff, "must be a Backoff")
        checks.one_of("on_error", self.on_error, ON_ERROR)
        checks.one_of("confirm", self.confirm, CONFIRM)
        if self.within is not None:
            checks.seconds("within", self.within, zero=False, also=" (send_nowait does not wait)")

    def delay(self, attempt: int, *, may_pass: bool, chance: float) -> float | None:
        """Seconds to wait after failed attempt number `attempt`; None if it was the last one."""
        if not may_pass or attempt > self.retries:
            return None
        return self.backoff.delay(attempt, chance)


def checked_metadata(metadata: object) -> dict[str, Any]:
    """A copy of what the sender says about a message: later changes of his are not seen by others."""
    checks.instance("metadata", metadata, (Mapping, type(None)), "must be a mapping")
    return dict(metadata) if isinstance(metadata, Mapping) else {}


def checked_word(field: str, value: object) -> None:
    """An id or key: a text, or nothing."""
    checks.instance(field, value, (str, type(None)), "must be a text")


@attrs.frozen
class Delivery:
    """What became of a send: true if it was `delivered`.

    `attempts` is how often it was tried, `error` why the last attempt failed, `letter` the dead letter that was made of
    the message.

    >>> bool(Delivery(delivered=True))
    True
    """

    delivered: bool
    attempts: int = 1
    error: Exception | None = None
    letter: DeadLetter | None = None

    def __bool__(self) -> bool:
        return self.delivered


DELIVERED = Delivery(True)


@attrs.frozen
class BroadcastResult:
    """What became of a broadcast: `deliveries` in the order of `recipients`. True if everybody has the message."""

    strategy: Strategy
    recipients: tuple[Any, ...]
    deliveries: tuple[Delivery, ...]

    def __bool__(self) -> bool:
        return all(self.deliveries)

    @property
    def delivered(self) -> tuple[Any, ...]:
        """The recipients that have the message."""
        return tuple(recipient for recipient, delivery in self._pairs() if delivery)

    @property
    def failures(self) -> tuple[tuple[Any, Exception], ...]:
        """The others, each with its error."""
        return tuple((recipient, delivery.error) for recipient, delivery in self._pairs() if delivery.error is not None)

    def _pairs(self) -> Iterator[tuple[Any, Delivery]]:
        return zip(self.recipients, self.deliveries, strict=True)


@attrs.frozen(kw_only=True)
class DeliveryStatistics:
    """What became of all supervised sends of a runtime so far, the recipients of broadcasts included.

    A send is counted when it is over: it was `delivered`, `cancelled`, or `failed` (counted by the name of the error).
    Of those that failed, the sender was told of `reported` ones, by an exception or in the result of a broadcast;
    `dead_lettered` ones are in the dead-letter queue, `logged` and `ignored` ones were given up. So
    `sum(failed.values()) == reported + dead_lettered + logged + ignored`.

    `retried` counts attempts after the first. `buffered` sends had to wait for a circuit breaker, and `waiting` of them
    do so now; `breakers` are the recipients whose breaker is "open" or "half-open" (one that cannot be a key is there
    as its `repr`).
    """

    delivered: int
    cancelled: int
    failed: Mapping[str, int]
    reported: int
    dead_lettered: int
    logged: int
    ignored: int
    retried: int
    buffered: int
    waiting: int
    breakers: Mapping[Any, Position]
