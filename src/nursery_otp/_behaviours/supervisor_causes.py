"""Why a supervisor does what it does, for `explain`; and what it tells of it: crash reports, log entries, events."""

from __future__ import annotations

import attrs

from nursery_otp._behaviours.child_requests import ChildCall
from nursery_otp._policy import supervision as s
from nursery_otp._policy.exits import safe_repr
from nursery_otp._runtime import log
from nursery_otp._runtime.call_sites import place
from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.crash_reports import CrashReport, write
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.shown import cut, shown


@protected
class SupervisorCauses:
    """What the supervisor is acting upon. Incidents are made when something comes of it, not before."""

    __slots__ = ("_crash", "_crashed", "_source", "_stop", "_supervisor")

    def __init__(self, supervisor: Process) -> None:
        self._supervisor = supervisor
        self._source: Process | Call | str | int = 0
        self._stop = 0
        self._crash: CrashReport | None = None
        self._crashed: Process | None = None

    # --------------------------------------------------------------------------------------- causes

    def begin(self, source: Process | Call | str | int) -> None:
        """An event is being dealt with: the end of a process, a request, or something that has a number or a name."""
        self._source = source
        self._stop = 0

    def number(self) -> int:
        """The incident behind the event."""
        match self._source:
            case Process() as process:
                self._source = process.exit_incident()
            case Call() as call:
                by = "" if call.caller is None else f" by {call.caller.ref}"
                where = f" at {place(call.line)}" if isinstance(call, ChildCall) else ""
                self._source = self._record("request", f"{shown(call.message)} was asked for{by}{where}", 0)
            case str() as text:
                self._source = self._record("request", text, 0)
        return self._source if isinstance(self._source, int) else 0

    def stopping(self) -> int:
        """The incident that the supervisor stops children, once for all that it stops in this event."""
        if self._stop == 0:
            self._stop = self._record("stop", f"{self._supervisor.ref} stopped it", self.number())
        return self._stop

    def restarting(self, key: object) -> int:
        """The incident that a child is restarted."""
        return self._record("restart", f"{self._supervisor.ref} restarted {safe_repr(key)}", self.number())

    def giving_up(self, report: s.Report) -> None:
        """The restart limit: from here on, that is why things are stopped."""
        limit = f"{self._supervisor.ref} gave up: {report.restarts} restarts, allowed are {report.allowed:g}"
        self._supervisor.cause = self._record("limit", limit, self.number())
        self.begin(self._supervisor.cause)

    def ending(self) -> None:
        """The supervisor ends for what it is acting upon, even if it was asked to stop in the meantime."""
        self._supervisor.cause = self.number() or self._supervisor.cause

    def _record(self, kind: str, text: str, cause: int) -> int:
        return self._supervisor.runtime.causes.record(kind, text, cause)

    # -------------------------------------------------------------------------------------- reports

    def crashed(self, process: Process, crash: CrashReport | None) -> None:
        """A child's crash is about to be decided upon."""
        self._crashed, self._crash = process, crash

    def decided(self, decision: str, restarts: int | None = None, allowed: float | None = None) -> bool:
        """The one log entry of that crash, unless it is written; whether there was one to write."""
        crash, process = self._crash, self._crashed
        self._crash = self._crashed = None
        if crash is None or process is None:
            return False
        write(process, attrs.evolve(crash, decision=decision, restarts=restarts, allowed=allowed))
        return True

    def report(self, report: s.Report) -> None:
        """What the supervisor decided about a child that ended or did not start."""
        if report.note == "limit_reached":
            self.giving_up(report)
            emit = self._supervisor.runtime.telemetry.restart_limit_reached
            if emit is not None:
                about = {"supervisor": self._supervisor.ref, "child": report.key, "reason": report.reason}
                emit({"restarts": report.restarts, "allowed": report.allowed}, about)
            self._write("error", report)
        elif report.note == "start_failed":
            self._write("warning", report)
        elif not self.decided(report.decision, report.restarts, report.allowed):
            self._write("info", report)

    def _write(self, level: str, report: s.Report) -> None:
        log.write(
            level,
            report.note,
            supervisor=repr(self._supervisor.ref),
            child=report.key,
            reason=cut(str(report.reason)),
            decision=report.decision,
            restarts=report.restarts,
            allowed=report.allowed,
        )

    def restarted(self, child: s.Child, state: s.State) -> None:
        """A child is up again."""
        emit = self._supervisor.runtime.telemetry.child_restarted
        if emit is not None:
            about = {"supervisor": self._supervisor.ref, "child": child.key, "reason": child.last}
            emit({"restarts": len(state.window.times), "allowed": state.flags.max_restarts}, about)
