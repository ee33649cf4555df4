"""Calls to a supervisor, as a scenario writes them, and their answers, as OTP would give them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from nursery_otp import (
    AlreadyPresent,
    AlreadyStarted,
    CallExited,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    InvalidSpec,
    NoProcess,
    NotForDynamic,
    Ref,
    StartFailed,
    SupervisorHandle,
    check_childspecs,
)
from tests.conformance.supervisor_children import Info
from tests.conformance.supervisor_specs import to_spec
from tests.conformance.supervisor_stage import NEVER, NOBODY, Stage
from tests.conformance.supervisor_terms import (
    Json,
    NotSpecs,
    Script,
    read,
    show,
    show_milliseconds,
    show_reason,
    show_refusal,
    show_unchecked,
)

REFUSALS = (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    InvalidSpec,
    NotForDynamic,
)


@attrs.frozen
class Request:
    """One call of a scenario, and whom it is for."""

    stage: Stage
    ref: Ref[Any]
    script: Script

    @property
    def handle(self) -> SupervisorHandle:
        return SupervisorHandle(self.ref)

    @property
    def path(self) -> str:
        """The supervisor's path, which a call made `during` a start does not say."""
        return self.stage.supervisor_path(self.ref)

    @property
    def dynamic(self) -> bool:
        return self.path in self.stage.dynamic

    def target(self) -> Any:
        """The child that the call is about: an id, or a process."""
        if "id" in self.script:
            return read(self.script["id"])
        path = self.script["pid_of"]
        if path == "@stranger":
            return self.stage.stranger
        if path not in self.stage.current:
            raise NobodyMeantError
        return self.stage.instances[path, self.script["n"]] if "n" in self.script else self.stage.current[path]


class NobodyMeantError(Exception):
    """The call is about a child that was never started."""


async def call(stage: Stage, supervisor: Ref[Any] | None, script: Script) -> Json:
    """The answer of `supervisor` to one call of its interface."""
    if supervisor is None:
        return ["exit", "noproc"]
    try:
        return await _CALLS[script["op"]](Request(stage, supervisor, script))
    except NobodyMeantError:
        return ["exit", "bad_pid_of"]
    except REFUSALS as error:
        return ["error", show_refusal(error, stage.label)]
    except NoProcess:
        return ["exit", "noproc"]
    except CallExited as error:
        return ["exit", show_reason(error.reason)]


# ---------------------------------------------------------------------------------------------------------- starting


async def _start_child(request: Request) -> Json:
    try:
        return _started(request, await _start(request))
    except StartFailed as error:
        reason = show_reason(error.reason)
        return ["error", reason if request.dynamic else [reason, "<child>"]]


async def _start(request: Request) -> Ref[Any] | None:
    script = request.script
    if request.dynamic:
        return await request.handle.start_child(script["label"], script.get("spec", {}))
    return await request.handle.start_child(to_spec(request.stage, request.ref, request.path, script["spec"]))


async def _restart_child(request: Request) -> Json:
    try:
        return _started(request, await request.handle.restart_child(request.target()))
    except StartFailed as error:
        return ["error", show_reason(error.reason)]


def _started(request: Request, ref: Ref[Any] | None) -> Json:
    if ref is None:
        return ["ok", None]
    answer = ["ok", request.stage.label(ref)]
    return [*answer, show(ref.start_value.term)] if isinstance(ref.start_value, Info) else answer


# ------------------------------------------------------------------------------------------------------ other calls


async def _terminate_child(request: Request) -> Json:
    await request.handle.terminate_child(request.target())
    return "ok"


async def _delete_child(request: Request) -> Json:
    await request.handle.delete_child(request.target())
    return "ok"


async def _get_childspec(request: Request) -> Json:
    spec = await request.handle.get_childspec(request.target())
    shown = {"id": show(spec.id), "restart": spec.restart, "significant": spec.significant, "type": spec.kind}
    return ["ok", {**shown, "shutdown": show_milliseconds(spec.shutdown)}]


async def _which_children(request: Request) -> Json:
    return [_child_info(request, info) for info in await request.handle.which_children()]


def _child_info(request: Request, info: Any) -> Json:
    where = "restarting" if info.status == "restarting" else None if info.ref is None else request.stage.label(info.ref)
    return [None if request.dynamic else show(info.id), where, info.kind]


async def _count_children(request: Request) -> Json:
    count = await request.handle.count_children()
    return {key: getattr(count, key) for key in ("specs", "active", "supervisors", "workers")}


_CALLS: Mapping[str, Callable[[Request], Awaitable[Json]]] = {
    "start_child": _start_child,
    "restart_child": _restart_child,
    "terminate_child": _terminate_child,
    "delete_child": _delete_child,
    "get_childspec": _get_childspec,
    "which_children": _which_children,
    "count_children": _count_children,
}


def checked(stage: Stage, script: Script) -> Json:
    """The answer to `check_childspecs`, which needs no supervisor."""
    options = {"auto_shutdown": read(script["auto_shutdown"])} if "auto_shutdown" in script else {}
    parent = NEVER if options.get("auto_shutdown") == "never" else NOBODY
    try:
        check_childspecs(_specs(stage, parent, script["specs"]), **options)
    except InvalidSpec as error:
        return ["error", show_unchecked(error)]
    return "ok"


def _specs(stage: Stage, parent: str, specs: Json) -> Any:
    return [to_spec(stage, None, parent, spec) for spec in specs] if isinstance(specs, list) else NotSpecs(read(specs))
