"""Dead letters in a SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from threading import Lock
from typing import Any

from nursery_otp import (
    AddLetter,
    InvalidSpec,
    LetterChange,
    LetterRecord,
    OpenedStore,
    RemoveLetter,
    StoreError,
    UpdateLetter,
    check_letter,
)
from nursery_otp.stores import _schema as schema
from nursery_otp.stores._connecting import advice, checked_path, connect, primary_code, transaction
from nursery_otp.stores.codec import MessageCodec

GONE = "it was removed or replaced while it was in use; what was in it is lost if nobody has it"
IN_USE = "this SQLiteStore is in use already; give each tree one of its own, with a file of its own"
_claiming = Lock()


class SQLiteStore:
    """Keeps the dead letters of a runtime in a SQLite file (write-ahead log, every write synced to the disk).

    `path` is the file; it is created if it is missing, its directory is not. A store belongs to one runtime at a time.
    Give each runtime a file of its own, too: two stores may have the same one, and neither loses a letter, but both
    runtimes will try to deliver what was in it when they opened it, and neither sees what the other adds.

    What a message may hold, and what happens when it is loaded, is said at `MessageCodec`. `pickle=True` also stores
    what is not data, as pickles; only use it if nobody else can write the file.

    Raises `InvalidSpec` for a path that is none.

    >>> store = SQLiteStore("letters.sqlite")
    >>> store.encode(("paid", 17))
    '{"$tuple":["paid",17]}'
    """

    def __init__(self, path: str | os.PathLike[str], *, pickle: bool = False) -> None:
        self.path = checked_path(path)
        self._place = os.path.abspath(self.path)  # it stays where it is if the program changes its directory
        if not isinstance(pickle, bool):
            raise InvalidSpec("pickle", pickle, "must be True or False")
        codec = MessageCodec(pickle=pickle)
        self.encode = codec.encode
        self.decode = codec.decode
        self._in_use = False
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # which file the connection is to
        self._same = False  # whether it is the one that the last connection was to
        self._epoch = 0
        self._seen = -1  # the version of the data that the runtime has seen

    def __str__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"SQLiteStore({self.path!r})"

    def open(self) -> OpenedStore:
        """See `LetterStore.open`. Lasting trouble if it is open: one connection must not serve two runtimes."""
        with _claiming:
            if self._in_use:
                raise StoreError(self.path, IN_USE, lasting=True)
            self._in_use = True
        try:
            return self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> OpenedStore:
        self._disconnect()  # somebody may have used it without opening it
        connection = self._connected()
        with self._careful(), transaction(connection):
            connection.execute("UPDATE store SET epoch = epoch + 1")
            self._epoch = schema.value(connection, "SELECT epoch FROM store")
            letters = self._letters(connection)
            self._seen = self._version()
        return OpenedStore(self._epoch, letters, self._same)

    def write(self, changes: Sequence[LetterChange]) -> None:
        """See `LetterStore.write`. `InvalidSpec` if a letter is wrong in itself."""
        connection = self._connected()
        with self._careful(), _naming_too_long(changes):
            try:
                with transaction(connection):
                    _apply(connection, changes)
            except UnicodeEncodeError:
                with transaction(connection):
                    _apply_one_by_one(connection, changes)

    def changed(self) -> bool:
        """See `LetterStore.changed`."""
        self._connected()
        with self._careful():
            return self._version() != self._seen

    def reload(self) -> list[LetterRecord]:
        """See `LetterStore.reload`."""
        connection = self._connected()
        with self._careful():
            version = self._version()  # first, so that a change in between is seen again rather than missed
            letters = self._letters(connection)
        self._seen = version
        return letters

    def close(self) -> None:
        """See `LetterStore.close`."""
        self._disconnect()
        self._in_use = False

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):  # what was acknowledged is safe; a full disk may prevent the tidying up
                connection.close()

    def _letters(self, connection: sqlite3.Connection) -> list[LetterRecord]:
        rows = connection.execute(f"{schema.SELECT} ORDER BY seq")
        return [schema.record(row, self.path) for row in rows]

    def _version(self) -> int:
        """A number that differs when another connection has changed the file."""
        version: int = schema.value(self._connected(), "PRAGMA data_version")
        return version

    # ---------------------------------------------------------------------------------- connecting

    def _connected(self) -> sqlite3.Connection:
        """The connection; made anew after trouble, as SQLite's state may be part of it."""
        if self._connection is not None and self._file != _file_at(self._place):
            self._disconnect()
            self._file = None  # what is there next is another one, even if it gets the same number
            raise StoreError(self.path, GONE)
        if self._connection is None:
            self._connection = self._connect()
            file = _file_at(self._place)
            self._same, self._file = self._same and file == self._file, file
            self._seen = -1
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self._place, "rwc", called=self.path)
        try:
            with advice(self.path):
                with transaction(connection, reading=True):
                    schema.identify(connection, self.path)  # before anything is changed
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                with transaction(connection):
                    schema.migrate(connection, schema.identify(connection, self.path))
                    # An older copy has been opened less often.
                    self._same = schema.value(connection, "SELECT epoch FROM store") >= self._epoch
                    # If the file was replaced by another one, ids of this opening must not be given again there.
                    connection.execute("UPDATE store SET epoch = max(epoch, ?)", (self._epoch,))
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _careful(self) -> Iterator[None]:
        """Turn errors into advice, and give up the connection after one."""
        with advice(self.path):
            try:
                yield
            except BaseException:
                self._disconnect()
                raise


@contextmanager
def _naming_too_long(changes: Sequence[LetterChange]) -> Iterator[None]:
    """What SQLite does not take for its length is a letter that is wrong in itself, and no trouble with the file."""
    try:
        yield
    except (sqlite3.DataError, OverflowError) as error:
        letters = [change.letter for change in changes if not isinstance(change, RemoveLetter)]
        if not letters or (isinstance(error, sqlite3.Error) and primary_code(error) != sqlite3.SQLITE_TOOBIG):
            raise
        longest = max(letters, key=_length)
        problem = f"too long for SQLite, with {_length(longest):,} characters ({error})"
        raise InvalidSpec("letter", longest.id, problem) from error


def _length(letter: LetterRecord) -> int:
    return sum(len(field) for field in letter if isinstance(field, str))


def _apply(connection: sqlite3.Connection, changes: Sequence[LetterChange]) -> None:
    """Neighbours of one kind go together."""
    for kind, group in groupby(changes, type):
        run = list(group)
        if kind not in KINDS:
            raise InvalidSpec("changes", run[0], "must be AddLetter, UpdateLetter or RemoveLetter objects")
        if kind is AddLetter:
            schema.add(connection, [change.letter for change in run])  # type: ignore[union-attr]
        else:
            statement = schema.UPDATE if kind is UpdateLetter else schema.REMOVE
            connection.executemany(statement, map(_parameters, run))


def _apply_one_by_one(connection: sqlite3.Connection, changes: Sequence[LetterChange]) -> None:
    """The slow way, for letters with texts that SQLite does not take as such."""
    add = schema.insert(schema.COLUMNS, (), False, 1)
    statements = {AddLetter: add, UpdateLetter: schema.UPDATE, RemoveLetter: schema.REMOVE}
    for change in changes:
        connection.execute(statements[type(change)], schema.storable(_parameters(change)))


KINDS = {AddLetter, UpdateLetter, RemoveLetter}


def _parameters(change: LetterChange) -> Sequence[Any]:
    match change:
        case AddLetter(letter):
            return check_letter(letter)
        case UpdateLetter(letter, answered):
            return (*check_letter(letter), answered)
        case RemoveLetter(identity):
            return (identity,)


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
