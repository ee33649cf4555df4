"""What protects the runner from the scenarios: silence, and an alarm on the wall clock.

The alarm is the last resort against a scenario that never comes back. The drivers notice most hangs themselves, on the
virtual clock. What they cannot notice from inside the loop is a loop that does not turn any more, or a task that
shields itself for ever. The alarm interrupts the main thread wherever it is, again and again until `trio.run` gives
up. Without signals (on Windows, in other threads) there is no alarm.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PATIENCE = 30.0
AGAIN = 0.2


class Stuck(BaseException):
    """A scenario has used up its time. Not an `Exception`, so that no process takes it for a crash of its own."""


class NoProgress(Exception):
    """A driver gave up on a scenario: everything waits for something that will never happen, or it never ends."""


@contextmanager
def alarm(seconds: float = PATIENCE) -> Iterator[None]:
    """Raise `Stuck` in the body when it takes longer than `seconds`."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    previous = signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def silence() -> Iterator[None]:
    """No log lines: in a scenario, crashes are the plan."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(previous)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise Stuck("the scenario does not come to an end")
