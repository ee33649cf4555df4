"""Small steps from one state of a supervisor to the next, and questions about its children."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from nursery_otp._policy import supervision as s
from nursery_otp._policy.specs import ChildSpec


def insert(state: s.State, key: s.Key, spec: ChildSpec) -> s.State:
    """A new child, last in the order, that does not run yet."""
    child = s.Child(key, spec, state.next_position)
    return attrs.evolve(state, children=state.children.set(key, child), next_position=state.next_position + 1)


def update(state: s.State, child: s.Child, **changes: Any) -> s.State:
    """The child with some fields changed."""
    new = attrs.evolve(child, **changes)
    restarting = state.restarting + (new.status == "restarting") - (child.status == "restarting")
    return attrs.evolve(state, children=state.children.set(child.key, new), restarting=restarting)


def remove(state: s.State, child: s.Child) -> s.State:
    """No trace of the child is left."""
    restarting = state.restarting - (child.status == "restarting")
    return attrs.evolve(state, children=state.children.remove(child.key), restarting=restarting)


def forget(state: s.State, child: s.Child) -> s.State:
    """The child is down for good: a temporary or dynamic one leaves nothing, others keep their specification."""
    if state.flags.dynamic or child.spec.restart == "temporary":
        return remove(state, child)
    return update(state, child, status="stopped", handle=None, returning=False)


def child_of(state: s.State, key: s.Key) -> s.Child:
    """The child of this key, which the supervisor has."""
    child = state.children.get(key)
    if child is None:
        raise LookupError(f"no child {key!r} in this supervisor")
    return child


def group_of(state: s.State, child: s.Child) -> list[s.Child]:
    """The children that a restart of `child` covers, in start order."""
    match state.flags.strategy:
        case "one_for_all":
            return state.ordered()
        case "rest_for_one":
            return [other for other in state.ordered() if other.position >= child.position]
        case _:
            return [child]


def running_keys(children: Iterable[s.Child]) -> tuple[s.Key, ...]:
    """Keys of those that run, last started first."""
    return tuple(child.key for child in reversed(list(children)) if child.status == "running")
