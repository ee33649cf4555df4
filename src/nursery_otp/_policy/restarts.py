"""When a restart is one too many, and how long to wait before the next."""

from __future__ import annotations

import math

import attrs

from nursery_otp._policy import checks


@attrs.frozen
class RestartWindow:
    """At most `max_restarts` restarts within any `period` seconds.

    The window slides on exact time: it is neither reset by success nor cut into buckets. (OTP counts whole seconds,
    so that its period P covers anything up to P + 1 s.)
    """

    max_restarts: float
    period: float
    times: tuple[float, ...] = ()

    def record(self, now: float) -> RestartWindow:
        """The window after a restart at `now` (seconds on the runtime's clock)."""
        if self.max_restarts == math.inf:
            return self
        recent = tuple(time for time in self.times if now <= time + self.period)
        return attrs.evolve(self, times=(*recent, now))

    @property
    def exceeded(self) -> bool:
        """Whether the last recorded restart was one too many."""
        return len(self.times) > self.max_restarts


@attrs.frozen(kw_only=True)
class Backoff:
    """Wait before a restart, or another attempt of a send, longer each time; beyond OTP, which restarts at once.

    The wait before the n-th in a row is `initial * factor ** (n - 1)` seconds, at most `maximum`, varied by
    plus or minus `jitter` (a fraction). A child that stayed up for `stable_after` seconds starts again at `initial`.

    >>> Backoff(initial=0.5, jitter=0).delay(attempt=3, chance=0.5)
    2.0
    """

    initial: float = 0.1
    factor: float = 2.0
    maximum: float = 30.0
    jitter: float = 0.1
    stable_after: float = 60.0

    def __attrs_post_init__(self) -> None:
        checks.seconds("initial", self.initial, zero=False)
        checks.seconds("maximum", self.maximum, zero=False)
        checks.seconds("stable_after", self.stable_after)
        checks.number("factor", self.factor, 1, math.inf)
        checks.number("jitter", self.jitter, 0, 1)

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait before restart number `attempt` (from 1); `chance` in [0, 1) places it within the jitter."""
        try:
            plain = min(self.maximum, self.initial * float(self.factor) ** (attempt - 1))
        except OverflowError:
            plain = self.maximum
        return plain * (1 + self.jitter * (2 * chance - 1))
