"""Child specifications and supervisors, as a scenario writes them, made into those of the library."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from nursery_otp import ChildSpec, Ignore, InvalidSpec, Ref, Stop, Supervisor, child, current_ref
from tests.conformance.supervisor_children import attempt_of, decline, dynamic_child, rehearsal_child, static_child
from tests.conformance.supervisor_stage import ROOT, Opening, Stage
from tests.conformance.supervisor_terms import (
    Json,
    NotChildren,
    NotFlags,
    NotSpec,
    NotSpecs,
    Script,
    path_of,
    read,
    read_reason,
    read_shutdown,
)

# The flags of a supervisor: OTP's name, and the library's.
FLAGS = {"strategy": "strategy", "intensity": "max_restarts", "period": "period", "auto_shutdown": "auto_shutdown"}
REHEARSAL = "@rehearsal"


class ScriptedSupervisor(Supervisor):
    """A supervisor of a scenario, the root or a nested one; `spec` is its own child specification."""

    def __init__(self, stage: Stage, parent: Ref[Any] | None, path: str, spec: Script) -> None:
        self.stage, self.parent, self.path = stage, parent, path
        self.spec, self.script = spec, spec["supervisor"]
        self.number = stage.next_attempt(path)
        attempt = attempt_of(spec, self.number)
        if attempt["out"] not in ("ok", "ok_info"):
            decline(stage, path, self.number, attempt)
        stage.opening.append(Opening(path, self.number, current_ref(), refuses="init" in self.script))
        self._set_flags(_flags(self.script.get("flags", {})))

    def _set_flags(self, flags: Script) -> None:
        for otp_name, name in FLAGS.items():
            if otp_name in flags:
                setattr(self, name, read(flags[otp_name]))
        if flags.get("strategy") == "simple_one_for_one":
            self.stage.dynamic.add(self.path)
        if flags.get("auto_shutdown", "never") == "never":
            self.stage.never.add(self.path)

    def children(self) -> Iterable[ChildSpec]:
        match self.script.get("init"):
            case "ignore":
                self._ignore()
            case {"crash": reason}:
                raise Stop(read_reason(reason))
            case {"bad_return": term}:
                return [NotChildren(read(term))]  # type: ignore[list-item]  # what a careless user might return
        specs = self.script.get("children", [])
        if not isinstance(specs, list):
            return NotSpecs(read(specs))  # type: ignore[return-value]
        return [*self._rehearsal(), *(to_spec(self.stage, current_ref(), self.path, spec) for spec in specs)]

    def _rehearsal(self) -> Iterable[ChildSpec]:
        """What the script wants to happen during this start: a first child plays it, declines, and leaves no trace."""
        attempt = attempt_of(self.spec, self.number)
        if ("during" in attempt or "delay_ms" in attempt) and self.path not in self.stage.dynamic:
            yield child(rehearsal_child, self.stage, self.parent, attempt, id=REHEARSAL, restart="temporary")

    def _ignore(self) -> None:
        self.stage.forget_opening(current_ref())
        if self.path != ROOT:
            self.stage.started(self.path, self.number, "ignore")
        raise Ignore


class DynamicSupervisor(ScriptedSupervisor):
    """A supervisor that is a child of a simple_one_for_one supervisor; it is given the arguments of `start_child`."""

    def __init__(
        self, stage: Stage, parent: Ref[Any] | None, above: str, template: Script, label: str, behaviour: Script
    ) -> None:
        super().__init__(stage, parent, path_of(above, label), {**template, **behaviour})


# Templates: `start_child` gives them more arguments than their specifications have.
DYNAMIC: Callable[..., Any] = dynamic_child
DYNAMIC_SUPERVISOR: Callable[..., Any] = DynamicSupervisor


def _flags(flags: Json) -> Script:
    """The flags by name; OTP also takes the triple {Strategy, Intensity, Period}."""
    if isinstance(flags, list) and len(flags) == 3:
        return dict(zip(("strategy", "intensity", "period"), flags, strict=True))
    return flags if isinstance(flags, dict) else {"strategy": NotFlags(read(flags))}


def to_spec(stage: Stage, supervisor: Ref[Any] | None, parent: str, spec: Json) -> ChildSpec:
    """The library's specification of a child of `supervisor`, whose path is `parent`; raises `InvalidSpec`."""
    if not isinstance(spec, dict):
        return NotSpec(read(spec))  # type: ignore[return-value]  # the library will say what is wrong with it
    try:
        return _spec(stage, supervisor, parent, spec)
    except InvalidSpec as error:
        if error.field == "significant" and error.value is True and parent in stage.never:
            raise InvalidSpec(
                "significant", value=True, problem="two things are wrong, and OTP names the other"
            ) from None
        raise


def _spec(stage: Stage, supervisor: Ref[Any] | None, parent: str, spec: Script) -> ChildSpec:
    options = _options(spec)
    if spec.get("no_start") or "bad_start" in spec:
        return child(read(spec.get("bad_start")), **options)
    if "supervisor" in spec:
        return _supervisor_spec(stage, supervisor, parent, spec, options)
    if parent in stage.dynamic:
        return child(DYNAMIC, stage, supervisor, parent, spec, trap_exits=True, **options)
    path = path_of(parent, spec.get("id", "?"))
    return child(static_child, stage, supervisor, path, spec, trap_exits=True, **options)


def _supervisor_spec(
    stage: Stage, supervisor: Ref[Any] | None, parent: str, spec: Script, options: dict[str, Any]
) -> ChildSpec:
    if parent in stage.dynamic:
        return child(DYNAMIC_SUPERVISOR, stage, supervisor, parent, spec, **options)
    return child(ScriptedSupervisor, stage, supervisor, path_of(parent, spec.get("id", "?")), spec, **options)


def _options(spec: Script) -> dict[str, Any]:
    """Only what the scenario says: the defaults are the library's own."""
    options = {key: read(spec[key]) for key in ("id", "restart", "significant") if key in spec}
    if "shutdown" in spec:
        options["shutdown"] = read_shutdown(spec["shutdown"])
    if "type" in spec:
        options["kind"] = read(spec["type"])
    return options if "supervisor" not in spec else {**_undeclared(spec), **options}


def _undeclared(spec: Script) -> dict[str, Any]:
    """OTP does not know that a child is a supervisor unless it is told so; the library does."""
    return {"kind": "worker", "shutdown": math.inf if spec.get("type") == "supervisor" else 5.0}
