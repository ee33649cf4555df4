"""The terms of a supervisor scenario: JSON on one side, Python values, exit reasons and errors on the other.

A string is an atom, an array a tuple, `null` is `undefined`, `{"list": [...]}` a list. Reading needs nothing but the
JSON; showing needs to know what the scenario calls its processes. The tables at the end give the library's errors the
names that OTP has for them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from nursery_otp import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    AlreadyPresent,
    AlreadyStarted,
    AutoShutdown,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    Crashed,
    ExitReason,
    Failed,
    FailedToStart,
    InvalidSpec,
    Killed,
    NoProc,
    Normal,
    NotForDynamic,
    OTPError,
    Ref,
    RestartLimitReached,
    Shutdown,
)

Json: TypeAlias = Any
Script: TypeAlias = Mapping[str, Json]  # any object of a scenario
Label: TypeAlias = Callable[[Ref[Any]], str]


class Raised(Exception):
    """What a start function of a scenario raises: an ordinary Python crash."""

    def __init__(self, term: object) -> None:
        super().__init__(term)
        self.term = term


@attrs.frozen
class Opaque:
    """A list or a map, which nobody looks into: how it is shown."""

    text: str


@attrs.frozen
class NotFlags:
    """What a scenario gives a supervisor instead of its flags."""

    term: object


@attrs.frozen
class NotChildren:
    """What the init of a scenario's supervisor returns instead of its children."""

    term: object


@attrs.frozen
class NotSpecs:
    """What a scenario gives instead of a list of child specifications."""

    term: object


@attrs.frozen
class NotSpec:
    """What a scenario gives instead of a child specification."""

    term: object


# ------------------------------------------------------------------------------------------------------------ reading


def read(value: Json) -> Any:
    """The term that `value` stands for, hashable in any case."""
    if isinstance(value, list):
        return tuple(map(read, value))
    if isinstance(value, dict):
        return Opaque(json.dumps(value["list"] if set(value) == {"list"} else value, sort_keys=True))
    return value


def read_reason(value: Json) -> ExitReason:
    """The exit reason that `value` stands for."""
    match value:
        case "normal":
            return NORMAL
        case "shutdown":
            return SHUTDOWN
        case "killed":
            return KILLED
        case ["shutdown", detail]:
            return Shutdown(read(detail))
        case _:
            return Failed(read(value))


def path_of(parent: str, identity: Json) -> str:
    """What the scenario calls the child `identity` of the supervisor `parent`."""
    own = identity if isinstance(identity, str) else json.dumps(identity, separators=(",", ":"))
    return f"{parent}/{own}" if parent else own


# ------------------------------------------------------------------------------------------------------------ showing


def show(value: object, label: Label | None = None) -> Json:
    """`value` as JSON."""
    match value:
        case Ref():
            return "<pid>" if label is None else label(value)
        case tuple():
            return [show(item, label) for item in value]
        case Opaque(text):
            return json.loads(text)
        case _:
            return value


def show_reason(reason: ExitReason) -> Json:
    """`reason` as OTP's term for it."""
    match reason:
        case Shutdown(None | RestartLimitReached() | AutoShutdown()):
            return "shutdown"
        case Shutdown(FailedToStart(child_id, why)):
            return ["shutdown", ["failed_to_start_child", show(child_id), show_reason(why)]]
        case Shutdown(detail):
            return ["shutdown", show(detail)]
        case Failed(detail):
            return show(detail)
        case Crashed(error):
            return _show_crash(error)
        case Normal() | Killed() | NoProc():
            return str(reason)


def _show_crash(error: BaseException) -> Json:
    if isinstance(error, Raised):
        return ["EXIT", show(error.term)]
    if isinstance(error, InvalidSpec):
        return show_invalid(error, starting=True)
    return ["EXIT", f"{type(error).__name__}: {error}"]


def show_refusal(error: OTPError, label: Label) -> Json:
    """The term in `{error, Term}` for an error with which a supervisor refuses a call."""
    if isinstance(error, AlreadyStarted):
        return ["already_started", show(error.ref, label)]
    if isinstance(error, InvalidSpec):
        return show_invalid(error, starting=False)
    return _REFUSALS[type(error)]


_REFUSALS: Mapping[type[OTPError], str] = {
    AlreadyPresent: "already_present",
    ChildRunning: "running",
    ChildRestarting: "restarting",
    ChildNotFound: "not_found",
    NotForDynamic: "simple_one_for_one",
}


# -------------------------------------------------------------------------------------------- invalid specifications


def show_invalid(error: InvalidSpec, *, starting: bool) -> Json:
    """OTP's term for an invalid specification; while a supervisor starts it says in which part of its input it is."""
    match error.field, error.value:
        case _, NotFlags(term):
            return ["supervisor_data", ["invalid_type", show(term)]]
        case _, NotChildren(term):
            return ["bad_return", show(term)]
        case _, NotSpecs():
            return "function_clause"
        case field, value if field in _FLAGS:
            return ["supervisor_data", [_FLAGS[field], show(value)]]
        case "children", value if not isinstance(value, NotSpec):
            return ["bad_start_spec"]
    problem = _child_problem(error)
    return ["start_spec", problem] if starting else problem


def show_unchecked(error: InvalidSpec) -> Json:
    """OTP's term for what `check_childspecs` refuses: its own arguments may be wrong, too."""
    match error.field, error.value:
        case "children", NotSpecs(term):
            return ["badarg", show(term)]
        case "auto_shutdown", value:
            return ["badarg", show(value)]
        case _:
            return show_invalid(error, starting=False)


_FLAGS: Mapping[str, str] = {
    "strategy": "invalid_strategy",
    "max_restarts": "invalid_intensity",
    "period": "invalid_period",
    "auto_shutdown": "invalid_auto_shutdown",
}


def _child_problem(error: InvalidSpec) -> Json:
    match error.field, error.value:
        case ("children", NotSpec(term)) | ("spec", (NotSpec(term),)):
            return ["invalid_child_spec", show(term)]
        case "factory", None:
            return "missing_start"
        case "significant", True:
            other = ["restart", "permanent"] if "permanent" in error.problem else ["auto_shutdown", "never"]
            return ["bad_combination", [other, ["significant", True]]]
        case "shutdown", int() | float():
            return ["invalid_shutdown", show_milliseconds(error.value)]
        case field, value:
            return [_FIELDS.get(field, field), show(value)]


_FIELDS: Mapping[str, str] = {
    "id": "duplicate_child_name",
    "factory": "invalid_mfa",
    "restart": "invalid_restart_type",
    "shutdown": "invalid_shutdown",
    "kind": "invalid_child_type",
    "significant": "invalid_significant",
}


# ---------------------------------------------------------------------------------------------------- shutdown limits


def read_shutdown(value: Json) -> Any:
    """A shutdown limit: milliseconds become seconds, wrong ones stay wrong."""
    if value == "brutal_kill":
        return "kill"
    if value == "infinity":
        return math.inf
    return value / 1000 if isinstance(value, int | float) and not isinstance(value, bool) else read(value)


def show_milliseconds(seconds: object) -> Json:
    """A shutdown limit as OTP has it."""
    if seconds == "kill":
        return "brutal_kill"
    if isinstance(seconds, int | float):
        return "infinity" if seconds == math.inf else round(seconds * 1000)
    return seconds
