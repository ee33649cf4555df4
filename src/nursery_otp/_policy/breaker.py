"""The circuit breaker of one recipient, as a state machine: who may try, and what follows from how it went.

Every attempt gets a ticket, the number of the period in which it began. A change of state begins a new period, and
what an attempt of an earlier period comes to is not news any more.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from nursery_otp._policy import checks

Position: TypeAlias = Literal["closed", "open", "half-open"]


@attrs.frozen(kw_only=True)
class CircuitBreaker:
    """When to stop sending to a recipient that does not work, and when to try again.

    After `failures` failed attempts in a row the breaker opens: for `cool_down` seconds nothing is tried. Then it is
    half-open: one send is let through, and its outcome closes the breaker or opens it again. Up to `buffer` sends wait
    in line meanwhile, each within its own limit, and set out in their order; others fail with `CircuitOpen` at once.

    >>> CircuitBreaker(failures=3, cool_down=10.0).buffer
    0
    """

    failures: int = 5
    cool_down: float = 30.0
    buffer: float = 0

    def __attrs_post_init__(self) -> None:
        checks.count("failures", self.failures, minimum=1, infinite=False)
        checks.seconds("cool_down", self.cool_down, zero=False)
        checks.count("buffer", self.buffer)


@attrs.frozen
class BreakerState:
    """Where a breaker stands; `failures` in a row count while it is closed, `until` is when it may half-open."""

    position: Position = "closed"
    failures: int = 0
    until: float = 0.0
    period: int = 0
    probing: bool = False


CLOSED = BreakerState()


def ask(state: BreakerState, now: float) -> tuple[BreakerState, int | None]:
    """The state after somebody wanted to try at `now` (seconds on the runtime's clock), and the ticket if he may."""
    match state.position:
        case "closed":
            return state, state.period
        case "open" if now >= state.until:
            state = BreakerState("half-open", period=state.period + 1, probing=True)
            return state, state.period
        case "half-open" if not state.probing:
            state = attrs.evolve(state, period=state.period + 1, probing=True)
            return state, state.period
        case _:
            return state, None


def succeeded(state: BreakerState, ticket: int) -> BreakerState:
    """The attempt with this ticket went well."""
    if ticket != state.period:
        return state
    if state.position == "half-open":
        return BreakerState(period=state.period + 1)
    return state if state.failures == 0 else attrs.evolve(state, failures=0)


def failed(policy: CircuitBreaker, state: BreakerState, ticket: int, now: float) -> BreakerState:
    """The attempt with this ticket failed at `now`."""
    if ticket != state.period:
        return state
    failures = state.failures + 1
    if state.position == "closed" and failures < policy.failures:
        return attrs.evolve(state, failures=failures)
    return BreakerState("open", until=now + policy.cool_down, period=state.period + 1)


def given_up(state: BreakerState, ticket: int) -> BreakerState:
    """The attempt with this ticket has no outcome: another one may be the probe."""
    if ticket != state.period or state.position != "half-open":
        return state
    return attrs.evolve(state, probing=False)


def replaced(state: BreakerState) -> BreakerState:
    """Another breaker begins, closed: the attempts under way are none of its own."""
    return BreakerState(period=state.period + 1)
