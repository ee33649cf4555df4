"""The shell around `decide`: carries a supervisor's decisions out with a nursery, and reports what came of them.

The children run in the nursery, the decisions are made in the process's own cancel scope inside it. So nothing that
ends the supervisor cancels the children as a side effect: even a killed supervisor ends them one by one, as data,
before its nursery closes, and no exception ever travels up through nested nurseries.

While a child is started or stopped nothing else is read from the mailbox, exactly as in OTP: deaths, calls, retries and
requests to stop wait there in the order of their arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from nursery_otp._behaviours.child_requests import ChildRequests
from nursery_otp._behaviours.children import failure_of
from nursery_otp._behaviours.ending import end_children, stop_child
from nursery_otp._behaviours.reserved_names import ReservedNames
from nursery_otp._behaviours.supervisor_causes import SupervisorCauses
from nursery_otp._behaviours.supervisor_notices import BodyEnded, ChildEnded, RetryDue, StartLimit
from nursery_otp._policy import supervision as s
from nursery_otp._policy.changes import child_of
from nursery_otp._policy.decide import decide, initial, is_ending
from nursery_otp._policy.exits import NORMAL, Crashed, ExitReason, Shutdown, Stop, error_of
from nursery_otp._policy.specs import ChildSpec, SupervisorFlags, check_children
from nursery_otp._runtime import log
from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.crash_reports import CrashReport
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.mailbox import EMPTY
from nursery_otp._runtime.messages import Envelope, Exit, StopAsked, Tick
from nursery_otp._runtime.parcels import Parcel
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.refs import Ref
from nursery_otp._runtime.shown import shown
from nursery_otp._runtime.spawning import create

if TYPE_CHECKING:
    from nursery_otp._behaviours.supervisor import Supervisor


T = TypeVar("T")

BUDGET = 64
"""How many items are read between two checkpoints."""

_LOSSES = (s.Exited, s.Retry, s.TerminateChild, s.Failed, s.Ignored, s.Stopped)
"""The events after which a child may be down for good."""


def _source_of(item: Any, supervisor: Process) -> Process | Call | str | int:
    """What is behind an item of the mailbox."""
    match item:
        case ChildEnded():
            return item.process
        case Call():
            return item
        case RetryDue():
            return item.because
        case BodyEnded():
            return "only services were left"
        case Exit():
            return item.cause or f"the parent {item.source} ended: {item.reason}"
        case _:
            return supervisor.cause


@trio.lowlevel.disable_ki_protection
def _users(callback: Callable[[], T]) -> T:
    """Call what a user wrote: there the KeyboardInterrupt may come as ever."""
    return callback()


@protected
class SupervisorLoop:
    """One supervisor process from start to end."""

    def __init__(self, make: Callable[[], Supervisor]) -> None:
        self._make = make
        self._state: s.State | None = None
        self._requests = ChildRequests()
        self._starting: Process | None = None
        self._busy_with: Process | None = None
        self._start_limit: StartLimit | None = None
        self._finish: ExitReason | None = None
        self._delayed: dict[RetryDue, None] = {}
        self._services_only = False
        self.on_giving_up: Callable[[int], None] | None = None
        """Called when the supervisor begins to end for a reason of its own, before anybody is stopped for it.

        It gets the number of the incident behind that.
        """

    @property
    def _current(self) -> s.State:
        if self._state is None:
            raise RuntimeError("the supervisor has not begun")
        return self._state

    @property
    def process(self) -> Process | None:
        """The child whose start or stop is under way: what the supervisor waits for."""
        return self._busy_with

    @property
    def certain(self) -> bool:
        """Whether only that child can end the wait."""
        return True

    # ---------------------------------------------------------------------------- from start to end

    def bind(self, process: Process) -> None:
        """The process exists, and can be asked to stop even before it runs."""
        self._process = process
        self._runtime = process.runtime
        self._names = ReservedNames(process)
        self._causes = SupervisorCauses(process)
        process.trap_exits = True
        process.on_stop = self._on_stop

    def release(self) -> None:
        """The process has ended, and nobody decides any more."""
        self._state = self.on_giving_up = None
        del self._process, self._names, self._causes

    async def run(self, process: Process) -> None:
        """The body of the process."""
        flags, specs = self._definition()
        self._state = initial(flags, specs)
        crash: BaseException | None = None
        async with trio.open_nursery() as self._nursery:
            try:
                with trio.CancelScope() as process.scope:
                    await self._decide()
            except BaseException as error:  # noqa: ASYNC103 - raised below, where it cannot cancel the children
                crash = error
            with trio.CancelScope(shield=True):
                await self._leave_nothing()
        if crash is not None:
            try:
                raise crash
            finally:
                del crash  # its traceback refers to this frame
        raise Stop(self._finish)

    def _definition(self) -> tuple[SupervisorFlags, list[ChildSpec]]:
        """Everything is validated before anything is started."""
        definition = _users(self._make)
        self._process.follow_caller = self._process.follow_caller or definition.follow_caller
        flags = _users(definition.flags)
        specs = check_children(_users(definition.children), flags)
        if not flags.dynamic:
            return flags, self._requests.with_ids(specs)
        self._requests.template = specs[0] if specs else None
        return flags, []

    def _on_stop(self, reason: ExitReason, _drain: bool) -> None:
        # In its turn, like a call: a group restart under way is completed first.
        self._process.deliver(StopAsked(reason))
        limit = self._start_limit
        if limit is not None and not limit.alarm:
            self._runtime.alarms.arm(self._runtime.now() + limit.seconds, limit)

    async def _decide(self) -> None:
        if self._process.interrupted is not None:
            return
        await self._step(s.Begin())
        mailbox = self._process.mailbox
        budget = BUDGET
        while self._finish is None:
            budget -= 1
            if budget == 0:
                await trio.lowlevel.checkpoint()
                budget = BUDGET
            item = mailbox.take()
            if item is EMPTY:
                await mailbox.park()
            else:
                await self._read(item)

    async def _leave_nothing(self) -> None:
        """However it came to this: no child, no reservation and no delayed retry remains."""
        if self._finish is None:
            self._causes.begin(self._process.cause)
            await end_children(self._children_alive(), cause=self._causes.stopping())
        self._names.release_all()
        self._end_start_limit()
        for retry in self._delayed:
            self._runtime.alarms.disarm(retry)
        self._delayed.clear()

    def _children_alive(self) -> list[Process]:
        _, actions = decide(self._current, s.Kill())
        alive = [stop.handle for action in actions if isinstance(action, s.StopChildren) for stop in action.children]
        return alive if self._starting is None else [*alive, self._starting]

    # --------------------------------------------------------------------------------------- events

    async def _read(self, item: Any) -> None:
        self._causes.begin(_source_of(item, self._process))
        match item:
            case ChildEnded():
                await self._on_child_ended(item)
            case Parcel():
                self._unexpected(item.message)
                item.reply(None)
            case Call():
                await self._serve(item)
            case RetryDue():
                self._delayed.pop(item, None)
                action, chance = item.action, self._runtime.random.random()
                await self._step(s.Retry(action.key, action.number, action.counted, self._runtime.now(), chance))
            case StopAsked():
                await self._step(s.StopRequest(item.reason))
            case BodyEnded():
                self._services_only = True
                await self._step(s.StopServices())
            case Exit() if self._process.parent is not None and item.source is self._process.parent.ref:
                await self._step(s.StopRequest(item.reason))
            case Exit():
                return  # of a process that is no child, as in OTP
            case Tick() | Envelope():
                self._unexpected(item.message)
            case _:
                self._unexpected(item)

    def _unexpected(self, message: object) -> None:
        log.write("warning", "unexpected_message", supervisor=repr(self._process.ref), received=shown(message))

    async def _on_child_ended(self, notice: ChildEnded) -> None:
        child = notice.process
        self._causes.crashed(child, notice.crash)
        notice.crash = None
        if self._runtime.fatal:
            # A KeyboardInterrupt or the like: nobody's crash, so that nothing is restarted for it.
            self._causes.decided("not restarted: the tree is ending")
            await self._step(s.StopRequest(Shutdown(error_of(notice.reason))))
            return
        now, chance = self._runtime.now(), self._runtime.random.random()
        await self._step(s.Exited(child.child_key, child, notice.reason, now, chance))
        self._causes.decided("nothing to do: it was stopped or replaced meanwhile")

    async def _step(self, event: s.Event) -> None:
        """Decide about an event and about what comes of it, until there is nothing more to do."""
        pending: s.Event | None = event
        while pending is not None:
            current, pending = pending, None
            if isinstance(current, _LOSSES):
                self._withdraw_gone()
            self._state, actions = decide(self._current, current)
            if not isinstance(event, s.StopRequest) and is_ending(self._current, actions):
                self._causes.ending()
                if self.on_giving_up is not None:
                    self.on_giving_up(self._process.cause)
            if isinstance(current, _LOSSES):
                self._names.release_lost(self._current)
            for action in actions:
                pending = await self._act(action) or pending
            if pending is None and self._services_only and self._finish is None and self._current.plan is None:
                pending = None if isinstance(current, s.StopServices) else s.StopServices()

    def _withdraw_gone(self) -> None:
        for waiting in self._current.waiting:
            if waiting.token.done:
                self._state, _ = decide(self._current, s.Withdraw(waiting.token))

    # -------------------------------------------------------------------------------------- actions

    async def _act(self, action: s.Action) -> s.Event | None:
        match action:
            case s.StartChild(key, spec):
                return await self._start(key, spec)
            case s.StopChild(_, process, limit):
                with self._waiting_for(process):
                    await stop_child(process, limit, self._causes.stopping())
                return s.Stopped()
            case s.StopChildren(children):
                handles, limits = [stop.handle for stop in children], [stop.limit for stop in children]
                await end_children(handles, limits, cause=self._causes.stopping())
                return s.Stopped()
            case s.RetryLater():
                self._retry(action)
            case s.Reply():
                self._reply(action)
            case s.Ready():
                self._process.ready()
            case s.Finish(reason):
                self._finish = reason
            case s.Report():
                self._causes.report(action)
        return None

    async def _start(self, key: s.Key, spec: ChildSpec) -> s.Event:
        try:
            child = self._create(key, spec)
        except Exception as error:
            return s.Failed(key, Crashed(error), self._runtime.random.random())
        self._starting = child
        self._start_limit = StartLimit(child, spec)
        child.launch(self._nursery)
        # If this wait is interrupted, `_starting` stays and the child is ended with the others.
        with self._waiting_for(child):
            await child.wait_started()
        self._starting = None
        self._end_start_limit()
        if child.started:
            if child.incarnation > 1:
                self._causes.restarted(child_of(self._current, key), self._current)
            return s.Started(key, child, self._runtime.now())
        if child.ignored:
            return s.Ignored(key)
        self._causes.begin(child)
        return s.Failed(key, child.reason or NORMAL, self._runtime.random.random())

    def _end_start_limit(self) -> None:
        if self._start_limit is not None:
            self._runtime.alarms.disarm(self._start_limit)
            self._start_limit = None

    @contextmanager
    def _waiting_for(self, child: Process) -> Iterator[None]:
        """While the supervisor waits for this child, a call of the child to it would wait for ever: `Deadlock`."""
        self._busy_with, self._process.waits_for = child, self
        self._break_cycle(child)
        try:
            yield
        finally:
            self._busy_with = self._process.waits_for = None

    def _break_cycle(self, child: Process) -> None:
        """The child, or whom it waits for, may wait for this supervisor or for a name that only it can bring back."""
        link: Process | None = child
        seen: set[Process] = set()
        while link is not None and link not in seen:
            seen.add(link)
            wait = link.waits_for
            if isinstance(wait, Call):
                wait.fail_if_for(self._process, link)
            link = None if wait is None else wait.process

    def _create(self, key: s.Key, spec: ChildSpec) -> Process:
        if spec.name is not None:
            self._names.reserve(key, spec.name)
        child = create(
            self._runtime,
            spec.factory,
            spec.args,
            name=spec.name,
            mailbox=spec.mailbox,
            trap_exits=spec.trap_exits,
            supervisor=self._process,
            child_key=key,
        )
        child.parent = self._process
        child.on_end = self._child_ended
        child.follow_caller = self._process.follow_caller
        child.incarnation = child_of(self._current, key).incarnations + 1
        plan = self._current.plan
        if child.incarnation > 1:
            child.origin = self._causes.restarting(key)
        elif plan is not None and isinstance(plan.purpose, s.Start):
            child.origin = self._process.origin  # it is there again because its supervisor is
        return child

    def _child_ended(self, child: Process, reason: ExitReason, crash: CrashReport | None) -> bool:
        """The last act of a child (in its own task): tell the supervisor, unless it failed to start."""
        if child.started:
            self._process.deliver(ChildEnded(child, reason, crash))
        return child.started

    def _retry(self, action: s.RetryLater) -> None:
        retry = RetryDue(action, self._process, self._causes.number())
        if action.delay > 0:
            self._delayed[retry] = None
            self._runtime.alarms.arm(self._runtime.now() + action.delay, retry)
        else:
            self._process.deliver(retry)

    def _reply(self, action: s.Reply) -> None:
        call: Call = action.token
        ref: Ref[Any] | None = None if action.handle is None else action.handle.ref
        if action.answer in {"ok", "ignored"}:
            call.reply(ref)
        else:
            call.fail(failure_of(action, call, ref, self._current.flags, self._requests.template))
        if self._process.current_call is call:
            self._process.current_call = None

    # ---------------------------------------------------------------------------------------- calls

    async def _serve(self, call: Call) -> None:
        """A request made through a `SupervisorHandle`."""
        self._process.current_call = call
        try:
            event = self._requests.event_of(call, self._current)
        except Exception as error:
            call.fail(error)
            event = None
        if event is not None:
            if isinstance(event, s.AddChild) and event.wait:
                call.owe()
            await self._step(event)
        if self._process.current_call is call:
            self._process.current_call = None
