"""The vocabulary of a supervisor's decisions: what it knows, what can happen to it, what it wants done.

`decide` (in `decide.py`) maps a `State` and an `Event` to a new `State` and a tuple of `Action`s. A shell carries the
actions out and feeds back what came of them. While the state has a plan, the shell owes it the outcome of the one
action under way (`StartChild`, `StopChild`, `StopChildren`) and must keep everything else waiting, in order, just as
an OTP supervisor does not look at its mailbox while it starts or stops a child.

Handles are opaque: the shell makes one per incarnation of a child, so that news of an earlier incarnation is
recognised as stale by identity.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Literal, TypeAlias

import attrs

from nursery_otp._policy.exits import NORMAL, ExitReason, Shutdown, safe_repr
from nursery_otp._policy.restarts import RestartWindow
from nursery_otp._policy.specs import ChildSpec, ShutdownLimit, SupervisorFlags
from nursery_otp._policy.versioned import VersionedMap

Key: TypeAlias = Hashable
Handle: TypeAlias = Any
Token: TypeAlias = Any
ChildStatus: TypeAlias = Literal["running", "restarting", "stopped"]


# ------------------------------------------------------------------------------------ what is known


@attrs.frozen
class Child:
    """One child: its specification, its place in the order, and its incarnation, if it has one.

    `handle` of a restarting child is the incarnation that ended. `returning` marks a child that a restart under way
    has taken down and will start again. `retry` numbers its latest scheduled retry: an older one is void. `last` is why
    it last ended or failed to start, `incarnations` how many have been started.
    """

    key: Key
    spec: ChildSpec
    position: int
    status: ChildStatus = "stopped"
    handle: Handle = None
    returning: bool = False
    retry: int = 0
    attempts: int = 0
    last: ExitReason = NORMAL
    since: float = 0.0
    incarnations: int = 0


@attrs.frozen
class Start:
    """Start the children of a new supervisor; a failure rolls back and ends it."""


@attrs.frozen
class RestartGroup:
    """Restart what the strategy demands, because of the child `key`."""

    key: Key


@attrs.frozen
class Delay:
    """Take down what the strategy demands, then let `key` wait for its backoff."""

    key: Key
    seconds: float


@attrs.frozen
class Add:
    """A start_child call."""

    token: Token
    key: Key


@attrs.frozen
class Revive:
    """A restart_child call."""

    token: Token
    key: Key


@attrs.frozen
class Terminate:
    """A terminate_child call."""

    token: Token
    key: Key


@attrs.frozen
class End:
    """Stop every child, then end with `reason`."""

    reason: ExitReason


Purpose: TypeAlias = Start | RestartGroup | Delay | Add | Revive | Terminate | End


@attrs.frozen
class Plan:
    """What the supervisor is in the middle of: children to stop, then children to start, and how far it is."""

    purpose: Purpose
    stop: tuple[Key, ...] = ()
    start: tuple[Key, ...] = ()
    stops_done: int = 0
    starts_done: int = 0

    @property
    def next_stop(self) -> Key | None:
        """The child that is being stopped, or is to be stopped next (ids are never None)."""
        return self.stop[self.stops_done] if self.stops_done < len(self.stop) else None

    @property
    def next_start(self) -> Key | None:
        """The child that is being started, or is to be started next, once all stops are done."""
        return self.start[self.starts_done] if self.starts_done < len(self.start) else None

    @property
    def to_start(self) -> tuple[Key, ...]:
        """All that are still to be started."""
        return self.start[self.starts_done :]


@attrs.frozen
class Waiting:
    """A start_child call that waits for a place."""

    token: Token
    spec: ChildSpec


@attrs.frozen
class State:
    """All that a supervisor knows."""

    flags: SupervisorFlags
    window: RestartWindow
    children: VersionedMap[Key, Child] = attrs.field(factory=VersionedMap)
    plan: Plan | None = None
    waiting: tuple[Waiting, ...] = ()
    next_position: int = 0
    next_retry: int = 1
    restarting: int = 0

    def ordered(self) -> list[Child]:
        """The children in start order."""
        return sorted(self.children.values(), key=_position)


def _position(child: Child) -> int:
    return child.position


# ---------------------------------------------------------------------------------- what can happen


@attrs.frozen
class Begin:
    """The supervisor has been started with its children in `State.children`."""


@attrs.frozen
class Started:
    """The start under way succeeded, at `now`."""

    key: Key
    handle: Handle
    now: float


@attrs.frozen
class Ignored:
    """The start under way was declined by the child."""

    key: Key


@attrs.frozen
class Failed:
    """The start under way failed."""

    key: Key
    reason: ExitReason
    chance: float = 0.5


@attrs.frozen
class Stopped:
    """The stop under way is over, whatever the child's reason was."""


@attrs.frozen
class Exited:
    """A child ended by itself; `chance` in [0, 1) decides about jitter."""

    key: Key
    handle: Handle
    reason: ExitReason
    now: float
    chance: float = 0.5


@attrs.frozen
class Retry:
    """The time for a scheduled retry has come; `counted` says whether this restart is in the window already."""

    key: Key
    number: int
    counted: bool
    now: float
    chance: float = 0.5


@attrs.frozen
class AddChild:
    """start_child; `wait`: for a place, if `max_children` is reached."""

    token: Token
    spec: ChildSpec
    wait: bool = False


@attrs.frozen
class TerminateChild:
    """terminate_child; `handle` instead of an id for dynamic supervisors, `alive` whether that process is."""

    token: Token
    key: Key
    handle: Handle = None
    alive: bool = False


@attrs.frozen
class RestartChild:
    """restart_child."""

    token: Token
    key: Key


@attrs.frozen
class DeleteChild:
    """delete_child."""

    token: Token
    key: Key


@attrs.frozen
class Withdraw:
    """The caller of a waiting start_child has gone."""

    token: Token


@attrs.frozen
class StopServices:
    """Nobody but service children is needed any more: stop, if only they are left."""


@attrs.frozen
class StopRequest:
    """Somebody asked the supervisor to stop."""

    reason: ExitReason


@attrs.frozen
class Kill:
    """The supervisor itself is being killed: no order, no grace, whatever is under way."""


Event: TypeAlias = (
    Begin
    | Started
    | Ignored
    | Failed
    | Stopped
    | Exited
    | Retry
    | AddChild
    | TerminateChild
    | RestartChild
    | DeleteChild
    | Withdraw
    | StopServices
    | StopRequest
    | Kill
)


# ----------------------------------------------------------------------------------- what is wanted


@attrs.frozen
class StartChild:
    """Start an incarnation and report `Started`, `Ignored` or `Failed`."""

    key: Key
    spec: ChildSpec


@attrs.frozen
class StopChild:
    """End this incarnation within `limit`, wait for it, and report `Stopped`."""

    key: Key
    handle: Handle
    limit: ShutdownLimit


@attrs.frozen
class StopChildren:
    """End all of these at the same time under one shared limit each, wait for all, and report `Stopped`."""

    children: tuple[StopChild, ...]


@attrs.frozen
class RetryLater:
    """Report `Retry` with the same number after `delay` seconds (0: at the end of the queue)."""

    key: Key
    number: int
    counted: bool
    delay: float


Answer: TypeAlias = Literal[
    "ok",
    "ignored",
    "already_present",
    "already_started",
    "running",
    "restarting",
    "not_found",
    "for_static_only",
    "max_children",
    "failed",
]


@attrs.frozen
class Reply:
    """Answer a call: what became of it, with the incarnation or the failure it is about."""

    token: Token
    answer: Answer
    handle: Handle = None
    reason: ExitReason | None = None


@attrs.frozen
class Ready:
    """All children are up: the start of the supervisor itself is over."""


@attrs.frozen
class Finish:
    """No child is left: end with this reason."""

    reason: ExitReason


Note: TypeAlias = Literal["child_terminated", "start_failed", "limit_reached"]


@attrs.frozen
class Report:
    """Tell the operators: what happened to which child, with how many restarts used of how many, and what follows."""

    note: Note
    key: Key
    reason: ExitReason
    restarts: int
    allowed: float
    decision: str


Action: TypeAlias = StartChild | StopChild | StopChildren | RetryLater | Reply | Ready | Finish | Report


# --------------------------------------------------------- reasons that only a supervisor ends with


@attrs.frozen
class AutoShutdown:
    """Detail of a supervisor's exit reason: the significant child `child_id` ended, so it shut down."""

    child_id: object


@attrs.frozen(repr=False)
class FailedToStart:
    """Detail of a supervisor's exit reason: this child did not start, so it did not either."""

    child_id: object
    reason: ExitReason

    def __repr__(self) -> str:
        # Not recursive: in a deep tree every level wraps the reason of the one below.
        path, reason = [self.child_id], self.reason
        while isinstance(reason, Shutdown) and isinstance(reason.detail, FailedToStart):
            path.append(reason.detail.child_id)
            reason = reason.detail.reason
        return f"FailedToStart({' > '.join(map(safe_repr, path))}: {reason})"
