"""The file of the SQLite store: it is made, found again, brought up to date, or refused as it is."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from nursery_otp import InvalidSpec, OpenedStore, StoreError
from nursery_otp.stores import LetterStore, SQLiteStore
from nursery_otp.stores import _schema as schema
from tests.stores.letters import add, letter, outside

# ---------------------------------------------------------------------------------- opening, writing


def test_new_file(path):
    """The first opening makes the file; it has number 1 and no letters."""
    store = SQLiteStore(path)

    assert isinstance(store, LetterStore)
    assert OpenedStore(1, []) == store.open()
    assert (str(path), f"SQLiteStore({str(path)!r})") == (str(store), repr(store))
    store.close()
    store.close()
    assert path.exists()


def test_every_opening_has_its_number(path):
    """No two openings have the same number, whether one after the other or at the same time."""
    stores = [SQLiteStore(path) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        epochs = list(threads.map(lambda store: store.open().epoch, stores))
    for store in stores:
        store.close()
    epochs += [stores[0].open().epoch]
    stores[0].close()

    assert list(range(1, 10)) == sorted(epochs)


def test_durable_settings(store):
    """Every commit is synced to a write-ahead log."""
    values = [store._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    assert ["wal", 2] == values


def test_defaults_of_the_table(store):
    """A column that an insert leaves out gets what the letter has there."""
    assert schema.TABLE_DEFAULTS.keys() == set(schema.COLUMNS) - {
        *("id", "recipient", "message", "reason", "first_failure", "last_attempt")
    }
    required = set(schema.COLUMNS) - schema.TABLE_DEFAULTS.keys()
    each = letter(1, idempotency_key=None)
    statement = schema.insert(tuple(required), (), False, 1)
    store._connection.execute(statement, [getattr(each, column) for column in required])

    assert [each] == store.reload()


def test_path_with_two_slashes(tmp_path):
    """A path that begins with two slashes is a path, and no host."""
    store = SQLiteStore(f"/{tmp_path}/letters.sqlite")

    assert 1 == store.open().epoch
    store.close()
    assert ["letters.sqlite"] == [each.name for each in tmp_path.iterdir()]


# --------------------------------------------------------------------------------------- which file


@pytest.mark.parametrize("path", [None, 17, "", b"letters", ":memory:", "a\0b"])
def test_not_a_path(path):
    """Something that is no path is refused when the store is made."""
    with pytest.raises(InvalidSpec, match="path"):
        SQLiteStore(path)


def test_not_a_bool():
    """Whether to pickle is said with True or False."""
    with pytest.raises(InvalidSpec, match="pickle"):
        SQLiteStore("x", pickle="yes")


@pytest.mark.parametrize("name", ["a?mode=ro#x", "100%", "ö ä", "\udc80", "file:x"])
def test_odd_names_of_files(tmp_path, monkeypatch, name):
    """Any name that a file can have will do."""
    monkeypatch.chdir(tmp_path)
    store = SQLiteStore(name)
    store.open()
    store.close()

    assert [name] == os.listdir()


def lasting(path):
    """The lasting error that opening the file gives; the file is not touched."""
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        SQLiteStore(path).open()

    assert caught.value.lasting
    assert str(path) == caught.value.store
    assert str(caught.value).startswith(str(path))
    assert before == path.read_bytes()
    return str(caught.value)


def test_not_a_database(path):
    """A file that is no database is refused, and stays as it is."""
    path.write_text("Dear diary, " * 1000)

    assert "no SQLite database" in lasting(path)


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE songs (name)"],
        ["PRAGMA application_id = 7"],
        ["PRAGMA user_version = 1", "CREATE TABLE letters (id)"],
    ],
)
def test_database_of_another_application(path, statements):
    """A database that is not ours is refused, and stays as it is."""
    outside(path, *statements)

    assert "another application" in lasting(path)


def test_newer_schema(path, store):
    """A file of a newer version is refused with both versions, rather than read as if it were understood."""
    store.close()
    outside(path, "PRAGMA user_version = 99", "PRAGMA wal_checkpoint(TRUNCATE)")

    assert "version 99; this one knows up to 1" in lasting(path)


def test_damaged_row(path, store):
    """A row that somebody has edited badly is named."""
    store.write(add(letter(1), letter(2)))
    outside(path, "UPDATE letters SET state = 'gone' WHERE id = '1-2'")
    with pytest.raises(StoreError, match=r"the letter '1-2' is damaged \(state='gone'") as caught:
        SQLiteStore(path).open()

    assert caught.value.lasting


def test_migrations(path):
    """Versions are reached one after the other, each once, from wherever a file stands."""
    more = (*schema.MIGRATIONS, (2, ["CREATE TABLE second (x)"]), (3, ["INSERT INTO second VALUES (3)"]))
    connection = sqlite3.connect(path, isolation_level=None)
    for table in (more[:1], more[:2], more, more):
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        schema.migrate(connection, version, table)

    assert 3 == connection.execute("PRAGMA user_version").fetchone()[0]
    assert [(3,)] == connection.execute("SELECT x FROM second").fetchall()
    connection.close()


def test_version_numbers():
    """Versions count up from 1."""
    assert list(range(1, schema.VERSION + 1)) == [version for version, _ in schema.MIGRATIONS]
