"""The names that a supervisor keeps for its children while they are down and expected back."""

from __future__ import annotations

from typing import Any

from nursery_otp._policy import supervision as s
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.refs import Name
from nursery_otp.errors import AlreadyStarted


@protected
class ReservedNames:
    """The reservations of one supervisor, by child."""

    __slots__ = ("_names", "_supervisor")

    def __init__(self, supervisor: Process) -> None:
        self._supervisor = supervisor
        self._names: dict[s.Key, Name[Any]] = {}

    def reserve(self, key: s.Key, name: Name[Any]) -> None:
        """Keep the name for this child; `AlreadyStarted` if a process holds it, `NameTaken` if another supervisor."""
        registry = self._supervisor.runtime.registry
        holder = registry.find(name.text)
        if holder is not None:
            raise AlreadyStarted(name, holder.ref)
        registry.reserve(name, self._supervisor, key)
        self._names[key] = name

    def release_lost(self, state: s.State) -> None:
        """Give up the names of children that will not come back by themselves: their callers need not wait."""
        if not self._names:
            return
        plan = state.plan
        if plan is not None and plan.next_stop is not None:
            # In the midst of a longer work. But what is stopped for the supervisor's own end will not come back.
            stopped = plan.stop[plan.stops_done - 1] if plan.stops_done else None
            if isinstance(plan.purpose, s.End) and stopped in self._names:
                self._release(stopped)
            return
        planned = set() if state.plan is None else set(state.plan.to_start)
        for key in [key for key in self._names if key not in planned and not _is_expected(state, key)]:
            self._release(key)

    def release_all(self) -> None:
        """The supervisor ends."""
        for key in list(self._names):
            self._release(key)

    def _release(self, key: s.Key) -> None:
        self._supervisor.runtime.registry.cancel_reservation(self._names.pop(key), self._supervisor)


def _is_expected(state: s.State, key: s.Key) -> bool:
    child = state.children.get(key)
    return child is not None and (child.status != "stopped" or child.returning)
