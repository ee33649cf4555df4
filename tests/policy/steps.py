"""One decision as a value, and the register of the laws that every decision has to obey."""

from collections.abc import Callable
from typing import Any

import attrs

from nursery_otp._policy import supervision as s
from nursery_otp._policy.exits import is_normal

WORK = (s.StartChild, s.StopChild, s.StopChildren)


@attrs.frozen(eq=False)
class Step:
    """One decision."""

    before: s.State
    event: s.Event
    after: s.State
    actions: tuple[s.Action, ...]

    def of(self, kind: Any) -> list[Any]:
        """The actions of a kind."""
        return [action for action in self.actions if isinstance(action, kind)]

    @property
    def subject(self) -> s.Child | None:
        """The child that the event is about, as it was known."""
        return self.before.children.get(getattr(self.event, "key", None))

    @property
    def accepted(self) -> bool:
        """Whether an exit or a retry is about the present and not about something that is over."""
        child, event = self.subject, self.event
        match event:
            case s.Exited():
                return child is not None and child.status == "running" and child.handle is event.handle
            case s.Retry():
                return child is not None and child.status == "restarting" and child.retry == event.number
            case _:
                return True

    @property
    def restarts(self) -> bool:
        """Whether OTP would restart somebody because of this event."""
        match self.event:
            case s.Exited(reason=reason):
                restart = self.accepted and self.subject is not None and self.subject.spec.restart
                return restart == "permanent" or (restart == "transient" and not is_normal(reason))
            case s.Retry():
                return self.accepted
            case _:
                return False

    @property
    def counts(self) -> bool:
        """Whether this restart goes into the window."""
        return self.restarts and not (isinstance(self.event, s.Retry) and self.event.counted)

    @property
    def ending(self) -> Any:
        """The reason with which this decision ends the supervisor or begins to, if it does."""
        for action in self.of(s.Finish):
            return action.reason
        plan = self.after.plan
        return plan.purpose.reason if plan is not None and isinstance(plan.purpose, s.End) else None


Law = Callable[[Step], None]
LAWS: list[Law] = []  # filled by plan_laws.py and restart_laws.py


def law(check: Law) -> Law:
    """Register a law."""
    LAWS.append(check)
    return check


def family(state: s.State, child: s.Child) -> list[s.Child]:
    """Who is restarted together with this child, in start order."""
    if state.flags.strategy == "one_for_all":
        return state.ordered()
    if state.flags.strategy == "rest_for_one":
        return [other for other in state.ordered() if other.position >= child.position]
    return [child]


def running(children: list[s.Child]) -> tuple[s.Key, ...]:
    """Keys of the running ones, last started first."""
    return tuple(child.key for child in reversed(children) if child.status == "running")
