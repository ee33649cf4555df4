"""A file of letters, seen from outside of the program that writes it: for tools.

A runtime may have the file open meanwhile. It notices what is changed here (see `LetterStore.changed`).
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple

import attrs

from nursery_otp import LetterRecord, StoreError
from nursery_otp.stores import _schema as schema
from nursery_otp.stores._connecting import MAY_NOT_WRITE, advice, checked_path, connect, primary_code, transaction


@attrs.frozen(kw_only=True)
class LetterFilter:
    """Which letters: those for which everything that is given holds.

    `failed_before` is a Unix time in seconds; it is compared with the letter's first failure.
    """

    ids: Sequence[str] | None = None
    recipient: str | None = None
    reason: str | None = None
    state: str | None = None
    failed_before: float | None = None

    def where(self) -> tuple[str, list[Any]]:
        """As SQL, with its parameters."""
        conditions = ["TRUE"]
        parameters: list[Any] = []
        for value, condition in (
            (None if self.ids is None else json.dumps(self.ids), "id IN (SELECT value FROM json_each(?))"),
            (self.recipient, "recipient = ?"),
            (self.reason, "reason = ?"),
            # Said twice for the planner, which uses a partial index only if its condition is said.
            (self.state, "state = ?" if self.state == "waiting" else "state <> 'waiting' AND state = ?"),
            (self.failed_before, "first_failure < ?"),
        ):
            if value is not None:
                conditions.append(condition)
                parameters.append(value)
        return " AND ".join(conditions), schema.storable(parameters)


class Outline(NamedTuple):
    """As much of a letter as it takes to decide what to do with it."""

    id: str
    recipient_kind: str
    recipient: str
    has_message: bool
    requested: bool


class Stamp(NamedTuple):
    """What tells that somebody has written a file, or put another one in its place."""

    device: int
    inode: int
    size: int
    written: int
    has_log: bool


class LetterFile:
    """The letters of a file, for looking (`writable=False`) or for changing. A context manager.

    The file must be there, and be one of letters already. Raises `StoreError` and `InvalidSpec` as `SQLiteStore` does.
    """

    def __init__(self, path: str | os.PathLike[str], *, writable: bool = False) -> None:
        self.path = checked_path(path)
        self._stamp: Stamp | None = None  # of a file that is read without its locks
        self._connection = connect(self.path, "rw") if writable else self._for_reading()
        try:
            with advice(self.path):
                self._connection.execute("PRAGMA synchronous = FULL")
                with transaction(self._connection, reading=True):
                    version = schema.identify(self._connection, self.path)
                if version < schema.VERSION:
                    self._bring_up_to_date(version, writable=writable)
        except BaseException:
            self.close()
            raise

    def _for_reading(self) -> sqlite3.Connection:
        """A connection that changes no letter.

        Not `mode=ro`: such a connection cannot tidy up when it is closed, and would leave FILE-wal and FILE-shm behind,
        in the name of whoever looked. SQLite itself falls back to reading if the file may not be written.
        """
        try:
            connection = connect(self.path, "rw")
        except StoreError as error:
            refused = isinstance(error.__cause__, sqlite3.Error) and primary_code(error.__cause__) in MAY_NOT_WRITE
            self._stamp = _stamp(self.path)
            if not refused or self._stamp is None or self._stamp.has_log:
                raise
            return connect(self.path, "ro", immutable=True)  # nobody has it open, as there would be a log
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _bring_up_to_date(self, version: int, *, writable: bool) -> None:
        if not version or not writable:
            raise StoreError(
                self.path, "written by an older version, or empty: open it once with the program", lasting=True
            )
        with transaction(self._connection):
            schema.migrate(self._connection, schema.identify(self._connection, self.path))

    def __enter__(self) -> LetterFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def openings(self) -> int:
        """How often programs have opened the file as their store."""
        with advice(self.path):
            epoch: int = schema.value(self._connection, "SELECT epoch FROM store")
            return epoch

    def count(self, which: LetterFilter) -> int:
        """How many letters these are."""
        where, parameters = which.where()
        with advice(self.path):
            found: int = schema.value(self._connection, f"SELECT count(*) FROM letters WHERE {where}", parameters)  # noqa: S608
            return found

    def select(
        self, which: LetterFilter, *, limit: int | None = None, shorten: int | None = None
    ) -> Iterator[LetterRecord]:
        """The letters, one after the other in the order they were added: the first `limit` of them.

        `shorten` cuts the text of messages to so many characters.
        """
        where, parameters = which.where()
        message = "message" if shorten is None else f"substr(message, 1, {int(shorten)})"
        query = schema.SELECT.replace(" message,", f" {message},")
        with advice(self.path):
            for row in self._connection.execute(
                f"{query} WHERE {where} ORDER BY seq LIMIT ?", [*parameters, -1 if limit is None else limit]
            ):
                yield schema.record(row, self.path)

    def outline(self, which: LetterFilter, *, limit: int | None = None) -> Iterator[Outline]:
        """What `select` gives, in short: a tenth of the time if there are many."""
        where, parameters = which.where()
        columns = "id, recipient_kind, recipient, message IS NOT NULL, requested <> 0"
        query = f"SELECT {columns} FROM letters WHERE {where}"  # noqa: S608
        with advice(self.path):
            for row in self._connection.execute(
                f"{query} ORDER BY seq LIMIT ?", [*parameters, -1 if limit is None else limit]
            ):
                yield schema.checked_texts(Outline._make(row), self.path)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """What is read inside of it is how things were at one moment; others may write meanwhile.

        `StoreError` at the end if they did so to a file that could only be read without its locks: what was read may be
        of several moments then.
        """
        with advice(self.path), transaction(self._connection, reading=True):
            yield
        if self._stamp is not None and self._stamp != _stamp(self.path):
            raise StoreError(self.path, "somebody wrote it while it was read; try again")

    @contextmanager
    def changing(self) -> Iterator[None]:
        """What is read and changed inside of it happens at once, or not at all."""
        with advice(self.path), transaction(self._connection):
            yield

    def request(self, ids: Sequence[str]) -> None:
        """Ask the runtime that has the file open, or opens it next, to deliver these letters."""
        self._change("UPDATE letters SET requested = 1 WHERE id = ?", ids)

    def withdraw(self, ids: Sequence[str]) -> None:
        """Ask for these letters no more."""
        self._change("UPDATE letters SET requested = 0 WHERE id = ? AND requested", ids)

    def remove(self, ids: Sequence[str]) -> None:
        """Remove these letters."""
        self._change(schema.REMOVE, ids)

    def _change(self, statement: str, ids: Sequence[str]) -> None:
        with advice(self.path):
            self._connection.executemany(statement, [schema.storable([identity]) for identity in ids])


def _stamp(path: str) -> Stamp | None:
    """How the file is now that is found there, behind all links; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    has_log = os.path.exists(f"{os.path.realpath(path)}-wal")
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, has_log)
