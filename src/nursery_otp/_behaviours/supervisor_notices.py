"""What a supervisor finds in its mailbox besides calls, and the one alarm that it sets for itself."""

from __future__ import annotations

import attrs

from nursery_otp._policy import supervision as s
from nursery_otp._policy.exits import KILLED, SHUTDOWN, ExitReason
from nursery_otp._policy.specs import ChildSpec
from nursery_otp._runtime.crash_reports import CrashReport, write
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Notice
from nursery_otp._runtime.process import Process

START_GRACE = 1.0
"""How many seconds a start that is under way goes on at least when its supervisor is asked to stop."""


class ChildEnded(Notice):
    """A child has ended by itself; posted by its own last act."""

    __slots__ = ("crash", "process", "reason")

    def __init__(self, process: Process, reason: ExitReason, crash: CrashReport | None) -> None:
        self.process = process
        self.reason = reason
        self.crash = crash

    def lost(self) -> None:
        """The supervisor ended first, so that nobody decides about a crash; it is reported all the same."""
        crash, self.crash = self.crash, None
        if crash is not None:
            write(self.process, attrs.evolve(crash, decision="its supervisor has ended"))


@protected
class RetryDue(Notice):
    """The turn of a retry has come, at once or after a backoff."""

    __slots__ = ("action", "alarm", "because", "supervisor")

    def __init__(self, action: s.RetryLater, supervisor: Process, because: int) -> None:
        self.action = action
        self.because = because
        self.supervisor = supervisor
        self.alarm = 0

    def on_alarm(self) -> None:
        """The backoff is over."""
        self.supervisor.deliver(self)


class BodyEnded(Notice):
    """The block of the root supervisor needs nobody any more."""

    __slots__ = ()


@protected
class StartLimit:
    """Ends a start that is still under way when its time is over.

    A supervisor that is asked to stop finishes what it is doing first. But a start that never ends must not keep a
    whole tree from stopping, so from then on it has the time that the child would have to stop, and at least
    `START_GRACE`. A supervisor has no such time: it is asked to stop, and sets a limit to the start it waits for.
    """

    __slots__ = ("_child", "_polite", "alarm", "seconds")

    def __init__(self, child: Process, spec: ChildSpec) -> None:
        self._child = child
        self._polite = spec.kind == "supervisor"
        self.alarm = 0
        own = 0.0 if spec.shutdown == "kill" or self._polite else float(spec.shutdown)
        self.seconds = max(START_GRACE, own)

    def on_alarm(self) -> None:
        """Time is up."""
        if self._child.status != "starting":
            return
        supervisor = self._child.supervisor
        text = "its start took too long for a supervisor that is to stop"
        cause = self._child.runtime.causes.record("limit", text, 0 if supervisor is None else supervisor.cause)
        if self._polite:
            self._child.request_stop(SHUTDOWN, cause=cause)
        else:
            self._child.interrupt(KILLED, cause=cause)
