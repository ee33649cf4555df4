"""What is asked of a supervisor: calls of a `SupervisorHandle`, checked and turned into events for `decide`."""

from __future__ import annotations

from collections.abc import Container, Hashable
from typing import Any

from nursery_otp._behaviours.children import child_count, child_infos
from nursery_otp._policy import supervision as s
from nursery_otp._policy.specs import ChildSpec, check_significant
from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.refs import Ref
from nursery_otp.errors import ChildNotFound, InvalidSpec, UnknownOperation


class ChildCall(Call):
    """A request of a `SupervisorHandle`; `line` is the one that made it."""

    __slots__ = ("line",)

    line: tuple[str, int]


class ChildRequests:
    """Reads requests for one supervisor: it knows the template and the ids that were made up."""

    __slots__ = ("_numbers", "template")

    def __init__(self) -> None:
        self.template: ChildSpec | None = None
        self._numbers: dict[str, int] = {}

    def event_of(self, call: Call, state: s.State) -> s.Event | None:
        """What the request means; None if it only asks, and has been answered."""
        match call.operation, call.args:
            case "start_child", (ChildSpec() as spec, bool(wait)):
                return s.AddChild(call, self._accepted(spec, state), wait)
            case "start_child", (tuple(extra), bool(wait)):
                return s.AddChild(call, self._from_template(extra), wait)
            case "terminate_child", (target,):
                return _terminate(call, target, state)
            case "restart_child", (key,):
                return s.RestartChild(call, key)
            case "delete_child", (key,):
                return s.DeleteChild(call, key)
            case "get_childspec", (target,):
                call.reply(self._spec_of(target, state))
            case "which_children", ():
                call.reply(child_infos(state))
            case "count_children", ():
                call.reply(child_count(state, self.template))
            case _:
                raise UnknownOperation(call.address, call.label)
        return None

    def with_ids(self, specs: list[ChildSpec]) -> list[ChildSpec]:
        """The specifications, each with an id."""
        taken: set[Hashable] = {spec.id for spec in specs if spec.id is not None}
        complete = []
        for spec in specs:
            named = spec if spec.id is not None else spec.with_id(self._free_id(spec.label, taken))
            taken.add(named.id)
            complete.append(named)
        return complete

    def _accepted(self, spec: ChildSpec, state: s.State) -> ChildSpec:
        check_significant(spec, state.flags.auto_shutdown)
        if state.flags.dynamic:
            if self.template is not None:
                raise InvalidSpec("spec", spec, "this supervisor has a template: give start_child its extra arguments")
            return spec
        return spec if spec.id is not None else spec.with_id(self._free_id(spec.label, state.children))

    def _from_template(self, extra: tuple[Any, ...]) -> ChildSpec:
        if self.template is None:
            raise InvalidSpec("spec", extra, "must be a ChildSpec; only a simple_one_for_one template takes arguments")
        return self.template.with_args(extra)

    def _spec_of(self, target: Any, state: s.State) -> ChildSpec:
        if self.template is not None and target == self.template.id:
            return self.template
        if self.template is not None and isinstance(target, Ref) and not target.alive:
            return self.template
        key = target._process.child_key if isinstance(target, Ref) and state.flags.dynamic else target
        child = state.children.get(key)
        if child is None:
            raise ChildNotFound(target)
        return child.spec

    def _free_id(self, label: str, taken: Container[Hashable]) -> str:
        """The label itself for the first child of that name, then label-2, label-3 and so on."""
        identity = label
        while identity in taken:
            number = self._numbers[label] = self._numbers.get(label, 1) + 1
            identity = f"{label}-{number}"
        return identity


def _terminate(call: Call, target: Any, state: s.State) -> s.Event:
    if not isinstance(target, Ref) or not state.flags.dynamic:
        return s.TerminateChild(call, target)
    process = target._process
    return s.TerminateChild(call, process.child_key, process, process.reason is None)
