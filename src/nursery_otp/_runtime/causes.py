"""Why things happened: a short memory of incidents, each of which names the one that caused it.

An incident is text and a few numbers, kept in a ring that overwrites the oldest. Nothing refers to a process, and no
incident to another one as an object: a child that is restarted a million times leaves no chain of a million links.
Incidents are only made where something went wrong or was asked for; a process that simply returns makes none.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import reprlib
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import trio

from nursery_otp._policy.exits import safe_repr
from nursery_otp._runtime.interrupts import protected

INCIDENTS_KEPT = 10_000
SHOWN = 2_000
NAMES_KEPT = 1_000
MANY = 100
"""How many entries of a container are shown."""
_FIELDS = 5
_MARK = re.compile(r" \[incident (\d+)\]$")
_TAG = "_nursery_otp_incident"
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

    def repr_instance(self, x: Any, level: int) -> str:
        fields = _generated_fields(type(x))
        if fields is None:
            return safe_repr(x)
        if level <= 0:
            return f"{type(x).__qualname__}(...)"
        parts = [(name, getattr(x, name), custom) for name, custom in fields]
        texts = [
            f"{name}={self.repr1(part, level - 1) if custom is None else custom(part)}" for name, part, custom in parts
        ]
        return f"{type(x).__qualname__}({', '.join(texts)})"


def _generated_fields(kind: Any) -> list[tuple[str, Callable[[Any], str] | None]] | None:
    """What the generated `__repr__` of an attrs class or a dataclass shows: each field, and its own way if it has one.

    Such a `__repr__` would build the text of all that the fields hold.
    """
    function = getattr(kind.__repr__, "__wrapped__", kind.__repr__)
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    if "__attrs_attrs__" in vars(kind) and code.co_filename.startswith("<attrs generated"):
        shown_ones = [field for field in kind.__attrs_attrs__ if field.repr is not False]
        return [(field.name, None if field.repr is True else field.repr) for field in shown_ones]
    if "__dataclass_fields__" in vars(kind) and code.co_filename == "<string>":
        return [(field.name, None) for field in dataclasses.fields(kind) if field.repr]
    return None


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


def line_of_caller() -> tuple[str, int]:
    """Which line of the user's is running: its file and number."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_LIBRARIES) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def place(line: tuple[str, int] | None = None) -> str:
    """That line, or another one, as "file:line"."""
    file, number = line_of_caller() if line is None else line
    return f"{os.path.basename(file)}:{number}"


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

    __slots__ = ("__weakref__", "_last", "_names", "_ring", "_self", "_size", "now")

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._size = INCIDENTS_KEPT
        self._last = 0
        self._ring: list[Any] = []  # one flat list, in which the garbage collector has nothing to look at
        self._names: dict[str, int] = {}
        self._self = weakref.ref(self)

    def __len__(self) -> int:
        return min(self._last, self._size)

    def record(self, kind: str, text: str, cause: int = 0) -> int:
        """Remember an incident; its number."""
        number = self._last = self._last + 1
        place = (number - 1) % self._size * _FIELDS
        self._ring[place : place + _FIELDS] = (number, kind, cut(text), self.now(), cause)
        return number

    def get(self, number: int) -> Incident | None:
        """The incident of this number, if it is remembered."""
        if not self._last - self._size < number <= self._last or number <= 0:
            return None
        place = (number - 1) % self._size * _FIELDS
        return Incident(*self._ring[place : place + _FIELDS])

    def remembered(self) -> list[Incident]:
        """All incidents that are not forgotten, in no order."""
        places = range(0, len(self._ring), _FIELDS)
        return [Incident(*self._ring[place : place + _FIELDS]) for place in places]

    def asked(self, kind: str, what: str, asker: Any) -> int:
        """Remember that the running code asked for something: which process it is part of, and at which line."""
        who = "" if asker is None else f" by {asker.ref}"
        return self.record(kind, f"{what}{who} at {place()}")

    def chain(self, number: int) -> tuple[list[Incident], bool]:
        """An incident and what led to it; whether that is all of it."""
        found: list[Incident] = []
        while number:
            incident = self.get(number)
            if incident is None:
                return found, False
            found.append(incident)
            number = incident.cause if incident.cause < number else 0  # a cause came before
        return found, True

    # ----------------------------------------------------------- found again from names, texts, errors

    def note_name(self, text: str, number: int) -> None:
        """The holder of a name has ended, for this incident (0: none): later somebody may ask for the name."""
        self._names.pop(text, None)  # what is noted last is forgotten last
        if number:
            self._names[text] = number
        if len(self._names) > 2 * NAMES_KEPT:
            self._names = dict(itertools.islice(self._names.items(), NAMES_KEPT, None))

    def last_of(self, text: str) -> int:
        """The incident that the last holder of a name ended for; 0 if it is not known."""
        return self._names.get(text, 0)

    def read(self, text: str) -> tuple[str, int]:
        """A text that may end with a `mark`: without it, and the number of the incident, if that is remembered."""
        found = _MARK.search(text)
        if found is None:
            return text, 0
        number = int(found[1])
        return text[: found.start()], number if self.get(number) is not None else 0

    def tag(self, error: BaseException, number: int) -> None:
        """Note in an error of the library's own what it came of."""
        error.__dict__[_TAG] = (self._self, number)

    def of_error(self, error: BaseException) -> int:
        """What an exception came of: itself, the one that it was raised from, or the first of a group."""
        link: BaseException | None = error
        for _ in range(8):  # somebody may have tied them to a ring
            if link is None:
                break
            owner, number = link.__dict__.get(_TAG, (None, 0))
            if owner is self._self:
                return int(number)
            link = _behind(link)
        return 0


def _behind(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions[0]
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def mark(number: int) -> str:
    """What the reason of a cancel scope says of the incident behind it, so that `explain` finds it there."""
    return f" [incident {number}]" if number else ""
