"""The exceptions that floor 0 itself raises or carries inside values; `nursery_otp.errors` shows the whole family."""

from __future__ import annotations

import math

from nursery_otp._policy.exits import safe_repr


class OTPError(Exception):
    """The base of every exception that nursery_otp raises on its own account."""


class InvalidSpec(OTPError, ValueError):
    """An option or a specification does not hold; nothing was started or changed.

    `field` names the offending field, `value` is what was given and `problem` says what would have been right.
    """

    def __init__(self, field: str, value: object, problem: str) -> None:
        super().__init__(field, value, problem)
        self.field = field
        self.value = value
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}={safe_repr(self.value)}: {self.problem}"


class RestartLimitReached(OTPError):
    """A supervisor restarted its children more than `max_restarts` times within `period` seconds and gave up.

    It is the detail of the supervisor's exit reason; at the root of a tree it leaves `open_supervisor`. `in_peace`
    tells whether the child, when it ended last, had not crashed; if it had, `__cause__` is that crash.
    """

    def __init__(self, child_id: object, max_restarts: float, period: float, *, in_peace: bool = False) -> None:
        super().__init__(child_id, max_restarts, period)
        self.child_id = child_id
        self.max_restarts = max_restarts
        self.period = period
        self.in_peace = in_peace

    def __str__(self) -> str:
        window = "in all" if self.period == math.inf else f"within {self.period:g} s"
        restarts = "1 restart" if self.max_restarts == 1 else f"{self.max_restarts:g} restarts"
        if self.in_peace:
            how, advice = " though it did not crash", 'restart="transient" for a child that may come to an end'
        else:
            how, advice = "", "change max_restarts or period, or give the child a backoff"
        return f"child {safe_repr(self.child_id)} ended once too often{how}: more than {restarts} {window} ({advice})"


class Ignore(Exception):
    """Raised while a process starts: "do not start me, and that is fine".

    OTP: `init/1` returning `ignore`.
    """
