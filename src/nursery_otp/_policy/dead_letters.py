"""Dead letters as their users see them, and what may be chosen about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from nursery_otp._policy import checks
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.letters import LetterState, LetterStore
from nursery_otp._policy.restarts import Backoff

DAY = 86_400.0
STORE_METHODS = ("open", "write", "changed", "reload", "encode", "decode", "close")


@attrs.frozen(kw_only=True)
class DeadLetter:
    """A message that nobody handled: for whom it was, why it was not delivered, and what was tried since.

    A snapshot. `recipient` is a `Name` where there was one, so that a retry reaches its next holder; else it is what
    the sender used. `attempts` counts the attempts to deliver it, the one that failed first included. `first_failure`
    and `last_attempt` are Unix times in seconds. `idempotency_key` is the same in every attempt, so that a receiver
    can tell a message that it has seen. `cause` says in words what led to it, if that is known. `state` is "waiting",
    "retrying", or "exhausted" when all attempts are used up. `durable` tells whether it is in the store, `not_stored`
    why it cannot be. `requested` is True if somebody asked for delivery in the store's file. `ref` is the process that
    had ended when the message came, or ended with it unread; None if there was none, or if that was in another run.
    """

    id: str
    recipient: Any
    message: Any
    reason: str
    metadata: Mapping[str, Any]
    attempts: int
    first_failure: float
    last_attempt: float
    idempotency_key: str
    correlation_id: str | None
    cause: str | None
    state: LetterState
    durable: bool
    not_stored: str | None
    requested: bool
    ref: Any = attrs.field(default=None, repr=False, eq=False)


@attrs.frozen
class FormerRecipient:
    """Who a letter from a store was for, if that was not a name: a process of an earlier run, as `text`.

    It is an address where nobody is.
    """

    text: str

    def whereis(self) -> None:
        """Nobody."""

    def __str__(self) -> str:
        return self.text


@attrs.frozen
class UnreadableMessage:
    """A message in a store that cannot be made an object any more: its `text` there, and the `problem`."""

    text: str
    problem: str


@attrs.frozen
class RetryReport:
    """What a retry did, by the ids of the letters.

    `delivered` letters have been handled and are gone. `failed` ones stay, each with the error as text. `skipped` ones
    were not tried: an earlier letter of the same recipient failed, so that they would have overtaken it, or somebody
    else was retrying letters of that recipient.
    """

    delivered: tuple[str, ...] = ()
    failed: Mapping[str, str] = attrs.field(factory=dict)
    skipped: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class DeadLetterStatistics:
    """What has become of all dead letters of a runtime so far; all numbers are exact.

    `loaded + added == queued + delivered + purged + expired + evicted`, and `queued == waiting + retrying + exhausted`.
    `added` is also counted by reason. `attempts` is how many times letters were sent again. `unsaved` letters still
    have to be written to the store; `not_stored` ones never will be.
    """

    queued: int
    waiting: int
    retrying: int
    exhausted: int
    loaded: int
    added: int
    by_reason: Mapping[str, int]
    attempts: int
    delivered: int
    purged: int
    expired: int
    evicted: int
    unsaved: int
    not_stored: int


@attrs.frozen(kw_only=True)
class AutomaticRetry:
    """Retry dead letters by themselves: every `interval` seconds at most, those that are due.

    A letter is due when it is `min_age` seconds old and `backoff` has passed since its last attempt. At most
    `concurrency` recipients are tried at a time. If there is a store, its file is looked at as often, for what somebody
    has asked for or purged there; without one nothing runs while nothing waits.

    >>> AutomaticRetry(interval=10.0).concurrency
    16
    """

    interval: float = 30.0
    min_age: float = 0.0
    backoff: Backoff = attrs.field(factory=lambda: Backoff(initial=1.0, maximum=300.0))
    concurrency: int = 16

    def __attrs_post_init__(self) -> None:
        checks.seconds("interval", self.interval, zero=False)
        checks.number("interval", self.interval, 0, math.inf)
        checks.seconds("min_age", self.min_age)
        checks.number("min_age", self.min_age, 0, math.inf)
        checks.instance("backoff", self.backoff, Backoff, "must be a Backoff")
        checks.count("concurrency", self.concurrency, minimum=1, infinite=False)


@attrs.frozen(kw_only=True)
class DeadLetterOptions:
    """What a runtime does with its dead letters.

    `store` keeps them over the end of the program, see `nursery_otp.stores`; without one they are in memory only.
    `capacity` is how many are kept: at the bound each new letter evicts the oldest one, in memory and in the store.
    What a store has is taken over whole, also beyond the bound; the queue does not grow from there on. After
    `max_attempts` failed attempts a letter is "exhausted": kept until it is purged, and retried only if asked for by
    its id or state. Other letters expire `expire_after` seconds after their first failure; those that were asked for in
    the store's file not before they have been tried, and so many seconds after that. `retry` turns on automatic
    retries. `concurrency` is how many recipients a retry that was asked for tries at a time. `math.inf` means no limit,
    for the first three.

    >>> DeadLetterOptions(capacity=100).max_attempts
    5
    """

    store: LetterStore | None = None
    capacity: float = 10_000
    max_attempts: float = 5
    expire_after: float = DAY
    retry: AutomaticRetry | None = None
    concurrency: int = 16

    def __attrs_post_init__(self) -> None:
        missing = [name for name in STORE_METHODS if not callable(getattr(self.store, name, None))]
        if self.store is not None and (missing or isinstance(self.store, type)):
            raise InvalidSpec("store", self.store, f"must be a LetterStore; it has no method {', '.join(missing)}")
        checks.count("capacity", self.capacity, minimum=1)
        checks.count("max_attempts", self.max_attempts, minimum=1)
        checks.seconds("expire_after", self.expire_after, zero=False)
        checks.instance("retry", self.retry, (AutomaticRetry, type(None)), "must be an AutomaticRetry")
        checks.count("concurrency", self.concurrency, minimum=1, infinite=False)


DEFAULT_DEAD_LETTERS = DeadLetterOptions()
