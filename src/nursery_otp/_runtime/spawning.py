"""Processes without a supervisor: spawned at once, or started with an init that somebody waits for.

They live in the runtime, not in their spawner, and are stopped after the supervision tree has ended. Prefer a
supervisor; these are the ground on which everything else stands, and what links and monitors are made for.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, overload

import trio

from nursery_otp._policy import checks
from nursery_otp._policy.exits import KILLED, NORMAL, safe_repr
from nursery_otp._policy.mailboxes import DEFAULT_MAILBOX, MailboxOptions
from nursery_otp._runtime.context import process_for, process_of_task, process_var, runtime_for
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.links import connect, disconnect, flush_exits
from nursery_otp._runtime.monitors import Monitor, attach, check_tag, demonitor
from nursery_otp._runtime.process import Body, Process
from nursery_otp._runtime.refs import Name, Ref
from nursery_otp._runtime.runtime import Runtime
from nursery_otp.errors import AlreadyStarted, NoRuntime, StartFailed, StartIgnored, StartTimeout

S = TypeVar("S")
Ts = TypeVarTuple("Ts")


# ------------------------------------------------------------------------------ what a process runs


def body_of(factory: Callable[..., Any], args: tuple[Any, ...]) -> Body:
    """What a process started with this factory does: a behaviour class says so itself, a function is called."""
    make: Callable[[tuple[Any, ...]], Body] | None = getattr(factory, "process_body", None)
    if make is not None:
        return make(args)
    return _FunctionBody(factory, args, reports=_wants_task_status(factory)).run


class _FunctionBody:
    """A plain async function as the body of a process."""

    __slots__ = ("_args", "_function", "_process", "_reports")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], *, reports: bool) -> None:
        self._function = function
        self._args = args
        self._reports = reports
        self._process: Process | None = None

    async def run(self, process: Process) -> None:
        self._process = process
        running = self._function(*self._args, **({"task_status": self} if self._reports else {}))
        if not inspect.isawaitable(running):
            label = process.label
            raise TypeError(
                f"{label}() returned {safe_repr(running)}: a process is an async function ('async def {label}')"
            )
        if not self._reports:
            process.ready()
        await running

    def started(self, value: Any = None) -> None:
        """The `task_status` of the function."""
        process = self._process
        if process is None or process.status != "starting":
            raise RuntimeError("task_status.started() was called twice")
        process.start_value = value
        process.ready()


def _wants_task_status(function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__code__"):
        function = type(function).__call__  # an object that can be called
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    return "task_status" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def label_of(factory: Any) -> str:
    """What a process is called in reprs and reports."""
    while isinstance(factory, partial):
        factory = factory.func
    label: str = getattr(factory, "__name__", type(factory).__name__)
    return label


# ----------------------------------------------------------------------------------------- creating


@protected
def create(
    runtime: Runtime,
    factory: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    name: Name[Any] | None = None,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
    trap_exits: bool = False,
    supervisor: Process | None = None,
    child_key: object = None,
) -> Process:
    """A process that is registered but does not run yet; `NameTaken` before anything is made."""
    if runtime.closed:
        raise NoRuntime(f"starting {label_of(factory)}")
    if name is not None:
        runtime.registry.check_free(name, supervisor, child_key)
    process = Process(
        runtime,
        label_of(factory),
        body_of(factory, args),
        mailbox=mailbox,
        trap_exits=trap_exits or bool(getattr(factory, "trap_exits", False)),
        supervisor=supervisor,
        child_key=child_key,
    )
    bind = getattr(process.behaviour, "bind", None)
    if bind is not None:
        bind(process)
    if name is not None:
        runtime.registry.register(name, process)
    return process


def _check_options(factory: object, name: object, mailbox: object) -> None:
    checks.process("factory", factory)
    checks.instance("name", name, (Name, type(None)), "must be a Name, such as Name('counter')")
    checks.instance("mailbox", mailbox, MailboxOptions, "must be a MailboxOptions")


def _launch(runtime: Runtime, process: Process) -> None:
    if runtime.nursery is None:
        raise NoRuntime(f"starting {process.label}")
    process.launch(runtime.nursery)


# ----------------------------------------------------------------------------------------- spawning


@protected
def _spawn(function: Any, args: Any, name: Any, *, trap_exits: bool, mailbox: MailboxOptions) -> Process:
    _check_options(function, name, mailbox)
    checks.flag("trap_exits", trap_exits)
    runtime = runtime_for("spawn()")
    process = create(runtime, function, args, name=name, mailbox=mailbox, trap_exits=trap_exits)
    _launch(runtime, process)
    return process


def spawn(
    function: Callable[[*Ts], Awaitable[object]],
    *args: *Ts,
    name: Name[Any] | None = None,
    trap_exits: bool = False,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
) -> Ref[Any]:
    """Run an async function as a process of its own, and go on at once.

    Nobody restarts it and nobody is told of its end. It lives until it returns, raises, or is told to end; at the
    latest it is stopped when the block of `open_supervisor` is left. OTP: `spawn/3`.
    """
    return _spawn(function, args, name, trap_exits=trap_exits, mailbox=mailbox).ref


@protected
def spawn_link(
    function: Callable[[*Ts], Awaitable[object]],
    *args: *Ts,
    name: Name[Any] | None = None,
    trap_exits: bool = False,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
) -> Ref[Any]:
    """`spawn` and `link` in one step, so that no end is missed. OTP: `spawn_link/3`."""
    parent = process_for("spawn_link")
    process = _spawn(function, args, name, trap_exits=trap_exits, mailbox=mailbox)
    process.parent = parent
    connect(parent, process)
    return process.ref


@protected
def spawn_monitor(
    function: Callable[[*Ts], Awaitable[object]],
    *args: *Ts,
    name: Name[Any] | None = None,
    trap_exits: bool = False,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
    tag: Hashable = None,
) -> tuple[Ref[Any], Monitor]:
    """`spawn` and `monitor` in one step, so that no end is missed.

    `tag` is that of the monitor. OTP: `spawn_monitor/3`.
    """
    owner = process_for("spawn_monitor")
    check_tag(tag)
    process = _spawn(function, args, name, trap_exits=trap_exits, mailbox=mailbox)
    frame = sys._getframe(1)
    return process.ref, attach(owner, process.ref, process, tag, frame.f_code, frame.f_lasti)


# ----------------------------------------------------------------------------------------- starting


@protected
class _Start:
    """One start that somebody waits for, with or without a link to the one who waits."""

    def __init__(self, factory: Any, args: Any, name: Any, within: float, mailbox: MailboxOptions) -> None:
        _check_options(factory, name, mailbox)
        checks.seconds("within", within)
        self.limit = within
        self.runtime = runtime_for("start()")
        holder = None if name is None else self.runtime.registry.find(name.text)
        if holder is not None:
            raise AlreadyStarted(name, holder.ref)
        self.process = create(self.runtime, factory, args, name=name, mailbox=mailbox)

    @property
    def certain(self) -> bool:
        """Whether only the process that starts can end the wait."""
        return True

    def link_to(self, parent: Process) -> None:
        self.process.parent = parent
        connect(parent, self.process)

    async def run(self) -> Process:
        process = self.process
        starter = process_of_task()
        if starter is not None:
            starter.waits_for = self
        _launch(self.runtime, process)
        try:
            with trio.CancelScope(deadline=self.runtime.now() + self.limit) as scope:
                await process.wait_started()
        except BaseException:
            if not self._starter_dies():
                await self._undo()  # noqa: ASYNC102 - shielded inside
            raise
        finally:
            if starter is not None:
                starter.waits_for = None
        if scope.cancelled_caught:
            await self._undo()
            raise StartTimeout(process.label, self.limit)
        if not process.started:
            if process.parent is not None and process.interrupted is not None:
                flush_exits(process.parent, process)  # the error raised here is the news of it
            if process.ignored:
                raise StartIgnored(process.label)
            raise StartFailed(process.label, process.reason or NORMAL)
        return process

    def _starter_dies(self) -> bool:
        """The starter is not cancelled but ended by a signal: what it started lives on, or dies of its link."""
        starter = process_var.get()
        return starter is not None and starter.interrupted is not None

    async def _undo(self) -> None:
        """Nobody waits any more: leave nothing behind, not even the news of it."""
        process = self.process
        if process.parent is not None:
            disconnect(process.parent, process)
            flush_exits(process.parent, process)
        cause = process.runtime.causes.record("stop", "nobody waited for its start any more")
        process.interrupt(KILLED, cause=cause)
        with trio.CancelScope(shield=True):
            await process.wait_ended()


@overload
async def start(
    factory: Callable[[*Ts], Awaitable[object]],
    /,
    *args: *Ts,
    name: Name[Any] | None = None,
    within: float = math.inf,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
) -> Ref[Any]: ...
@overload
async def start(
    factory: Callable[[*Ts], S],
    /,
    *args: *Ts,
    name: Name[S] | None = None,
    within: float = math.inf,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
) -> Ref[S]: ...
@protected  # type: ignore[misc] # mypy does not compare TypeVarTuple with *args: Any
async def start(
    factory: Callable[..., Any],
    /,
    *args: Any,
    name: Name[Any] | None = None,
    within: float = math.inf,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
) -> Ref[Any]:
    """Start a server, a supervisor or an async function without a supervisor, and wait until its init is over.

    `within` limits that wait, in seconds; past it (`StartTimeout`) or when the wait is cancelled the process is
    killed. Raises `AlreadyStarted` if the name is taken (nothing is started then), `StartFailed` if the init fails,
    `StartIgnored` if it raises `Ignore`. OTP: `gen_server:start/3,4`.
    """
    return (await _Start(factory, args, name, within, mailbox).run()).ref


@overload
async def start_link(
    factory: Callable[[*Ts], Awaitable[object]],
    /,
    *args: *Ts,
    name: Name[Any] | None = None,
    within: float = math.inf,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
) -> Ref[Any]: ...
@overload
async def start_link(
    factory: Callable[[*Ts], S],
    /,
    *args: *Ts,
    name: Name[S] | None = None,
    within: float = math.inf,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
) -> Ref[S]: ...
@protected  # type: ignore[misc]
async def start_link(
    factory: Callable[..., Any],
    /,
    *args: Any,
    name: Name[Any] | None = None,
    within: float = math.inf,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
) -> Ref[Any]:
    """`start`, linked to the current process, which becomes the parent: its end is the end of a server, too.

    OTP: `gen_server:start_link/3,4`.
    """
    parent = process_for("start_link")
    starting = _Start(factory, args, name, within, mailbox)
    starting.link_to(parent)
    return (await starting.run()).ref


@overload
async def start_monitor(
    factory: Callable[[*Ts], Awaitable[object]],
    /,
    *args: *Ts,
    name: Name[Any] | None = None,
    within: float = math.inf,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
    tag: Hashable = None,
) -> tuple[Ref[Any], Monitor]: ...
@overload
async def start_monitor(
    factory: Callable[[*Ts], S],
    /,
    *args: *Ts,
    name: Name[S] | None = None,
    within: float = math.inf,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
    tag: Hashable = None,
) -> tuple[Ref[S], Monitor]: ...
@protected  # type: ignore[misc]
async def start_monitor(
    factory: Callable[..., Any],
    /,
    *args: Any,
    name: Name[Any] | None = None,
    within: float = math.inf,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
    tag: Hashable = None,
) -> tuple[Ref[Any], Monitor]:
    """`start`, monitored by the current process from the first moment; a failed start leaves no `Down` behind.

    `tag` is that of the monitor, which counts as made where this is awaited.

    OTP: `gen_server:start_monitor/3,4`.
    """
    owner = process_for("start_monitor")
    check_tag(tag)
    frame = sys._getframe(1)
    site = frame.f_code, frame.f_lasti
    del frame  # this one lives on while the other waits
    starting = _Start(factory, args, name, within, mailbox)
    starting.process.parent = owner
    watch = attach(owner, starting.process.ref, starting.process, tag, *site)
    try:
        return (await starting.run()).ref, watch
    except BaseException:
        if process_var.get() is owner:
            demonitor(watch, flush=True)
        raise
