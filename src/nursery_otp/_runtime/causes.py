"""Why things happened: a short memory of incidents, each of which names the one that caused it.

An incident is text and two numbers, kept in one table that forgets the oldest. Nothing refers to a process, and no
incident to another one as an object: a child that is restarted a million times leaves no chain of a million links.
Incidents are only made where something went wrong or was asked for; a process that simply returns makes none.
"""

from __future__ import annotations

import itertools
import os
import reprlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import trio

from nursery_otp._policy.exits import safe_repr
from nursery_otp._runtime.interrupts import protected

INCIDENTS_KEPT = 10_000
SHOWN = 2_000
MANY = 100
"""How many entries of a container are shown."""
_LIBRARIES = tuple(f"{Path(file).parent}{os.sep}" for file in (Path(__file__).parent, trio.__file__))


class _Shown(reprlib.Repr):
    """A repr that does not build what it will not show: a state may hold millions of things."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 8
        self.maxtuple = self.maxlist = self.maxarray = self.maxset = self.maxfrozenset = self.maxdeque = MANY

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        if level <= 0:
            return "{...}"
        items = [
            f"{self.repr1(key, level - 1)}: {self.repr1(value, level - 1)}"
            for key, value in itertools.islice(x.items(), MANY)
        ]
        more = [f"... {len(x):,} in all"] if len(x) > MANY else []
        return f"{{{', '.join([*items, *more])}}}"

    def repr_str(self, x: str, _level: int) -> str:
        return repr(x) if len(x) <= SHOWN else f"{x[:SHOWN]!r}... ({len(x):,} characters)"

    def repr_int(self, x: int, _level: int) -> str:
        return safe_repr(x)

    def repr_instance(self, x: Any, _level: int) -> str:
        return safe_repr(x)


def shown(value: object, limit: int = SHOWN) -> str:
    """The repr of anything, for people: never fails, and is never longer than a page."""
    try:
        text = _Shown().repr(value)
    except Exception:  # of a container of the user's own kind
        text = safe_repr(value)
    return text if len(text) <= limit + 50 else cut(text, limit)  # a long text has been cut already


def cut(text: str, limit: int = 2 * SHOWN) -> str:
    """A text that may be long, or its beginning."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"


def place() -> str:
    """Which line of the user's is running, as "file:line"."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_LIBRARIES) and frame.f_back is not None:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


@attrs.frozen
class Incident:
    """Something that happened and that other things came of; `cause` is the number of what it came of, or 0.

    `kind` is a word for programs: "exit", "restart", "stop", "kill", "signal", "limit", "start", "dead_letter"; `text`
    a sentence for people. `time` is in seconds on the runtime's clock.
    """

    number: int
    kind: str
    text: str
    time: float
    cause: int = 0


@attrs.frozen
class Explanation:
    """What `explain` found: incidents from the effect back to its first cause. Its text is for people.

    `complete` is False if the first cause is so long ago that it is not remembered any more.
    """

    incidents: tuple[Incident, ...]
    complete: bool = True

    @property
    def root(self) -> Incident:
        """The first cause, as far as it is known."""
        return self.incidents[-1]

    def __str__(self) -> str:
        lines = [f"{'  because ' if index else ''}{incident.text}" for index, incident in enumerate(self.incidents)]
        return "\n".join([*lines, *([] if self.complete else ["  (what led to that is not remembered any more)"])])


@protected
class Causes:
    """The incidents of a runtime."""

    __slots__ = ("_incidents", "_last", "now")

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._last = 0
        self._incidents: dict[int, Incident] = {}

    def __len__(self) -> int:
        return len(self._incidents)

    def record(self, kind: str, text: str, cause: int = 0) -> int:
        """Remember an incident; its number."""
        self._last += 1
        self._incidents[self._last] = Incident(self._last, kind, cut(text), self.now(), cause)
        if len(self._incidents) > INCIDENTS_KEPT:
            del self._incidents[next(iter(self._incidents))]
        return self._last

    def asked(self, kind: str, what: str, asker: Any) -> int:
        """Remember that the running code asked for something: which process it is part of, and at which line."""
        who = "" if asker is None else f" by {asker.ref}"
        return self.record(kind, f"{what}{who} at {place()}")

    def chain(self, number: int) -> tuple[list[Incident], bool]:
        """An incident and what led to it; whether that is all of it."""
        found: list[Incident] = []
        while number:
            incident = self._incidents.get(number)
            if incident is None:
                return found, False
            found.append(incident)
            number = incident.cause if incident.cause < number else 0  # a cause came before
        return found, True
