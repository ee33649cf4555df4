"""Every exception of nursery_otp, on one page.

All derive from `OTPError`. Each also is what a Trio user already catches in such a case (`trio.TooSlowError`,
`trio.WouldBlock`, `LookupError`, `ValueError`, `RuntimeError`), and each says what happened, to whom, and which
number mattered.

The texts are made with the errors: a ref that is printed later would also tell how its process has ended meanwhile. And
what a user has put into an error must not keep it from being made, as it may be on its way to somebody who waits.
"""

from __future__ import annotations

from typing import Any

import trio

from nursery_otp._policy.errors import Ignore, InvalidSpec, OTPError, ReasonError, RestartLimitReached
from nursery_otp._policy.exits import ExitReason, Stop, safe_repr, safe_str

__all__ = [
    "AlreadyNamed",
    "AlreadyPresent",
    "AlreadyStarted",
    "BadReturn",
    "BroadcastFailed",
    "CallExited",
    "CallTimeout",
    "CannotLoad",
    "CannotStore",
    "ChildNotFound",
    "ChildRestarting",
    "ChildRunning",
    "CircuitOpen",
    "Deadlock",
    "DeliveryTimeout",
    "HandlerTimeout",
    "HiddenError",
    "Ignore",
    "InvalidSpec",
    "LeakedResources",
    "LetterNotFound",
    "MailboxFull",
    "MailboxOverflow",
    "MaxChildrenReached",
    "MissingExtra",
    "NameTaken",
    "NoProcess",
    "NoRuntime",
    "NotForDynamic",
    "NotInProcess",
    "OTPError",
    "ProcessDown",
    "RestartLimitReached",
    "StartFailed",
    "StartIgnored",
    "StartTimeout",
    "Stop",
    "StopTimeout",
    "StoreError",
    "SupervisorEnded",
    "UnknownOperation",
]


# ------------------------------------------------------------------------------- where code may run


class NoRuntime(OTPError, RuntimeError):
    """There is no supervision tree here: the code does not run inside `open_supervisor`."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"{wanted} needs a running supervision tree: use it inside 'async with open_supervisor()'")


class NotInProcess(OTPError, RuntimeError):
    """A function that is about the current process was used outside of one."""

    def __init__(self, function: str) -> None:
        super().__init__(
            f"{function}() is about the process that calls it, and this task is none: "
            "use it inside a function started by a supervisor, spawn() or start()"
        )


class MissingExtra(OTPError, ImportError):
    """A function needs an optional package that is not installed."""

    def __init__(self, wanted: str, package: str, extra: str) -> None:
        super().__init__(f"{wanted} needs the package {package}: pip install 'nursery_otp[{extra}]'")
        self.wanted = wanted
        self.package = package
        self.extra = extra


# ----------------------------------------------------------------------------- addresses, mailboxes


class NoProcess(OTPError, LookupError):
    """Nobody is at this address. OTP: `noproc`."""

    def __init__(self, address: Any, operation: str = "") -> None:
        what = f"{operation}: " if operation else ""
        named = hasattr(type(address), "text")
        hint = "; none has been started with this name, or it has ended" if named else ""
        super().__init__(f"{what}no process at {safe_str(address)}{hint}")
        self.address = address
        self.operation = operation


class NameTaken(OTPError, ValueError):
    """Another process holds this name, or a supervisor keeps it for a child that it is restarting."""

    def __init__(self, name: Any, holder: Any) -> None:
        super().__init__(f"name {safe_str(name)!r} is taken by {safe_str(holder)}")
        self.name = name
        self.holder = holder


class AlreadyNamed(OTPError, ValueError):
    """A process has at most one name, and this one has one."""

    def __init__(self, target: Any, name: Any) -> None:
        super().__init__(f"{safe_str(target)} is registered as {safe_str(name)!r} already; unregister that first")
        self.target = target
        self.name = name


class MailboxFull(OTPError, trio.WouldBlock):
    """The mailbox holds as many messages as it may, and the message was not accepted."""

    def __init__(self, target: Any, capacity: float) -> None:
        super().__init__(f"mailbox of {safe_str(target)} is full: {capacity:g} messages")
        self.target = target
        self.capacity = capacity


class MailboxOverflow(OTPError):
    """What a process crashes with when its mailbox overflows under the policy "crash"."""

    def __init__(self, capacity: float) -> None:
        super().__init__(f"more than {capacity:g} messages in the mailbox")
        self.capacity = capacity


# -------------------------------------------------------------------------------------------- calls


class CallExited(ReasonError):
    """The process ended, for `reason`, before it answered. OTP: the caller exits with that reason."""

    def __init__(self, subject: Any, reason: ExitReason) -> None:
        super().__init__(f"{safe_str(subject)}: the process ended before it answered", subject, reason)


class CallTimeout(OTPError, trio.TooSlowError):
    """No answer within the limit. The server is unharmed, and may still do the work."""

    def __init__(self, operation: str, target: Any, limit: float) -> None:
        super().__init__(f"{operation}: no answer from {safe_str(target)} within {limit:g} s")
        self.operation = operation
        self.target = target
        self.limit = limit


class Deadlock(OTPError, RuntimeError):
    """This call would have closed a cycle of processes that wait for each other. OTP: it hangs until a timeout."""

    def __init__(self, operation: str, cycle: tuple[Any, ...]) -> None:
        alone = all(member is cycle[0] for member in cycle)
        hint = "; a process cannot wait for itself: inside of a server, use the methods of self" if alone else ""
        super().__init__(f"{operation}: would wait for ever: {' -> '.join(map(safe_str, cycle))}{hint}")
        self.operation = operation
        self.cycle = cycle


class HandlerTimeout(OTPError, trio.TooSlowError):
    """A handler ran longer than its own limit; the server crashes with this, as its state cannot be trusted."""

    def __init__(self, operation: str, limit: float) -> None:
        super().__init__(f"{operation}: the handler ran longer than its limit of {limit:g} s")
        self.operation = operation
        self.limit = limit


class UnknownOperation(OTPError, TypeError):
    """The server has no such handler: the request was meant for another kind of server."""

    def __init__(self, target: Any, operation: str) -> None:
        super().__init__(f"{safe_str(target)} has no handler for {operation}")
        self.target = target
        self.operation = operation


class BadReturn(OTPError, TypeError):
    """A callback returned something that it may not. OTP: `bad_return_value`."""

    def __init__(self, callback: str, value: object, allowed: str) -> None:
        super().__init__(f"{callback} returned {safe_repr(value)}; allowed: {allowed}")
        self.callback = callback
        self.value = value
        self.allowed = allowed


# ------------------------------------------------------------------------------------------- sends


class ProcessDown(ReasonError, trio.BrokenResourceError):
    """The process has ended, or ended before it had handled the message: for `reason`.

    `target` is the address that the message was sent to, `ref` the process that was there.

    OTP: what a monitor would have told, `{'DOWN', _, process, _, Reason}`.
    """

    def __init__(self, target: Any, reason: ExitReason, ref: Any) -> None:
        super().__init__(f"send: {safe_str(target)} is down", target, reason)
        self.target = target
        self.ref = ref


class DeliveryTimeout(OTPError, trio.TooSlowError):
    """A send was not done within its limit.

    `handling` tells whether the recipient was handling the message, so that it still may finish that. If it is False
    the message has been taken back, and nobody will ever handle it.
    """

    def __init__(self, target: Any, limit: float, wanted: str, *, handling: bool) -> None:
        rest = "it is being handled still" if handling else "it was taken back"
        super().__init__(f"send: not {wanted} by {safe_str(target)} within {limit:g} s; {rest}")
        self.target = target
        self.limit = limit
        self.handling = handling


class CircuitOpen(OTPError, RuntimeError):
    """Sends to this recipient failed again and again; nothing is tried until `retry_after` seconds have passed.

    In the half-open state, when the outcome of one send is awaited, `retry_after` is 0.
    """

    def __init__(self, target: Any, retry_after: float) -> None:
        after = f"for another {retry_after:g} s" if retry_after > 0 else "until one send has gone through"
        super().__init__(f"send: the circuit breaker of {safe_str(target)} is open {after}")
        self.target = target
        self.retry_after = retry_after


class BroadcastFailed(OTPError):
    """A broadcast did not do what its strategy promises: `failures` are recipients with their errors.

    Under "all_or_nothing" nobody has the message, and not all recipients may have been asked.
    """

    def __init__(self, strategy: str, recipients: int, failures: tuple[tuple[Any, Exception], ...]) -> None:
        first = f": {safe_str(failures[0][1])}" if failures else ""
        super().__init__(f"broadcast, {strategy}: {len(failures)} of {recipients} failed{first}")
        self.strategy = strategy
        self.recipients = recipients
        self.failures = failures
        if failures:
            self.__cause__ = failures[0][1]


# --------------------------------------------------------------------------------- starting, ending


class StartFailed(ReasonError):
    """A process did not start; `reason` says why and `__cause__` is the exception that its start raised."""

    def __init__(self, subject: Any, reason: ExitReason) -> None:
        super().__init__(f"{safe_str(subject)} failed to start", subject, reason)

    @property
    def child_id(self) -> Any:
        """What failed: the id of the child, or the name of what was started."""
        return self.subject


class StartIgnored(OTPError):
    """The process declined to be started (it raised `Ignore`)."""

    def __init__(self, subject: Any) -> None:
        super().__init__(f"{safe_str(subject)} declined to be started (it raised Ignore)")
        self.subject = subject


class StartTimeout(OTPError, trio.TooSlowError):
    """The start took longer than `within`; the process was killed."""

    def __init__(self, subject: Any, limit: float) -> None:
        super().__init__(f"{safe_str(subject)} did not start within {limit:g} s and was killed")
        self.subject = subject
        self.limit = limit


class StopTimeout(OTPError, trio.TooSlowError):
    """The process did not end within `within`; it still has been asked to."""

    def __init__(self, target: Any, limit: float) -> None:
        super().__init__(f"{safe_str(target)} did not stop within {limit:g} s")
        self.target = target
        self.limit = limit


class AlreadyStarted(OTPError):
    """A process with this name or child id runs already: `ref`."""

    def __init__(self, subject: Any, ref: Any) -> None:
        super().__init__(f"{safe_str(subject)!r} is started already: {safe_str(ref)}")
        self.subject = subject
        self.ref = ref


# -------------------------------------------------------------------------------------- supervisors


class _ChildError(OTPError):
    _text = ""

    def __init__(self, child_id: Any) -> None:
        super().__init__(f"child {safe_repr(child_id)} {self._text}")
        self.child_id = child_id


class AlreadyPresent(_ChildError, ValueError):
    """A specification with this id is there, though its child does not run."""

    _text = "is known to the supervisor but does not run; use restart_child or delete_child"


class ChildRunning(_ChildError, RuntimeError):
    """The child has to be terminated first."""

    _text = "is running; terminate it first"


class ChildRestarting(_ChildError, RuntimeError):
    """The supervisor is trying to restart the child; terminate_child ends that."""

    _text = "is being restarted; terminate_child ends that"


class ChildNotFound(_ChildError, LookupError):
    """The supervisor has no such child."""

    _text = "is not a child of this supervisor"


class NotForDynamic(OTPError, TypeError):
    """Children of a simple_one_for_one supervisor have no ids."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"{operation}: children of a simple_one_for_one supervisor have no ids; use their refs")


class MaxChildrenReached(OTPError, RuntimeError):
    """A dynamic supervisor has as many children as it may have."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"the supervisor has all the children it may have: max_children={limit:g}")
        self.limit = limit


class SupervisorEnded(ReasonError):
    """The root supervisor (`subject`) ended in a way nobody asked for, with `reason`."""

    def __init__(self, subject: Any, reason: ExitReason) -> None:
        super().__init__("the root supervisor ended", subject, reason)


class HiddenError(OTPError):
    """Stands in the report of a crash for an exception that `format_status` did not show as it is."""


class LeakedResources(OTPError, RuntimeError):
    """Something of a supervision tree outlived it; the text lists what."""


# -------------------------------------------------------------------------------------- dead letters


class LetterNotFound(OTPError, LookupError):
    """The dead-letter queue has no such letter, or not any more."""

    def __init__(self, identity: str) -> None:
        super().__init__(
            f"no dead letter {identity!r}: it has been delivered, purged, expired or evicted, or never was"
        )
        self.identity = identity


# -------------------------------------------------------------------------------------------- stores


class StoreError(OTPError):
    """A store of dead letters cannot do what it was asked to; it is as it was before.

    `store` says which one (for a file: its path). `lasting` is False for trouble that may pass, such as a full disk:
    the runtime goes on in memory and tries again. It is True if waiting will not help: the file is not a store of
    letters, or a newer version of this library wrote it.
    """

    def __init__(self, store: str, problem: str, *, lasting: bool = False) -> None:
        super().__init__(f"{store}: {problem}")
        self.store = store
        self.problem = problem
        self.lasting = lasting


class CannotStore(OTPError, TypeError):
    """A message cannot be kept as data: `place` is where inside of it, `problem` is what is there."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


class CannotLoad(OTPError, ValueError):
    """A stored message cannot be made an object again, for example as its class is not there any more."""
