"""The exceptions that floor 0 itself raises or carries inside values; `nursery_otp.errors` shows the whole family."""

from __future__ import annotations

import math
from typing import Any

from nursery_otp._policy.exits import ExitReason, error_of, safe_repr


class OTPError(Exception):
    """The base of every exception that nursery_otp raises on its own account."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The text is the only argument that the base keeps; a copy must not be made from that.
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[OTPError], args: tuple[Any, ...]) -> OTPError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


class ReasonError(OTPError):
    """Carries an exit reason; the exception inside the reason becomes the cause.

    The text of the reason is made when it is asked for. It does not change, may be long, and many callers may get it.
    """

    def __init__(self, what: str, subject: Any, reason: ExitReason) -> None:
        super().__init__(what, reason)
        self.subject = subject
        self.reason = reason
        self.__cause__ = error_of(reason)

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.reason}"


class InvalidSpec(OTPError, ValueError):
    """An option or a specification does not hold; nothing was started or changed.

    `field` names the offending field, `value` is what was given and `problem` says what would have been right.
    """

    def __init__(self, field: str, value: object, problem: str) -> None:
        super().__init__(f"{field}={safe_repr(value)}: {problem}")
        self.field = field
        self.value = value
        self.problem = problem


class RestartLimitReached(OTPError):
    """A supervisor restarted its children more than `max_restarts` times within `period` seconds and gave up.

    It is the detail of the supervisor's exit reason; at the root of a tree it leaves `open_supervisor`. `in_peace`
    tells whether the child, when it ended last, had not crashed; if it had, `__cause__` is that crash.
    """

    def __init__(self, child_id: object, max_restarts: float, period: float, *, in_peace: bool = False) -> None:
        window = "in all" if period == math.inf else f"within {period:g} s"
        restarts = "1 restart" if max_restarts == 1 else f"{max_restarts:g} restarts"
        if in_peace:
            how, advice = " though it did not crash", 'restart="transient" for a child that may come to an end'
        else:
            how, advice = "", "change max_restarts or period, or give the child a backoff"
        super().__init__(
            f"child {safe_repr(child_id)} ended once too often{how}: more than {restarts} {window} ({advice})"
        )
        self.child_id = child_id
        self.max_restarts = max_restarts
        self.period = period
        self.in_peace = in_peace


class Ignore(Exception):
    """Raised while a process starts: "do not start me, and that is fine".

    OTP: `init/1` returning `ignore`.
    """
