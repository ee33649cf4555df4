"""When letters expire: in whatever order they stand, whatever clock they come from, and whoever wants them."""

import time

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import AutomaticRetry, DeadLetterOptions, child, dead_letters, kill, open_supervisor, spawn
from tests.runtime.helpers import collect
from tests.runtime.letter_queue import A, B, bury, check_sums, messages, one_slow, service, tree_with
from tests.runtime.letter_stores import FakeStore, disk, settled, store, stored, tree_on

__all__ = ["disk", "store"]  # fixtures, for pytest

DAY = 86_400


async def stored_before(disk, *ages):
    """Letters of an earlier run, 1 and so on, of these ages in seconds."""
    async with tree_on(FakeStore(disk)):
        bury(*range(1, len(ages) + 1), recipient=A)
    for identity, age in zip([*disk.letters], ages, strict=True):
        disk.by_hand(identity, first_failure=time.time() - age, last_attempt=time.time() - age)


# ------------------------------------------------------------------------------------------- order


@pytest.mark.parametrize("ages", [(-365 * DAY, 23 * 3600, 3600), (3600, 23 * 3600, -60), (23 * 3600, 25 * 3600, 0)])
async def test_order_of_ages(disk, mock_clock, ages):
    """Letters of earlier runs expire by their ages, not by their order; one from the future is as old as this run."""
    await stored_before(disk, *ages)
    async with tree_on(FakeStore(disk)):
        bury("new")
        for hours in (0, 2, 21.5, 1):
            mock_clock.jump(hours * 3600)
            now = trio.current_time()
            young = [number for number, age in enumerate(ages, start=1) if max(age, 0) + now < DAY - 60]
            assert young + (["new"] if now < DAY else []) == messages()
        check_sums()

    assert [] == stored(disk)


async def test_from_the_future(disk, mock_clock):
    """What a clock that was ahead has left in the file does not keep a letter from being sent."""
    await stored_before(disk, -365 * DAY)
    got = []
    async with tree_on(FakeStore(disk), retry=AutomaticRetry(interval=10)):
        assert dead_letters()[0].first_failure < time.time() + DAY
        spawn(collect, got, name=A)
        for _ in range(3):
            await settled()
            mock_clock.jump(10)
        await settled()

    assert [1] == got


async def test_younger_after_older(mock_clock):
    """A letter that stays though it is too old does not keep those behind it from expiring in their time."""
    async with tree_with(max_attempts=2, expire_after=10) as tree:
        bury("exhausted", 2, recipient=A)
        await dead_letters().retry("0-1")
        mock_clock.jump(5)
        bury(3)
        mock_clock.jump(5)
        assert ["exhausted", 3] == messages()
        mock_clock.jump(5)
        assert ["exhausted"] == messages()
        check_sums()
        tree.shutdown()


# ------------------------------------------------------------------------------------------- being sent


@pytest.mark.parametrize("by", ["cancelled", "killed"])
async def test_too_old_after_a_cancelled_attempt(mock_clock, by):
    """A letter that became too old while it was sent expires when nobody handles it any more, whoever sent it."""
    retry = AutomaticRetry(interval=1) if by == "killed" else None
    async with tree_with(expire_after=30, retry=retry) as tree:
        slow = spawn(one_slow, name=A)
        bury(1, recipient=A)
        async with trio.open_nursery() as nursery:
            if by == "cancelled":
                nursery.start_soon(dead_letters().retry)
            else:
                await wait_all_tasks_blocked()
                mock_clock.jump(5)
            await wait_all_tasks_blocked()
            assert "retrying" == dead_letters()[0].state
            mock_clock.jump(30)
            assert 1 == len(dead_letters())
            nursery.cancel_scope.cancel()
            if by == "killed":
                kill(service("retry_dead_letters"))
        await wait_all_tasks_blocked()
        assert 1 == len(dead_letters())
        kill(slow)
        await slow.wait()
        assert 0 == len(dead_letters())
        assert 1 == check_sums().expired
        tree.shutdown()


# ------------------------------------------------------------------------------------------- asked for


async def test_asked_for_when_old(disk, mock_clock):
    """What was asked for in the file is sent at the next opening, however old it is."""
    await stored_before(disk, 10 * DAY, 9 * DAY, 0)
    disk.by_hand("1-2", requested=True)
    got = []
    options = DeadLetterOptions(store=FakeStore(disk))
    async with open_supervisor([child(collect, got, name=A)], dead_letters=options) as tree:
        await settled()
        assert [2] == got
        assert [3] == messages()
        assert (1, 1) == (check_sums().expired, check_sums().delivered)
        tree.shutdown()


async def test_asked_for_not_before_it_was_tried(disk, mock_clock):
    """A letter that was asked for waits for the start of the tree, and for a busy recipient, however old it gets."""
    await stored_before(disk, 0)
    async with tree_on(FakeStore(disk), expire_after=10):
        slow = spawn(one_slow, name=A)
        bury(2, recipient=A)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dead_letters().retry, "1-1")
            await settled()
            disk.by_hand("1-1", requested=True)
            await dead_letters().refresh()
            mock_clock.jump(20)
            nursery.cancel_scope.cancel()
        assert [1] == messages()
        kill(slow)
        await slow.wait()
        got = []
        spawn(collect, got, name=A)
        mock_clock.jump(10)
        await settled()
        assert [1] == got


async def test_asked_for_in_vain(disk, mock_clock):
    """If what was asked for fails, or is held back by what fails, it stays as long as a new letter, not for ever."""
    await stored_before(disk, 10 * DAY, 10 * DAY)
    for identity in ("1-1", "1-2"):
        disk.by_hand(identity, requested=True)
    async with tree_on(FakeStore(disk)):
        await settled()
        assert [(2, False), (1, False)] == [(letter.attempts, letter.requested) for letter in dead_letters()]
        mock_clock.jump(DAY - 1)
        assert [1, 2] == messages()
        mock_clock.jump(1)
        assert [] == messages()
        assert 2 == check_sums().expired


async def test_asked_for_while_running(disk, store, mock_clock):
    """The same for letters of this run; others are not kept by that."""
    async with tree_on(store, expire_after=10):
        bury(1, recipient=A)
        bury(2, recipient=B)
        await dead_letters().flush()
        mock_clock.jump(9)
        disk.by_hand("1-1", requested=True)
        await dead_letters().refresh()
        await settled()
        mock_clock.jump(9)
        assert [1] == messages()
        mock_clock.jump(1)
        assert [] == messages()


async def test_asked_for_without_expiry(disk, mock_clock):
    """Where nothing expires, nothing is noted for that."""
    await stored_before(disk, 10 * DAY)
    disk.by_hand("1-1", requested=True)
    async with tree_on(FakeStore(disk), expire_after=float("inf")):
        await settled()
        mock_clock.jump(1e9)
        assert [2] == [letter.attempts for letter in dead_letters()]
