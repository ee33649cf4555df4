"""How dead letters leave the queue, and who hears of it."""

import pytest
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    InvalidSpec,
    LetterEvent,
    LetterNotFound,
    Name,
    NotInProcess,
    current_runtime,
    dead_letters,
    kill,
    mailbox,
    spawn,
)
from tests.runtime.helpers import collect, idle, inside
from tests.runtime.letter_queue import bury, check_sums, messages, tree_with

# ------------------------------------------------------------------------------------------- bound


async def test_bound():
    """At the bound the oldest letter goes; all are counted."""
    async with tree_with(capacity=3) as tree:
        bury(*range(10))
        found = check_sums()
        left = [(letter.id, letter.message) for letter in dead_letters()]
        tree.shutdown()

    assert [("0-8", 7), ("0-9", 8), ("0-10", 9)] == left
    assert (3, 10, 7) == (found.queued, found.added, found.evicted)


async def test_bound_with_gaps():
    """The oldest is found also if letters around it have gone."""
    async with tree_with(capacity=3) as tree:
        bury(0, 1, 2)
        await dead_letters().purge("0-1", "0-2")
        bury(3, 4, 5, 6)
        left = messages()
        check_sums()
        tree.shutdown()

    assert [4, 5, 6] == left


# ------------------------------------------------------------------------------------------- expiry


async def test_expiry(mock_clock):
    """A letter expires, and is counted, though nobody waits for that."""
    async with tree_with(expire_after=10) as tree:
        bury(1)
        mock_clock.jump(6)
        bury(2)
        mock_clock.jump(3.9)
        before = messages()
        mock_clock.jump(0.1)
        after = messages()
        assert [] == current_runtime().alarms.armed()
        mock_clock.jump(100)
        assert 0 == len(dead_letters())
        found = check_sums()
        with pytest.raises(LetterNotFound):
            dead_letters().get("0-2")
        tree.shutdown()

    assert [1, 2] == before
    assert [2] == after
    assert (2, 2) == (found.added, found.expired)


async def test_expiry_makes_room(mock_clock):
    """New letters push expired ones out, also if nobody ever looks."""
    async with tree_with(expire_after=10) as tree:
        bury(*range(100))
        mock_clock.jump(10)
        bury("new")
        assert 1 == len(current_runtime().dead_letters.letters)
        check_sums()
        tree.shutdown()


# ------------------------------------------------------------------------------------------- purging


async def test_purge(tree):
    """What is purged is gone, and nothing else: by id, by filter, or all."""
    queue = dead_letters()
    bury(1, 2, 3, recipient=Name("a"))
    bury(4, 5, recipient=Name("b"), reason="refused")

    assert 2 == await queue.purge("0-2", "0-4")
    assert [1, 3, 5] == messages()
    assert 1 == await queue.purge(reason="refused")
    assert [1, 3] == messages()
    assert 0 == await queue.purge(recipient=Name("b"))
    assert 2 == await queue.purge()
    assert [] == messages()
    assert 5 == check_sums().purged


async def test_purge_unknown(tree):
    """If one of the ids is unknown, nothing is purged."""
    bury(1)
    with pytest.raises(LetterNotFound):
        await dead_letters().purge("0-1", "0-7")
    with pytest.raises(InvalidSpec, match="ids or filters"):
        await dead_letters().purge("0-1", reason="noproc")

    assert [1] == messages()


async def test_purge_expired(mock_clock):
    """The expired can be purged, and those that are not stay."""
    async with tree_with(expire_after=10) as tree:
        bury(1, 2)
        mock_clock.jump(10)
        bury(3)
        bury(4)
        purged = await dead_letters().purge(expired=True)
        left = messages()
        mock_clock.jump(10)
        rest = await dead_letters().purge(expired=True)
        check_sums()
        tree.shutdown()

    assert [3, 4] == left
    assert (0, 2) == (purged, rest)  # 1 and 2 had to make room for 3


# ------------------------------------------------------------------------------------------- events


async def test_subscribe(tree):
    """Who subscribes hears of everything, in order, until its end."""
    seen = []

    async def listener():
        dead_letters().subscribe()
        await collect(seen)

    ref = spawn(listener)
    await wait_all_tasks_blocked()
    bury("hello")
    await dead_letters().purge()
    await wait_all_tasks_blocked()
    kill(ref)
    await ref.wait()
    bury("unheard")

    assert [("added", "hello"), ("purged", "hello")] == [(event.kind, event.letter.message) for event in seen]
    assert "LetterEvent('added'" in repr(seen[0])
    assert 0 == len(dead_letters().subscriptions)
    assert [] == current_runtime()._hooks


async def test_unsubscribe(tree):
    """Who unsubscribes hears nothing more."""

    async def listener():
        queue = dead_letters()
        before = queue.unsubscribe()
        queue.subscribe()
        queue.subscribe()
        bury(1)
        ended = queue.unsubscribe()
        bury(2)
        return before, ended, len(mailbox())

    assert (False, True, 1) == await inside(listener)


async def test_events_are_never_dead_letters(tree):
    """An event that nobody reads is not a dead letter in turn, or there would be no end to them."""

    async def listener():
        dead_letters().subscribe()
        await idle()

    ref = spawn(listener)
    await wait_all_tasks_blocked()
    bury("hello")
    kill(ref)
    await ref.wait()

    assert ["hello"] == messages()
    assert {"process ended": 1} == current_runtime().ledger().dropped
    ref._process.deliver(LetterEvent("added", dead_letters()[0]))
    assert ["hello"] == messages()


async def test_subscribe_outside(tree):
    """Only a process has a mailbox for events."""
    with pytest.raises(NotInProcess):
        dead_letters().subscribe()
    with pytest.raises(NotInProcess):
        dead_letters().unsubscribe()


async def test_telemetry():
    """Whoever is attached hears of letters that come and go."""
    seen = []
    async with tree_with(capacity=1) as tree:
        with current_runtime().telemetry.attached(("nursery_otp", "letter"), lambda *event: seen.append(event)):
            bury(1, 2)
            await dead_letters().purge()
        tree.shutdown()

    assert [
        ("added", 1, 1, None),
        ("removed", 1, 1, "evicted"),
        ("added", 1, 2, None),
        ("removed", 0, 2, "purged"),
    ] == [(name[-1], measured["queued"], about["letter"].message, about.get("cause")) for name, measured, about in seen]
