"""Why things happened: a short memory of incidents, each of which names the one that caused it.

An incident is text and a few numbers, kept in a ring that overwrites the oldest. Nothing refers to a process, and no
incident to another one as an object: a child that is restarted a million times leaves no chain of a million links.
Incidents are only made where something went wrong or was asked for; a process that simply returns makes none.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from nursery_otp._runtime.call_sites import place
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.refs import Name, referred
from nursery_otp._runtime.shown import cut
from nursery_otp.errors import NoProcess, ProcessDown

INCIDENTS_KEPT = 10_000
NAMES_KEPT = 1_000
_FIELDS = 5
_MARK = re.compile(r" \[incident (\d+)\]$")
_TAG = "_nursery_otp_incident"


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

    __slots__ = ("__weakref__", "_last", "_names", "_ring", "_size", "now")

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._size = INCIDENTS_KEPT
        self._last = 0
        self._ring: list[Any] = []  # one flat list, in which the garbage collector has nothing to look at
        self._names: dict[str, int] = {}

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
        error.__dict__[_TAG] = (self, number)

    def of_error(self, error: BaseException) -> int:
        """What an exception came of: itself, the one that it was raised from, or the first of a group."""
        return next((number for causes, number in origins(error, self) if causes is self), 0)


def origins(error: BaseException, here: Causes | None) -> Iterator[tuple[Causes, int]]:
    """The incidents that an exception and those behind it came of, and in which tree; names mean those of `here`."""
    link: BaseException | None = error
    for _ in range(8):  # somebody may have tied them to a ring
        if link is None:
            return
        tag = link.__dict__.get(_TAG)
        if tag is not None:
            yield tag
        elif isinstance(link, ProcessDown | NoProcess):
            address = link.ref if isinstance(link, ProcessDown) else link.address
            process = referred(address)
            if process is not None and process.doomed:
                yield process.runtime.causes, process.why()
            elif here is not None and isinstance(address, Name):
                number = here.last_of(address.text)
                if number:
                    yield here, number
        link = _behind(link)


def _behind(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions[0]
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def mark(number: int) -> str:
    """What the reason of a cancel scope says of the incident behind it, so that `explain` finds it there."""
    return f" [incident {number}]" if number else ""
