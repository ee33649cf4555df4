"""The messages that the runtime itself delivers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nursery_otp._policy import checks
from nursery_otp._policy.exits import ExitReason, safe_repr

if TYPE_CHECKING:
    from nursery_otp._runtime.monitors import Monitor
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.refs import Ref
    from nursery_otp._runtime.timer import Timer


class Carried:
    """What lies in a mailbox and is no message of a user's as it is."""

    __slots__ = ()


@attrs.frozen
class Down(Carried):
    """A monitored process has ended. `target` is what was monitored: a `Ref`, or the `Name` it was found by.

    OTP: `{'DOWN', Monitor, process, Target, Reason}`.
    """

    monitor: Monitor
    target: Any
    reason: ExitReason


@attrs.frozen
class Exit(Carried):
    """An exit signal, turned into a message because the process traps exits. OTP: `{'EXIT', Source, Reason}`.

    `source` is None when the request to stop came from outside of any process. `cause` is for `explain`.
    """

    source: Ref[Any] | None
    reason: ExitReason
    cause: int = attrs.field(default=0, kw_only=True, eq=False, repr=False)


class Message(tuple[str, tuple[Any, ...], dict[str, Any]]):
    """A request as a value: which operation, with which arguments. What a cast is on the wire."""

    __slots__ = ()

    def __new__(cls, operation: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Message:
        if type(operation) is not str:
            checks.instance("operation", operation, str, "must be the name of an operation, as text")
        return tuple.__new__(cls, (operation, args, kwargs or {}))

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    __match_args__ = ("operation", "args", "kwargs")

    @property
    def operation(self) -> str:
        """The name of the operation."""
        return self[0]

    @property
    def args(self) -> tuple[Any, ...]:
        """Its positional arguments."""
        return self[1]

    @property
    def kwargs(self) -> dict[str, Any]:
        """Its keyword arguments."""
        return self[2]

    def __repr__(self) -> str:
        given = [*map(safe_repr, self.args), *(f"{key}={safe_repr(value)}" for key, value in self.kwargs.items())]
        return f"Message({self.operation}({', '.join(given)}))"


class Tick(Carried):
    """A timer's message on its way: in the mailbox it is known by its timer, so that cancelling can remove it."""

    __slots__ = ("message", "timer")

    def __init__(self, timer: Timer, message: object) -> None:
        self.timer = timer
        self.message = message


@attrs.frozen
class MessageInfo:
    """What the sender of a message says about it; a handler finds it with `current_message`.

    `attempt` counts the attempts to deliver this message, this one included. A message with an `idempotency_key` that
    has been handled before is the same one once more.
    """

    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    correlation_id: str | None = None
    idempotency_key: str | None = None
    attempt: int = 1


class Envelope(Carried):
    """An ordinary message with something to carry: the context it was sent in, and what its sender says about it.

    Readers get the message alone. `context` is the tracer's, `info` what `current_message` shows; either may be None.
    """

    __slots__ = ("context", "info", "message")

    def __init__(self, message: object, context: object = None, info: MessageInfo | None = None) -> None:
        self.message = message
        self.context = context
        self.info = info


class Notice(Carried):
    """Something the runtime tells itself through a mailbox; never a dead letter."""

    __slots__ = ()

    def lost(self) -> None:
        """It will not be read."""


class StopAsked(Notice):
    """A request to stop that takes its turn among the messages (drain)."""

    __slots__ = ("reason",)

    def __init__(self, reason: ExitReason) -> None:
        self.reason = reason


def recipient_of(process: Process) -> object:
    """What a dead letter is addressed to: the name, which outlives the incarnation, or else the ref."""
    return process.name if process.name is not None else process.ref
