"""A file of letters that others change while a program runs: what they ask for is done, what they remove is gone."""

import math

import pytest

from nursery_otp import AutomaticRetry, DeadLetterOptions, StoreError, child, dead_letters, open_supervisor, spawn
from tests.runtime.helpers import collect
from tests.runtime.letter_queue import A, B, bury, check_sums, messages
from tests.runtime.letter_stores import FakeStore, disk, settled, store, stored, tree_on

__all__ = ["disk", "store"]  # fixtures, for pytest


async def test_requested_before(disk):
    """What was asked for in the file while nobody had it open is delivered at the next opening."""
    async with tree_on(FakeStore(disk)):
        bury(1, 2, recipient=A)
        bury(3, recipient=B)
    for identity in ("1-1", "1-2", "1-3"):
        disk.by_hand(identity, requested=True, state="exhausted" if identity == "1-2" else "waiting")
    got = []
    async with open_supervisor(
        [child(collect, got, name=A)], dead_letters=DeadLetterOptions(store=FakeStore(disk))
    ) as t:
        await settled()
        assert [2] == [letter.attempts for letter in dead_letters()]
        t.shutdown()

    assert [1, 2] == got
    (record,) = disk.letters.values()
    assert ("3", 2, False) == (record.message, record.attempts, record.requested)


async def test_requested_meanwhile(disk, store):
    """What is asked for in the file of a running program is noticed after its next write, and when it looks."""
    async with tree_on(store):
        bury(1, 2, recipient=A)
        got = []
        spawn(collect, got, name=A)
        await settled()
        disk.by_hand("1-1", requested=True)
        await settled()
        assert [] == got
        bury(3, recipient=B)
        await settled()
        assert [1] == got
        disk.by_hand("1-2", requested=True)
        assert 1 == await dead_letters().refresh()
        await settled()
        assert [1, 2] == got
        assert ["3"] == stored(disk)


async def test_requested_during_a_retry(disk, store):
    """What is asked for while the letter is being sent anyway is not undone when that fails, and is answered once."""
    async with tree_on(store):
        bury(1, recipient=A)
        await dead_letters().flush()
        disk.by_hand("1-1", requested=True)  # the runtime has not looked at the file since
        report = await dead_letters().retry()
        assert 1 == len(report.failed)
        await dead_letters().flush()
        await settled()
        assert 3 == dead_letters()[0].attempts
        await dead_letters().refresh()
        assert (3, False) == (dead_letters()[0].attempts, dead_letters()[0].requested)
    (record,) = disk.letters.values()
    assert (3, False) == (record.attempts, record.requested)


@pytest.mark.parametrize("state", ["not due", "exhausted"])
async def test_requested_by_the_clock(disk, store, mock_clock, state):
    """With automatic retries the file is looked at at every interval, whatever is due when."""
    options = {"retry": AutomaticRetry(interval=10, min_age=0 if state == "exhausted" else 1e6), "max_attempts": 2}
    async with tree_on(store, expire_after=math.inf, **options):
        bury(1, recipient=A)
        for _ in range(5):
            await settled()
            mock_clock.jump(10)
        await settled()
        (letter,) = dead_letters()
        assert (2, "exhausted") == (letter.attempts, letter.state) or state == "not due"
        got = []
        spawn(collect, got, name=A)
        disk.by_hand("1-1", requested=True)
        await settled()
        mock_clock.jump(9.9)
        await settled()
        assert [] == got
        mock_clock.jump(0.1)
        await settled()
        assert [1] == got


async def test_purged_in_the_file(disk, store):
    """What is removed from the file is gone from the queue; what is not in the file yet is not."""
    async with tree_on(store):
        bury(1, 2)
        await dead_letters().flush()
        disk.by_hand("1-1")
        await dead_letters().refresh()
        assert [2] == messages()
        assert 1 == check_sums().purged
        disk.by_hand("1-2")
        bury(3)
        await dead_letters().flush()
        assert [3] == messages()
    assert ["3"] == stored(disk)


async def test_refresh_fails(store, caplog):
    """Looking at a store that fails is trouble like any other."""
    async with tree_on(store):
        store.trouble["changed"] = StoreError("fake store", "gone")
        assert 0 == await dead_letters().refresh()
        assert "dead_letter_store_failed" in caplog.text
