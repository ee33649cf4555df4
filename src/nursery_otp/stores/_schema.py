"""The tables of a file of letters, and how they came to be what they are.

The file says whose it is (`application_id`) and which version of the tables it has (`user_version`). Columns that have
their defaults are left out of inserts, and values that letters have in common are bound once: to bind a value costs
more than to store it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from math import isfinite
from typing import Any, TypeAlias, TypeVar, get_args, get_type_hints

from nursery_otp import InvalidSpec, LetterRecord, StoreError, check_letter
from nursery_otp.stores._connecting import CORRECT_IT, DAMAGED

APPLICATION = 0x4E4F5450  # "NOTP"
Row = TypeVar("Row", bound=tuple[Any, ...])
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
MOST_EPOCHS = 2**62
VERSION = MIGRATIONS[-1][0]

AT_ONCE = 50  # rows in one statement: a third less time than one each, and few enough parameters for any SQLite
COLUMNS = LetterRecord._fields
TEXTS = ("id", "recipient", "reason", "metadata")
OPTIONAL_TEXTS = ("message", "idempotency_key", "correlation_id", "cause", "trace")
TIMES = ("first_failure", "last_attempt")
STATES, RECIPIENT_KINDS = (get_args(get_type_hints(LetterRecord)[field]) for field in ("state", "recipient_kind"))
SELECT = f"SELECT {', '.join(COLUMNS)} FROM letters"  # noqa: S608 - names from this file only
REMOVE = "DELETE FROM letters WHERE id = ?"
SET = {column: f"?{number}" for number, column in enumerate(COLUMNS, start=1)}
SET["requested"] = f"max({SET['requested']}, requested * (1 - ?{len(COLUMNS) + 1}))"  # the last says: answered
UPDATE = f"UPDATE letters SET ({', '.join(SET)}) = ({', '.join(SET.values())}) WHERE id = ?1"  # noqa: S608
# Somebody may have asked for delivery since a letter was added; adding it again does not undo that.
REPLACE = ", ".join(f"{column} = excluded.{column}" for column in COLUMNS[1:] if column != "requested")
REPLACE += ", requested = max(excluded.requested, requested)"

# What the table fills in.
DEFAULTS = {"recipient_kind": "name", **LetterRecord._field_defaults}
TABLE_DEFAULTS = {column: value for column, value in DEFAULTS.items() if column not in TIMES}
TEXT, OPTIONAL_TEXT = frozenset({str}), frozenset({str, type(None)})
TYPES = {
    **dict.fromkeys(TEXTS, TEXT),
    **dict.fromkeys(OPTIONAL_TEXTS, OPTIONAL_TEXT),
    **dict.fromkeys(TIMES, frozenset({float})),
    "recipient_kind": TEXT,
    "state": TEXT,
    "attempts": frozenset({int}),
    "requested": frozenset({bool}),
}


@lru_cache(maxsize=64)
def insert(own: Sequence[str], common: Sequence[str], like_first: bool, rows: int) -> str:
    """A statement that adds as many letters, and leaves other columns to their defaults.

    Its parameters are those that are the same in all of them (`common`), and for each letter its `own`; `like_first`:
    the last attempt is the first one.
    """
    more = ["last_attempt"] if like_first else []
    shared = [f"?{number + 1}" for number in range(len(common))]
    values = []
    for row in range(rows):
        marks = [f"?{len(common) + row * len(own) + number + 1}" for number in range(len(own))]
        again = [marks[own.index("first_failure")]] if like_first else []
        values.append(f"({', '.join([*shared, *marks, *again])})")
    return (
        f"INSERT INTO letters ({', '.join([*common, *own, *more])}) VALUES {', '.join(values)} "  # noqa: S608
        f"ON CONFLICT (id) DO UPDATE SET {REPLACE}"
    )


def add(connection: sqlite3.Connection, letters: Sequence[LetterRecord]) -> None:
    """Add letters: at least one."""
    if set(map(type, letters)) != {LetterRecord}:
        for letter in letters:
            check_letter(letter)
    by_column = dict(zip(COLUMNS, zip(*letters, strict=True), strict=True))
    check(letters, by_column)
    common: dict[str, Any] = {}
    for column, values in list(by_column.items()):
        first = values[0]
        if column != "id" and first == values[-1] and values.count(first) == len(letters):
            del by_column[column]
            if column not in TABLE_DEFAULTS or first != TABLE_DEFAULTS[column]:
                common[column] = first
    times = [by_column.get(column) for column in TIMES]
    like_first = times[0] is not None and times[0] == times[1]
    if like_first:
        del by_column["last_attempt"]
    rows = list(zip(*by_column.values(), strict=True))
    full = len(rows) - len(rows) % AT_ONCE
    shared, own = tuple(common.values()), tuple(by_column)
    together = [(*shared, *chain.from_iterable(rows[start : start + AT_ONCE])) for start in range(0, full, AT_ONCE)]
    connection.executemany(insert(own, tuple(common), like_first, AT_ONCE), together)
    connection.executemany(insert(own, tuple(common), like_first, 1), [shared + row for row in rows[full:]])


def check(letters: Sequence[LetterRecord], by_column: Mapping[str, Sequence[Any]]) -> None:
    """`InvalidSpec` if a letter is wrong in itself: `check_letter`, but for all of them in a tenth of the time."""
    if not (
        all(types.issuperset(map(type, by_column[column])) for column, types in TYPES.items())
        and all(by_column["id"])
        and set(by_column["state"]).issubset(STATES)
        and set(by_column["recipient_kind"]).issubset(RECIPIENT_KINDS)
        and 0 <= min(by_column["attempts"]) <= max(by_column["attempts"]) < 2**31
        and all(isfinite(sum(by_column[column])) for column in TIMES)
    ):
        for letter in letters:  # most are right all the same, if only a time is an int
            check_letter(letter)


def identify(connection: sqlite3.Connection, store: str) -> int:
    """The version of the tables in a file, 0 if it is new; `StoreError` if it is not a file of letters."""
    application = value(connection, "PRAGMA application_id")
    version: int = value(connection, "PRAGMA user_version")
    if application == 0 and version == 0 and value(connection, "SELECT count(*) FROM sqlite_schema") == 0:
        return 0
    if application != APPLICATION:
        problem = "this is a database of another application; give the letters a file of their own"
        raise StoreError(store, problem, lasting=True)
    if version == 0:
        raise StoreError(store, f"it does not say its version; {DAMAGED}", lasting=True)
    if version > VERSION:
        problem = (
            f"written by a newer nursery_otp (tables of version {version}; this one knows up to {VERSION}); "
            "update the library, or use another file"
        )
        raise StoreError(store, problem, lasting=True)
    _check_tables(connection, store)
    return version


def _check_tables(connection: sqlite3.Connection, store: str) -> None:
    """A file that says that it is ours may still have been worked on."""
    try:
        connection.execute(f"{SELECT} LIMIT 0")
        epochs = [row[0] for row in connection.execute("SELECT epoch FROM store LIMIT 2")]
    except sqlite3.OperationalError as error:
        if not str(error).startswith("no such"):
            raise
        raise StoreError(store, f"{error}; {DAMAGED}", lasting=True) from error
    if len(epochs) != 1 or type(epochs[0]) is not int or not 0 <= epochs[0] < MOST_EPOCHS:
        raise StoreError(store, f"it does not say how often it was opened; {DAMAGED}", lasting=True)


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
    letter = checked_texts(LetterRecord._make(row), store)
    letter = letter._replace(requested=bool(letter.requested))
    try:
        return check_letter(letter)
    except InvalidSpec as error:
        raise StoreError(store, f"the letter {letter.id!r} is damaged ({error}); {CORRECT_IT}", lasting=True) from error


def checked_texts(row: Row, store: str) -> Row:
    """A row with bytes made text again, see `storable`."""
    if bytes not in map(type, row):
        return row
    try:
        return type(row)(*map(_text, row))
    except UnicodeDecodeError as error:
        raise StoreError(store, f"the letter {row[0]!r} is damaged ({error}); {CORRECT_IT}", lasting=True) from error


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
