"""Trouble with the disk: a clear error, nothing half written, and all is well when it is over.

The trouble is real: a file system that is full, a limit on the size of files, a user who may not write. What needs its
own process gets one.
"""

import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from nursery_otp import DeadLetterOptions, Name, StartFailed, StoreError, dead_letters, open_supervisor
from nursery_otp.stores import SQLiteStore
from tests.stores.letters import add, letter, outside
from tests.stores.trouble import LONG, fill

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}


OPENED = []


@pytest.fixture(autouse=True)
def no_connection_is_left():
    """Close what a test has opened."""
    yield
    while OPENED:
        OPENED.pop().close()


def opened(path):
    """A store that is in use."""
    store = SQLiteStore(path)
    OPENED.append(store)
    store.open()
    return store


def passing(function, *arguments):
    """The error that may pass which a function gives."""
    with pytest.raises(StoreError) as caught:
        function(*arguments)

    assert not caught.value.lasting
    return str(caught.value)


def lasting(function, *arguments):
    """The lasting error that a function gives."""
    with pytest.raises(StoreError) as caught:
        function(*arguments)

    assert caught.value.lasting
    return str(caught.value)


def in_child(name, path):
    """Run a program of `trouble.py`, and fail if it fails."""
    command = [sys.executable, "-m", "tests.stores.trouble", name, str(path)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A file system with 2 MB."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        pytest.skip("only root can mount")
    directory = tmp_path / "disk"
    directory.mkdir()
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "none", directory], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield directory
    subprocess.run([umount, "-l", directory], check=True)


def test_full_disk(small_disk):
    """On a full disk a write fails as a whole; with room again the same write succeeds."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_400_000)
    store = opened(small_disk / "letters.sqlite")
    error, done = fill(store)
    assert "full" in str(error)
    assert not error.lasting
    assert len(done) >= 3

    lost = [letter(5000 + each, message=LONG) for each in range(3)]
    assert "full" in passing(store.write, add(*lost))
    ballast.unlink()
    assert done == store.reload()
    store.write(add(*lost))
    store.close()
    assert [*done, *lost] == opened(small_disk / "letters.sqlite").reload()


def test_full_disk_when_opened(small_disk):
    """A store that cannot be made as the disk is full can be made later."""
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(b"x" * 3_000_000)
    store = SQLiteStore(small_disk / "letters.sqlite")
    assert "full" in passing(store.open)
    ballast.unlink()

    assert 1 == store.open().epoch
    store.close()


def test_limited_size(tmp_path):
    """A write that exceeds what the process may write fails as a whole, and later ones succeed."""
    in_child("limited", tmp_path / "letters.sqlite")
    store = SQLiteStore(tmp_path / "letters.sqlite")

    assert letter(9999) == store.open().letters[-1]
    store.close()


def test_read_only(tmp_path):
    """A file that may not be written says so; made writable, it works."""
    path = tmp_path / "public" / "letters.sqlite"
    path.parent.mkdir()
    store = opened(path)
    store.write(add(letter(1)))
    store.close()
    path.chmod(0o444)
    path.parent.chmod(0o555)
    reach(path)
    try:
        in_child("as_nobody", path)
    finally:
        path.parent.chmod(0o755)
        path.chmod(0o644)

    assert [letter(1)] == opened(path).reload()


def reach(path):
    """Let every user reach the directory of the test."""
    for directory in list(path.parents)[1:]:
        if directory.stat().st_uid != os.geteuid() or directory == directory.parent:
            break
        directory.chmod(directory.stat().st_mode | 0o055)


def test_read_only_while_in_use(tmp_path):
    """A connection that has become read-only is given up, and the next write makes a new one."""
    store = opened(tmp_path / "letters.sqlite")
    store.write(add(letter(1)))
    store._connection.execute("PRAGMA query_only = ON")  # what the connection of a read-only file is
    assert "readonly" in passing(store.write, add(letter(2)))
    store.write(add(letter(2)))

    assert [letter(1), letter(2)] == store.reload()


def test_missing_directory(tmp_path):
    """A directory that is not there is named, and is lasting trouble; when it is there, the store opens."""
    path = tmp_path / "missing" / "letters.sqlite"
    store = SQLiteStore(path)
    assert f"there is no directory {str(path.parent)!r}; make it" in lasting(store.open)
    path.parent.mkdir()

    assert 1 == store.open().epoch
    store.close()


def test_link_to_where_nothing_is(tmp_path, monkeypatch):
    """What counts is where the file would be: behind links, and from where the program was when it named it."""
    (tmp_path / "link").symlink_to(tmp_path / "missing" / "letters.sqlite")
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    here = SQLiteStore("data/letters.sqlite")
    monkeypatch.chdir("/")
    assert f"there is no directory {str(tmp_path / 'missing')!r}" in lasting(SQLiteStore(tmp_path / "link").open)

    monkeypatch.setattr("nursery_otp.stores._connecting.sqlite3.connect", cannot_open)
    assert "may this user write the file and its directory?" in passing(here.open)


def cannot_open(*_arguments, **_options):
    """What SQLite says for many reasons."""
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    raise error


def test_file_instead_of_a_directory(tmp_path):
    """A file is no directory."""
    (tmp_path / "file").touch()

    assert "there is no directory" in lasting(SQLiteStore(tmp_path / "file" / "letters.sqlite").open)


async def test_tree_without_the_directory_of_its_letters(tmp_path):
    """A tree whose letters have no directory does not start: it would lose them all at the end."""
    store = SQLiteStore(tmp_path / "missing" / "letters.sqlite")
    with pytest.raises(StartFailed, match="there is no directory"):
        async with open_supervisor(dead_letters=DeadLetterOptions(store=store)):
            pytest.fail("it must not start")


async def test_directory_that_goes_away_while_in_use(tmp_path):
    """A directory that is removed under a running tree costs no letter once it is there again."""
    path = tmp_path / "disk" / "letters.sqlite"
    path.parent.mkdir()
    async with open_supervisor(dead_letters=DeadLetterOptions(store=SQLiteStore(path))) as tree:
        path.parent.rename(tmp_path / "away")
        await dead_letters().add(Name("shop"), "two loaves", "closed")
        assert not await dead_letters().flush()
        path.parent.mkdir()
        assert await dead_letters().flush()
        tree.shutdown()

    assert ['"two loaves"'] == [each.message for each in opened(path).reload()]


def test_directory_that_cannot_be_seen(tmp_path, monkeypatch):
    """A directory that this user may not look at could be there: that is a question of rights, which may be given."""
    stat, hidden = os.stat, str(tmp_path / "x" / "")

    def refuse(path, **options):
        if str(path).startswith(hidden):
            raise PermissionError
        return stat(path, **options)

    monkeypatch.setattr("nursery_otp.stores._connecting.os.stat", refuse)

    assert "may this user write the file and its directory?" in passing(SQLiteStore(tmp_path / "x" / "letters").open)


def test_directory_instead_of_a_file(tmp_path):
    """A directory is no file."""
    with pytest.raises(StoreError, match="this is a directory") as caught:
        SQLiteStore(tmp_path).open()

    assert caught.value.lasting


def test_locked(tmp_path, monkeypatch):
    """A file that another program has locked is an error after a while; nothing is lost."""
    monkeypatch.setattr("nursery_otp.stores._connecting.LOCK_PATIENCE", 0.01)
    path = tmp_path / "letters.sqlite"
    store = opened(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert "locked" in passing(store.write, add(letter(1)))
    other.execute("COMMIT")
    other.close()

    store.write(add(letter(1)))
    assert [letter(1)] == store.reload()


@pytest.mark.parametrize("replaced", [False, True])
def test_file_is_removed_while_in_use(tmp_path, replaced):
    """A file that is removed or replaced under the store is noticed: a naive connection acknowledges what is lost."""
    path, other = tmp_path / "letters.sqlite", tmp_path / "other.sqlite"
    store = opened(path)
    for epoch in (2, 3):
        store.close()
        assert epoch == store.open().epoch
    opened(other).close()
    naive = sqlite3.connect(path, isolation_level=None)
    naive.execute("SELECT * FROM store").fetchall()
    for name in ("letters.sqlite", "letters.sqlite-wal", "letters.sqlite-shm"):
        (tmp_path / name).unlink()
    if replaced:
        other.rename(path)
    naive.execute("DELETE FROM letters")  # no error: it writes into a file that nobody will see again
    naive.close()

    assert "removed or replaced" in passing(store.write, add(letter(1)))
    store.write(add(letter(1)))
    assert store.changed()
    assert [letter(1)] == store.reload()
    store.close()
    again = SQLiteStore(path)
    OPENED.append(again)
    found = again.open()
    assert 4 == found.epoch  # ids made while the other file was there are not made again
    assert [letter(1)] == found.letters


def test_damaged_database(tmp_path):
    """A file that is damaged inside says so."""
    path = tmp_path / "letters.sqlite"
    store = opened(path)
    store.write(add(*(letter(number, message=LONG) for number in range(20))))
    store.close()
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 8] = b"\xff" * (4096 * 7)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged") as caught:
        SQLiteStore(path).open()

    assert caught.value.lasting


def test_text_that_is_not_utf8(tmp_path):
    """A text in the file that nobody can read is lasting trouble of the store, not an error of Python."""
    path = tmp_path / "letters.sqlite"
    store = opened(path)
    store.write(add(letter(1)))
    for damage, problem in [("CAST(x'ff' AS TEXT)", "UTF-8"), ("x'ff'", "'1-1' is damaged.*utf-8")]:
        outside(path, f"UPDATE letters SET reason = {damage}")  # noqa: S608
        with pytest.raises(StoreError, match=problem) as caught:
            store.reload()

        assert caught.value.lasting


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("DELETE FROM store", "how often it was opened"),
        ("INSERT INTO store VALUES (7)", "how often it was opened"),
        ("UPDATE store SET epoch = 'abc'", "how often it was opened"),
        ("UPDATE store SET epoch = 9223372036854775807", "how often it was opened"),
        ("DROP TABLE letters", "no such table: letters"),
        ("DROP TABLE store", "no such table: store"),
        ("ALTER TABLE letters DROP COLUMN trace", "no such column: trace"),
        ("PRAGMA user_version = 0", "does not say its version"),
    ],
)
def test_tables_that_somebody_has_worked_on(tmp_path, damage, problem):
    """Tables that are not ours any more are lasting trouble, before anything is changed."""
    path = tmp_path / "letters.sqlite"
    opened(path).close()
    outside(path, damage)
    with pytest.raises(StoreError, match=problem) as caught:
        opened(path)

    assert caught.value.lasting


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipe(tmp_path):
    """A pipe with a name is refused, and not waited for."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(StoreError, match="this is no file") as caught:
        SQLiteStore(tmp_path / "pipe").open()

    assert caught.value.lasting


def test_program_that_changes_its_directory(tmp_path, monkeypatch):
    """A relative path means the same file all the time."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    store = opened("letters.sqlite")
    store.write(add(letter(1)))
    monkeypatch.chdir(tmp_path / "b")
    store.write(add(letter(2)))
    store.close()
    assert 2 == store.open().epoch

    assert [letter(1), letter(2)] == store.reload()
    assert ["letters.sqlite", []] == [str(store), list((tmp_path / "b").iterdir())]


def test_program_without_sqlite3_is_not_needed():
    """Only those who use the store import sqlite3."""
    script = "import sys, nursery_otp; print('sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "False" == done.stdout.strip()
