"""`open_supervisor`: a supervision tree as a block.

Layout of tasks: the block's task holds an outer nursery; in it one task holds a shield and inside that the runtime's
nursery, with the root supervisor, the clock and the processes without a supervisor. So a cancellation from outside
reaches the body of the block, but not the processes: leaving the block turns it into an ordered stop first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, NoReturn

import trio

from nursery_otp._behaviours.ending import end_children
from nursery_otp._behaviours.services import Services
from nursery_otp._behaviours.supervisor import InlineSupervisor, SupervisorHandle
from nursery_otp._behaviours.supervisor_loop import SupervisorLoop
from nursery_otp._behaviours.supervisor_notices import BodyEnded
from nursery_otp._policy import checks
from nursery_otp._policy.dead_letters import DEFAULT_DEAD_LETTERS, DeadLetterOptions
from nursery_otp._policy.delivery import DEFAULT_DELIVERY, DeliveryOptions
from nursery_otp._policy.errors import RestartLimitReached
from nursery_otp._policy.exits import KILLED, NORMAL, SHUTDOWN, Crashed, ExitReason, Normal, Shutdown
from nursery_otp._policy.monitors import MonitorOptions
from nursery_otp._policy.specs import AutoShutdown, ChildSpec, Strategy, SupervisorFlags, check_children
from nursery_otp._policy.supervision import FailedToStart
from nursery_otp._policy.timeouts import Timeouts
from nursery_otp._runtime.causes import mark
from nursery_otp._runtime.context import process_var, runtime_var
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.process import Body, Process
from nursery_otp._runtime.refs import Name
from nursery_otp._runtime.runtime import Runtime
from nursery_otp._runtime.shown import shown
from nursery_otp._runtime.spawning import create
from nursery_otp._runtime.timeout_files import with_environment
from nursery_otp._runtime.tracing import Tracer, checked_tracer
from nursery_otp.errors import LeakedResources, StartFailed, StoreError, SupervisorEnded

UNSUPERVISED_LIMIT = 5.0
"""How long processes without a supervisor have to stop when the tree has ended."""


@protected
class SupervisionTree:
    """The block of `open_supervisor`; enter it with `async with`."""

    def __init__(
        self,
        root: _RootFactory,
        name: Name[Any] | None,
        make_runtime: Callable[[], Runtime],
        tracer: Tracer | None,
    ) -> None:
        self._root_factory = root
        self._name = name
        self._make_runtime = make_runtime
        self._tracer = tracer
        self._entered = False

    def __enter__(self) -> NoReturn:
        raise RuntimeError("use 'async with open_supervisor(...)', not 'with'")

    def __exit__(self, *_error: object) -> None:
        raise AssertionError("never entered")

    # ------------------------------------------------------------------------------------- entering

    async def __aenter__(self) -> SupervisorHandle:
        if self._entered:
            raise RuntimeError("a supervision tree is opened once; call open_supervisor again")
        self._entered = True
        self._runtime = self._make_runtime()
        self._runtime.set_tracer(self._tracer)
        self._runtime.on_fatal = self._on_fatal
        await self._open_store()
        self._services = Services(self._runtime)
        self._closed = trio.Event()
        self._leaving = False
        self._body_scope = trio.CancelScope()
        self._root = create(self._runtime, self._root_factory, (), name=self._name)
        self._root.on_end = self._root_ended
        self._root.behaviour.on_giving_up = self._cancel_body
        self._manager = trio.open_nursery()
        self._outer = await self._manager.__aenter__()
        self._tokens = (runtime_var.set(self._runtime), process_var.set(None))
        self._outer.start_soon(self._host)
        await self._come_up()
        self._body_scope.__enter__()
        return SupervisorHandle(self._root.ref)

    async def _open_store(self) -> None:
        """Before anything else is there. From here until the host task runs, which closes it, nothing waits."""
        try:
            await self._runtime.dead_letters.open()
        except StoreError as error:
            raise StartFailed("the store of dead letters", Crashed(error)) from error

    async def _come_up(self) -> None:
        """Wait until the children are up; if they do not come, leave nothing behind."""
        error: BaseException | None = None
        try:
            await self._root.wait_started()
        except BaseException as interruption:  # noqa: ASYNC103 - raised below, after the ordered stop
            error = interruption
        if error is None and self._root.started:
            self._services.tree_started()
            return
        await self._take_down(self._because(error))
        self._forget_context()
        if error is None:
            error = self._runtime.fatal[0] if self._runtime.fatal else self._failed_start()
        raise error

    async def _host(self) -> None:
        """The task behind the shield."""
        runtime = self._runtime
        try:
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as runtime.nursery:
                    clock_scope = trio.CancelScope()
                    runtime.nursery.start_soon(self._run_clock, clock_scope)
                    self._services.start(runtime.nursery)
                    self._root.launch(runtime.nursery)
                    await self._root.wait_ended()
                    await self._end_unsupervised()
                    await self._services.stop()
                    await runtime.dead_letters.close()
                    clock_scope.cancel(reason="the supervision tree has ended")
        finally:
            runtime.cancel_timers()
            runtime.breakers.close()
            self._closed.set()

    async def _run_clock(self, scope: trio.CancelScope) -> None:
        with scope:
            await self._runtime.alarms.run()

    async def _end_unsupervised(self) -> None:
        processes = list(self._runtime.table.values())
        cause = self._runtime.causes.record("stop", "the supervision tree had ended", self._root.exit_incident())
        await end_children(processes, [UNSUPERVISED_LIMIT] * len(processes), cause=cause)
        self._runtime.closed = True  # their last acts may have spawned others, but those may not go on like that
        await end_children(list(self._runtime.table.values()), cause=cause)

    def _root_ended(self, root: Process, _reason: ExitReason, _crash: object) -> bool:
        self._cancel_body(root.exit_incident())
        return False  # the report of its crash, if there is one, is not taken over

    def _cancel_body(self, cause: int) -> None:
        """Like a nursery's, the body of the block is not needed without the tree."""
        if not self._leaving:
            self._body_scope.cancel(reason=f"the root supervisor has ended{mark(cause)}")

    def _on_fatal(self) -> None:
        """A KeyboardInterrupt or the like in a process: what the body waits for will not come."""
        cause = self._because(self._runtime.fatal[0])
        self._cancel_body(cause)
        self._root.request_stop(SHUTDOWN, cause=cause)

    # -------------------------------------------------------------------------------------- leaving

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        body_error = self._close_body(kind, error, traceback)
        self._leaving = True
        if body_error is None and self._root.reason is None and not self._body_scope.cancel_called:
            body_error = await self._wait_for_children()  # noqa: ASYNC102 - the body is over; this may be cancelled
        interrupted = await self._take_down(self._because(body_error))  # noqa: ASYNC102 - shielded inside
        self._forget_context()
        failure = self._failure() if interrupted is None else None  # what was killed for an interrupt did not fail
        problems = _distinct(body_error, interrupted, *self._runtime.fatal, failure) or _distinct(self._leak())
        if not problems:
            return True
        if len(problems) == 1 and problems[0] is error:
            return False
        raise problems[0] if len(problems) == 1 else BaseExceptionGroup("several problems in one tree", problems)

    def _close_body(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> BaseException | None:
        """What is left of the body's error once its own cancellation is taken out."""
        try:
            absorbed = self._body_scope.__exit__(kind, error, traceback)
        except BaseException as rest:  # noqa: ASYNC103 - handed to __aexit__, which raises it after the ordered stop
            return rest  # noqa: ASYNC104
        return None if absorbed else error

    async def _wait_for_children(self) -> BaseException | None:
        """Wait as a nursery does, until no child is left but services; what ended that wait early."""
        self._root.deliver(BodyEnded())
        try:
            await self._root.wait_ended()
        except BaseException as error:  # noqa: ASYNC103 - the same
            return error  # noqa: ASYNC104
        return None

    def _because(self, error: BaseException | None) -> int:
        """The incident that the tree is taken down for."""
        match error:
            case None:
                text = "the block of open_supervisor was left"
            case trio.Cancelled():
                text = "the block of open_supervisor was cancelled from outside"
            case _:
                text = f"the block of open_supervisor failed: {shown(error)}"
        return 0 if self._root.reason is not None else self._runtime.causes.record("stop", text)

    async def _take_down(self, cause: int) -> BaseException | None:
        """Stop the tree in order, if it still stands, and close it. A second interrupt kills instead of asking."""
        self._root.request_stop(SHUTDOWN, cause=cause)
        interrupted: BaseException | None = None
        while not self._closed.is_set():
            try:
                with trio.CancelScope(shield=True):
                    await self._closed.wait()
            except BaseException as error:  # noqa: ASYNC103 - the same; behind a shield it is a KeyboardInterrupt
                interrupted = error
                cause = self._runtime.causes.record("kill", f"a second interrupt: {shown(error)}")
                for process in list(self._runtime.table.values()):
                    process.interrupt(KILLED, cause=cause)
        self._outer.cancel_scope.shield = True  # nothing is left in it but the last step of the host task
        try:
            await self._manager.__aexit__(None, None, None)
        except BaseException as error:  # noqa: ASYNC103 - the same; a fault of the runtime itself
            return interrupted or error  # noqa: ASYNC104
        return interrupted

    def _forget_context(self) -> None:
        runtime_token, process_token = self._tokens
        # In another context than it was entered in (as async fixtures may be) there is nothing to restore.
        with suppress(ValueError):
            runtime_var.reset(runtime_token)
            process_var.reset(process_token)

    # -------------------------------------------------------------------------------------- outcome

    def _failure(self) -> BaseException | None:
        """What the end of the root supervisor means for the code around the block."""
        match self._root.reason:
            case Shutdown(RestartLimitReached() as limit):
                return self._explicable(limit)
            case Shutdown() | Normal() | None:
                return None
            case _ if self._runtime.fatal:
                return None
            case reason:
                return self._explicable(SupervisorEnded(self._root.ref, reason))

    def _explicable(self, error: BaseException) -> BaseException:
        """Outside of the block there is no tree that `explain` could ask: the error knows it."""
        self._runtime.causes.tag(error, self._root.exit_incident())
        return error

    def _leak(self) -> BaseException | None:
        """The check that nothing is left; after another error it would only hide that one."""
        try:
            self._runtime.check_empty()
        except LeakedResources as leak:
            return leak
        return None

    def _failed_start(self) -> BaseException:
        match self._root.reason:
            case Shutdown(FailedToStart(child_id, reason)):
                return StartFailed(child_id, reason)
            case reason:
                return StartFailed("root", reason or NORMAL)


def _distinct(*problems: BaseException | None) -> list[BaseException]:
    """What went wrong; a second KeyboardInterrupt says nothing new."""
    found: list[BaseException] = []
    for problem in problems:
        if problem is None or any(problem is other for other in found):
            continue
        if not isinstance(problem, KeyboardInterrupt) or not any(
            isinstance(other, KeyboardInterrupt) for other in found
        ):
            found.append(problem)
    return found


class _RootFactory:
    """The root supervisor's class of one: a factory that the runtime can label and make a body of."""

    process_kind = "supervisor"
    __name__ = "root"

    def __init__(self, flags: SupervisorFlags, specs: list[ChildSpec], *, follow_caller: bool) -> None:
        self._flags = flags
        self._specs = specs
        self._follow_caller = follow_caller

    def __call__(self) -> InlineSupervisor:
        supervisor = InlineSupervisor(self._flags, self._specs)
        supervisor.follow_caller = self._follow_caller
        return supervisor

    def process_body(self, _args: tuple[Any, ...]) -> Body:
        return SupervisorLoop(self).run


def open_supervisor(
    children: Iterable[ChildSpec] = (),
    *,
    strategy: Strategy = "one_for_one",
    max_restarts: float = 1,
    period: float = 5.0,
    auto_shutdown: AutoShutdown = "never",
    max_children: float = math.inf,
    name: Name[Any] | None = None,
    timeouts: Timeouts | None = None,
    monitors: MonitorOptions | None = None,
    follow_caller: bool = False,
    seed: int | None = None,
    dead_letters: DeadLetterOptions = DEFAULT_DEAD_LETTERS,
    delivery: DeliveryOptions = DEFAULT_DELIVERY,
    tracer: Tracer | None = None,
) -> SupervisionTree:
    """A supervision tree for the length of an `async with` block.

    The block gets a `SupervisorHandle` of the root supervisor, whose `children` are up by then. It waits, like a
    nursery's, until no child is left; children that are services are stopped when only they are left, and
    `shutdown()` ends it at once. When the body fails or is cancelled from outside, the children are stopped in
    reverse order, each within its shutdown limit, and the error goes on. When the root supervisor ends first, what is
    left of the body is cancelled.

    The flags are those of `Supervisor`. `name` is the name of the root supervisor, `timeouts` are the limits in this
    tree (environment variables whose names begin with `NURSERY_OTP_TIMEOUT__` are applied on top, see `load_timeouts`),
    `monitors` says when its monitors count as leaks, `seed` fixes its randomness (the jitter of `Backoff`).
    `follow_caller` applies to all servers of the tree, see `call`. `dead_letters` says what becomes of messages that
    nobody handled, `delivery` how messages are sent. A `tracer` takes a context along with the messages, see `Tracer`.

    Raises `InvalidSpec` at once, `StartFailed` on entering if a child does not start (those before it are stopped), and
    on leaving `RestartLimitReached` (its cause is the last crash) or `SupervisorEnded` if the root was killed. OTP:
    `supervisor:start_link/2`, with `application` around it.

    >>> async def main() -> None:
    ...     async with open_supervisor([child(Counter, 100, name=Name("counter"))]) as supervisor:
    ...         print(await Counter.add(Name[Counter]("counter"), 1))
    ...         supervisor.shutdown()
    >>> trio.run(main)
    101
    """
    flags = SupervisorFlags(
        strategy=strategy,
        max_restarts=max_restarts,
        period=period,
        auto_shutdown=auto_shutdown,
        max_children=max_children,
    )
    specs = check_children(children, flags)
    checks.instance("name", name, (Name, type(None)), "must be a Name")
    checks.instance("timeouts", timeouts, (Timeouts, type(None)), "must be a Timeouts")
    checks.instance("monitors", monitors, (MonitorOptions, type(None)), "must be a MonitorOptions")
    checks.flag("follow_caller", follow_caller)
    if seed is not None:
        checks.count("seed", seed, infinite=False)
    checks.instance("dead_letters", dead_letters, DeadLetterOptions, "must be a DeadLetterOptions")
    checks.instance("delivery", delivery, DeliveryOptions, "must be a DeliveryOptions")
    root = _RootFactory(flags, specs, follow_caller=follow_caller)
    policy = with_environment(timeouts or Timeouts(), os.environ)
    make_runtime = partial(
        Runtime,
        policy,
        seed=seed,
        monitors=monitors or MonitorOptions(),
        dead_letters=dead_letters,
        delivery=delivery,
    )
    return SupervisionTree(root, name, make_runtime, checked_tracer(tracer))
