"""Why a process ended: the exit reasons, and how any ending becomes one of them.

OTP uses arbitrary terms; here a reason is one of six frozen values, so that `match` covers them and nobody compares
strings. `normal` and `shutdown` are the ends that nobody has to be told about as a failure.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs


def safe_repr(value: object) -> str:
    """The repr of any object, even of one whose `__repr__` raises: the end of a process must not depend on that."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"


def safe_str(value: object) -> str:
    """The text of any object, in the same way: of an address or an error, in the middle of a sentence."""
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__} whose text raised {type(error).__name__}>"


@attrs.frozen
class Normal:
    """The process did what it had to do. OTP: `normal`."""

    def __str__(self) -> str:
        return "normal"


@attrs.frozen(repr=False)
class Shutdown:
    """The process was asked to stop, and did; `detail` says more. OTP: `shutdown` and `{shutdown, Detail}`."""

    detail: object = None

    def __repr__(self) -> str:
        return f"Shutdown(detail={safe_repr(self.detail)})"

    def __str__(self) -> str:
        return "shutdown" if self.detail is None else f"shutdown({safe_repr(self.detail)})"


@attrs.frozen
class Killed:
    """The process was ended without grace; its `terminate` did not run. OTP: `killed`."""

    def __str__(self) -> str:
        return "killed"


@attrs.frozen(repr=False)
class Crashed:
    """An exception left the process. OTP: `{Error, Stacktrace}`."""

    error: BaseException

    def __repr__(self) -> str:
        return f"Crashed(error={safe_repr(self.error)})"

    def __str__(self) -> str:
        return f"crashed({safe_repr(self.error)})"


@attrs.frozen(repr=False)
class Failed:
    """The process ended itself, on purpose, with an abnormal reason of its own. OTP: `exit(Detail)`."""

    detail: object

    def __repr__(self) -> str:
        return f"Failed(detail={safe_repr(self.detail)})"

    def __str__(self) -> str:
        return f"failed({safe_repr(self.detail)})"


@attrs.frozen
class NoProc:
    """There was no such process when it was asked for. Only in `Down`, `Exit` and errors. OTP: `noproc`."""

    def __str__(self) -> str:
        return "noproc"


ExitReason: TypeAlias = Normal | Shutdown | Killed | Crashed | Failed | NoProc
"""Why a process ended."""

REASONS = (Normal, Shutdown, Killed, Crashed, Failed, NoProc)
NORMAL = Normal()
SHUTDOWN = Shutdown()
KILLED = Killed()
NOPROC = NoProc()


def is_normal(reason: ExitReason) -> bool:
    """Whether a transient child that ended with `reason` stays down: normal, shutdown or shutdown(detail).

    >>> is_normal(SHUTDOWN), is_normal(KILLED)
    (True, False)
    """
    return isinstance(reason, Normal | Shutdown)


def as_reason(value: object) -> ExitReason:
    """Read any object as an exit reason: reasons as they are, exceptions as crashes, the rest as `Failed`.

    >>> as_reason("boom")
    Failed(detail='boom')
    """
    if isinstance(value, REASONS):
        return value
    if isinstance(value, BaseException):
        return Crashed(value)
    return Failed(value)


def error_of(reason: ExitReason) -> BaseException | None:
    """The exception inside a reason, if it carries one: what a `__cause__` should be."""
    match reason:
        case Crashed(error):
            return error
        case Shutdown(BaseException() as error) | Failed(BaseException() as error):
            return error
        case _:
            return None


class Stop(Exception):
    """End the current process with `reason`: raised anywhere in it, or returned by a callback that owes no reply.

    A call handler raises it (the caller then gets `CallExited`) or returns `answer(value, then=Stop(reason))`. `reason`
    is an exit reason; any other object is wrapped in `Failed`. OTP: `exit(Reason)`, `{stop, Reason, State}`.

    >>> Stop("boom").reason
    Failed(detail='boom')
    """

    def __init__(self, reason: object = NORMAL) -> None:
        super().__init__(reason)
        self.reason = as_reason(reason)
