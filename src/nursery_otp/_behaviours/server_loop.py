"""The life of a server process: init, messages one by one, terminate.

The loop reads up to `BUDGET` messages between two checkpoints, so that a full mailbox is worked off quickly and yet
nobody else starves. Callbacks may be plain functions, which then cost no switch at all.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import trio

from nursery_otp._behaviours.instructions import Answer, Continue, Idle, IdleTimeout, Later, Next, Pending, Refuse
from nursery_otp._behaviours.observed_handlers import run_observed
from nursery_otp._policy.exits import Crashed, ExitReason, Stop, is_normal
from nursery_otp._runtime import log
from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.crash_reports import payload
from nursery_otp._runtime.crashes import own_crash
from nursery_otp._runtime.handling import carried_by
from nursery_otp._runtime.mailbox import EMPTY
from nursery_otp._runtime.messages import Envelope, Exit, Message, StopAsked, Tick, recipient_of
from nursery_otp._runtime.parcels import Parcel
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.runtime import EXPIRED
from nursery_otp.errors import BadReturn, HandlerTimeout, UnknownOperation

if TYPE_CHECKING:
    from nursery_otp._behaviours.gen_server import GenServer
    from nursery_otp._behaviours.operations import CallHandler, CastHandler
    from nursery_otp._runtime.limits import HandlerLimits

BUDGET = 64
_NEXT = "None, Continue, Idle or Stop"
_NO_REPLIES = (Stop, Continue, Idle, Refuse, Later)
_REPLIES = "a reply; to stop: raise Stop, or answer(value, then=Stop()); to answer later: return later.pending()"


@attrs.frozen
class TraceEvent:
    """What `trace` shows; `kind` is "received", "replied" or "refused"."""

    ref: Any
    kind: str
    content: Any


def _reason_of(error: Exception) -> ExitReason:
    crash = own_crash(error)
    return crash.reason if isinstance(crash, Stop) else Crashed(crash)


def _ends_well(error: Exception) -> bool:
    """Whether this is a handler's way to say that it is done and the server as well."""
    crash = own_crash(error)
    return isinstance(crash, Stop) and is_normal(crash.reason)


class SystemCall(Call):
    """A request to the loop instead of the server; `action` answers it."""

    __slots__ = ("action",)

    action: Callable[[ServerLoop], Any]

    always_fits = True  # a suspended server with a full mailbox could never be resumed otherwise


class ServerLoop:
    """One server process from start to end."""

    __slots__ = (
        "_args",
        "_class",
        "_handlers",
        "_idle",
        "_idle_over",
        "_limits",
        "_stop",
        "alarm",
        "mailbox",
        "process",
        "reply_after",
        "result",
        "server",
        "sink",
        "suspended",
    )

    def __init__(self, server_class: type[GenServer], args: tuple[Any, ...]) -> None:
        self._class = server_class
        self._args = args
        self._handlers = server_class._otp_handlers
        self._idle: float | None = None
        self._idle_over = False
        self._limits: HandlerLimits | None = None
        self._stop: ExitReason | None = None
        self.alarm = 0
        self.result = "ok"  # of the last handler, where it is watched; see `HANDLE_RESULTS`
        self.reply_after: tuple[Call, object] | None = None
        self.suspended = False
        self.sink: Callable[[TraceEvent], None] | None = None

    @property
    def service(self) -> type[GenServer]:
        """The class of the server."""
        return self._class

    # -------------------------------------------------------------------------------- from start on

    def bind(self, process: Process) -> None:
        """The process exists, and can be asked to stop even before it runs."""
        self.process = process
        self.mailbox = process.mailbox
        process.on_stop = self.on_stop

    def release(self) -> None:
        """The process has ended; a traceback may keep this object, but not the process."""
        del self.process, self.mailbox

    async def run(self, process: Process) -> None:
        """The body of the process."""
        process.follow_caller = process.follow_caller or self._class.follow_caller
        server = self._class(*self._args)
        if inspect.isawaitable(server):
            raise TypeError(f"{self._class.__name__}() gave an awaitable: put async work into 'async def init(self)'")
        self.server = server
        first = await self._init()
        process.ready()
        # Not inside the handler of the crash, which would become the context of whatever terminate raises.
        await self._finish(await self._live(first))

    async def _live(self, first: Next) -> ExitReason:
        """Read messages until there is a reason to stop."""
        try:
            await self._do(first, "init")
            await self._serve()
        except Exception as error:
            return _reason_of(error)

    async def _init(self) -> Next:
        result: Any = self.server.init()
        if inspect.isawaitable(result):
            result = await result
        if isinstance(result, Stop):
            raise result
        if result is not None and not isinstance(result, Continue | Idle):
            raise BadReturn(f"{self._class.__name__}.init", result, _NEXT)
        return result

    async def _finish(self, reason: ExitReason) -> NoReturn:
        """Terminate, send a reply that had to wait for it, and leave."""
        try:
            result = self.server.terminate(reason)
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            if isinstance(reason, Crashed) and error.__context__ is None:
                error.__context__ = reason.error  # the crash that terminate was called for is not forgotten
            reason = _reason_of(error)
        if self.reply_after is not None:
            call, value = self.reply_after
            self._reply(call, value)
        raise Stop(reason)

    def status(self, **more: Any) -> dict[str, Any]:
        """What the server shows of itself, after its `format_status` had its say."""
        server = self.server
        formatted = server.format_status({"state": dict(vars(server)), **more})
        if not isinstance(formatted, dict):
            # The value is not told: it may well be what was to be hidden.
            raise BadReturn(
                f"{self._class.__name__}.format_status", type(formatted), "the dict that it got, or another"
            )
        return formatted

    def crash_status(self, known: dict[str, Any]) -> dict[str, Any]:
        """The same, for the report of a crash; before init there is nothing to show."""
        return self.status(**known) if hasattr(self, "server") else known

    def check_later(self) -> None:
        """Raise `RuntimeError` for a `Later` that nobody waits for, unless a call has been sent as a message."""
        item = self.process.handling
        message = None if type(item) is Call else payload(item)
        handler = self._handlers.get(message.operation) if type(message) is Message else None
        if handler is None or not handler.is_call:
            raise RuntimeError(f"Later() is for handlers of calls, and {self._class.__name__} is handling none")

    # ---------------------------------------------------------------------------------- being asked

    def on_stop(self, reason: ExitReason, drain: bool) -> None:
        """Somebody asked the server to stop."""
        if drain:
            self.process.deliver(StopAsked(reason))
        else:
            self._stop = self._stop or reason
            self.mailbox.wake()

    def on_alarm(self) -> None:
        """The idle timeout."""
        self._idle_over = True
        self.mailbox.wake()

    # ------------------------------------------------------------------------------------- messages

    async def _serve(self) -> NoReturn:
        process, mailbox, telemetry = self.process, self.mailbox, self.process.telemetry
        budget = BUDGET
        while True:
            if self._stop is not None:
                process.handling = None
                raise Stop(self._stop)
            if budget == 0 or process._interrupted is not None:
                await trio.lowlevel.checkpoint()
                budget = BUDGET
            budget -= 1
            item = mailbox.take() if not self.suspended else mailbox.take_first(self._overtakes)
            if item is not EMPTY:
                process.handling = item
                observed = telemetry.handle
                if observed is not None:
                    await run_observed(self, item, self._handle)
                else:
                    await self._handle(item)
            elif self._idle is None or self.suspended:
                process.handling = None
                await mailbox.park()
                budget = BUDGET
            elif self._idle == 0:
                process.handling = None
                await self._idle_timeout()
            else:
                await self._wait_idly(self._idle)
                budget = BUDGET

    async def _wait_idly(self, seconds: float) -> None:
        self._idle_over = False
        self.process.handling = None
        alarms = self.process.runtime.alarms
        alarms.arm(alarms.now() + seconds, self)
        try:
            await self.mailbox.park()
        finally:
            alarms.disarm(self)
        if self._idle_over and len(self.mailbox) == 0 and self._stop is None:
            await self._idle_timeout()

    async def _idle_timeout(self) -> None:
        observed = self.process.telemetry.handle
        if observed is not None:
            await run_observed(self, IdleTimeout(), self._info)
        else:
            await self._info(IdleTimeout())

    @staticmethod
    def is_system(item: object) -> bool:
        """Whether an item is a request to the loop, which no handler sees."""
        return isinstance(item, SystemCall)

    def _overtakes(self, item: object) -> bool:
        """What a suspended server still listens to."""
        return isinstance(item, SystemCall | StopAsked) or self._from_parent(item)

    def _from_parent(self, item: object) -> bool:
        parent = self.process.parent
        return type(item) is Exit and parent is not None and item.source is parent.ref

    async def _handle(self, item: Any) -> None:
        kind = type(item)
        if kind is SystemCall:
            self._system(item)
            return
        self._idle = None
        if self.sink is not None:
            self._trace("received", item.message if isinstance(item, Call | Tick | Envelope) else item)
        if kind is Call:
            await self._call(item)
        elif kind is Message:
            await self._cast(item)
        elif kind is Tick or kind is Envelope:
            await (self._cast(item.message) if type(item.message) is Message else self._info(item.message))
        elif kind is Parcel:
            await self._parcel(item)
        elif kind is StopAsked or self._from_parent(item):
            self.process.asked = item.reason
            raise Stop(item.reason)
        else:
            await self._info(item)

    async def _parcel(self, parcel: Parcel) -> None:
        """A message whose sender is told when the handler has returned; what comes after that is not its matter."""
        try:
            result, callback = await self._handled(parcel.message)
        except Exception as error:
            if _ends_well(error):
                parcel.reply(None)
            raise
        parcel.reply(None)
        if result is not None:
            await self._do(result, callback)

    async def _handled(self, message: Any) -> tuple[Any, str]:
        """What the handler of a message has returned, and which it was."""
        handler = self._handlers.get(message.operation) if type(message) is Message else None
        if handler is None:
            result: Any = self.server.handle_info(message)
            if inspect.isawaitable(result):
                result = await self._limited(result, "handle_info")
            return result, "handle_info"
        result = handler.function(self.server, *message.args, **message.kwargs)
        if type(result) is CoroutineType:
            result = await self._limited(result, message.operation)
        return (None if handler.is_call else result), message.operation

    async def _info(self, message: object) -> None:
        self._idle = None
        result: Any = self.server.handle_info(message)
        if inspect.isawaitable(result):
            result = await self._limited(result, "handle_info")
        if result is not None:
            await self._do(result, "handle_info")

    async def _cast(self, message: Message) -> None:
        handler = self._handlers.get(message.operation)
        if handler is None:
            await self._info(message)
            return
        result: Any = handler.function(self.server, *message.args, **message.kwargs)
        if type(result) is CoroutineType:
            result = await self._limited(result, message.operation)
        if result is not None and not handler.is_call:  # a call sent as a message has nobody to reply to
            await self._do(result, message.operation)

    # ---------------------------------------------------------------------------------------- calls

    async def _call(self, call: Call) -> None:
        handler = self._handlers.get(call.operation)
        if handler is None or not handler.is_call:
            self.result = "unknown"
            call.fail(UnknownOperation(self.process.ref, call.label))
            return
        self.process.current_call = call
        try:
            if call.followed or self.process.follow_caller or handler.follow_caller:
                await self._follow(call, handler)
                return
            result: Any = handler.function(self.server, *call.args, **call.kwargs)
            if type(result) is CoroutineType:
                result = await self._limited(result, call.operation)
        except Exception as error:
            if not self._refused(call, error):  # no variable may keep the error: its traceback refers to this frame
                raise
        else:
            await self._answer(call, result)

    async def _follow(self, call: Call, handler: CallHandler[Any, Any, Any] | CastHandler[Any, Any]) -> None:
        """Run a handler under what remains of its caller's time, and no longer than its caller is there."""
        if call.done or call.deadline <= call.runtime.now():
            self.process.current_call = None
            self.mailbox.handled -= 1
            self.result = "expired"
            letter_for = recipient_of(self.process)
            call.runtime.dead_letters.bury(letter_for, call.message, EXPIRED, context=carried_by(call))
            call.expire()
            return
        result: Any = None
        with trio.CancelScope(deadline=call.deadline) as call.scope:  # noqa: ASYNC912 - a plain handler has no await
            result = handler.function(self.server, *call.args, **call.kwargs)
            if type(result) is CoroutineType:
                result = await self._limited(result, call.operation)
        # At the deadline itself it must not be a matter of luck whether the answer or the limit comes first.
        gone = call.scope.cancelled_caught or call.deadline <= call.runtime.now()
        call.scope = None
        if gone:
            self.process.current_call = None
            self.result = "expired"
            call.expire()
        else:
            await self._answer(call, result)

    async def _limited(self, running: Any, operation: str) -> Any:
        """Await a callback under the server's own limit; exceeding that is a crash."""
        limits = self._limits
        if limits is None:
            limits = self._limits = self.process.runtime.limits.of_handlers(self._class)
        limit = limits[operation]
        if limit == math.inf:
            return await running
        with trio.CancelScope(deadline=self.process.runtime.now() + limit):
            return await running
        label = f"{self._class.__name__}.{operation}"
        self.process.runtime.limits.count_fired(label, "handler", limit)
        raise HandlerTimeout(label, limit)

    def _refused(self, call: Call, error: Exception) -> bool:
        refusal = own_crash(error, (Refuse,))
        if not isinstance(refusal, Refuse):
            return False
        self.process.current_call = None
        self.result = "refused"
        if self.sink is not None:
            self._trace("refused", refusal.error)
        call.fail(refusal.error)
        return True

    async def _answer(self, call: Call, result: object) -> None:
        if type(result) is Answer:
            if isinstance(result.then, Stop):
                self.reply_after = (call, result.value)
                raise result.then
            self._reply(call, result.value)
            await self._do(result.then, call.label)
        elif type(result) is Pending:
            call.owe()
            self.process.current_call = None
            await self._do(result.then, call.label)
        elif isinstance(result, _NO_REPLIES):
            raise BadReturn(call.label, result, _REPLIES)
        else:
            self._reply(call, result)

    def _reply(self, call: Call, value: object) -> None:
        self.process.current_call = None
        if self.sink is not None:
            self._trace("replied", value)
        call.reply(value)

    # --------------------------------------------------------------------------------- what is next

    async def _do(self, instruction: Any, callback: str) -> None:
        """Carry out what a callback returned; continues go before everything else."""
        budget = BUDGET
        while instruction is not None:
            if isinstance(instruction, Continue):
                budget -= 1
                if budget == 0:  # a server that continues for ever must not keep everybody else from running
                    await trio.lowlevel.checkpoint()
                    budget = BUDGET
                result: Any = self.server.handle_continue(instruction.argument)
                callback = "handle_continue"
                instruction = await self._limited(result, callback) if inspect.isawaitable(result) else result
            elif isinstance(instruction, Idle):
                self._idle = None if instruction.seconds == math.inf else instruction.seconds
                return
            elif isinstance(instruction, Stop):
                raise instruction
            else:
                raise BadReturn(f"{self._class.__name__}: {callback}", instruction, _NEXT)

    # --------------------------------------------------------------------------------------- system

    def _system(self, call: SystemCall) -> None:
        try:
            value = call.action(self)
        except Exception as error:
            call.fail(error)  # of the one who asked; the server is unharmed
        else:
            call.reply(value)

    def set_suspended(self, suspended: bool) -> None:
        """Stop or resume reading messages."""
        self.suspended = suspended
        self.process.status = "suspended" if suspended else "running"

    def _trace(self, kind: str, content: object) -> None:
        sink = self.sink
        if sink is None:
            return
        try:
            sink(TraceEvent(self.process.ref, kind, content))
        except Exception as error:
            self.sink = None
            log.write("error", "trace_detached", ref=repr(self.process.ref), exc_info=error)
