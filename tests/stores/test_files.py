"""A file of letters from outside: what a filter finds, and what is changed."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp import InvalidSpec, StoreError
from nursery_otp.stores import SQLiteStore, _connecting
from nursery_otp.stores.files import LetterFile, LetterFilter
from tests.stores.letters import add, letter, outside

LETTERS = [
    letter(
        number,
        recipient=["a", "b", "\udc80"][number % 3],
        reason=["noproc", "overflow"][number % 2],
        state=["waiting", "waiting", "exhausted", "retrying"][number % 4],
        message='"' + "x" * number + '"',
    )
    for number in range(60)
]
FILTERS = st.builds(
    LetterFilter,
    ids=st.none() | st.lists(st.sampled_from(["1-0", "1-7", "1-8", "1-59", "9-9"]), min_size=1),
    recipient=st.sampled_from([None, "a", "b", "\udc80", "c"]),
    reason=st.sampled_from([None, "noproc", "overflow", ""]),
    state=st.sampled_from([None, "waiting", "exhausted", "retrying"]),
    failed_before=st.sampled_from([None, 1e9, 1e9 + 30, 1e9 + 99]),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file with letters, that nobody has open."""
    path = tmp_path_factory.mktemp("files") / "letters.sqlite"
    store = SQLiteStore(path)
    store.open()
    store.write(add(*LETTERS))
    store.close()
    return path


def passes(each, which):
    """What a filter means."""
    return (
        (which.ids is None or each.id in which.ids)
        and which.recipient in (None, each.recipient)
        and which.reason in (None, each.reason)
        and which.state in (None, each.state)
        and (which.failed_before is None or each.first_failure < which.failed_before)
    )


@settings(max_examples=200, deadline=None)
@given(FILTERS, st.none() | st.integers(1, 5), st.none() | st.integers(0, 10))
def test_filters(path, which, limit, shorten):
    """A filter finds exactly the letters for which all that it says holds: the first ones, in the order they came."""
    expected = [each for each in LETTERS if passes(each, which)]
    with LetterFile(path) as file:
        assert len(expected) == file.count(which)
        found = list(file.select(which, limit=limit, shorten=shorten))

    cut = [each._replace(message=each.message[:shorten]) for each in expected]
    assert cut[:limit] == found


def test_limit_gives_the_first(tmp_path):
    """The limit 5 of 2,000 letters gives the first five."""
    store = SQLiteStore(tmp_path / "letters.sqlite")
    store.open()
    store.write(add(*(letter(number) for number in range(2000, 0, -1))))
    store.close()
    with LetterFile(tmp_path / "letters.sqlite") as file:
        found = [each.id for each in file.select(LetterFilter(), limit=5)]

    assert ["1-2000", "1-1999", "1-1998", "1-1997", "1-1996"] == found


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (LetterFilter(ids=["1-1"]), "sqlite_autoindex_letters_1 (id=?)"),
        (LetterFilter(state="exhausted"), "letters_not_waiting (state=?)"),
        (LetterFilter(state="exhausted", recipient="a"), "letters_not_waiting (state=?)"),
    ],
)
def test_query_plan(path, which, index):
    """Looking for few letters among many uses an index."""
    where, parameters = which.where()
    with LetterFile(path) as file:
        query = f"EXPLAIN QUERY PLAN SELECT * FROM letters WHERE {where}"  # noqa: S608
        plan = file._connection.execute(query, parameters).fetchall()

    assert any(f"SEARCH letters USING INDEX {index}" in row[3] for row in plan), plan


def test_long_messages_are_not_read_by_filters(tmp_path):
    """A filter that reads the whole table leaves out what is long: it stands last in a row."""
    store = SQLiteStore(tmp_path / "letters.sqlite")
    store.open()
    columns = [row[1] for row in store._connection.execute("PRAGMA table_info(letters)")]
    store.close()

    assert ["cause", "metadata", "trace", "message"] == columns[-4:]


def test_changes(tmp_path):
    """Requests and removals are seen by the runtime that has the file open; ids that are not there do no harm."""
    path = tmp_path / "letters.sqlite"
    store = SQLiteStore(path)
    store.open()
    odd = letter(3, id="1-\udc80")
    store.write(add(letter(1), letter(2), odd, letter(4)))
    with LetterFile(path, writable=True) as file, file.changing():
        file.request(["1-2", odd.id, "9-9"])
        file.remove(["1-1", "9-9"])
        assert not store.changed()

    assert store.changed()
    assert [letter(2, requested=True), odd._replace(requested=True), letter(4)] == store.reload()
    with LetterFile(path, writable=True) as file:
        assert [True, True] == [each.requested for each in file.outline(LetterFilter())][:2]
        file.withdraw([odd.id, "1-4", "9-9"])
    assert [letter(2, requested=True), odd, letter(4)] == store.reload()
    store.close()


def test_changes_are_all_or_nothing(path):
    """An error while changing undoes what was changed before it."""
    with LetterFile(path, writable=True) as file:
        with pytest.raises(ZeroDivisionError), file.changing():
            file.remove(["1-1"])
            raise ZeroDivisionError

        assert len(LETTERS) == file.count(LetterFilter())


def test_looking_changes_nothing(path):
    """A file opened for reading cannot be changed, and looking at it leaves no files behind."""
    before = {each.name for each in path.parent.iterdir()}
    with LetterFile(path) as file:
        list(file.select(LetterFilter()))
        with pytest.raises(StoreError, match="may not be written"):
            file.remove(["1-1"])

    assert before == {each.name for each in path.parent.iterdir()}


def test_letters_of_a_running_program_are_seen(tmp_path):
    """What a program has just written is seen while it has the file open, and its log is left in place."""
    store = SQLiteStore(tmp_path / "letters.sqlite")
    store.open()
    store.write(add(letter(1)))
    with LetterFile(tmp_path / "letters.sqlite") as file:
        assert [letter(1)] == list(file.select(LetterFilter()))
    store.write(add(letter(2)))
    with LetterFile(tmp_path / "letters.sqlite") as file:
        assert 2 == file.count(LetterFilter())
    store.close()


@pytest.mark.parametrize("writable", [False, True])
def test_missing_file(tmp_path, writable):
    """A file that is not there is not made."""
    with pytest.raises(StoreError, match="there is no such file"):
        LetterFile(tmp_path / "letters.sqlite", writable=writable)

    assert [] == list(tmp_path.iterdir())


def test_other_files(tmp_path):
    """A file that is no file of letters is refused, one that is still empty cannot be read yet."""
    text, songs, empty = tmp_path / "text", tmp_path / "songs", tmp_path / "empty"
    text.write_text("x" * 5000)
    outside(songs, "CREATE TABLE songs (name)")
    empty.touch()
    for path, problem in [(text, "no SQLite database"), (songs, "another application"), (empty, "or empty")]:
        with pytest.raises(StoreError, match=problem):
            LetterFile(path)


@pytest.mark.parametrize("path", ["", ":memory:", "a\0b", 3])
@pytest.mark.parametrize("writable", [False, True])
def test_no_path(path, writable):
    """What is no path, or no file to SQLite, is refused as by the store."""
    with pytest.raises(InvalidSpec, match="path"):
        LetterFile(path, writable=writable)


def test_openings(tmp_path):
    """The file knows how often programs have opened it; looking at it does not count."""
    for number in (1, 2):
        store = SQLiteStore(tmp_path / "letters.sqlite")
        store.open()
        with LetterFile(tmp_path / "letters.sqlite") as file:
            assert number == file.openings()
        store.close()


@pytest.fixture
def unwritable(monkeypatch):
    """No file may be written, so that files are read without their locks."""

    def refuse(path, mode, **options):
        if mode != "ro":
            with _connecting.advice(path):
                error = sqlite3.OperationalError("no")
                error.sqlite_errorcode = sqlite3.SQLITE_READONLY
                raise error
        return _connecting.connect(path, mode, **options)

    monkeypatch.setattr("nursery_otp.stores.files.connect", refuse)


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("how", ["opened", "written", "replaced"])
def test_written_while_it_is_read_without_locks(tmp_path, unwritable, linked, how):
    """Whoever reads without locks looks again after that, also behind a link, and does not vouch for what it read."""
    real, link = tmp_path / "letters.sqlite", tmp_path / "link.sqlite"
    stores = [SQLiteStore(real), SQLiteStore(tmp_path / "other.sqlite")]
    for each in stores:
        each.open()
        each.write(add(letter(1)))
        each.close()
    link.symlink_to(real)
    path = link if linked else real
    with LetterFile(path) as file, file.looking():
        assert [letter(1)] == list(file.select(LetterFilter()))

    problem = "somebody wrote it while it was read"
    with LetterFile(path) as file, pytest.raises(StoreError, match=problem), file.looking():
        list(file.select(LetterFilter()))
        if how == "replaced":
            (tmp_path / "other.sqlite").rename(real)
        else:
            stores[0].open()
        if how == "written":
            stores[0].close()
    stores[0].close()


def test_locked_file_is_not_read_as_if_it_were_not(path):
    """Only a file that may not be written is read without its locks."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoreError, match="locked"):
        patch.setattr(_connecting, "LOCK_PATIENCE", 0.0)
        LetterFile(path)
    connection.close()


@settings(max_examples=50, deadline=None)
@given(FILTERS, st.none() | st.integers(1, 5))
def test_outlines(path, which, limit):
    """An outline has the same letters as the selection."""
    with LetterFile(path) as file, file.looking():
        found = file.select(which, limit=limit)
        full = [(each.id, each.recipient_kind, each.recipient, True, each.requested) for each in found]

        assert full == list(file.outline(which, limit=limit))


def test_log_behind_a_link(path, tmp_path, monkeypatch):
    """A file is read without its log only if there is none, also if a link leads to the file."""
    link, log = tmp_path / "link.sqlite", path.with_name(f"{path.name}-wal")
    link.symlink_to(path)
    log.write_bytes(b"x")
    used = []

    def refuse(_path, _mode, *, immutable=False):
        used.append(immutable)
        with _connecting.advice("x"):
            error = sqlite3.OperationalError("no")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error

    monkeypatch.setattr("nursery_otp.stores.files.connect", refuse)
    try:
        with pytest.raises(StoreError):
            LetterFile(link)
    finally:
        log.unlink()

    assert [False] == used
