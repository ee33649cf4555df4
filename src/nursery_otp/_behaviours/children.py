"""What a supervisor tells about its children, and how its refusals become exceptions."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import attrs

from nursery_otp._policy import supervision as s
from nursery_otp._policy.exits import NORMAL
from nursery_otp._policy.specs import ChildSpec, Kind, SupervisorFlags
from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.refs import Ref
from nursery_otp.errors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    MaxChildrenReached,
    NotForDynamic,
    StartFailed,
)


@attrs.frozen
class ChildInfo:
    """One child, as `which_children` shows it. `id` is None for dynamic children.

    `ref` is the incarnation, and None unless the status is "running".
    """

    id: Hashable
    ref: Ref[Any] | None
    status: s.ChildStatus
    kind: Kind


@attrs.frozen
class ChildCount:
    """How many children: known, alive, and of which kind, as OTP counts them."""

    specs: int
    active: int
    supervisors: int
    workers: int


def child_infos(state: s.State) -> tuple[ChildInfo, ...]:
    """All children in start order. One that has died unnoticed still counts as running."""
    return tuple(
        ChildInfo(
            id=None if state.flags.dynamic else child.key,
            ref=child.handle.ref if child.status == "running" else None,
            status=child.status,
            kind=child.spec.kind,
        )
        for child in state.ordered()
    )


def child_count(state: s.State, template: ChildSpec | None) -> ChildCount:
    """The numbers; unlike `which_children` this looks whether a child is alive. A template is one specification."""
    children = state.children.values()
    if state.flags.dynamic:
        active = len(children) - state.restarting
    else:
        active = sum(child.status == "running" and child.handle.reason is None for child in children)
    supervisors = sum(child.spec.kind == "supervisor" for child in children)
    specs = len(children) if template is None else 1
    return ChildCount(specs, active, supervisors, len(children) - supervisors)


def failure_of(
    reply: s.Reply, call: Call, ref: Ref[Any] | None, flags: SupervisorFlags, template: ChildSpec | None
) -> Exception:
    """The exception for a call that a supervisor could not fulfil."""
    subject = call.args[0]
    spec = subject if isinstance(subject, ChildSpec) else template
    spec_id = None if spec is None else spec.label if spec.id is None else spec.id
    match reply.answer:
        case "already_started":
            return AlreadyStarted(spec_id, ref)
        case "already_present":
            return AlreadyPresent(spec_id)
        case "running":
            return ChildRunning(subject)
        case "restarting":
            return ChildRestarting(subject)
        case "not_found":
            return ChildNotFound(subject)
        case "for_static_only":
            return NotForDynamic(call.operation)
        case "max_children":
            return MaxChildrenReached(flags.max_children)
        case _:
            failed = spec_id if call.operation == "start_child" else subject
            return StartFailed(failed, reply.reason or NORMAL)
