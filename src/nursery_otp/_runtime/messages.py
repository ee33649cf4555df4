"""The messages that the runtime itself delivers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from nursery_otp._policy.exits import ExitReason

if TYPE_CHECKING:
    from nursery_otp._runtime.monitors import Monitor
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.refs import Ref
    from nursery_otp._runtime.timer import Timer


@attrs.frozen
class Down:
    """A monitored process has ended. `target` is what was monitored: a `Ref`, or the `Name` it was found by.

    OTP: `{'DOWN', Monitor, process, Target, Reason}`.
    """

    monitor: Monitor
    target: Any
    reason: ExitReason


@attrs.frozen
class Exit:
    """An exit signal, turned into a message because the process traps exits. OTP: `{'EXIT', Source, Reason}`.

    `source` is None when the request to stop came from outside of any process.
    """

    source: Ref[Any] | None
    reason: ExitReason


class Message(tuple[str, tuple[Any, ...], dict[str, Any]]):
    """A request as a value: which operation, with which arguments. What a cast is on the wire."""

    __slots__ = ()

    def __new__(cls, operation: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Message:
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
        given = [*map(repr, self.args), *(f"{key}={value!r}" for key, value in self.kwargs.items())]
        return f"Message({self.operation}({', '.join(given)}))"


class Tick:
    """A timer's message on its way: in the mailbox it is known by its timer, so that cancelling can remove it."""

    __slots__ = ("message", "timer")

    def __init__(self, timer: Timer, message: object) -> None:
        self.timer = timer
        self.message = message


class Envelope:
    """An ordinary message with something to carry: the context it was sent in, and what its sender says about it.

    Readers get the message alone. `context` is the tracer's, `info` what `current_message` shows; either may be None.
    """

    __slots__ = ("context", "info", "message")

    def __init__(self, message: object, context: object = None, info: Any = None) -> None:
        self.message = message
        self.context = context
        self.info = info


class Notice:
    """Something the runtime tells itself through a mailbox; never a dead letter."""

    __slots__ = ()

    def lost(self) -> None:
        """It will not be read."""


class StopAsked(Notice):
    """A request to stop that takes its turn among the messages (drain)."""

    __slots__ = ("reason",)

    def __init__(self, reason: ExitReason) -> None:
        self.reason = reason


@attrs.frozen
class DeadLetter:
    """A message that nobody handled: for whom it was, and why it was not delivered."""

    recipient: object
    message: object
    reason: str
    time: float


def recipient_of(process: Process) -> object:
    """What a dead letter is addressed to: the name, which outlives the incarnation, or else the ref."""
    return process.name if process.name is not None else process.ref
