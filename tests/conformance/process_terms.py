"""The terms of a process scenario: JSON on one side, Python values and exit reasons on the other.

A string is an atom, an array a tuple, {"l": [...]} a list, and {"m": name, ...} a message that carries its script.
Reading needs nothing but the JSON. Showing needs to know how the scenario calls its processes and monitors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import attrs

from nursery_otp import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    BadReturn,
    Call,
    CallExited,
    CallTimeout,
    Crashed,
    Deadlock,
    Down,
    Exit,
    ExitReason,
    Failed,
    IdleTimeout,
    Killed,
    Message,
    Monitor,
    Name,
    NoProc,
    NoProcess,
    Normal,
    Ref,
    Shutdown,
    StopTimeout,
)

Json: TypeAlias = Any


@attrs.frozen
class ErlangList:
    """A list, which a scenario tells from a tuple."""

    items: tuple[object, ...]


@attrs.frozen(eq=False)
class Scripted:
    """A message that tells its receiver what to do; only its name is ever shown."""

    script: Mapping[str, Json]

    @property
    def name(self) -> str:
        return str(self.script["m"])


class ScriptError(Exception):
    """What a script raises by `error`: an ordinary crash."""

    def __init__(self, term: object) -> None:
        super().__init__(term)
        self.term = term


class ScriptThrow(Exception):
    """What a script raises by `throw`: a return in a server's callback, a crash in a plain process."""

    def __init__(self, term: object) -> None:
        super().__init__(term)
        self.term = term


class Names(Protocol):
    """How a scenario calls its processes and monitors."""

    def process(self, ref: Ref[Any] | None) -> str: ...

    def monitor(self, monitor: Monitor) -> str: ...


# Reading


def read(value: Json) -> object:
    """The term that `value` stands for."""
    match value:
        case list():
            return tuple(map(read, value))
        case {"l": items}:
            return ErlangList(tuple(map(read, items)))
        case {"m": _}:
            return Scripted(value)
        case _:
            return value


def read_reason(value: Json) -> ExitReason:
    """The exit reason that `value` stands for."""
    return reason_of(read(value))


def reason_of(term: object) -> ExitReason:
    """A term as an exit reason: OTP's own words become the library's, any other term is `Failed`."""
    match term:
        case "normal":
            return NORMAL
        case "shutdown":
            return SHUTDOWN
        case "killed":
            return KILLED
        case ("shutdown", detail):
            return Shutdown(detail)
        case _:
            return Failed(term)


def seconds(limit: Json) -> float:
    """Milliseconds or "infinity" as seconds."""
    return math.inf if limit == "infinity" else limit / 1000


def tag(message: object) -> str:
    """Under which word a message is looked up in its receiver's `on` table."""
    match message:
        case Down():
            return "DOWN"
        case Exit():
            return "EXIT"
        case IdleTimeout():
            return "timeout"
        case (str() | bool() as first, *_):
            return atom(first)
        case str() | bool():
            return atom(message)
        case _:
            return "?"


def atom(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


# Showing


def show(value: object, names: Names) -> Json:
    """A message, a reply, a state: as the trace shows it."""
    view = VIEWS.get(type(value))
    return value if view is None else view(value, names)


def show_tuple(value: tuple[object, ...], names: Names) -> Json:
    return [show(item, names) for item in value]


def show_down(down: Down, names: Names) -> Json:
    return ["DOWN", names.monitor(down.monitor), "process", show(down.target, names), show_reason(down.reason, names)]


def show_exit(exit_: Exit, names: Names) -> Json:
    return ["EXIT", names.process(exit_.source), show_reason(exit_.reason, names)]


VIEWS: Mapping[type, Callable[[Any, Names], Json]] = {
    Scripted: lambda message, _: message.name,
    ErlangList: lambda value, names: {"l": show_tuple(value.items, names)},
    tuple: show_tuple,
    Ref: lambda ref, names: names.process(ref),
    Name: lambda name, _: f"@{name.text}",
    Monitor: lambda monitor, names: names.monitor(monitor),
    Down: show_down,
    Exit: show_exit,
    IdleTimeout: lambda _, __: "timeout",
    Message: lambda cast, names: ["$gen_cast", show(cast.args[0], names)],  # to a process that is no server
    Call: lambda call, names: ["$gen_call", "@from", show(call.args[0], names)],
}


def show_reason(reason: ExitReason, names: Names) -> Json:
    """An exit reason, as the trace shows it."""
    match reason:
        case Normal():
            return "normal"
        case Shutdown(None):
            return "shutdown"
        case Shutdown(detail):
            return ["shutdown", show(detail, names)]
        case Killed():
            return "killed"
        case NoProc():
            return "noproc"
        case Failed(detail):
            return show(detail, names)
        case Crashed(error):
            return show_crash(error, names)


def show_crash(error: BaseException, names: Names) -> Json:
    """The reason of a process that an exception has left. What no script can raise shows as a crash with its repr."""
    match error:
        case ScriptError(term=term):
            return {"crash": show(term, names)}
        case ScriptThrow(term=term):
            return {"crash": ["nocatch", show(term, names)]}
        case BadReturn(value=value):
            return ["bad_return_value", show(value, names)]
        case NoProcess() | CallTimeout() | Deadlock() | CallExited():
            return [show_failure(error, names), "@call"]
        case _:
            return {"crash": repr(error)}


FAILURES = (NoProcess, CallTimeout, StopTimeout, Deadlock, CallExited)


def show_failure(error: BaseException, names: Names) -> Json:
    """Why a call, a stop or a system request did not work, without the "@call" part."""
    match error:
        case NoProcess():
            return "noproc"
        case CallTimeout() | StopTimeout():
            return "timeout"
        case Deadlock(cycle=cycle):
            return "calling_self" if len(set(cycle)) == 1 else "deadlock"
        case CallExited(reason=reason):
            return show_reason(reason, names)
        case _:
            return repr(error)
