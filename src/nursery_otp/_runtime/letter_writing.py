"""The work of the thread that writes dead letters down: making records of them, and telling the store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from operator import itemgetter
from typing import NamedTuple

import attrs

from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.letters import (
    AddLetter,
    LetterChange,
    LetterRecord,
    LetterStore,
    OpenedStore,
    RecipientKind,
    RemoveLetter,
    UpdateLetter,
)
from nursery_otp._runtime.letter_entries import LetterIds, Raw, Snapshot, address, record_of, record_of_raw
from nursery_otp.errors import CannotStore

BREATH_EVERY = 200
BREATH = 0.00005
"""A thread that makes data of messages holds the interpreter: after so many, and for so long, it lets the loop run."""
TRIES = 2
"""How often to try again to make data of a message that changes meanwhile."""


class Task(NamedTuple):
    """What has happened to one letter: how it is now (None: it is gone), and whether the store has never seen it."""

    number: int
    identity: str
    kept: Snapshot | None
    new: bool


class Batch(NamedTuple):
    """What is written together: letters that were only buried, and whatever has happened to others."""

    fresh: list[tuple[int, Raw]]
    tasks: list[Task]


@attrs.define
class Written:
    """What came of a batch: which letters cannot be stored and why, and what others did to the file, if anything."""

    not_stored: dict[int, str]
    letters: int
    found: Sequence[LetterRecord] | None


def open_again(store: LetterStore, held: bool) -> OpenedStore:
    """Open a store, which has to be closed before that if it is still held."""
    if held:
        with suppress(Exception):  # it is out of order; whether it can be closed tells nothing new
            store.close()
    return store.open()


@attrs.frozen
class Writer:
    """What the thread needs to know. It reads what it is given, and changes nothing but the store."""

    store: LetterStore
    ids: LetterIds
    key: str  # what idempotency keys begin with
    offset: float  # the Unix time of zero on the runtime's clock

    def save(self, batch: Batch) -> Written:
        """Write a batch; what came of it."""
        not_stored: dict[int, str] = {}
        changes = self._fresh(batch, not_stored)
        for task in batch.tasks:
            changes += [(task.number, change) for change in self._changes(task, not_stored)]
        if batch.tasks:
            changes.sort(key=itemgetter(0))  # letters keep the place in the file that they are added at
        return Written(not_stored, self._write(changes, not_stored), self.look())

    def _write(self, changes: Sequence[tuple[int, LetterChange]], not_stored: dict[int, str]) -> int:
        """All at once, and if the store refuses a letter, in halves: it must not keep the others waiting; how many."""
        try:
            self.store.write([change for _, change in changes])
        except InvalidSpec as error:
            if len(changes) < 2:
                not_stored |= {number: str(error) for number, _ in changes}
                return 0
            middle = len(changes) // 2
            return self._write(changes[:middle], not_stored) + self._write(changes[middle:], not_stored)
        return len(changes)

    def look(self) -> Sequence[LetterRecord] | None:
        """What is in the store, if somebody else has changed that."""
        found: Sequence[LetterRecord] | None = self.store.reload() if self.store.changed() else None
        return found

    def _fresh(self, batch: Batch, not_stored: dict[int, str]) -> list[tuple[int, LetterChange]]:
        """Letters that were only buried; there may be thousands."""
        key, offset, encode = self.key, self.offset, self.store.encode
        changes: list[tuple[int, LetterChange]] = []
        ids = self.ids.several([number for number, _ in batch.fresh])
        addresses: dict[int, tuple[RecipientKind, str]] = {}  # by id: letters mostly have a recipient in common
        for count, ((number, raw), identity) in enumerate(zip(batch.fresh, ids, strict=True), start=1):
            try:
                to = addresses.get(id(raw[1]))
                if to is None:
                    to = addresses[id(raw[1])] = address(raw[1])
                record: LetterRecord | None = record_of_raw(raw, to, identity, key + identity, offset, encode)
            except Exception:
                record = self._record(number, identity, raw, not_stored)
            if record is not None:
                changes.append((number, AddLetter(record)))
            if count % BREATH_EVERY == 0:
                time.sleep(BREATH)
        return changes

    def _changes(self, task: Task, not_stored: dict[int, str]) -> list[LetterChange]:
        if task.kept is None:
            return [RemoveLetter(task.identity)]
        problems: dict[int, str] = {}
        record = self._record(task.number, task.identity, task.kept, problems)
        if record is None:
            if task.new:
                not_stored |= problems
            return []  # if the store has it, then as it was before
        if not task.new:
            return [UpdateLetter(record, task.kept.answered)]
        # The store may have it all the same, with a request for its delivery: if the outcome of a write is unknown.
        return [AddLetter(record), UpdateLetter(record, answered=True)] if task.kept.answered else [AddLetter(record)]

    def _record(
        self, number: int, identity: str, kept: Raw | Snapshot, not_stored: dict[int, str]
    ) -> LetterRecord | None:
        """With all the care that it may need."""
        problem: Exception | None = None
        for _ in range(TRIES):
            try:
                return record_of(kept, identity, self.key + identity, self.offset, self.store.encode)
            except RuntimeError as error:
                problem = error  # a dict or the like changed while it was read: its owner runs beside us
            except Exception as error:
                problem = error
                break
        not_stored[number] = str(problem) if isinstance(problem, CannotStore) else repr(problem)
        return None
