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

    It is the detail of the supervisor's exit reason; at the root of a tree it leaves `open_supervisor`.
    `__cause__` is the last crash.
    """

    def __init__(self, child_id: object, max_restarts: float, period: float) -> None:
        super().__init__(child_id, max_restarts, period)
        self.child_id = child_id
        self.max_restarts = max_restarts
        self.period = period

    def __str__(self) -> str:
        window = "in all" if self.period == math.inf else f"within {self.period:g} s"
        return (
            f"child {self.child_id!r} ended once too often: more than {self.max_restarts:g} restarts {window} "
            "(change max_restarts or period, or give the child a backoff)"
        )


class Ignore(Exception):
    """Raised while a process starts: "do not start me, and that is fine".

    OTP: `init/1` returning `ignore`.
    """
