"""One scenario while it is played: who is who, what has been seen, and what its scripts have left behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import attrs
import trio

from nursery_otp import ExitReason, Later, Monitor, Name, NoProcess, Ref, Request, current_ref, whereis
from tests.conformance.guard import NoProgress
from tests.conformance.process_terms import Json, Scripted, show, show_reason, tag

Op: TypeAlias = "Callable[..., Awaitable[None] | None]"
Trace: TypeAlias = dict[str, list[Json]]

RUNAWAY = 3000  # events in one scenario: more means that it runs in a circle


@attrs.define
class World:
    """What the processes of one scenario share. It is also how their terms are shown (`Names`)."""

    ops: Mapping[str, Op]
    step: int = -1
    refs: dict[str, Ref[Any]] = attrs.field(factory=dict)
    kinds: dict[Ref[Any], str] = attrs.field(factory=dict)
    monitors: dict[str, Monitor] = attrs.field(factory=dict)
    requests: dict[str, Request[object]] = attrs.field(factory=dict)
    saved: dict[str, Later[object]] = attrs.field(factory=dict)
    gates: dict[str, trio.Event] = attrs.field(factory=dict)
    ending: dict[Ref[Any], trio.Event] = attrs.field(factory=dict)
    terminated: dict[Ref[Any], ExitReason] = attrs.field(factory=dict)
    _names: dict[Ref[Any], str] = attrs.field(factory=dict)
    _labels: dict[Monitor, str] = attrs.field(factory=dict)
    _events: Trace = attrs.field(factory=dict)
    _logged: int = 0

    def log(self, name: str, event: Json) -> None:
        self._logged += 1
        self._events.setdefault(name, []).append(event)

    @property
    def runs_away(self) -> bool:
        return self._logged > RUNAWAY

    def collect(self) -> Trace:
        """The events since the last time: those of one step."""
        events, self._events = self._events, {}
        return events

    def enter(self, name: str, ref: Ref[Any], kind: str = "plain") -> None:
        """From now on `name` is `ref`, dead or alive."""
        self.refs[name] = ref
        self.kinds[ref] = kind
        self.ending[ref] = trio.Event()
        self._names[ref] = name

    def terminates(self, ref: Ref[Any], reason: ExitReason) -> None:
        """A server has begun to terminate."""
        self.terminated[ref] = reason
        self.ending[ref].set()

    def ended(self, ref: Ref[Any], reason: ExitReason) -> None:
        """The last event of a process."""
        if ref in self._names:
            self.log(self._names[ref], ["exited", show_reason(reason, self)])
            self.ending[ref].set()

    def label(self, label: str, monitor: Monitor) -> None:
        self.monitors[label] = monitor
        self._labels[monitor] = label

    def knows(self, ref: Ref[Any]) -> bool:
        return ref in self._names

    def process(self, ref: Ref[Any] | None) -> str:
        return f"<{self._names[ref]}>" if ref in self._names else "<?>"

    def monitor(self, monitor: Monitor) -> str:
        return f"#{self._labels.get(monitor, '?')}"


@attrs.define
class Process:
    """One scripted process, plain or not: its side of the world."""

    world: World
    name: str
    spec: Mapping[str, Json]
    _handled: dict[str, int] = attrs.field(factory=dict)

    @property
    def traps(self) -> bool:
        return bool(self.spec.get("trap", False))

    def child(self, name: str, spec: Mapping[str, Json] | None) -> Process:
        """A process of the same world, not yet started."""
        return Process(self.world, name, spec or {})

    def log(self, *event: Json) -> None:
        if self.world.runs_away:
            raise NoProgress(f"{self.name} would log {event} after {RUNAWAY} events")
        self.world.log(self.name, list(event))

    def show(self, value: object) -> Json:
        return show(value, self.world)

    def target(self, text: str) -> Ref[Any] | Name[Any]:
        """Whom an op names: "p", "@n" or "self"."""
        if text == "self":
            return current_ref()
        return Name(text[1:]) if text.startswith("@") else self.world.refs[text]

    def find(self, text: str) -> Ref[Any] | None:
        """The same as a process, dead or alive; None if the name is not registered."""
        target = self.target(text)
        return whereis(target) if isinstance(target, Name) else target

    def ref(self, text: str) -> Ref[Any]:
        """The same; `NoProcess` if the name is not registered."""
        found = self.find(text)
        if found is None:
            raise NoProcess(text)
        return found

    async def run(self, ops: list[Json]) -> None:
        """Run `ops` one after the other; nobody else runs in between unless one of them blocks."""
        for name, *arguments in ops:
            blocking = self.world.ops[name](self, *arguments)
            if blocking is not None:
                await blocking

    def script(self, message: object) -> Mapping[str, Json]:
        """What to do about `message`: it says so itself, or the `on` table does."""
        if isinstance(message, Scripted):
            return self._nth(message.name, message.script)
        word = tag(message)
        return self._nth(f"on:{word}", self.spec.get("on", {}).get(word, {}))

    def _nth(self, name: str, script: Mapping[str, Json]) -> Mapping[str, Json]:
        """Of the scripts under "nth" the one for this time; the last one from then on."""
        if "nth" not in script:
            return script
        time = self._handled.get(name, 0)
        self._handled[name] = time + 1
        chosen: Mapping[str, Json] = script["nth"][min(time, len(script["nth"]) - 1)]
        return chosen
