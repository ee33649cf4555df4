"""A file may have several users at a time; a store object has one."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import trio

from nursery_otp import DeadLetterOptions, Name, StartFailed, StoreError, dead_letters, open_supervisor
from nursery_otp.stores import SQLiteStore
from tests.stores.letters import add, kept, letter, outside


def test_two_runtimes_on_one_file(path, store):
    """Both keep their letters, though they write at the same time."""
    other = SQLiteStore(path)
    second = other.open().epoch

    def write(target, epoch):
        for number in range(50):
            target.write(add(letter(number, epoch)))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, [store, other], [1, second]))
    other.close()

    assert {f"{epoch}-{number}" for epoch in (1, second) for number in range(50)} == {each.id for each in kept(path)}


def test_changed_by_somebody_else(path, store):
    """What others do to the file is noticed, what the runtime itself does is not, and reading it once is enough."""
    assert not store.changed()
    store.write(add(letter(1)))
    assert not store.changed()

    outside(path, "UPDATE letters SET requested = 1")
    assert store.changed()
    assert store.changed()
    assert [letter(1, requested=True)] == store.reload()
    assert not store.changed()


def test_any_thread(store):
    """The methods may be called from one thread after the other."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(store.write, add(letter(1))).result()
    with ThreadPoolExecutor(1) as thread:
        assert [letter(1)] == thread.submit(store.reload).result()


# ------------------------------------------------------------------------------- one user of a store


def test_open_store_is_not_opened_again(store):
    """A second user is refused, and the first one goes on as if nothing had happened."""
    connection = store._connection
    with pytest.raises(StoreError, match="in use already; give each tree one of its own") as caught:
        store.open()
    store.write(add(letter(1)))

    assert caught.value.lasting
    assert connection is store._connection
    assert [letter(1)] == store.reload()


def test_one_of_many_gets_it(path):
    """Of many that open a store at the same time, one succeeds."""
    store = SQLiteStore(path)

    def attempt(_number):
        try:
            return store.open().epoch
        except StoreError:
            return None

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(attempt, range(8)))
    store.close()

    assert [1] == [result for result in results if result is not None]


def test_free_again(path):
    """A store that is closed, or could not be opened, is free; trouble in between changes nothing about its user."""
    path.write_text("x" * 5000)
    store = SQLiteStore(path)
    for _ in range(2):
        with pytest.raises(StoreError, match="no SQLite database"):
            store.open()
    path.unlink()
    assert 1 == store.open().epoch
    store.close()
    assert 2 == store.open().epoch

    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match="readonly"):
        store.write(add(letter(1)))
    with pytest.raises(StoreError, match="in use already"):
        store.open()
    store.close()


async def test_options_in_two_trees(path):
    """Options with a store do for one tree after the other; a second one at the same time does not start."""
    options = DeadLetterOptions(store=SQLiteStore(path))
    for number in range(2):
        async with open_supervisor(dead_letters=options) as first:
            with pytest.raises(StartFailed, match=r"store of dead letters.*in use already"):
                async with open_supervisor(dead_letters=options):
                    pytest.fail("it must not start")
            added = await dead_letters().add(Name("shop"), number, "closed")
            assert added.durable
            first.shutdown()

    assert ["0", "1"] == [each.message for each in await trio.to_thread.run_sync(kept, path)]
