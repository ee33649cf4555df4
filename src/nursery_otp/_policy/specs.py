"""What a supervisor is told: its own flags, and a specification per child. Validated when made, never later."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Literal, TypeAlias

import attrs

from nursery_otp._policy import checks
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.mailboxes import DEFAULT_MAILBOX, MailboxOptions
from nursery_otp._policy.restarts import Backoff

Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
Kind: TypeAlias = Literal["worker", "supervisor"]
Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]
AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]
ShutdownLimit: TypeAlias = float | Literal["kill"]

RESTARTS = ("permanent", "transient", "temporary")
KINDS = ("worker", "supervisor")
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one")
AUTO_SHUTDOWNS = ("never", "any_significant", "all_significant")
DEFAULT_SHUTDOWN = 5.0


def _kind_of(factory: object) -> Kind:
    # A behaviour class says itself what it is, so that this floor need not know the classes.
    kind: Kind = getattr(factory, "process_kind", "worker")
    return kind


@attrs.frozen(kw_only=True, eq=False)
class ChildSpec:
    """How a supervisor starts, restarts and stops one child; made by `child`.

    OTP: the child specification map of `supervisor`.
    """

    factory: Callable[..., Any]
    args: tuple[Any, ...] = ()
    id: Hashable = None
    name: Any = None
    restart: Restart = "permanent"
    kind: Kind = attrs.field()
    shutdown: ShutdownLimit = attrs.field()
    significant: bool = False
    service: bool = False
    trap_exits: bool = False
    mailbox: MailboxOptions = DEFAULT_MAILBOX
    backoff: Backoff | None = None

    @kind.default
    def _default_kind(self) -> Kind:
        return _kind_of(self.factory)

    @shutdown.default
    def _default_shutdown(self) -> float:
        return math.inf if self.kind == "supervisor" else DEFAULT_SHUTDOWN

    def __attrs_post_init__(self) -> None:
        checks.process("factory", self.factory)
        checks.instance("args", self.args, tuple, "must be a tuple")
        checks.hashable("id", self.id)
        if self.name is not None and not hasattr(self.name, "text"):
            raise InvalidSpec("name", self.name, "must be a Name, such as Name('counter')")
        checks.one_of("restart", self.restart, RESTARTS)
        if self.shutdown != "kill":
            checks.seconds("shutdown", self.shutdown, also=", math.inf or 'kill'")
        checks.one_of("kind", self.kind, KINDS)
        checks.flag("significant", self.significant)
        checks.flag("service", self.service)
        checks.flag("trap_exits", self.trap_exits)
        checks.instance("mailbox", self.mailbox, MailboxOptions, "must be a MailboxOptions")
        checks.instance("backoff", self.backoff, (Backoff, type(None)), "must be a Backoff or None")
        if self.significant and self.restart == "permanent":
            raise InvalidSpec("significant", value=True, problem="a permanent child always comes back, so it cannot be")

    @property
    def label(self) -> str:
        """What the child is called where no id was given."""
        return (
            str(self.name) if self.name is not None else getattr(self.factory, "__name__", type(self.factory).__name__)
        )

    def with_id(self, identity: Hashable) -> ChildSpec:
        """The same specification under an id."""
        return attrs.evolve(self, id=identity)

    def with_args(self, extra: tuple[Any, ...]) -> ChildSpec:
        """The same specification with more arguments: how a dynamic supervisor fills its template."""
        return attrs.evolve(self, args=(*self.args, *extra))


@attrs.frozen(kw_only=True)
class SupervisorFlags:
    """How a supervisor treats its children. OTP: the flags map returned by `supervisor:init/1`."""

    strategy: Strategy = "one_for_one"
    max_restarts: float = 1
    period: float = 5.0
    auto_shutdown: AutoShutdown = "never"
    max_children: float = math.inf

    def __attrs_post_init__(self) -> None:
        checks.one_of("strategy", self.strategy, STRATEGIES)
        checks.count("max_restarts", self.max_restarts)
        checks.seconds("period", self.period, zero=False)
        checks.one_of("auto_shutdown", self.auto_shutdown, AUTO_SHUTDOWNS)
        checks.count("max_children", self.max_children)
        if self.max_children != math.inf and not self.dynamic:
            raise InvalidSpec("max_children", self.max_children, "only a simple_one_for_one supervisor has a limit")

    @property
    def dynamic(self) -> bool:
        """Whether the children come and go without ids. OTP: `simple_one_for_one`."""
        return self.strategy == "simple_one_for_one"


def check_childspecs(specs: Iterable[ChildSpec], auto_shutdown: AutoShutdown | None = None) -> None:
    """Check that `specs` could be the children of one supervisor; raise `InvalidSpec` if not.

    With `auto_shutdown` also check the specifications against it. Nothing is started. OTP:
    `supervisor:check_childspecs/1,2`.

    >>> check_childspecs([])
    """
    if auto_shutdown is not None:
        checks.one_of("auto_shutdown", auto_shutdown, AUTO_SHUTDOWNS)
    seen: set[Hashable] = set()
    for spec in as_specs(specs):
        check_significant(spec, auto_shutdown)
        if spec.id is not None and spec.id in seen:
            named = spec.name is not None and spec.id == spec.name.text
            whence = f" (it comes from name={spec.name!r})" if named else ""
            raise InvalidSpec("id", spec.id, f"duplicate id: each child of a supervisor needs its own{whence}")
        seen.add(spec.id)


def check_children(specs: object, flags: SupervisorFlags) -> list[ChildSpec]:
    """The children of a supervisor with these flags as a list, or `InvalidSpec`."""
    found = as_specs(specs)
    check_childspecs(found, flags.auto_shutdown)
    if flags.dynamic and len(found) > 1:
        raise InvalidSpec("children", found, "a simple_one_for_one supervisor has one template at most")
    return found


def check_significant(spec: ChildSpec, auto_shutdown: AutoShutdown | None) -> None:
    """A significant child means something only to a supervisor that may shut down automatically."""
    if spec.significant and auto_shutdown == "never":
        raise InvalidSpec("significant", value=True, problem="the supervisor's auto_shutdown is 'never'")


def as_specs(specs: object) -> list[ChildSpec]:
    """The given children as a list, or an error that names the first thing that is none."""
    if not isinstance(specs, Iterable):
        raise InvalidSpec("children", specs, "must be child specifications; make them with child(factory, *args)")
    found = list(specs)
    for spec in found:
        checks.instance("children", spec, ChildSpec, "must be a ChildSpec; make one with child(factory, *args)")
    return found
