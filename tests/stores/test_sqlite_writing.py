"""What is written to the SQLite store is kept as it was told, in its order, all of it or nothing."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp import AddLetter, InvalidSpec, RemoveLetter, UpdateLetter
from nursery_otp.stores import SQLiteStore
from nursery_otp.stores import _schema as schema
from tests.stores.letters import add, kept, letter, outside


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


@pytest.mark.parametrize("changes", [[5], [None], [AddLetter(5)], [UpdateLetter(5)], [AddLetter(tuple(letter(1)))]])
def test_what_is_no_change(store, changes):
    """Only changes of letters are taken."""
    with pytest.raises(InvalidSpec, match=r"changes|letter"):
        store.write(changes)

    assert [] == store.reload()
