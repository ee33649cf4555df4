"""Supervisors: the class to derive one from, child specifications, and the handle to talk to one."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Any, ClassVar, Literal, TypedDict, TypeVar, TypeVarTuple, Unpack, cast, overload

from nursery_otp._behaviours.child_requests import ChildCall
from nursery_otp._behaviours.children import ChildCount, ChildInfo
from nursery_otp._behaviours.supervisor_loop import SupervisorLoop
from nursery_otp._policy import checks
from nursery_otp._policy.exits import SHUTDOWN, as_reason, safe_str
from nursery_otp._policy.mailboxes import DEFAULT_MAILBOX, MailboxOptions
from nursery_otp._policy.misnomers import supervisor_misnomer, supervisor_word
from nursery_otp._policy.restarts import Backoff
from nursery_otp._policy.specs import (
    AutoShutdown,
    ChildSpec,
    Kind,
    Restart,
    ShutdownLimit,
    Strategy,
    SupervisorFlags,
)
from nursery_otp._policy.suggestions import did_you_mean
from nursery_otp._runtime.call_sites import line_of_caller
from nursery_otp._runtime.context import process_var
from nursery_otp._runtime.process import Body, Process
from nursery_otp._runtime.refs import Address, Name, Ref, find, find_alive
from nursery_otp._runtime.spawning import label_of
from nursery_otp.errors import InvalidSpec, StartIgnored

S = TypeVar("S")
Ts = TypeVarTuple("Ts")

_UNSET: Any = object()


class Supervisor:
    """A process that starts, watches, restarts and stops children. OTP: `supervisor`.

    Derive from it, set the flags as class attributes (or in `__init__`), and give the child specifications:

    >>> class Team(Supervisor):
    ...     strategy = "one_for_all"
    ...     max_restarts = 3
    ...
    ...     def children(self) -> list[ChildSpec]:
    ...         return [child(Counter, 100, id="counter")]

    They are validated when the supervisor starts; a wrong one is a failed start with `InvalidSpec`. OTP: a callback
    module of `supervisor`.
    """

    process_kind: ClassVar[Kind] = "supervisor"

    strategy: Strategy = "one_for_one"
    """Who is restarted with a child: "one_for_one" nobody, "rest_for_one" those started after it, "one_for_all" all.

    "simple_one_for_one": nobody; the children come and go and have no ids.
    """
    max_restarts: float = 1
    """How many restarts within `period` are allowed; one more ends the supervisor. `math.inf`: any number."""
    period: float = 5.0
    """The length of the window for `max_restarts`, in seconds. It slides on exact time."""
    auto_shutdown: AutoShutdown = "never"
    """Whether the end of a significant child ends the supervisor: "never", "any_significant", "all_significant"."""
    max_children: float = math.inf
    """How many children a simple_one_for_one supervisor may have at a time."""
    follow_caller: bool = False
    """Whether all servers below end their work on a call when its caller's time is up or it has gone."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__mro__[: cls.__mro__.index(Supervisor)]
        _refuse(cls, (name for base in own for name in vars(base)), supervisor_misnomer)

    @classmethod
    def process_body(cls, args: tuple[Any, ...]) -> Body:
        """What a process of this class runs (called by the runtime)."""
        return SupervisorLoop(lambda: cls(*args)).run

    def flags(self) -> SupervisorFlags:
        """The flags, validated."""
        _refuse(type(self), vars(self), supervisor_word)
        return SupervisorFlags(
            strategy=self.strategy,
            max_restarts=self.max_restarts,
            period=self.period,
            auto_shutdown=self.auto_shutdown,
            max_children=self.max_children,
        )

    def children(self) -> Iterable[ChildSpec]:
        """The children to start, in this order; at most one template for simple_one_for_one.

        Called once, in the supervisor's process. Raise `Ignore` to decline to start. OTP: `init/1`.
        """
        return ()


def _refuse(cls: type, names: Iterable[str], misnomer: Callable[[str], str | None]) -> None:
    """Attributes that would have no effect are an error, so that nobody relies on one."""
    for name in names:
        advice = misnomer(name)
        if advice is not None:
            raise TypeError(f"{cls.__name__}.{name} would never be used by a Supervisor: {advice}")


class InlineSupervisor(Supervisor):
    """A supervisor whose flags and children are given as values."""

    def __init__(self, flags: SupervisorFlags, specs: Iterable[ChildSpec]) -> None:
        self._flags = flags
        self._specs = specs

    def flags(self) -> SupervisorFlags:
        return self._flags

    def children(self) -> Iterable[ChildSpec]:
        return self._specs


def child(
    factory: Callable[[*Ts], Any],
    /,
    *args: *Ts,
    id: Hashable = None,
    name: Name[Any] | None = None,
    restart: Restart = "permanent",
    shutdown: ShutdownLimit | None = None,
    significant: bool = False,
    service: bool = False,
    kind: Kind | None = None,
    trap_exits: bool = False,
    mailbox: MailboxOptions = DEFAULT_MAILBOX,
    backoff: Backoff | None = None,
) -> ChildSpec:
    """The specification of a child: what `factory(*args)` makes, run and restarted as the options say.

    `factory` is a `GenServer` or `Supervisor` class or an async function. `id` is the text of `name`, or the name of
    the factory, unless given. A "permanent" child is always restarted, a "transient" one unless it ends normally, a
    "temporary" one never. `shutdown` is how many seconds it has to stop (default 5; supervisors: no limit) before it
    is killed, or "kill". A `significant` child may end its supervisor, see `auto_shutdown`. A `service` does not keep
    the block of `open_supervisor` waiting. `backoff` puts waits before restarts. `name` is registered for every
    incarnation and kept in between. `trap_exits` and `mailbox` are those of the process. `kind` is "supervisor" for
    Supervisor classes and else "worker"; it only matters for `count_children` and the default of `shutdown`. Raises
    `InvalidSpec`. OTP: `child_spec()`.

    >>> child(Counter, 100, restart="transient").restart
    'transient'
    """
    given: dict[str, Any] = {"shutdown": shutdown, "kind": kind}
    checks.instance("name", name, (Name, type(None)), "must be a Name, such as Name('counter')")
    return ChildSpec(
        factory=factory,
        args=args,
        id=id if id is not None or name is None else name.text,
        name=name,
        restart=restart,
        significant=significant,
        service=service,
        trap_exits=trap_exits,
        mailbox=mailbox,
        backoff=backoff,
        **{field: value for field, value in given.items() if value is not None},
    )


class StartOptions(TypedDict, total=False):
    """The options of `SupervisorHandle.start`: those of `child`, and `when_full`."""

    id: Hashable
    restart: Restart
    shutdown: ShutdownLimit | None
    significant: bool
    service: bool
    kind: Kind | None
    trap_exits: bool
    mailbox: MailboxOptions
    backoff: Backoff | None
    when_full: Literal["fail", "wait"]


def _check_options(factory: Callable[..., Any], options: Mapping[str, object]) -> None:
    unknown = next((option for option in options if option not in _OPTIONS), None)
    if unknown is not None:
        advice = f"; arguments for {label_of(factory)} are given by position"
        meant = did_you_mean(unknown, _OPTIONS)
        raise TypeError(f"start() got an unexpected keyword argument {unknown!r}{meant}{advice}")


_OPTIONS = ("name", *StartOptions.__annotations__)


class SupervisorHandle:
    """The means to talk to a running supervisor, made from its address.

    Requests wait their turn in the supervisor, which serves none while it starts or stops a child; the waits have no
    limit, as in OTP. `NoProcess` is raised if there is no supervisor, `CallExited` if it ends before it answers,
    `Deadlock` if a child asks its supervisor while that is starting or stopping it.

    >>> async def main() -> None:
    ...     async with open_supervisor([child(Counter, 1, id="one")]) as supervisor:
    ...         await supervisor.terminate_child("one")
    ...         print([(info.id, info.status) for info in await supervisor.which_children()])
    ...         supervisor.shutdown()
    >>> trio.run(main)
    [('one', 'stopped')]
    """

    __slots__ = ("address",)

    def __init__(self, address: Address[Any]) -> None:
        self.address = address

    @property
    def ref(self) -> Ref[Any]:
        """The supervisor's current incarnation; `NoProcess` if there is none."""
        return find_alive(self.address, "ref").ref

    def __repr__(self) -> str:
        return f"<SupervisorHandle of {safe_str(self.address)}>"

    def _supervisor(self) -> Process | None:
        process = find(self.address)
        if process is None or process.reason is not None:
            return None
        if not isinstance(process.behaviour, SupervisorLoop):
            raise InvalidSpec("address", self.address, "must be the address of a supervisor")
        return process

    async def _ask(self, operation: str, *args: Any) -> Any:
        self._supervisor()
        request = ChildCall(f"{operation} of {safe_str(self.address)}", operation, args, {}, self.address)
        request.line = line_of_caller()
        return await request.perform(math.inf)

    @overload
    async def start(
        self,
        factory: Callable[[*Ts], Awaitable[object]],
        /,
        *args: *Ts,
        name: Name[Any] | None = None,
        **options: Unpack[StartOptions],
    ) -> Ref[Any]: ...
    @overload
    async def start(
        self, factory: Callable[[*Ts], S], /, *args: *Ts, name: Name[S] | None = None, **options: Unpack[StartOptions]
    ) -> Ref[S]: ...
    async def start(  # type: ignore[misc] # mypy does not compare TypeVarTuple with *args: Any
        self,
        factory: Callable[..., Any],
        /,
        *args: Any,
        name: Name[Any] | None = None,
        when_full: Literal["fail", "wait"] = "fail",
        **options: Any,
    ) -> Ref[Any]:
        """Start a child and wait until its init is over; its `Ref`.

        The options are those of `child`. With `when_full="wait"` wait for a place if a dynamic supervisor has
        `max_children` of them. Raises `StartFailed` if the init fails, `StartIgnored` if it raises `Ignore`, and what
        `start_child` raises. If this wait is cancelled, the supervisor may still start the child. OTP:
        `supervisor:start_child/2`.
        """
        checks.one_of("when_full", when_full, ("fail", "wait"))
        _check_options(factory, options)
        spec = child(factory, *args, name=name, **options)
        ref = await self._ask("start_child", spec, when_full == "wait")
        if ref is None:
            raise StartIgnored(spec.label)
        return cast("Ref[Any]", ref)

    async def start_child(self, *spec: Any, when_full: Literal["fail", "wait"] = "fail") -> Ref[Any] | None:
        """Start a child from a `ChildSpec`; for a simple_one_for_one supervisor with a template, from its arguments.

        None if the child declined. With `when_full="wait"` wait for a place if there are `max_children`. Raises
        `AlreadyStarted` or `AlreadyPresent` if the id is in use, `StartFailed`, `MaxChildrenReached`, `InvalidSpec`.
        OTP: `supervisor:start_child/2`.
        """
        checks.one_of("when_full", when_full, ("fail", "wait"))
        what: Any = spec[0] if len(spec) == 1 and isinstance(spec[0], ChildSpec) else spec
        return cast("Ref[Any] | None", await self._ask("start_child", what, when_full == "wait"))

    async def terminate_child(self, target: Hashable) -> None:
        """Stop the child of this id (a `Ref` for dynamic children); it is not restarted.

        Its specification stays, unless it is temporary. Raises `ChildNotFound`. OTP: `supervisor:terminate_child/2`.
        """
        checks.hashable("id", target)
        await self._ask("terminate_child", target)

    async def restart_child(self, id: Hashable) -> Ref[Any] | None:
        """Start a child again that does not run; None if it declines.

        Raises `ChildRunning`, `ChildRestarting`, `ChildNotFound`, `StartFailed`. OTP: `supervisor:restart_child/2`.
        """
        checks.hashable("id", id)
        return cast("Ref[Any] | None", await self._ask("restart_child", id))

    async def delete_child(self, id: Hashable) -> None:
        """Forget the specification of a child that does not run.

        Raises `ChildRunning`, `ChildRestarting`, `ChildNotFound`. OTP: `supervisor:delete_child/2`.
        """
        checks.hashable("id", id)
        await self._ask("delete_child", id)

    async def get_childspec(self, target: Hashable) -> ChildSpec:
        """The specification of a child. Raises `ChildNotFound`. OTP: `supervisor:get_childspec/2`."""
        checks.hashable("id", target)
        return cast("ChildSpec", await self._ask("get_childspec", target))

    async def which_children(self) -> tuple[ChildInfo, ...]:
        """All children, in start order. OTP: `supervisor:which_children/1`."""
        return cast("tuple[ChildInfo, ...]", await self._ask("which_children"))

    async def count_children(self) -> ChildCount:
        """How many children there are. OTP: `supervisor:count_children/1`."""
        return cast("ChildCount", await self._ask("count_children"))

    def shutdown(self, reason: object = SHUTDOWN) -> None:
        """Ask the supervisor to stop its children, in reverse order, and itself; go on at once.

        The request waits its turn like a call. Nothing happens if the supervisor has ended. Raises `InvalidSpec` for a
        number as the reason: how long the children have is said in their specifications.
        """
        if isinstance(reason, int | float):
            raise InvalidSpec("reason", reason, "is a number and no reason; the limits are those of the children")
        process = self._supervisor()
        if process is not None:
            cause = process.runtime.causes.asked("stop", "shutdown() was called", process_var.get())
            process.request_stop(as_reason(reason), cause=cause)
