"""A process: a task, a mailbox, a cancel scope and an identity, and the one place where every process ends.

A process is started with `launch`, runs its body inside its own cancel scope, and ends in `_end`, whose order is
fixed: mailbox closed, names released, waiting callers failed, monitors told, links signalled, hooks and supervisor
told, leftover messages dead-lettered. Nothing in it awaits, so nobody ever sees half of it.

An exception never leaves a process: it becomes the exit reason, which is data. The exceptions to that are the ones
that are nobody's crash (KeyboardInterrupt, SystemExit): those are handed to the runtime, which stops the tree and
lets them out at its root.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import attrs
import outcome
import trio

from nursery_otp._policy.exits import KILLED, NORMAL, Crashed, ExitReason, Normal, Stop, error_of, is_normal
from nursery_otp._policy.mailboxes import DEFAULT_MAILBOX, MailboxOptions
from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.causes import mark
from nursery_otp._runtime.channel_mailbox import ChannelMailbox
from nursery_otp._runtime.context import process_var, runtime_var
from nursery_otp._runtime.crash_reports import CrashReport, crash_report
from nursery_otp._runtime.crash_reports import write as write_report
from nursery_otp._runtime.crashes import empty_own_frames, is_cancellation, own_crash, relevant_traceback
from nursery_otp._runtime.handling import Handling, carried_by, enter, leave
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.lean_mailbox import LeanMailbox
from nursery_otp._runtime.links import signal
from nursery_otp._runtime.mailbox import NOBODY, SIGNALS, Mailbox, Waiter
from nursery_otp._runtime.messages import Carried, Envelope, Exit, Notice, Tick, recipient_of
from nursery_otp._runtime.parcels import Parcel
from nursery_otp._runtime.refs import Name, Ref, checkpointed
from nursery_otp._runtime.shown import shown
from nursery_otp._runtime.tracing import forget_inherited
from nursery_otp.errors import Ignore, MailboxFull, MailboxOverflow

if TYPE_CHECKING:
    from nursery_otp._runtime.monitors import Monitor
    from nursery_otp._runtime.runtime import Runtime

Body: TypeAlias = Callable[["Process"], Awaitable[None]]
ProcessStatus: TypeAlias = Literal["starting", "running", "waiting", "suspended", "ended"]


class Waiting(Protocol):
    """What a process may wait for: something that another process has to bring about."""

    @property
    def process(self) -> Process | None:
        """The other process, if it is known."""

    @property
    def certain(self) -> bool:
        """Whether nobody else can end the wait."""


@protected
class Process:
    """The runtime's side of one process; users hold its `ref`."""

    __slots__ = (
        "__weakref__",
        "_dead_ref",
        "_gate",
        "_interrupted",
        "_polite",
        "_ref",
        "_stop_scopes",
        "_waiters",
        "asked",
        "behaviour",
        "body",
        "cause",
        "child_key",
        "current_call",
        "follow_caller",
        "handling",
        "ignored",
        "incarnation",
        "incident",
        "label",
        "links",
        "mailbox",
        "monitors",
        "name",
        "on_end",
        "on_stop",
        "origin",
        "owed",
        "parent",
        "pid",
        "reason",
        "runtime",
        "scope",
        "start_value",
        "started",
        "status",
        "supervisor",
        "task",
        "telemetry",
        "traced",
        "trap_exits",
        "waits_for",
        "watchers",
    )

    def __init__(
        self,
        runtime: Runtime,
        label: str,
        body: Body,
        *,
        mailbox: MailboxOptions = DEFAULT_MAILBOX,
        trap_exits: bool = False,
        supervisor: Process | None = None,
        child_key: Any = None,
    ) -> None:
        self.runtime = runtime
        self.telemetry = runtime.telemetry
        self.pid = runtime.next_pid()
        self.label = label
        self.body: Body | None = body
        self.behaviour: Any = getattr(body, "__self__", None)
        self.mailbox: Mailbox = (LeanMailbox if mailbox.kind == "lean" else ChannelMailbox)(mailbox, self)
        self.trap_exits = trap_exits
        self.supervisor = supervisor
        self.parent: Process | None = None  # whose Exit ends a server that traps exits
        self._ref: Ref[Any] | None = Ref(self)
        self._dead_ref: weakref.ref[Ref[Any]] | None = None
        self.name: Name[Any] | None = None
        self.task: trio.lowlevel.Task | None = None
        self.scope: trio.CancelScope | None = None
        self.status: ProcessStatus = "starting"
        self.reason: ExitReason | None = None
        self.ignored = False
        self.started = False
        self.start_value: Any = None
        self.child_key = child_key
        self.follow_caller = False
        self.handling: object = None  # what was read last, until the next is asked for
        self.traced: Handling | None = None  # the same in the tracer's scope; servers do that themselves
        self.links: dict[Process, None] | None = None
        self.watchers: dict[Monitor, None] | None = None
        self.monitors: dict[Monitor, None] | None = None
        self.owed: dict[Call, None] | None = None
        self.current_call: Call | None = None
        self.waits_for: Waiting | None = None
        self.incarnation = 1
        # Numbers of incidents (see `causes`), 0 for none: of the start, of what is to end it, and of the end.
        self.origin = self.cause = self.incident = 0
        self.asked: ExitReason | None = None  # what it was asked to end for, if it was
        self.on_end: Callable[[Process, ExitReason, CrashReport | None], bool] | None = None
        self.on_stop: Callable[[ExitReason, bool], None] | None = None
        self._interrupted: ExitReason | None = None
        self._polite = False
        self._stop_scopes: list[trio.CancelScope] | None = None
        self._waiters: dict[trio.lowlevel.Task, None] | None = None
        self._gate: trio.lowlevel.Task | None = None
        runtime.table[self.pid] = self

    # A property and no `__getattr__` for the rare case: with that, every other attribute would be looked up slowly.
    @property
    def ref(self) -> Ref[Any]:
        """What others know the process by.

        A dead process does not keep its ref alive. If nobody else does either, nobody can tell a new one from it.
        """
        ref = self._ref
        if ref is None:
            known = self._dead_ref
            ref = (None if known is None else known()) or Ref(self)
            self._dead_ref = weakref.ref(ref)
        return ref

    @property
    def service(self) -> type[Any] | None:
        """The class of the server that it runs, if it runs one and has not ended."""
        return getattr(self.behaviour, "service", None)

    def __repr__(self) -> str:
        return f"<Process of {self.ref}>"

    # ------------------------------------------------------------------------------ running, ending

    def launch(self, nursery: trio.Nursery) -> None:
        """Let the process run as a task of this nursery."""
        nursery.start_soon(self._main, name=f"{self.label}#{self.pid}")

    async def _main(self) -> None:
        self.task = trio.lowlevel.current_task()
        runtime_var.set(self.runtime)
        process_var.set(self)
        reason: ExitReason = KILLED
        try:
            reason = await self._live()
        finally:
            # Only what must not be stopped here (a Cancelled of an outer scope) passes this point as an exception.
            self._end(reason)
            if isinstance(reason, Crashed):
                empty_own_frames(reason.error)
            del self, reason  # a traceback may keep this frame

    async def _live(self) -> ExitReason:
        body = self.body
        if self._interrupted is not None or body is None:
            return self._interrupted or KILLED  # a signal came before the first step
        # Nothing here may keep the error: its traceback refers to this frame, and only the collector undoes a cycle.
        try:
            tracer = self.telemetry.tracer
            if tracer is not None:
                forget_inherited(self.telemetry)
            with trio.CancelScope() as self.scope:
                await self._run_body(body)
        except Exception as error:
            return self._crash_reason(error)
        except BaseException as error:  # noqa: ASYNC103 - a stray Cancelled, of no scope, is a crash like any other
            if not is_cancellation(error):
                self.runtime.take_fatal(error)
            elif trio.current_effective_deadline() == -math.inf:
                raise
            return Crashed(error)  # noqa: ASYNC104
        if self.scope is not None and not self.scope.cancelled_caught:
            self._done_alone()
        return self._interrupted or NORMAL

    async def _run_body(self, body: Body) -> None:
        await body(self)

    def _done_alone(self) -> None:
        """It has come to its end by itself, even if a signal was on its way: it was done with what it handled."""
        if type(self.handling) is Parcel and self._stop_scopes is None:  # one of those may have been cut short
            self.handling.reply(None)

    def _crash_reason(self, error: Exception) -> ExitReason:
        if isinstance(error, Stop) and is_normal(error.reason):
            self._done_alone()
        if self._interrupted is not None and not self._polite:
            return self._interrupted
        error = own_crash(error)
        if isinstance(error, Stop):
            if isinstance(error.reason, Crashed):
                relevant_traceback(error.reason.error)
            return error.reason
        if isinstance(error, Ignore) and self.status == "starting":
            self.ignored = True
            return NORMAL
        relevant_traceback(error)
        return Crashed(error)

    def _end(self, reason: ExitReason) -> None:
        self.status = "ended"
        self.reason = reason
        signal = self.handling
        if isinstance(signal, Exit) and signal.reason is reason:
            self.asked, self.cause = reason, self.cause or signal.cause  # it trapped that, and obeyed
        crash = self._crash(reason) if isinstance(reason, Crashed) else None
        left, line = self.mailbox.close()
        self.runtime.registry.release(self)
        if self.name is not None:
            self.runtime.causes.note_name(self.name.text, 0 if isinstance(reason, Normal) else self.exit_incident())
        self._fail_callers(left)
        self._send_away(line)
        self._tell_watchers(reason)
        self._signal_links(reason)
        self.runtime.process_ended(self, reason)
        taken_over = self.on_end is not None and self.on_end(self, reason, crash)
        self._open_gate()
        for item in left:
            self.discard(item, "process ended")
        emit = self.telemetry.process_ended
        if emit is not None:
            emit({"handled": self.mailbox.handled}, {"ref": self.ref, "reason": reason})
        self.runtime.forget(self)
        self._let_go()
        if self.traced is not None:
            self._leave_trace(error_of(reason))
        if crash is not None and not taken_over:
            by = "no supervisor" if self.supervisor is None else "its supervisor was stopping it"
            write_report(self, attrs.evolve(crash, decision=by))

    def _crash(self, reason: Crashed) -> CrashReport | None:
        """Remember the crash; its report, if it is one that somebody has to be told of here."""
        if not self.started or any(reason.error is fatal for fatal in self.runtime.fatal):
            return None
        told = reason is self.asked or reason is self._interrupted
        if told and not isinstance(reason.error, MailboxOverflow):
            return None  # it ended as it was told to; the error is somebody else's
        report = crash_report(self, reason.error)
        handling = "" if report.message is None else f" while it handled {report.message}"
        causes = self.runtime.causes
        cause = causes.of_error(reason.error) or self.cause
        self.incident = causes.record("crash", f"{report.process}{handling}", cause)
        return report

    def exit_incident(self, runtime: Runtime | None = None) -> int:
        """The number of the incident that the end of this process was, in its own runtime or in another one."""
        if self.incident == 0:
            # A start that failed has failed on the way back from what made it necessary.
            before = self.cause if self.started else self.cause or self.origin
            self.incident = self.runtime.causes.record("exit", shown(self.ref), before)
        if runtime is None or runtime is self.runtime:
            return self.incident
        found, _ = self.runtime.causes.chain(self.incident)
        return runtime.causes.record("exit", "; because ".join(incident.text for incident in found))

    def why(self) -> int:
        """The incident that its end was, or that is about to end it, or that it was started for."""
        if self.reason is not None:
            return self.exit_incident()
        return self.cause if self.doomed else self.origin

    def _let_go(self) -> None:
        """A ref may be kept for ever. What the process was made of need not be, nor wait for the garbage collector."""
        self._dead_ref = weakref.ref(self.ref)
        self._ref = None
        self.mailbox.owner = NOBODY
        release = getattr(self.behaviour, "release", None)
        if release is not None:
            release()
        self.body = self.behaviour = self.task = self.scope = self.handling = None
        self.on_end = self.on_stop = self._stop_scopes = None

    def _fail_callers(self, left: list[Any]) -> None:
        owed = list(self.owed or ())
        if self.current_call is not None:
            owed.append(self.current_call)
        if type(self.handling) is Parcel:
            owed.append(self.handling)
        self.owed = self.current_call = None
        for call in owed:
            call.orphaned(self)
        for item in left:
            if isinstance(item, Call):
                item.fail(item.lost(self))

    def _send_away(self, line: list[Waiter]) -> None:
        for waiter in line:
            waiter.sender.fail(waiter.sender.lost(self))

    def close_mailbox(self) -> None:
        left, line = self.mailbox.close()
        self._send_away(line)
        for item in left:
            self.discard(item, "mailbox closed")

    def _tell_watchers(self, reason: ExitReason) -> None:
        watchers, self.watchers = self.watchers, None
        for watch in watchers or ():
            watch.fire(reason)
        monitors, self.monitors = self.monitors, None
        if monitors:
            self.runtime.monitor_manager.owner_ended(self, monitors)
        waiters, self._waiters = self._waiters, None
        for task in waiters or ():
            trio.lowlevel.reschedule(task, outcome.Value(reason))

    def _signal_links(self, reason: ExitReason) -> None:
        links, self.links = self.links, None
        for peer in links or ():
            if peer.links is not None:
                peer.links.pop(self, None)
            signal(peer, self, reason, self.exit_incident)

    # ------------------------------------------------------------------------------------- starting

    def ready(self) -> None:
        """The body is initialised: the start is over."""
        self.status = "running"
        self.started = True
        self.mailbox.direct = self.mailbox.overflow == "block" and self._interrupted is None and not self.mailbox.closed
        self.runtime.registry.announce(self)
        self._open_gate()
        emit = self.telemetry.process_started
        if emit is not None:
            supervisor = None if self.supervisor is None else self.supervisor.ref
            emit(
                {},
                {
                    "ref": self.ref,
                    "label": self.label,
                    "name": self.name,
                    "supervisor": supervisor,
                    "incarnation": self.incarnation,
                },
            )

    def _open_gate(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            trio.lowlevel.reschedule(gate)

    async def wait_started(self) -> None:
        """Sleep until the process is ready or has ended. One task at most may do so."""
        if self.status != "starting":
            await trio.lowlevel.checkpoint()
            return
        self._gate = trio.lowlevel.current_task()

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._gate = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def wait_ended(self) -> ExitReason:
        """Sleep until the process has ended; why it did."""
        if self.reason is not None:
            return await checkpointed(self.reason)
        if self._waiters is None:
            self._waiters = {}
        task = trio.lowlevel.current_task()
        self._waiters[task] = None

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            if self._waiters is not None:
                self._waiters.pop(task, None)
            return trio.lowlevel.Abort.SUCCEEDED

        reason: ExitReason = await trio.lowlevel.wait_task_rescheduled(abort)
        return reason

    # -------------------------------------------------------------------------------- being stopped

    @property
    def interrupted(self) -> ExitReason | None:
        """With which reason the process has been told to end at its next checkpoint, if it has."""
        return self._interrupted

    @property
    def doomed(self) -> bool:
        """Whether it has ended, or has a signal that will end it: as good as dead for whoever comes now."""
        return self.reason is not None or (self._interrupted is not None and not self._polite)

    def interrupt(self, reason: ExitReason, *, polite: bool = False, cause: int = 0) -> None:
        """End at the next checkpoint. The first reason stays, but any signal overrides a polite stop."""
        if self.reason is not None:
            return
        if self._interrupted is None or (self._polite and not polite):
            self._interrupted = reason
            self._polite = polite
            self.mailbox.direct = False
            self.cause = cause or self.cause
        if self.scope is not None:
            self.scope.cancel(reason=f"{self.ref}: {reason}{mark(self.cause)}")

    def request_stop(self, reason: ExitReason, *, drain: bool = False, cause: int = 0) -> None:
        """Ask politely; how a process obeys depends on what it is."""
        if self.reason is not None:
            return
        self.asked = self.asked or reason
        self.cause = self.cause or cause
        if self.on_stop is not None:
            self.on_stop(reason, drain)
        elif self.trap_exits:
            asker = process_var.get()
            self.deliver(Exit(None if asker is None else asker.ref, reason, cause=cause))
        elif self._stop_scopes is not None:
            if self._interrupted is None:
                self._interrupted, self._polite = reason, True
                self.mailbox.direct = False
            for scope in self._stop_scopes:
                scope.cancel(reason=f"{self.ref}: stop: {reason}{mark(self.cause)}")
        else:
            self.interrupt(reason, polite=True)

    def enter_stop_scope(self, scope: trio.CancelScope) -> None:
        """From now on a polite stop only cancels such scopes."""
        if self._stop_scopes is None:
            self._stop_scopes = []
        self._stop_scopes.append(scope)
        if self._interrupted is not None:
            scope.cancel(reason=f"{self.ref}: stop: {self._interrupted}{mark(self.cause)}")

    def leave_stop_scope(self, scope: trio.CancelScope) -> None:
        """The block is over; the process stays one that ends in its own time."""
        if self._stop_scopes is not None:
            self._stop_scopes.remove(scope)

    def overflow_crash(self, capacity: float) -> None:
        what = f"more than {capacity:g} messages were in its mailbox, the last of them was sent"
        cause = self.runtime.causes.asked("overflow", what, process_var.get())
        self.interrupt(Crashed(MailboxOverflow(capacity)), cause=cause)

    def overflowed(self) -> None:
        emit = self.runtime.telemetry.mailbox_overflowed
        if emit is not None:
            mailbox = self.mailbox
            emit({"queued": len(mailbox), "capacity": mailbox.bound}, {"ref": self.ref, "policy": mailbox.overflow})

    def finished(self) -> None:
        handled, self.handling = self.handling, None
        if type(handled) is Parcel:
            handled.reply(None)
        if self.traced is not None:
            self._leave_trace(None)

    def received(self, item: object) -> None:
        self.handling = item
        if isinstance(item, Call):
            item.owe()  # so that the end of this process fails it, should it not be answered
        tracer = self.telemetry.tracer
        if tracer is not None:
            self.traced = enter(self, item)

    def _leave_trace(self, error: BaseException | None) -> None:
        traced, self.traced = self.traced, None
        if traced is not None:
            leave(self, traced, error)

    # ------------------------------------------------------------------------------------- messages

    # Everything that is sent to this process comes in by one of these two, which are the seam for whoever wants to
    # intercept it. Neither blocks nor raises. For a process that has ended, or wants nothing more, it is a dead letter.

    def deliver(self, signal: object) -> None:
        """Take a signal, whatever the bound of the mailbox says."""
        if self.reason is not None or self.mailbox.closed:
            self._turn_away(signal)
        else:
            self.mailbox.put(signal)

    def offer(self, message: object) -> bool:
        """Take an ordinary message; False if there is no room for it and nobody to drop."""
        if self.reason is None and not self.mailbox.closed:
            return self.mailbox.offer(message)
        if self.reason is None or isinstance(message, Carried):
            self._turn_away(message)
        else:  # as `discard` does, without the questions that it asks
            runtime = self.runtime
            runtime.sent += 1
            runtime.dead_letters.bury(self, message, "noproc")
        return True

    def _turn_away(self, item: object) -> None:
        self.runtime.sent += 1
        self.discard(item, "noproc")

    def refused(self) -> MailboxFull:
        """An offer was not taken: the error for its sender."""
        self.overflowed()
        return MailboxFull(self.ref, self.mailbox.bound)

    def drop(self, message: object) -> None:
        """An offer was not taken, and its sender does not wait: it becomes a dead letter."""
        self.overflowed()
        self.mailbox.sent += 1
        self.discard(message, "mailbox full")

    def discard(self, item: object, reason: str) -> None:
        """Account for an item that will not be read; a letter becomes a dead letter."""
        if isinstance(item, Notice):
            item.lost()
        if isinstance(item, Call):
            item.fail(item.lost(self))
            self.runtime.count_dropped(f"{item.ledger_word}: {reason}")
        elif reason in _WITHDRAWN or (isinstance(item, SIGNALS) and not isinstance(item, Tick)):
            self.runtime.count_dropped(reason)
        else:
            info = item.info if isinstance(item, Envelope) else None
            message = item.message if isinstance(item, Tick | Envelope) else item
            recipient = recipient_of(self) if self.reason is None else self
            self.runtime.dead_letters.bury(recipient, message, reason, info=info, context=carried_by(item))


_WITHDRAWN = frozenset({"flushed", "timer cancelled", "caller gone"})


# Below this point of the stack is what users wrote: there the KeyboardInterrupt may come as ever.
trio.lowlevel.disable_ki_protection(Process._run_body)
