"""A pretend runtime for `decide`: obeys like the real one, lets everything go wrong, and remembers what happened.

As the protocol demands, it does one thing at a time: while a child is started or stopped, news wait in the inbox.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from nursery_otp._policy import supervision as s
from nursery_otp._policy.decide import decide, initial
from nursery_otp._policy.errors import RestartLimitReached
from nursery_otp._policy.exits import KILLED, ExitReason, Shutdown
from nursery_otp._policy.specs import ChildSpec, SupervisorFlags
from tests.policy.builders import BOOM, Incarnation, plain, snapshot
from tests.policy.laws import taken
from tests.policy.steps import WORK, Step


class Token:
    """Identifies one call."""


class Shell:
    """One supervisor with pretend children. What it knows is its own account, not a copy of the state."""

    def __init__(self, flags: SupervisorFlags, specs: Iterable[ChildSpec]) -> None:
        self.flags = flags
        self.now = 0.0
        self.state = initial(flags, specs)
        self.work: s.Action | None = None
        self.inbox: deque[Callable[[], s.Event]] = deque()
        self.alarms: list[tuple[float, s.RetryLater]] = []
        self.alive: dict[s.Key, Incarnation] = {}
        self.past: list[Incarnation] = []
        self.calls: list[Token] = []
        self.withdrawn: set[Token] = set()
        self.answers: dict[Token, s.Reply] = {}
        self.restarts: list[float] = []
        self.starts_of: dict[ChildSpec, int] = {}
        self.finished: ExitReason | None = None
        self.ready = 0
        self.history: list[tuple[Step, Any]] = []
        self._feed(s.Begin())

    # --------------------------------------------------------------------------- decisions and actions

    def _feed(self, event: s.Event) -> None:
        step = taken(self.state, event)
        if step.counts:
            self.restarts.append(self.now)
        self._check_limit(step)
        self.state, self.work = step.after, None
        self.history.append((step, (snapshot(step.after), plain(step.actions))))
        for action in step.actions:
            self._act(action)
        self._check_account()

    def _act(self, action: s.Action) -> None:
        assert self.finished is None, "an action after the end"
        match action:
            case s.StartChild(key, spec):
                assert key not in self.alive, "two incarnations at the same time"
                self.starts_of[spec] = self.starts_of.get(spec, 0) + 1
                assert spec.restart != "temporary" or self.starts_of[spec] == 1, "a temporary child came back"
            case s.RetryLater():
                self.alarms.append((self.now + action.delay, action))
            case s.Reply(token):
                assert token in self.calls
                assert token not in self.answers, "answered twice"
                assert token not in self.withdrawn, "answered although nobody waits"
                self.answers[token] = action
            case s.Ready():
                self.ready += 1
                assert self.ready == 1
            case s.Finish(reason):
                self.finished = reason
                assert {} == self.alive
        if isinstance(action, WORK):
            self.work = action

    def _check_limit(self, step: Step) -> None:
        """The limit by an account of its own: more than max_restarts restarts in any period end it, nothing else."""
        recent = [time for time in self.restarts if self.now - time <= self.flags.period]
        if step.counts and len(recent) > self.flags.max_restarts:
            assert isinstance(step.ending, Shutdown)
            assert isinstance(step.ending.detail, RestartLimitReached)
        elif step.before.plan is None and isinstance(step.ending, Shutdown):
            assert not isinstance(step.ending.detail, RestartLimitReached)

    def _check_account(self) -> None:
        """The supervisor knows its children, and every call is answered, waits, or is being worked on."""
        known = {child.handle for child in self.state.ordered() if child.status == "running"}
        assert set(self.alive.values()) <= known, "a child that nobody supervises"
        if self.state.plan is None and self.finished is None:
            waiting = {entry.token for entry in self.state.waiting}
            asked = {token for token in self.calls if token not in self.withdrawn and not self._queued(token)}
            assert asked == set(self.answers) | waiting
            assert not waiting & set(self.answers)

    def _queued(self, token: Token) -> bool:
        return any(getattr(entry, "token", None) is token for entry in self.inbox)

    def drain(self) -> None:
        """Read the inbox, as far as nothing is under way."""
        while self.inbox and self.work is None and self.finished is None:
            self._feed(self.inbox.popleft()())

    # ----------------------------------------------------------------------- what comes of the actions

    def resolve(self, outcome: str = "ok") -> None:
        """The start or stop under way is over."""
        match self.work:
            case s.StartChild(key):
                self._resolve_start(key, outcome)
            case s.StopChild(key):
                self._gone(key)
                self._feed(s.Stopped())
            case s.StopChildren(stops):
                for stop in stops:
                    self._gone(stop.key)
                self._feed(s.Stopped())
        self.drain()

    def _resolve_start(self, key: s.Key, outcome: str) -> None:
        if outcome == "ignore":
            self._feed(s.Ignored(key))
        elif outcome == "fail":
            self._feed(s.Failed(key, BOOM))
        else:
            self.alive[key] = Incarnation(key, len(self.past))
            self.past.append(self.alive[key])
            self._feed(s.Started(key, self.alive[key], self.now))

    def _gone(self, key: s.Key) -> None:
        self.alive.pop(key, None)  # it may have ended by itself a moment ago

    # ------------------------------------------------------------------------------------ what happens

    def die(self, which: int, reason: ExitReason) -> None:
        """A living child ends by itself."""
        if not self.alive:
            return
        key = sorted(self.alive, key=str)[which % len(self.alive)]
        handle = self.alive.pop(key)
        if not self._being_stopped(key):
            self.inbox.append(lambda: s.Exited(key, handle, reason, self.now))
        self.drain()

    def _being_stopped(self, key: s.Key) -> bool:
        match self.work:
            case s.StopChild(stopping):
                return key == stopping
            case s.StopChildren(stops):
                return key in {stop.key for stop in stops}
            case _:
                return False

    def pass_time(self, seconds: float) -> None:
        """Time passes; the retries that are due arrive in the order of their time."""
        self.now += seconds
        due = sorted((entry for entry in self.alarms if entry[0] <= self.now), key=lambda entry: entry[0])
        self.alarms = [entry for entry in self.alarms if entry[0] > self.now]
        for _, retry in due:
            self._post_retry(retry)
        self.drain()

    def _post_retry(self, retry: s.RetryLater) -> None:
        self.inbox.append(lambda: s.Retry(retry.key, retry.number, retry.counted, self.now))

    def call(self, make: Callable[[Token], s.Event]) -> Token:
        """Somebody calls."""
        token = Token()
        self.calls.append(token)
        self.post(make(token))
        return token

    def post(self, event: s.Event) -> None:
        """Something arrives in the inbox."""

        def entry() -> s.Event:
            return event

        entry.token = getattr(event, "token", None)  # type: ignore[attr-defined]
        self.inbox.append(entry)
        self.drain()

    def withdraw(self, which: int) -> None:
        """A caller that waits for a place goes away (noticed between two decisions)."""
        if self.state.waiting and self.work is None:
            token = self.state.waiting[which % len(self.state.waiting)].token
            self.withdrawn.add(token)
            self._feed(s.Withdraw(token))
            self.drain()

    def kill(self) -> None:
        """The supervisor is killed, whatever is under way; the shell ends the child that is just starting."""
        if self.finished is None:
            self._feed(s.Kill())
            while self.finished is None:
                self.resolve()
            assert KILLED == self.finished

    def stale(self, which: int) -> None:
        """News of an incarnation that is over, and of a retry that is void, turn up again."""
        old = [handle for handle in self.past if handle not in self.alive.values() and not self._noticed_later(handle)]
        if old and self.work is None:
            handle = old[which % len(old)]
            self._feed(s.Exited(handle.key, handle, BOOM, self.now))
            self._feed(s.Retry(handle.key, -1, False, self.now))

    def _noticed_later(self, handle: Incarnation) -> bool:
        child = self.state.children.get(handle.key)
        return child is not None and child.handle is handle

    # ------------------------------------------------------------------------------------ how it ends

    def settle(self) -> None:
        """From now on everything succeeds: in a bounded number of steps there is peace, or the end."""
        for _ in range(10 * (len(self.state.children) + len(self.alarms) + len(self.inbox) + len(self.calls) + 10)):
            if self.finished is not None:
                return
            if self.work is not None:
                self.resolve()
            elif self.alarms:
                self.pass_time(max(0.0, min(due for due, _ in self.alarms) - self.now))
            else:
                assert self.state.restarting == 0
                assert not any(child.returning for child in self.state.ordered())
                return
        raise AssertionError("no peace")

    def stop(self, reason: ExitReason) -> None:
        """Somebody asks it to stop, and every stop succeeds: it ends, for the reason asked for unless it gave up."""
        self.post(s.StopRequest(reason))
        for _ in range(10 * (len(self.state.children) + len(self.inbox) + len(self.calls) + 10)):
            if self.finished is not None:
                assert reason == self.finished or isinstance(self.finished, Shutdown)
                return
            self.resolve()
        raise AssertionError("it does not stop")

    def check_history(self) -> None:
        """All states ever seen are still what they were: decided again, newest first, they give the same."""
        for step, found in reversed(self.history):
            after, actions = decide(step.before, step.event)
            assert found == (snapshot(after), plain(actions))
