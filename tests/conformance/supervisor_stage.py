"""What is known while a supervisor scenario is played: who is who, and what has happened so far.

Order is everything here, so each event is recorded synchronously where it happens: a start when its attempt is over,
in the task of the child; an exit from the runtime's `on_exit` hook, before the supervisor is told. Nobody tells when
a *nested supervisor* has started, but its parent does nothing else meanwhile: so whatever is recorded next looks
first whether an opening supervisor is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import Crashed, ExitReason, FailedToStart, Killed, Ref, Shutdown, current_ref, process_info
from tests.conformance.supervisor_terms import Json, show_reason

ROOT = ""
NOBODY, NEVER = "@nobody", "@never"  # in place of a supervisor's path: of none; of one that has `auto_shutdown: never`
TOO_MANY_EVENTS = 2000  # in one step: the supervisor restarts a child for ever
Job: TypeAlias = Callable[[], Awaitable[None]]
Call: TypeAlias = Callable[["Stage", Ref[Any], Mapping[str, Json]], Awaitable[Json]]


@attrs.define(eq=False)
class Opening:
    """A supervisor that is being started; `refuses` if its script says that this is to fail."""

    path: str
    number: int
    ref: Ref[Any]
    refuses: bool

    def failed(self, reason: ExitReason) -> bool:
        """Whether the end of the process for `reason` means that it never came up."""
        match reason:
            case Crashed() | Killed() | Shutdown(FailedToStart()):
                return True
            case _:
                return self.refuses


@attrs.define(eq=False)
class Stage:
    """The state of one play. `call` makes a call to a supervisor, `jobs` runs something beside the play."""

    call: Call
    jobs: trio.MemorySendChannel[Job]
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)  # ends the play when it gets out of hand
    step: int = -1
    stranger: Ref[Any] | None = None
    root: Ref[Any] | None = None
    events: list[Json] = attrs.field(factory=list)
    queued: dict[str, Json] = attrs.field(factory=dict)
    unanswered: set[str] = attrs.field(factory=set)
    leaving: set[Ref[Any]] = attrs.field(factory=set)  # they end by themselves, soon
    leaving_at_once: dict[Ref[Any], trio.Event] = attrs.field(factory=dict)
    dynamic: set[str] = attrs.field(factory=set)  # paths of simple_one_for_one supervisors
    never: set[str] = attrs.field(factory=lambda: {NEVER})  # paths of those without automatic shutdown
    attempts: Counter[str] = attrs.field(factory=Counter)
    instances: dict[tuple[str, int], Ref[Any]] = attrs.field(factory=dict)
    current: dict[str, Ref[Any]] = attrs.field(factory=dict)
    supervisors: set[Ref[Any]] = attrs.field(factory=set)
    opening: list[Opening] = attrs.field(factory=list)
    _labels: dict[Ref[Any], tuple[str, int]] = attrs.field(factory=dict)

    # -------------------------------------------------------------------------------------------------- who is who

    def next_attempt(self, path: str) -> int:
        self.attempts[path] += 1
        return self.attempts[path]

    def enter(self, path: str, number: int, ref: Ref[Any]) -> None:
        """`ref` is instance `number` of the child `path`."""
        self.instances[path, number] = self.current[path] = ref
        self._labels[ref] = path, number

    def enter_root(self, ref: Ref[Any]) -> None:
        self.root = self.current[ROOT] = ref

    def label(self, ref: Ref[Any]) -> str:
        """How a returned value calls a process."""
        self.look_for_opened()
        known = self._labels.get(ref)
        return f"<{known[0]}#{known[1]}>" if known else "<pid>"

    def supervisor_path(self, ref: Ref[Any]) -> str:
        """Which supervisor `ref` is, also while it is being started."""
        opening = self._opening_of(ref)
        if opening is not None:
            return opening.path
        return self._labels[ref][0] if ref in self._labels else ROOT

    def latest(self, path: str) -> Ref[Any] | None:
        """The latest instance of `path` (ROOT: the root), alive or not."""
        self.look_for_opened()
        return self.current.get(path)

    def live(self, path: str) -> Ref[Any] | None:
        ref = self.latest(path)
        return ref if ref is not None and ref.alive else None

    def still_leaving(self) -> list[Ref[Any]]:
        return [ref for ref in self.leaving if ref.alive]

    def alive(self) -> list[str]:
        return sorted(f"{path}#{number}" for (path, number), ref in self.instances.items() if ref.alive)

    # ------------------------------------------------------------------------------------------------- leaving at once

    async def first_pause(self) -> None:
        """For a child that leaves at once: wait until its supervisor waits, for a new child or for anything else.

        This is what "at once" means where the supervisor, on one core, goes on until it has to wait.
        """
        ref, pause = current_ref(), trio.Event()
        self.leaving.add(ref)
        self.leaving_at_once[ref] = pause
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_set_when_idle, pause)
            await pause.wait()
            nursery.cancel_scope.cancel(reason="the pause has come")

    async def pause(self) -> None:
        """For a child that is being started: those who leave at once are gone before it is ready."""
        for ref, pause in list(self.leaving_at_once.items()):
            pause.set()
            await ref.wait()
            self.leaving_at_once.pop(ref, None)

    # ----------------------------------------------------------------------------------------------- what happened

    def record(self, *event: Json) -> None:
        """Something happened now; whatever is found out to have happened before goes before it."""
        self.look_for_opened()
        self._add(event)

    def started(self, path: str, number: int, outcome: Json) -> None:
        self.record("start", path, number, outcome)

    def ended(self, ref: Ref[Any], reason: ExitReason) -> None:
        """The runtime's hook: `ref` has ended."""
        self.look_for_opened()
        opening = self._opening_of(ref)
        if opening is not None and opening.failed(reason):
            self._not_opened(opening, reason)
            return
        if opening is not None:
            self._opened(opening)  # and at once ended
        if ref is self.root:
            self._add(("sup_exit", show_reason(reason)))
        elif ref in self._labels:
            self._add(("exit", *self._labels[ref], show_reason(reason)))

    def look_for_opened(self) -> None:
        """Record the supervisors that have started meanwhile, inner ones first."""
        for opening in reversed(self.opening):
            if opening.ref.alive and process_info(opening.ref).status != "starting":
                self._opened(opening)

    def forget_opening(self, ref: Ref[Any]) -> None:
        """This supervisor has declined to start."""
        self.opening = [opening for opening in self.opening if opening.ref is not ref]

    def _opening_of(self, ref: Ref[Any]) -> Opening | None:
        return next((opening for opening in self.opening if opening.ref is ref), None)

    def _opened(self, opening: Opening) -> None:
        self.opening.remove(opening)
        self.supervisors.add(opening.ref)
        if opening.path == ROOT:
            self.enter_root(opening.ref)
        else:
            self.enter(opening.path, opening.number, opening.ref)
            self._add(("start", opening.path, opening.number, "ok"))

    def _not_opened(self, opening: Opening, reason: ExitReason) -> None:
        self.opening.remove(opening)
        if opening.path != ROOT:
            self._add(("start", opening.path, opening.number, ["error", show_reason(reason)]))

    def _add(self, event: tuple[Json, ...]) -> None:
        self.events.append(list(event))
        if len(self.events) > TOO_MANY_EVENTS:
            self.scope.cancel(reason="too many events in one step")

    def collect(self) -> tuple[list[Json], dict[str, Json]]:
        """The events and the answers to queued calls since the last time."""
        self.look_for_opened()
        events, self.events = self.events, []
        queued, self.queued = self.queued, {}
        return events, queued


async def _set_when_idle(event: trio.Event) -> None:
    await wait_all_tasks_blocked()
    event.set()
