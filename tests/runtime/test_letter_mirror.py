"""The dead-letter queue and its store: what is durable, when, and what trouble with the store does (nothing)."""

import threading

import pytest
import trio

from nursery_otp import (
    DeadLetterOptions,
    FormerRecipient,
    StartFailed,
    UnreadableMessage,
    child,
    current_ref,
    dead_letters,
    open_supervisor,
    register,
    send_nowait,
    spawn,
)
from nursery_otp._runtime.letter_mirror import BATCH
from tests.runtime.helpers import cancelled, collect, idle
from tests.runtime.letter_queue import A, B, bury, check_sums, messages
from tests.runtime.letter_stores import FakeStore, disk, in_thread, settled, store, stored, tree_on

__all__ = ["disk", "store"]  # fixtures, for pytest


# ------------------------------------------------------------------------------------------- durable


async def test_add_is_durable(disk, store):
    """When `add` returns, the letter is on the disk."""
    async with tree_on(store):
        letter = await dead_letters().add(A, "hello", "refused", metadata={"order": 7}, correlation_id="c", cause="why")
        (record,) = disk.letters.values()
        assert letter.durable
        assert (letter.id, "name", "a", '"hello"', "refused", '{"order": 7}') == record[:6]
        assert (1, letter.first_failure, letter.last_attempt, letter.idempotency_key) == record[6:10]
        assert ("c", "why", "waiting", False, None) == record[10:]
        assert "1-1" == letter.id


async def test_buried_soon(disk, store):
    """What is buried is written soon after, in the background, by another thread than that of the loop."""
    async with tree_on(store):
        bury(1, 2)
        assert [False, False] == [letter.durable for letter in dead_letters()]
        assert await dead_letters().flush()
        assert ["1", "2"] == stored(disk)
        assert [True, True] == [letter.durable for letter in dead_letters()]
        assert 0 == check_sums().unsaved
    assert threading.main_thread() not in store.threads


async def test_batches(disk, store):
    """Letters that come while a batch is written are the next batch, and a batch has its bound."""
    store.gate = threading.Event()
    async with tree_on(store):
        bury("first")
        await in_thread(store.began)
        bury(*range(BATCH + 5))
        store.gate.set()
        assert await dead_letters().flush()

    assert [1, BATCH, 5] == [len(changes) for changes in disk.writes]


async def test_add_from_many_tasks(disk, store):
    """Many tasks that add share the writes."""
    async with tree_on(store), trio.open_nursery() as nursery:
        for number in range(500):
            nursery.start_soon(dead_letters().add, A, number, "refused")

    assert 500 == len(disk.letters)
    assert len(disk.writes) < 20


async def test_shutdown(disk, store):
    """Letters of the shutdown itself are written, after the last process has ended; then the store is closed."""
    async with tree_on(store) as tree:
        await tree.start(idle, name=A)
        spawn(idle, name=B)
        send_nowait(A, "supervised")
        send_nowait(B, "unsupervised")

    assert {'"supervised"', '"unsupervised"'} == set(stored(disk))
    assert not store.is_open


async def test_body_fails(disk, store):
    """Also if the block is left with an error, everything is written."""
    with pytest.raises(ValueError, match="body"):
        async with open_supervisor(dead_letters=DeadLetterOptions(store=store)):
            bury(1)
            raise ValueError("body")

    assert ["1"] == stored(disk)
    assert not store.is_open


async def test_start_fails(disk, store):
    """If a child does not start, the store is closed in order."""

    def factory():
        raise ValueError("no")

    with pytest.raises(StartFailed):
        async with open_supervisor([child(factory)], dead_letters=DeadLetterOptions(store=store)):
            raise AssertionError
    assert not store.is_open


async def test_cancelled_while_opening(store):
    """A block that is cancelled while its store is opened closes it."""
    with cancelled():
        async with open_supervisor(dead_letters=DeadLetterOptions(store=store)):
            await trio.lowlevel.checkpoint()
    assert not store.is_open


async def test_add_cancelled(disk, store):
    """Who is cancelled while waiting for a letter to be durable has added it all the same."""
    store.gate = threading.Event()
    async with tree_on(store):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(dead_letters().add, A, 1, "refused")
                await in_thread(store.began)
                scope.cancel()
        assert [1] == messages()
        store.gate.set()

    assert ["1"] == stored(disk)


# ------------------------------------------------------------------------------------------- the next run


async def test_next_run(disk):
    """The next run has the letters of the last one, in order, before its own; ids and keys are what they were."""
    async with tree_on(FakeStore(disk)):
        bury(1, 2, recipient=A)
        before = list(dead_letters())
    async with tree_on(FakeStore(disk)):
        bury(3, recipient=A)
        after = list(dead_letters())
        got = []
        spawn(collect, got, name=A)
        await dead_letters().retry()
        found = check_sums()

    assert ["1-1", "1-2", "2-1"] == [letter.id for letter in after]
    assert [letter.idempotency_key for letter in before] == [letter.idempotency_key for letter in after[:2]]
    assert [letter.first_failure for letter in before] == pytest.approx([each.first_failure for each in after[:2]])
    assert [1, 2, 3] == got
    assert (2, 1, 3) == (found.loaded, found.added, found.delivered)
    assert {} == disk.letters


async def test_changes_are_stored(disk):
    """How often a letter was tried, and whether it is exhausted, is known in the next run."""
    for attempts in (2, 3):
        async with tree_on(FakeStore(disk), max_attempts=3):
            if attempts == 2:
                bury(1, recipient=A)
            await dead_letters().retry()
        (record,) = disk.letters.values()
        assert attempts == record.attempts
    async with tree_on(FakeStore(disk), max_attempts=3):
        assert "exhausted" == dead_letters()[0].state
        assert 1 == check_sums().exhausted


async def test_nameless_in_the_next_run(disk):
    """A letter to a process without a name cannot be delivered in another run, but one can see whom it was for."""
    async with tree_on(FakeStore(disk)):
        ref = spawn(trio.lowlevel.checkpoint)
        await ref.wait()
        send_nowait(ref, 1)
    async with tree_on(FakeStore(disk)):
        (letter,) = dead_letters()
        report = await dead_letters().retry()

    assert FormerRecipient("checkpoint#2") == letter.recipient
    assert [letter.id] == list(report.failed)
    (record,) = disk.letters.values()
    assert ("ref", "checkpoint#2", 2) == (record.recipient_kind, record.recipient, record.attempts)


async def test_unreadable(disk):
    """A message that cannot be read any more is shown as it is, is never sent, and is not lost."""
    async with tree_on(FakeStore(disk)):
        bury("hello", recipient=A)
    disk.by_hand("1-1", message="{broken", metadata="{broken")
    async with tree_on(FakeStore(disk)):
        got = []
        spawn(collect, got, name=A)
        (letter,) = dead_letters()
        report = await dead_letters().retry()

    assert isinstance(letter.message, UnreadableMessage)
    assert "{broken" == letter.message.text == letter.metadata["unreadable"]
    assert "CannotLoad" in report.failed[letter.id]
    assert [] == got
    assert ["{broken"] == stored(disk)


async def test_more_than_fits(disk):
    """What a store has is all kept, even beyond the bound; each new letter evicts one, until the bound is reached."""
    async with tree_on(FakeStore(disk)):
        bury(*range(10))
    async with tree_on(FakeStore(disk), capacity=5):
        assert 10 == len(dead_letters())
        bury("new")
        assert 10 == len(dead_letters())
        assert [1, 2] == messages()[:2]
        assert 1 == check_sums().evicted
        await dead_letters().purge(*(letter.id for letter in dead_letters()[:7]))
        bury("one", "two", "three")
        assert [9, "new", "one", "two", "three"] == messages()
        assert 2 == check_sums().evicted

    assert ["9", '"new"', '"one"', '"two"', '"three"'] == stored(disk)


async def test_expired_meanwhile(disk):
    """What has become too old between two runs expires when it is loaded, also from the disk."""
    async with tree_on(FakeStore(disk)):
        bury(1, 2)
    (first, second) = disk.letters
    disk.by_hand(first, first_failure=disk.letters[first].first_failure - 1e6)
    async with tree_on(FakeStore(disk)):
        assert [2] == messages()
        assert 1 == check_sums().expired

    assert [second] == list(disk.letters)


async def test_requested_of_a_slow_start(disk):
    """What was asked for is sent when the children are up, however long their start takes."""
    async with tree_on(FakeStore(disk)):
        bury(1, recipient=A)
    disk.by_hand("1-1", requested=True)
    got = []

    async def slow(*, task_status):
        for _ in range(200):
            await trio.lowlevel.checkpoint()
        register(A, current_ref())
        task_status.started()
        await collect(got)

    async with open_supervisor([child(slow)], dead_letters=DeadLetterOptions(store=FakeStore(disk))) as tree:
        await settled()
        assert 0 == len(dead_letters())
        tree.shutdown()

    assert [1] == got


# ------------------------------------------------------------------------------------------- removing


async def test_removed(disk, store):
    """What leaves the queue leaves the disk: delivered, purged, evicted."""
    async with tree_on(store, capacity=4):
        got = []
        bury(1, recipient=A)
        bury(2, 3, 4, recipient=B)
        await dead_letters().flush()
        spawn(collect, got, name=A)
        await dead_letters().retry(recipient=A)
        assert 1 == await dead_letters().purge("1-2")
        assert ["3", "4"] == stored(disk)  # at once, as purge waits for it
        bury(5, 6, 7)
        await dead_letters().flush()
        assert ["4", "5", "6", "7"] == stored(disk)


async def test_purged_for_good(disk, store):
    """When `purge` returns, no letter that is gone is in the store, whichever of them was written last, or never."""
    async with tree_on(store):
        bury(*range(5))
        await dead_letters().flush()
        bury("not written yet", object())
        assert 7 == await dead_letters().purge()
        assert {} == disk.letters
        bury(*range(3))
        await dead_letters().flush()
        await dead_letters().add(A, object(), "refused")
        assert 4 == await dead_letters().purge()
        assert {} == disk.letters
        assert 0 == check_sums().unsaved


async def test_expired_for_good(disk, store, mock_clock):
    """What has expired is gone from the store as well when `purge` has counted it."""
    async with tree_on(store, expire_after=10):
        bury(1, 2)
        await dead_letters().flush()
        mock_clock.jump(10)
        assert 2 == await dead_letters().purge(expired=True)
        assert {} == disk.letters


async def test_gone_before_it_was_written(disk, store):
    """A letter that goes while it is written, or before, is not on the disk in the end."""
    store.gate = threading.Event()
    async with tree_on(store):
        bury("written")
        await in_thread(store.began)
        bury("waiting")
        for letter in dead_letters():
            dead_letters().remove(dead_letters().ids.number(letter.id), "purged")
        store.gate.set()
        await dead_letters().flush()
        assert {} == disk.letters
