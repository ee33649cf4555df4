"""The SQLite store keeps what it was told, in order, for whoever opens the file next."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp import AddLetter, InvalidSpec, OpenedStore, RemoveLetter, StoreError, UpdateLetter
from nursery_otp.stores import LetterStore, SQLiteStore
from nursery_otp.stores import _schema as schema
from tests.stores.letters import add, letter, outside


@pytest.fixture
def path(tmp_path):
    """A file that is not there yet."""
    return tmp_path / "letters.sqlite"


@pytest.fixture
def store(path):
    """An open store."""
    store = SQLiteStore(path)
    store.open()
    yield store
    store.close()


def kept(path):
    """What whoever opens the file next finds."""
    other = SQLiteStore(path)
    try:
        return list(other.open().letters)
    finally:
        other.close()


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


def test_letters_come_back(path, store):
    """All fields of all letters come back, in the order they were added."""
    letters = [
        letter(10),
        letter(9),
        letter(
            8, message=None, cause="x", state="exhausted", attempts=5, requested=True, trace="{}", metadata='{"a":1}'
        ),
        letter(7, recipient_kind="ref", correlation_id="", idempotency_key=None, recipient="", reason=""),
        letter(6, cause="why"),
        letter(5, message="\0 😀 \n", recipient="日本", attempts=2**63 - 1, first_failure=-1.5),
    ]
    store.write(add(*letters))

    assert letters == kept(path)
    assert letters == store.reload()


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 249])
def test_any_number_at_once(path, store, count):
    """A batch of any size is added in its order, the same letter twice included."""
    letters = [letter(number) for number in range(count)]
    store.write(add(*letters, *letters[:3], *(each._replace(cause="why") for each in letters[3:])))

    assert [*letters[:3], *(each._replace(cause="why") for each in letters[3:])] == kept(path)


SURROGATES = ["\udc80", "a\ud83d\ude00", "\0\udfff"]


@pytest.mark.parametrize("text", SURROGATES)
@pytest.mark.parametrize("field", ["id", "recipient", "message", "reason", "cause", "metadata", "idempotency_key"])
def test_text_that_is_no_unicode(path, store, field, text):
    """A text with lone surrogates, such as the name of a file, neither breaks the batch nor changes."""
    odd = letter(2, **{field: text})
    store.write(add(letter(1), odd, letter(3)))
    store.write([UpdateLetter(odd._replace(attempts=2)), RemoveLetter("1-3")])

    assert [letter(1), odd._replace(attempts=2)] == kept(path)
    store.write([RemoveLetter(odd.id)])
    assert [letter(1)] == kept(path)


def test_add_again(path, store):
    """Adding a letter again (as after an error whose outcome was not known) replaces it at its place."""
    store.write(add(letter(1), letter(2)))
    store.write(add(letter(1, attempts=2, cause="c", trace="{}"), letter(3)))
    store.write(add(letter(1)))

    assert [letter(1), letter(2), letter(3)] == kept(path)


@pytest.mark.parametrize("odd", [{}, {"cause": "\udc80"}])
def test_add_again_keeps_a_request(path, store, odd):
    """A delivery that somebody has asked for is not undone by adding the letter again."""
    store.write(add(letter(1), letter(2)))
    outside(path, "UPDATE letters SET requested = 1 WHERE id = '1-1'")
    store.write(add(letter(1, attempts=2, **odd), letter(2, attempts=2)))
    assert [letter(1, attempts=2, requested=True, **odd), letter(2, attempts=2)] == store.reload()

    store.write([*add(letter(1)), UpdateLetter(letter(1), answered=True)])
    assert [letter(1), letter(2, attempts=2)] == store.reload()


def test_update_of_a_letter_that_is_gone(path, store):
    """An update does not bring back what somebody else has removed; a naive put would."""
    store.write(add(letter(1), letter(2)))
    outside(path, "DELETE FROM letters WHERE id = '1-1'")
    store.write([UpdateLetter(letter(1, attempts=2)), UpdateLetter(letter(2, attempts=2)), RemoveLetter("9-9")])
    assert [letter(2, attempts=2)] == kept(path)

    store.write([AddLetter(letter(1, attempts=2))])
    assert "1-1" in {each.id for each in kept(path)}


def test_changes_are_made_in_order(path, store):
    """Changes to the same letter within one batch follow each other."""
    store.write(
        [
            *add(letter(1), letter(2)),
            RemoveLetter("1-1"),
            UpdateLetter(letter(2, attempts=2)),
            *add(letter(1, attempts=7)),
            UpdateLetter(letter(2, attempts=3)),
        ]
    )

    assert [letter(2, attempts=3), letter(1, attempts=7)] == kept(path)


def test_all_or_nothing(path, store):
    """A batch with a letter that does not hold changes nothing, names the field, and does no lasting harm."""
    for wrong in ({"attempts": 2**70}, {"reason": None}, {"first_failure": float("nan")}, {"recipient": object()}):
        with pytest.raises(InvalidSpec, match=next(iter(wrong))):
            store.write(add(letter(1), letter(2, **wrong)))
    assert [] == kept(path)

    store.write(add(letter(1)))
    assert [letter(1)] == kept(path)


@pytest.mark.parametrize("change", [AddLetter, UpdateLetter])
@pytest.mark.parametrize("odd", [None, "\udc80"])
def test_letter_that_is_too_long_for_sqlite(store, change, odd):
    """A letter that SQLite does not take for its length is wrong in itself, is named, and does no lasting harm."""
    store.write(add(letter(1), letter(2)))
    store._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1000)
    long = letter(2, reason="x" * 2000, cause=odd)
    with pytest.raises(InvalidSpec, match=r"letter='1-2': too long for SQLite, with 2,0\d\d characters \(.*too big"):
        store.write([*add(letter(3)), change(long), RemoveLetter("1-1")])

    assert [letter(1), letter(2)] == store.reload()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(
                st.builds(lambda n, a: AddLetter(letter(n, attempts=a)), st.integers(0, 5), st.integers(0, 3)),
                st.builds(lambda n, a: AddLetter(letter(n, cause="\udc80", attempts=a)), st.integers(0, 5), st.just(1)),
                st.builds(lambda n, a: UpdateLetter(letter(n, attempts=a)), st.integers(0, 5), st.integers(0, 3)),
                st.builds(lambda n: RemoveLetter(f"1-{n}"), st.integers(0, 5)),
            ),
            max_size=8,
        ),
        max_size=6,
    )
)
def test_behaves_as_an_ordered_dict(tmp_path_factory, batches):
    """Any history of batches leaves what the same history leaves in a dict."""
    path = tmp_path_factory.mktemp("model") / "letters.sqlite"
    store, model = SQLiteStore(path), {}
    store.open()
    for batch in batches:
        store.write(batch)
        for change in batch:
            match change:
                case AddLetter(each):
                    model[each.id] = each
                case UpdateLetter(each) if each.id in model:
                    model[each.id] = each
                case RemoveLetter(identity):
                    model.pop(identity, None)
    found = store.reload()
    store.close()

    assert list(model.values()) == found


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


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            letter,
            st.integers(0, 10**6),
            recipient_kind=st.sampled_from(["name", "ref"]),
            recipient=st.sampled_from(["a", "b"]),
            attempts=st.integers(0, 2),
            first_failure=st.sampled_from([0.0, 1.0, 2]),
            last_attempt=st.sampled_from([0.0, 1.0, 2]),
            state=st.sampled_from(["waiting", "exhausted"]),
            cause=st.sampled_from([None, "why"]),
            trace=st.sampled_from([None, "{}"]),
            requested=st.booleans(),
        ),
        min_size=1,
        max_size=120,
        unique_by=lambda each: each.id,
    ),
    st.sampled_from([1, 3, 50]),
)
def test_what_letters_have_in_common(tmp_path_factory, letters, at_once):
    """Whatever is the same in letters that are added together, each is stored as it is."""
    store = SQLiteStore(tmp_path_factory.mktemp("common") / "letters.sqlite")
    store.open()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "AT_ONCE", at_once)
        store.write(add(*letters))

    assert letters == store.reload()
    store.close()


@pytest.mark.parametrize("kind", [AddLetter, UpdateLetter])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "bogus"),
        ("recipient_kind", "x"),
        ("recipient", b"x"),
        ("id", ""),
        ("id", None),
        ("attempts", -1),
        ("attempts", 1.5),
        ("attempts", "3"),
        ("attempts", True),
        ("attempts", 2**63),
        ("message", 5),
        ("requested", 1),
        ("first_failure", "x"),
        ("first_failure", 10**400),
        ("first_failure", float("inf")),
        ("last_attempt", float("-inf")),
        ("last_attempt", float("nan")),
    ],
)
def test_wrong_letters(store, kind, field, value):
    """A letter that could not be read again is not stored, and neither is what came with it."""
    wrong = letter(2)._replace(**{field: value})
    with pytest.raises(InvalidSpec, match=field):
        store.write([*add(letter(1)), kind(wrong)])

    assert [] == store.reload()


def test_request_that_the_runtime_has_not_seen(path, store):
    """A delivery that somebody asks for is not undone by an update that knows nothing of it, until it is answered."""
    store.write(add(letter(1)))
    outside(path, "UPDATE letters SET requested = 1")
    store.write([UpdateLetter(letter(1, attempts=2))])
    assert store.changed()
    assert [letter(1, attempts=2, requested=True)] == store.reload()

    store.write([UpdateLetter(letter(1, attempts=3), answered=True)])
    assert [letter(1, attempts=3)] == store.reload()
    store.write([UpdateLetter(letter(1, requested=True))])
    assert [letter(1, requested=True)] == store.reload()


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


@pytest.mark.parametrize("changes", [[5], [None], [AddLetter(5)], [UpdateLetter(5)], [AddLetter(tuple(letter(1)))]])
def test_what_is_no_change(store, changes):
    """Only changes of letters are taken."""
    with pytest.raises(InvalidSpec, match=r"changes|letter"):
        store.write(changes)

    assert [] == store.reload()
