"""Short ways to write states, events and runs of `decide`."""

from collections.abc import Iterable
from typing import Any

import attrs

from nursery_otp._policy import supervision as s
from nursery_otp._policy.decide import decide, initial
from nursery_otp._policy.errors import RestartLimitReached
from nursery_otp._policy.exits import ExitReason, Failed, Shutdown
from nursery_otp._policy.specs import ChildSpec, SupervisorFlags

BOOM = Failed("boom")


async def work() -> None:
    """The factory of every pretend child; nobody calls it."""


def spec(id: Any, restart: Any = "permanent", **options: Any) -> ChildSpec:
    """A child specification."""
    return ChildSpec(factory=work, id=id, restart=restart, **options)


class Incarnation:
    """An opaque handle with a readable name."""

    def __init__(self, key: s.Key, number: int) -> None:
        self.key, self.number = key, number

    def __repr__(self) -> str:
        return f"{self.key}#{self.number}"


class Run:
    """One supervisor, driven by hand: every method feeds one event and returns the actions that are not reports."""

    def __init__(self, children: Iterable[ChildSpec] = (), **flags: Any) -> None:
        self.state = initial(SupervisorFlags(**{"max_restarts": 9, **flags}), children)
        self.now = 0.0
        self.reports: list[s.Report] = []
        self.finished: ExitReason | None = None
        self._starts: dict[s.Key, int] = {}

    def feed(self, event: s.Event) -> list[s.Action]:
        """Decide about an event, and remember the result."""
        self.state, actions = decide(self.state, event)
        self.reports = [action for action in actions if isinstance(action, s.Report)]
        for action in actions:
            if isinstance(action, s.Finish):
                self.finished = action.reason
        return [action for action in actions if not isinstance(action, s.Report)]

    def child(self, key: s.Key) -> s.Child:
        """What the supervisor knows of this child."""
        child = self.state.children.get(key)
        assert child is not None, f"{key!r} is not known"
        return child

    def handle(self, key: s.Key) -> Any:
        """The current incarnation of a child."""
        return self.child(key).handle

    # The outcome of the action under way.

    def begin(self) -> list[s.Action]:
        return self.feed(s.Begin())

    def ok(self) -> list[s.Action]:
        """The start under way succeeds."""
        key = self._starting()
        number = self._starts[key] = self._starts.get(key, 0) + 1
        return self.feed(s.Started(key, Incarnation(key, number), self.now))

    def ignore(self) -> list[s.Action]:
        return self.feed(s.Ignored(self._starting()))

    def fail(self, reason: ExitReason = BOOM, chance: float = 0.5) -> list[s.Action]:
        return self.feed(s.Failed(self._starting(), reason, chance))

    def stopped(self) -> list[s.Action]:
        return self.feed(s.Stopped())

    def work_off(self, *fails: s.Key) -> list[str]:
        """Carry the plan out: every stop works, every start but those of `fails`. What was done: "-key" and "+key"."""
        done = []
        while (plan := self.state.plan) is not None:
            if plan.next_stop is not None:
                done.append(f"-{plan.next_stop}")
                self.stopped()
            elif plan.next_start in fails:
                done.append(f"!{plan.next_start}")
                self.fail()
            else:
                done.append(f"+{plan.next_start}")
                self.ok()
        return done

    def up(self) -> "Run":
        """All children started."""
        self.begin()
        self.work_off()
        return self

    def _starting(self) -> s.Key:
        assert self.state.plan is not None
        return self.state.plan.next_start

    # What happens to it.

    def exits(self, key: s.Key, reason: ExitReason = BOOM, chance: float = 0.5) -> list[s.Action]:
        """The current incarnation of a child ends by itself."""
        return self.feed(s.Exited(key, self.handle(key), reason, self.now, chance))

    def retry(self, key: s.Key, *, counted: bool = False) -> list[s.Action]:
        """The latest scheduled retry of a child is due."""
        return self.feed(s.Retry(key, self.child(key).retry, counted, self.now))

    def call(self, event: s.Event) -> s.Reply:
        """A call that is answered at once."""
        (reply,) = self.feed(event)
        assert isinstance(reply, s.Reply)
        return reply

    def statuses(self) -> dict[s.Key, str]:
        """The status of every child, in start order; "returning" for those that a restart will bring back."""
        return {child.key: "returning" if child.returning else child.status for child in self.state.ordered()}


def to_stop(plan: s.Plan) -> tuple[s.Key, ...]:
    """Who is still to be stopped, the one under way first."""
    return plan.stop[plan.stops_done :]


def limit_of(reason: ExitReason | None) -> RestartLimitReached:
    """The error inside the reason of a supervisor that gave up."""
    assert isinstance(reason, Shutdown)
    assert isinstance(reason.detail, RestartLimitReached)
    return reason.detail


def plain(value: Any) -> Any:
    """A value that compares by content: errors made by `decide` are equal when they say the same."""
    match value:
        case Shutdown(RestartLimitReached() as error):
            return ("limit reached", error.args, error.__cause__)
        case s.End(reason) | s.Finish(reason):
            return (type(value), plain(reason))
        case s.Plan():
            return plain(tuple(attrs.asdict(value, recurse=False).values()))
        case tuple():
            return tuple(map(plain, value))
        case _:
            return value


def snapshot(state: s.State) -> tuple[Any, ...]:
    """Everything in a state, as values that no later decision can reach."""
    fields = attrs.asdict(state, recurse=False)
    fields["children"] = tuple(state.ordered())
    return tuple(plain(field) for field in fields.values())
