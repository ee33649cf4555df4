"""Addresses: `Ref` is one incarnation of a process, `Name` is whoever holds it, and anything with `whereis` will do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

import trio

from nursery_otp._policy.exits import ExitReason, safe_repr
from nursery_otp._runtime.context import process_of_task, runtime_var
from nursery_otp.errors import Deadlock, InvalidSpec, NoProcess, NoRuntime

if TYPE_CHECKING:
    from nursery_otp._runtime.process import Process

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


class Ref(Generic[S_co]):
    """One incarnation of a process: it never comes to mean another one. OTP: a pid.

    Refs are made by the runtime. Two refs are equal if they are the same object.
    """

    __slots__ = ("__weakref__", "_process")

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """A number that is unique in the runtime."""
        return self._process.pid

    @property
    def label(self) -> str:
        """What kind of process it is: the name of its class or function."""
        return self._process.label

    @property
    def alive(self) -> bool:
        """Whether the process has not ended yet. OTP: `is_process_alive/1`."""
        return self._process.reason is None

    @property
    def name(self) -> Name[Any] | None:
        """The name the process is registered under, if it has one."""
        return self._process.name

    @property
    def exit_reason(self) -> ExitReason | None:
        """Why the process ended; None while it is alive."""
        return self._process.reason

    @property
    def incarnation(self) -> int:
        """Which incarnation of a supervised child this is, from 1; each restart makes another."""
        return self._process.incarnation

    @property
    def start_value(self) -> Any:
        """What the process gave to `task_status.started(value)`."""
        return self._process.start_value

    async def wait(self) -> ExitReason:
        """Wait until the process has ended; why it did. `Deadlock` if it is the caller itself."""
        if process_of_task() is self._process:
            raise Deadlock("wait", (self, self))
        return await self._process.wait_ended()

    def __repr__(self) -> str:
        return text_of(self._process, self._process.reason)


def text_of(process: Process, reason: ExitReason | None) -> str:
    """The text of a ref whose process has ended for this reason, if it has."""
    name = f" {process.name.text!r}" if process.name is not None else ""
    end = f" ended: {reason}" if reason is not None else ""
    return f"<{process.label}#{process.pid}{name}{end}>"


class Name(Generic[S]):
    """A name that a process can be registered under, and be reached by: a value, typed by who may hold it.

    `text` is the name; equal texts are equal names. OTP: a locally registered atom.

    >>> Name[int]("counter") == Name("counter")
    True
    """

    __slots__ = ("text",)

    text: str

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not text:
            raise InvalidSpec("name", text, "must be a text that is not empty")
        object.__setattr__(self, "text", text)

    def __setattr__(self, field: str, value: object) -> None:
        raise AttributeError(f"Name is immutable: {field}")

    def __delattr__(self, field: str) -> None:
        raise AttributeError(f"Name is immutable: {field}")

    def __reduce__(self) -> tuple[type[Name[S]], tuple[str]]:
        return Name, (self.text,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Name) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Name({self.text!r})"

    # Makes S invariant: a Name[Counter] must neither pass for a name of a base class nor of a subclass.
    def _holder(self, holder: S) -> S:
        return holder


@runtime_checkable
class Via(Protocol[S_co]):
    """Any object that knows how to find a process. OTP: `{via, Module, Name}`."""

    def whereis(self) -> Ref[S_co] | None:
        """The process, or None if there is none now."""


Address: TypeAlias = Ref[S] | Name[S] | Via[S]
"""Where a process can be reached: this one process, whoever holds a name, or whoever an object finds."""


def find(address: Any) -> Process | None:
    """The process at an address, if there is one; it may have ended. A wrong kind of address is an error."""
    kind = type(address)
    if kind is Ref:
        found: Process = address._process
        return found
    if kind is Name:
        runtime = runtime_var.get(None)
        if runtime is None:
            raise NoRuntime(f"the name {address.text!r}")
        entry = runtime.registry.entries.get(address.text)
        return None if entry is None else entry.process
    if isinstance(address, Via) and not isinstance(address, type):
        ref = address.whereis()
        if ref is None or isinstance(ref, Ref):
            return None if ref is None else ref._process
        raise TypeError(f"whereis() of {type(address).__name__} gave {safe_repr(ref)}, not a Ref or None")
    raise TypeError(address_problem(address))


def referred(address: object) -> Process | None:
    """The process that a ref means; None for all other addresses, which have to look for theirs."""
    return address._process if isinstance(address, Ref) else None


def check_address(address: object) -> None:
    """Raise `TypeError` for what is no address, without looking who is there."""
    problem = address_problem(address)
    if problem is not None:
        raise TypeError(problem)


def address_problem(address: object) -> str | None:
    """What is wrong with it if it is no address."""
    if isinstance(address, Ref | Name | Via) and not isinstance(address, type):
        return None
    return f"not an address: {safe_repr(address)} (expected a Ref, a Name, or an object with whereis())"


def find_alive(address: Any, operation: str) -> Process:
    """The living process at an address, or `NoProcess`."""
    process = find(address)
    if process is None or process.reason is not None:
        raise NoProcess(address, operation)
    return process


def whereis(name: Name[S]) -> Ref[S] | None:
    """The process that holds `name` now, or None. OTP: `whereis/1`."""
    process = find(name)
    return None if process is None else process.ref


def register(name: Name[S], target: Ref[S]) -> None:
    """Give a process a name.

    Raises `NameTaken` if somebody holds it, `AlreadyNamed` if the process has one, `NoProcess` if it has ended. OTP:
    `register/2`.
    """
    process = find_alive(target, "register")
    process.runtime.registry.register(_checked(name), process)


def unregister(name: Name[Any]) -> None:
    """Take a name away from its holder; `NoProcess` if nobody holds it. OTP: `unregister/1`."""
    process = find(_checked(name))
    if process is None:
        raise NoProcess(name, "unregister")
    process.runtime.registry.unregister(process)


def _checked(name: object) -> Name[Any]:
    if not isinstance(name, Name):
        raise InvalidSpec("name", name, "must be a Name")
    return name


async def checkpointed(reason: ExitReason) -> ExitReason:
    """A value that is there already, after the checkpoint that every async function owes."""
    await trio.lowlevel.checkpoint()
    return reason
