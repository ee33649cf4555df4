"""A call: a request that waits for its answer, for the end of the one who should give it, or for its limit.

There is no reply channel and no monitor: the `Call` itself lies in the server's mailbox (and, if the answer is put
off, in the server's `owed` table), so a server that ends finds all its callers and fails them. The caller's task
sleeps on the call; whoever answers it first wakes that task, and every later answer finds nobody there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import outcome
import trio

from nursery_otp._policy import checks
from nursery_otp._policy.exits import safe_str
from nursery_otp._runtime.causes import mark
from nursery_otp._runtime.context import process_of_task, process_var, runtime_for, runtime_var
from nursery_otp._runtime.cycles import deadlock, keeper_of
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Carried, Message
from nursery_otp._runtime.observed_calls import perform_observed
from nursery_otp._runtime.refs import Name, Ref, find, referred
from nursery_otp.errors import CallExited, CallTimeout, Deadlock, MailboxFull, NoProcess, OTPError

if TYPE_CHECKING:
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.runtime import Runtime
    from nursery_otp._runtime.tracing import TraceContext


@protected
class Call(Carried):
    """One request on its way. `done` once nobody waits for its answer any more.

    Servers never see it. A plain function that is called finds it in its mailbox, with the request as `message`, and
    answers with `reply` or `fail`; if it ends without, the call fails.
    """

    __slots__ = (
        "_result",
        "_task",
        "address",
        "alarm",
        "args",
        "caller",
        "context",
        "deadline",
        "done",
        "followed",
        "keep",
        "keep_result",
        "kwargs",
        "label",
        "limit",
        "listener",
        "operation",
        "process",
        "runtime",
        "scope",
        "wait_for_restart",
    )

    context: TraceContext | None  # set only where there is a tracer

    def __init__(self, label: str, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any], address: Any) -> None:
        self.label = label
        self.operation = operation
        self.args = args
        self.kwargs = kwargs
        self.address = address
        self.caller: Process | None = None
        self.process: Process | None = None
        self.runtime: Runtime = runtime_of(address, label)
        self.limit = math.inf
        self.deadline = math.inf
        self.done = False
        self.followed = False
        self.wait_for_restart = self.runtime.limits.wait_for_restart
        self.keep = False
        self.keep_result = False
        self.listener: Callable[[Call], None] | None = None
        self.scope: trio.CancelScope | None = None
        self.alarm = 0
        self._task: trio.lowlevel.Task | None = None
        self._result: outcome.Outcome[Any] | None = None

    always_fits = False
    """Whether it is taken like a signal, whatever the bound of the mailbox says."""
    ledger_word = "call"

    @property
    def certain(self) -> bool:
        """Whether only the process that is called can end the wait."""
        return True

    @property
    def message(self) -> Any:
        """The request as a value: a `Message`."""
        return Message(self.operation, self.args, self.kwargs)

    def __repr__(self) -> str:
        return f"<call {self.label} to {safe_str(self.address)}{', answered' if self.done else ''}>"

    # ---------------------------------------------------------------------------- the server's side

    def reply(self, value: object) -> bool:
        """Answer; True if somebody was still waiting."""
        return self.settle(outcome.Value(value))

    def fail(self, error: BaseException) -> bool:
        """Let the call raise `error` at the caller."""
        return self.settle(outcome.Error(error))

    def settle(self, result: outcome.Outcome[Any]) -> bool:
        """The one and only answer, unless there has been one."""
        if self.done:
            return False
        self.close()
        self.take(result)
        return True

    def take(self, result: outcome.Outcome[Any]) -> None:
        """The caller's side gets the answer."""
        task, self._task = self._task, None
        if task is None or self.keep_result:
            self._result = result
        if task is not None:
            trio.lowlevel.reschedule(task, result)
        if self.listener is not None:
            self.listener(self)

    def close(self) -> None:
        """Whatever comes now is too late."""
        self.done = True
        if self.alarm:
            self.runtime.alarms.disarm(self)
        process, self.process = self.process, None  # a void alarm may keep the call for a while, but not the server
        if process is not None and process.owed is not None:
            process.owed.pop(self, None)

    def owe(self) -> None:
        """The answer is put off: the server has to be asked for it when it ends."""
        process = self.process
        if self.done or process is None:
            return
        if process.owed is None:
            process.owed = {}
        process.owed[self] = None
        if self.caller is not None and self.caller.waits_for is self:
            # Who answers is not known now, so that this wait cannot be part of a certain deadlock.
            self.caller.waits_for = None

    def admitted(self) -> None:
        """It stood in line for room, and now is in the mailbox."""

    def orphaned(self, process: Process) -> None:
        """The process ended while it handled this."""
        self.fail(self.lost(process))

    def lost(self, process: Process) -> Exception:
        """Why it will not be answered."""
        if process.reason is not None:
            error = CallExited(self.label, process.reason)
            process.runtime.causes.tag(error, process.exit_incident())
            return error
        if process.mailbox.closed:
            return NoProcess(self.address, self.label)
        return MailboxFull(process.ref, process.mailbox.bound)

    # ---------------------------------------------------------------------------- the caller's side

    def dispatch(self, limit: float) -> None:
        """Send the request; raises at once what is known at once. A limit of 0 sends but does not wait."""
        process = find(self.address)
        awaited = process
        if process is None and self.wait_for_restart:
            awaited = keeper_of(self.runtime.registry, self.address)
        cycle = deadlock(self.label, self.caller, awaited)
        if cycle is not None:
            raise cycle
        now = self.runtime.alarms.now()
        self.limit = limit
        self.deadline = now + limit
        if self.followed or (process is not None and process.follow_caller):
            self.followed = True
            self.deadline = min(self.deadline, trio.current_effective_deadline())
        by_name = isinstance(self.address, Name) and self.wait_for_restart
        if by_name and self.runtime.registry.wait_for(self.address.text, self):
            self.runtime.alarms.arm(self.deadline, self)
            return
        if process is None or process.doomed or process.mailbox.closed:
            raise NoProcess(self.address, self.label)
        self.bind(process)
        if not self.done and limit > 0:
            self.runtime.alarms.arm(self.deadline, self)

    def bind(self, process: Process) -> None:
        """Lay the request into the mailbox of a process."""
        if self.done:
            return
        self.process = process
        cycle = deadlock(self.label, self.caller, process)
        if cycle is not None:
            self.fail(cycle)
        elif process.reason is not None or process.mailbox.closed:
            self.fail(NoProcess(self.address, self.label))
        elif self.always_fits:
            process.deliver(self)
        elif not process.offer(self):
            if process.mailbox.overflow == "block":
                process.mailbox.queue_up(self, self)
            else:
                self.fail(process.refused())

    @property
    def receiver(self) -> Process | None:
        """Who is at the address now. A `Via` is not asked a second time for it."""
        return find(self.address) if isinstance(self.address, Ref | Name) else None

    async def perform(self, limit: float, *, observed: bool = False) -> Any:
        """Send the request and wait for the answer; `observed` by whoever listens to calls, if that is arranged."""
        span = self.runtime.telemetry.call
        if span is not None and not observed:
            return await perform_observed(self, limit)
        caller = self.caller = process_of_task()
        try:
            self.dispatch(limit)
        except OTPError:
            # Who tries again and again lets others run, and being cancelled comes first.
            await trio.lowlevel.checkpoint()  # noqa: ASYNC120
            raise
        if limit <= 0:
            self.abandon()
            await trio.lowlevel.checkpoint()
            self.runtime.limits.count_fired(self.label, "call", limit)
            raise CallTimeout(self.label, self.address, limit)
        if caller is None:
            return await self._sleep()
        caller.waits_for = self
        try:
            return await self._sleep()
        finally:
            caller.waits_for = None

    async def _sleep(self) -> Any:
        if self.done:
            await trio.lowlevel.checkpoint()
            return self.result()
        self._task = trio.lowlevel.current_task()
        return await trio.lowlevel.wait_task_rescheduled(self._abort)

    def result(self) -> Any:
        """The answer of a request that is done."""
        if self._result is None:
            raise CallTimeout(self.label, self.address, self.limit)  # it has been given up
        match self._result:  # unwrap() of an outcome works only once
            case outcome.Error(error):
                raise error
            case outcome.Value(value):
                return value

    async def sleep_within(self, limit: float, *, keep: bool) -> Any:
        """Wait for the answer of a request sent before; `keep` it when the limit passes, or give it up."""
        self.limit, self.keep = limit, keep
        if self._result is None:
            if self._task is not None:
                raise trio.BusyResourceError("another task waits for this request")
            self.runtime.alarms.arm(self.runtime.alarms.now() + limit, self)
        try:
            return await self._sleep()
        finally:
            self.runtime.alarms.disarm(self)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        if not self.keep:
            self.abandon()
        return trio.lowlevel.Abort.SUCCEEDED

    def on_alarm(self) -> None:
        """The limit has passed."""
        if not self.keep:
            self.abandon()
        task, self._task = self._task, None
        if task is not None:
            error = CallTimeout(self.label, self.address, self.limit)
            trio.lowlevel.reschedule(task, outcome.Error(error))
            self.runtime.limits.count_fired(self.label, "call", self.limit)

    def fail_if_for(self, supervisor: Process, waiting: Process) -> None:
        """Fail this call of `waiting` if it is to a supervisor, or to a name it keeps, that now waits for `waiting`."""
        registry = self.runtime.registry
        if self.process is None and keeper_of(registry, self.address) is supervisor:
            registry.stop_waiting(self.address.text, self)
        elif self.process is not supervisor:
            return
        self.fail(Deadlock(self.label, (waiting.ref, supervisor.ref, waiting.ref)))

    def expire(self) -> None:
        """The limit has passed before the server could answer, or while it tried to."""
        if self.fail(CallTimeout(self.label, self.address, self.limit)):
            self.runtime.limits.count_fired(self.label, "call", self.limit)

    def abandon(self) -> None:
        """The caller has gone: the answer, if there will be one, is for nobody."""
        if self.done:
            return
        process = self.process
        self.close()
        if self.listener is not None:
            self.listener(self)
        if process is None:
            if isinstance(self.address, Name):
                self.runtime.registry.stop_waiting(self.address.text, self)
            return
        if process.mailbox.line is not None and process.mailbox.leave_line(self):
            return
        if self.scope is not None:
            caller = self.caller
            gone = f"who called {self.label} has gone"
            cause = process.runtime.causes.record("caller", gone, 0 if caller is None else caller.cause)
            self.scope.cancel(reason=f"CallerGone: {self.label}{mark(cause)}")


def runtime_of(address: Any, label: str) -> Runtime:
    """Where an address belongs: a ref to its own tree, anything else to the one that this code runs in.

    Outside of any tree an object with `whereis` is asked.
    """
    process = referred(address)
    if process is not None:
        return process.runtime
    inside = process_var.get()
    if inside is not None:
        return inside.runtime
    runtime = runtime_var.get(None)
    if runtime is None and not isinstance(address, Name):
        process = find(address)
        runtime = None if process is None else process.runtime
    return runtime_for(label) if runtime is None else runtime


def checked_limit(within: float) -> float:
    """An explicit limit of the caller's, in seconds."""
    checks.seconds("within", within)
    return within
