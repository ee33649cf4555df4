"""What a callback may answer besides nothing: values that tell the server what to do next."""

from __future__ import annotations

from typing import Any, Generic, TypeAlias, TypeVar, cast

import attrs

from nursery_otp._policy import checks
from nursery_otp._policy.exits import Stop
from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.context import process_var

R = TypeVar("R")


@attrs.frozen
class Continue:
    """Run `handle_continue(argument)` next, before any message. OTP: `{continue, Argument}`."""

    argument: Any = None


@attrs.frozen
class Idle:
    """Deliver `IdleTimeout()` to `handle_info` unless a message comes within `seconds`.

    Any message ends it for good; system requests start the time again. With 0, messages that are queued go first.
    OTP: a timeout in a callback's return value.
    """

    seconds: float

    def __attrs_post_init__(self) -> None:
        checks.seconds("seconds", self.seconds)


@attrs.frozen
class IdleTimeout:
    """The message that `Idle` asked for. OTP: `timeout`."""


Next: TypeAlias = Continue | Idle | Stop | None
"""What a callback may return besides nothing: what to do next."""


def _check_then(then: object) -> None:
    checks.instance("then", then, (Continue, Idle, Stop, type(None)), "must be None, Continue, Idle or Stop")


class Answer:
    """A reply together with what to do next; made by `answer`."""

    __slots__ = ("then", "value")

    def __init__(self, value: object, then: Next) -> None:
        self.value = value
        self.then = then


class Pending:
    """No reply yet; made by `Later.pending`."""

    __slots__ = ("then",)

    def __init__(self, then: Next) -> None:
        self.then = then


def answer(value: R, *, then: Next) -> R:
    """In a call handler: reply `value`, and then continue, wait idly or stop.

    With `Stop` the server runs `terminate` first and replies afterwards. OTP: `{reply, Value, State, Then}` and
    `{stop, Reason, Reply, State}`.

        @call
        def finish(self) -> int:
            return answer(self.count, then=Stop())
    """
    _check_then(then)
    return cast("R", Answer(value, then))


class Later(Generic[R]):
    """The reply to the call being handled, for when the answer is not known yet. OTP: `From` and `{noreply, State}`.

    It may be answered from any task of the tree; if the server ends first, the caller gets `CallExited`.

        @call
        def acquire(self) -> Token:
            later = Later[Token]()
            self.waiting.append(later)
            return later.pending()

    Outside of a running server (in a unit test of the handler) it keeps what it is given, as `value`. In a server that
    is not handling a call it raises `RuntimeError`.
    """

    __slots__ = ("_answered", "_call", "value")

    def __init__(self) -> None:
        process = process_var.get()
        self._call: Call | None = None if process is None else process.current_call
        if process is not None and self._call is None:
            check = getattr(process.behaviour, "check_later", None)
            if check is not None:
                check()
        self._answered = False
        self.value: R | BaseException | None = None

    @property
    def waiting(self) -> bool:
        """Whether the caller still waits for the answer."""
        return not (self._answered if self._call is None else self._call.done)

    def reply(self, value: R) -> bool:
        """Answer the call, from wherever; True if somebody was waiting. Only the first answer counts."""
        return self._keep(value) if self._call is None else self._call.reply(value)

    def refuse(self, error: BaseException) -> bool:
        """Let the call raise `error` at the caller; True if somebody was waiting."""
        return self._keep(error) if self._call is None else self._call.fail(error)

    def _keep(self, value: R | BaseException) -> bool:
        if self._answered:
            return False
        self._answered, self.value = True, value
        return True

    def pending(self, *, then: Next = None) -> R:
        """What the handler returns instead of an answer; `then` says what to do next. OTP: `{noreply, State, Then}`."""
        _check_then(then)
        return cast("R", Pending(then))

    def __repr__(self) -> str:
        return f"<Later for {self._call}>"


class Refuse(Exception):
    """Raised in a call handler: the caller gets `error`, and the server lives.

    Any other exception in a handler is a crash of the server. OTP has no such thing: servers reply `{error, Reason}` by
    convention.
    """

    def __init__(self, error: Exception) -> None:
        checks.instance("error", error, BaseException, "must be an exception, which the caller gets")
        super().__init__(error)
        self.error = error


def caller_gone() -> bool:
    """In a handler under `follow_caller`: whether it is being cancelled because its caller has gone.

    Its limit has passed, or it was cancelled or has ended. False in a handler that is cancelled for another reason.
    """
    process = process_var.get()
    call = None if process is None else process.current_call
    return call is not None and (call.done or call.deadline <= call.runtime.now())
