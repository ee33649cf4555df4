"""One connection to a file of letters, with errors that say what to do."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal, TypeAlias
from urllib.parse import quote

from nursery_otp import InvalidSpec, StoreError

Mode: TypeAlias = Literal["rwc", "rw", "ro"]

LOCK_PATIENCE = 5.0  # seconds

FULL = "the disk, or the room that this user may take, is full; free some"
READ_ONLY = "it may not be written; make the file and its directory writable (SQLite keeps FILE-wal beside it)"
NOT_OPENED = "it cannot be opened; may this user write the file and its directory?"
LOCKED = f"another program has locked it for more than {LOCK_PATIENCE:g} s"
NOT_SQLITE = "this is no SQLite database; choose another file, or move this one away"
DAMAGED = "the database is damaged; move it away, and rescue what is left with `sqlite3 FILE .recover`"

ADVICE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_PERM: READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: NOT_OPENED,
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_NOTADB: NOT_SQLITE,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
}
CORRECT_IT = "correct or delete its row with sqlite3"
MAY_NOT_WRITE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
NOT_UTF8 = "Could not decode to UTF-8"  # Python's own complaint about a text, which has no code
LASTING = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}


def checked_path(path: object) -> str:
    """The path as text; `InvalidSpec` if it is none, or one that means no file to SQLite."""
    problem = "must be the path of a file, as text or Path"
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        raise InvalidSpec("path", path, problem) from None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidSpec("path", path, problem)
    if text == ":memory:":
        raise InvalidSpec("path", path, f"{problem}; without a store, letters are kept in memory")
    return text


def connect(path: str, mode: Mode, *, immutable: bool = False, called: str | None = None) -> sqlite3.Connection:
    """Open a file, for use in one thread after the other; every transaction is begun and ended by hand.

    `called` is what the user calls it, for errors.
    """
    called = path if called is None else called
    _check_kind(path, called)
    at = os.fsencode(f"/{path.lstrip('/')}" if path.startswith("/") else path)  # "//tmp" would be a host
    with advice(called, mode, place=path):
        connection = sqlite3.connect(
            f"file:{quote(at)}?mode={mode}{'&immutable=1' if immutable else ''}",
            uri=True,
            timeout=LOCK_PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA user_version").fetchone()  # the first look into the file
        except BaseException:
            connection.close()
            raise
        return connection


def _check_kind(path: str, called: str) -> None:
    """Nothing but a file is opened: to open a pipe could take for ever."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # SQLite says why
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "no file, but a pipe, a socket or a device"
        raise StoreError(called, f"this is {kind}; name a file", lasting=True)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's code without its details. What Python's own module complains about has none: wrong use, mostly."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


@contextmanager
def advice(path: str, mode: Mode = "rwc", *, place: str | None = None) -> Iterator[None]:
    """Turn errors of SQLite into `StoreError`s; `place` is where the file is, if that is not `path`."""
    try:
        yield
    except sqlite3.Error as error:
        if str(error).startswith(NOT_UTF8):
            raise StoreError(path, f"a letter is damaged ({error}); {CORRECT_IT}", lasting=True) from error
        code = primary_code(error)
        if code == sqlite3.SQLITE_CANTOPEN:
            _check_place(path, path if place is None else place, mode, error)
        raise StoreError(path, f"{ADVICE.get(code, 'SQLite failed')} ({error})", lasting=code in LASTING) from error


def _check_place(path: str, place: str, mode: Mode, error: sqlite3.Error) -> None:
    """`StoreError` if it is the path itself that is wrong.

    That there is no such directory is lasting trouble: nobody here makes one, so it is a slip of the pen most likely,
    and to go on without the file would cost every letter at the end of the program.
    """
    directory = os.path.dirname(os.path.realpath(place))
    try:
        os.stat(os.path.join(directory, ""))
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(path, f"there is no directory {directory!r}; make it ({error})", lasting=True) from error
    except OSError:
        return  # it may be there: this user cannot see it
    if mode != "rwc" and not os.path.exists(place):
        raise StoreError(path, f"there is no such file ({error})") from error


@contextmanager
def transaction(connection: sqlite3.Connection, *, reading: bool = False) -> Iterator[None]:
    """All or nothing, and the only writer meanwhile; or (`reading`) a view that does not change meanwhile."""
    connection.execute("BEGIN" if reading else "BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # the error that led here says more; SQLite may have rolled back itself
            connection.execute("ROLLBACK")
        raise
