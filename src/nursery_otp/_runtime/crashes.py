"""From the exception that left a process to the one that is its exit reason."""

from __future__ import annotations

from types import TracebackType

import trio

from nursery_otp._policy.errors import Ignore
from nursery_otp._policy.exits import Stop
from nursery_otp._runtime.call_sites import PACKAGE

_KNOWN = "_nursery_otp_traceback"


def own_crash(error: Exception, kinds: tuple[type[Exception], ...] = (Stop, Ignore)) -> Exception:
    """A process is one thing: a `Stop` or `Ignore` raised in a nursery of its own counts as raised by itself."""
    seen: BaseException = error
    while isinstance(seen, ExceptionGroup) and len(seen.exceptions) == 1:
        seen = seen.exceptions[0]
    return seen if isinstance(seen, kinds) else error


def is_cancellation(error: BaseException) -> bool:
    """Whether it is Trio's `Cancelled`, alone or in a group: then it is a scope's business and nobody's crash."""
    group = isinstance(error, BaseExceptionGroup) and error.subgroup(trio.Cancelled) is not None
    return group or isinstance(error, trio.Cancelled)


def relevant_traceback(error: BaseException) -> None:
    """Leave the runtime's own frames out of the traceback.

    They tell the reader nothing, and the outermost one refers to the process, whose exit reason holds the error: a
    cycle that only the garbage collector could undo, once per crash.
    """
    found: TracebackType | None = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename.startswith(PACKAGE):
        found = found.tb_next
    _cut_what_was_known(error, found)
    error.__traceback__ = found


def empty_own_frames(error: BaseException) -> None:
    """Let go of what the runtime's own frames refer to: the frames that called the ones in the traceback.

    Newer Pythons keep those as well, and with them the process. They all have returned but for the one that runs.
    """
    frame = None if error.__traceback__ is None else error.__traceback__.tb_frame.f_back
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        try:
            frame.clear()
        except RuntimeError:  # the one that runs
            return
        frame = frame.f_back


def _cut_what_was_known(error: BaseException, found: TracebackType | None) -> None:
    """An exception object that is raised again and again collects the tracebacks of all its raises: keep the last."""
    known = error.__dict__.get(_KNOWN)
    entry = found
    while entry is not None and known is not None:
        if entry.tb_next is known:
            entry.tb_next = None
        entry = entry.tb_next
    error.__dict__[_KNOWN] = found
