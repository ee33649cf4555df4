"""The tables of a file of letters, and how they came to be what they are.

The file says whose it is (`application_id`) and which version of the tables it has (`user_version`). A column that has
its default is left out of most inserts: binding a value costs more than storing it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, TypeAlias

import attrs

from nursery_otp import InvalidSpec, LetterRecord, StoreError, check_letter

APPLICATION = 0x4E4F5450  # "NOTP"
Migrations: TypeAlias = Sequence[tuple[int, Sequence[str]]]

# Each version with the statements that lead to it from the one before. Published ones never change.
MIGRATIONS: Migrations = (
    (
        1,
        (
            f"PRAGMA application_id = {APPLICATION}",
            "CREATE TABLE store (epoch INTEGER NOT NULL)",
            "INSERT INTO store (epoch) VALUES (0)",
            # seq is the order in which letters were added. What can be long stands last, so that a filter that reads
            # the whole table does not read it.
            """CREATE TABLE letters (
                seq INTEGER PRIMARY KEY,
                id TEXT NOT NULL UNIQUE,
                recipient_kind TEXT NOT NULL DEFAULT 'name',
                recipient TEXT NOT NULL,
                reason TEXT NOT NULL,
                attempts INTEGER NOT NULL DEFAULT 1,
                first_failure REAL NOT NULL,
                last_attempt REAL NOT NULL,
                state TEXT NOT NULL DEFAULT 'waiting',
                requested INTEGER NOT NULL DEFAULT 0,
                idempotency_key TEXT,
                correlation_id TEXT,
                cause TEXT,
                metadata TEXT NOT NULL DEFAULT '{}',
                trace TEXT,
                message TEXT
            )""",
            # For what is rare among many. Indexes by recipient, reason and age would make each insert a third more
            # expensive, to save the few milliseconds that it takes to read ten thousand short rows.
            "CREATE INDEX letters_not_waiting ON letters (state) WHERE state <> 'waiting'",
        ),
    ),
)
VERSION = MIGRATIONS[-1][0]

AT_ONCE = 50  # rows in one statement: a third less time than one each, and few enough parameters for any SQLite
COLUMNS = LetterRecord._fields
SELECT = f"SELECT {', '.join(COLUMNS)} FROM letters"  # noqa: S608 - names from this file only
UPDATE = f"UPDATE letters SET ({', '.join(COLUMNS)}) = ({', '.join('?' * len(COLUMNS))}) WHERE id = ?"  # noqa: S608
REMOVE = "DELETE FROM letters WHERE id = ?"


@attrs.frozen
class Insert:
    """A statement that adds a letter, one that adds `AT_ONCE` of them, and what they take of each."""

    one: str
    many: str
    row: Callable[[LetterRecord], tuple[Any, ...]]

    @classmethod
    def without(cls, *left_out: str) -> Insert:
        """Leaves these columns to their defaults."""
        columns = [column for column in COLUMNS if column not in left_out]
        marks = f"({', '.join('?' * len(columns))})"
        sets = ", ".join(f"{column} = excluded.{column}" for column in COLUMNS[1:])
        one, many = (
            f"INSERT INTO letters ({', '.join(columns)}) VALUES {values} ON CONFLICT (id) DO UPDATE SET {sets}"  # noqa: S608
            for values in (marks, ", ".join([marks] * AT_ONCE))
        )
        return cls(one, many, itemgetter(*map(COLUMNS.index, columns)))

    def carry_out(self, connection: sqlite3.Connection, letters: Sequence[LetterRecord]) -> None:
        """Add letters."""
        rows = list(map(self.row, letters))
        full = len(rows) - len(rows) % AT_ONCE
        together = [list(chain.from_iterable(rows[start : start + AT_ONCE])) for start in range(0, full, AT_ONCE)]
        connection.executemany(self.many, together)
        connection.executemany(self.one, rows[full:])


MOSTLY_USUAL = ("recipient_kind", "metadata", "correlation_id", "state", "requested", "trace")
USUAL = tuple({"recipient_kind": "name", **LetterRecord._field_defaults}[column] for column in MOSTLY_USUAL)
_tail = itemgetter(*map(COLUMNS.index, MOSTLY_USUAL))
ADD = Insert.without()
ADD_USUAL = Insert.without(*MOSTLY_USUAL)
ADD_USUAL_NO_CAUSE = Insert.without(*MOSTLY_USUAL, "cause")


def insert_for(letter: LetterRecord) -> Insert:
    """The cheapest way to add a letter."""
    if _tail(letter) != USUAL:
        return ADD
    return ADD_USUAL_NO_CAUSE if letter.cause is None else ADD_USUAL


def identify(connection: sqlite3.Connection, store: str) -> int:
    """The version of the tables in a file, 0 if it is new; `StoreError` if it is not a file of letters."""
    application = value(connection, "PRAGMA application_id")
    version: int = value(connection, "PRAGMA user_version")
    if application == 0 and version == 0 and value(connection, "SELECT count(*) FROM sqlite_schema") == 0:
        return 0
    if application != APPLICATION:
        problem = "this is a database of another application; give the letters a file of their own"
        raise StoreError(store, problem, lasting=True)
    if version > VERSION:
        problem = (
            f"written by a newer nursery_otp (tables of version {version}; this one knows up to {VERSION}); "
            "update the library, or use another file"
        )
        raise StoreError(store, problem, lasting=True)
    return version


def migrate(connection: sqlite3.Connection, version: int, migrations: Migrations = MIGRATIONS) -> None:
    """Bring the tables from `version` to the newest one; inside of a transaction."""
    for number, statements in migrations:
        if number > version:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")


def value(connection: sqlite3.Connection, query: str, parameters: Sequence[Any] = ()) -> Any:
    """The one value that a query gives."""
    return connection.execute(query, parameters).fetchone()[0]


# ------------------------------------------------------------------------------------ records, rows


def record(row: Sequence[Any], store: str) -> LetterRecord:
    """The letter of a row selected by `SELECT`; `StoreError` if somebody has put something else in the table."""
    letter = LetterRecord._make(row)
    if bytes in map(type, row):
        letter = LetterRecord._make(_text(field) for field in row)
    letter = letter._replace(requested=bool(letter.requested))
    try:
        return check_letter(letter)
    except InvalidSpec as error:
        problem = f"the letter {letter.id!r} is damaged ({error}); correct or delete its row with sqlite3"
        raise StoreError(store, problem, lasting=True) from error


def storable(fields: Iterable[Any]) -> list[Any]:
    """The same fields with texts that are not Unicode (lone surrogates, as in names of files) as bytes."""
    return [_bytes(field) if isinstance(field, str) else field for field in fields]


def _bytes(text: str) -> str | bytes:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _text(field: Any) -> Any:
    return field.decode("utf-8", "surrogatepass") if isinstance(field, bytes) else field
