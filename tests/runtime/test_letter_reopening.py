"""A store that comes back after trouble: late, changed, or as another one; and what an outage costs meanwhile."""

import pytest
import trio

from nursery_otp import AutomaticRetry, DeadLetterOptions, StoreError, child, dead_letters, open_supervisor, spawn
from nursery_otp.stores import SQLiteStore
from tests.runtime.helpers import collect
from tests.runtime.letter_queue import A, B, bury, check_sums, messages
from tests.runtime.letter_stores import FOREIGN, FULL, Disk, FakeStore, disk, settled, store, stored, tree_on

__all__ = ["disk", "store"]  # fixtures, for pytest


async def earlier(disk, *found, recipient=A):
    """Letters of an earlier run."""
    async with tree_on(FakeStore(disk)):
        bury(*found, recipient=recipient)


# ------------------------------------------------------------------------------------------- late


async def test_late(disk, store, mock_clock, caplog):
    """A store that does not work at the start is opened by itself later; its letters are taken over and sent."""
    caplog.set_level("INFO")
    await earlier(disk, 1, 2)
    disk.by_hand("1-1", requested=True)
    store.trouble["open"] = FULL
    got = []
    async with open_supervisor([child(collect, got, name=A)], dead_letters=DeadLetterOptions(store=store)) as tree:
        for _ in range(3):
            await settled()
            mock_clock.jump(100)
        assert 0 == len(dead_letters())
        store.trouble.clear()
        await settled()
        mock_clock.jump(100)
        await settled()
        assert [1] == got
        assert [2] == messages()
        assert 2 == check_sums().loaded
        tree.shutdown()

    assert 1 == caplog.text.count("dead_letter_store_failed")
    assert 1 == caplog.text.count("dead_letter_store_recovered")


async def test_late_by_the_clock(disk, store, mock_clock):
    """What is found in a store that is opened late is due by the clock as if it had been there before."""
    await earlier(disk, 1)
    store.trouble["open"] = FULL
    got = []
    async with tree_on(store, retry=AutomaticRetry(interval=10)):
        spawn(collect, got, name=A)
        await settled()
        store.trouble.clear()
        for _ in range(3):
            mock_clock.jump(10)
            await settled()
    assert [1] == got


@pytest.mark.parametrize("look", ["refresh", "flush"])
async def test_late_by_hand(disk, store, mock_clock, look):
    """Whoever looks does not have to wait for the next attempt."""
    await earlier(disk, 1)
    store.trouble["open"] = FULL
    async with tree_on(store):
        assert not await getattr(dead_letters(), look)()
        store.trouble.clear()
        await getattr(dead_letters(), look)()
        assert [1] == messages()
        bury(2)
        await settled()
        assert ["1", "2"] == stored(disk)


async def test_not_opened_to_be_closed(disk, store):
    """A store that never worked, and of which nothing is wanted, is not opened at the end."""
    store.trouble["open"] = FULL
    async with tree_on(store):
        await settled()
        store.trouble.clear()
    assert 0 == store.opened


async def test_the_clock_is_patient(store, mock_clock):
    """Automatic retries do not look at a store that failed more often than it is given time for."""
    attempts = []
    async with tree_on(store, retry=AutomaticRetry(interval=1)):
        await settled()
        store.trouble["changed"] = store.trouble["open"] = FULL
        step = store._step
        store._step = lambda what: (attempts.append(what), step(what))
        for _ in range(1000):
            mock_clock.jump(1)
            await settled()
        assert 10 < attempts.count("open") < 40
        del store._step
        store.trouble.clear()


# ------------------------------------------------------------------------------------------- another one


@pytest.mark.parametrize("noticed", ["add", "refresh"])
async def test_removed(disk, store, mock_clock, noticed):
    """If the file disappears, all that memory has is written again: that nobody has purged it there is clear."""
    await earlier(disk, "loaded", recipient=B)
    async with tree_on(store):
        bury(1, 2, recipient=A)
        await dead_letters().retry(recipient=A)
        await dead_letters().flush()
        store.disk = Disk()
        if noticed == "add":
            bury(3)
        else:
            await dead_letters().refresh()
        await settled()
        assert not [letter for letter in dead_letters() if letter.message == 3 and letter.durable]
        mock_clock.jump(10)
        await settled()
        expected = ["loaded", 1, 2, *([3] if noticed == "add" else [])]
        assert expected == messages()
        assert all(letter.durable for letter in dead_letters())
        assert 0 == check_sums().purged
        before = list(dead_letters())
    async with tree_on(FakeStore(store.disk)):
        assert expected == messages()
        assert [letter.id for letter in before] == [letter.id for letter in dead_letters()]
        assert [letter.idempotency_key for letter in before] == [each.idempotency_key for each in dead_letters()]
        assert [1, 2, 1] == [letter.attempts for letter in dead_letters()][:3]


async def test_older_copy(disk, store, mock_clock):
    """If a backup is put in the place of the file, what has come since is written again; what has gone stays gone."""
    async with tree_on(store):
        bury(1, 2)
        await dead_letters().flush()
        backup = disk.copy()
        bury(3)
        await dead_letters().flush()
        store.disk = backup
        await dead_letters().purge("1-1")
        await dead_letters().flush()
        assert [2, 3] == messages()
    assert ["2", "3"] == stored(backup)


async def test_purged_during_an_outage(disk, store, mock_clock):
    """What somebody removes from the file while the program cannot write it is gone; what was asked for is sent."""
    async with tree_on(store):
        bury(1, 2, 3, recipient=A)
        await dead_letters().flush()
        store.trouble["write"] = FULL
        bury(4)
        await settled()
        disk.by_hand("1-1")
        disk.by_hand("1-3", requested=True)
        got = []
        spawn(collect, got, name=A)
        store.trouble.clear()
        await dead_letters().flush()
        await settled()
        assert [3] == got
        assert [2, 4] == messages()
        assert (1, 1) == (check_sums().purged, check_sums().delivered)
    assert ["2", "4"] == stored(disk)


async def test_becomes_foreign(disk, store, mock_clock, caplog):
    """A file that becomes something else under a running program is trouble like any other: it may come back."""
    async with tree_on(store):
        bury(1)
        await dead_letters().flush()
        store.trouble |= {"write": StoreError("fake store", "what is this?"), "open": FOREIGN}
        bury(2)
        for _ in range(5):
            await settled()
            mock_clock.jump(100)
        assert [1, 2] == messages()
        store.trouble.clear()
        assert await dead_letters().flush()
    assert ["1", "2"] == stored(disk)
    assert "dead_letters_lost" not in caplog.text


async def test_removed_before_the_end(disk, store):
    """If the file disappears after everything was written, that is noticed at the end at the latest."""
    async with tree_on(store):
        bury(1, 2)
        assert await dead_letters().flush()
        store.disk = Disk()
    assert ["1", "2"] == stored(store.disk)


async def test_removed_file(tmp_path):
    """The same with a real file, which is removed while all that it has is in memory."""
    path = tmp_path / "letters.sqlite"
    async with tree_on(SQLiteStore(path)):
        bury(1, 2, 3)
        assert await dead_letters().flush()
        path.unlink()
        assert await dead_letters().flush()
        assert [1, 2, 3] == messages()
        assert all(letter.durable for letter in dead_letters())
    async with tree_on(SQLiteStore(path)):
        assert [1, 2, 3] == messages()


# ------------------------------------------------------------------------------------------- what it costs


async def test_bounded(disk, store, mock_clock):
    """However long an outage lasts: what the store never had and the queue has not any more is forgotten."""
    async with tree_on(store, capacity=10):
        bury(*range(10))
        await dead_letters().flush()
        store.trouble["written"] = FULL  # ten more reach the disk, but nobody knows
        bury(*range(10, 20))
        await settled()
        store.trouble["write"] = store.trouble["open"] = FULL
        for number in range(20, 2000):
            bury(number)
            if number % 100 == 0:
                mock_clock.jump(100)
                await settled()
        mirror = dead_letters().mirror
        assert len(mirror.pending) <= 10 + 20
        assert len(mirror._gone) <= 20
        store.trouble.clear()
        written = len(disk.writes)
        assert await dead_letters().flush()
        assert (10 + 20) >= sum(len(changes) for changes in disk.writes[written:])
        assert list(range(1990, 2000)) == messages()
        check_sums()
    assert list(map(str, range(1990, 2000))) == stored(disk)


# ------------------------------------------------------------------------------------------- two programs


async def test_two_programs(disk):
    """Two on one file: each has what was there when it opened it, and sees what goes; neither sees what the other adds.

    None of them loses a letter of the other.
    """
    await earlier(disk, "old", "purged", recipient=A)
    first, second, purged = trio.Event(), trio.Event(), trio.Event()

    async def program(name, mine, other):
        async with tree_on(FakeStore(disk)):
            mine.set()
            await other.wait()
            await dead_letters().add(B, name, "refused")
            if name == "first":
                await dead_letters().purge("1-2")
                purged.set()
            await purged.wait()
            await dead_letters().refresh()
            assert ["old", name] == messages()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(program, "first", first, second)
        nursery.start_soon(program, "second", second, first)

    assert {'"old"', '"first"', '"second"'} == {*stored(disk)}
