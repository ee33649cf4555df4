"""A store that fails, or whose service does: nobody waits, nothing is lost, and it is told once."""

import threading

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import StartFailed, current_runtime, dead_letters, kill, spawn
from tests.runtime.helpers import collect, idle
from tests.runtime.letter_queue import A, bury, check_sums, messages, service
from tests.runtime.letter_stores import FOREIGN, FULL, FakeStore, disk, in_thread, settled, store, stored, tree_on

__all__ = ["disk", "store"]  # fixtures, for pytest


# ------------------------------------------------------------------------------------------- trouble


async def test_trouble(disk, store, caplog):
    """A store that fails is reported once, delivery goes on in memory, and all is written when it works again."""
    events = []
    async with tree_on(store):
        telemetry = current_runtime().telemetry
        with telemetry.attached(("nursery_otp", "store"), lambda *event: events.append(event)):
            store.trouble["write"] = FULL
            letter = await dead_letters().add(A, 1, "refused")
            assert not letter.durable
            assert (letter,) == dead_letters().list()
            bury(2)
            assert not await dead_letters().flush()
            assert not await dead_letters().flush()
            assert 2 == check_sums().unsaved
            store.trouble.clear()
            assert await dead_letters().flush()
            assert ["1", "2"] == stored(disk)

    assert [("failed", 1), ("recovered", 0)] == [(name[-1], measured["waiting"]) for name, measured, _ in events]
    assert FULL is events[0][2]["error"]
    assert 1 == caplog.text.count("dead_letter_store_failed")
    assert "disk full" in caplog.text


async def test_nobody_waits_for_trouble(store):
    """While the store is out of order, nobody waits for it."""
    async with tree_on(store):
        store.trouble["write"] = FULL
        with trio.fail_after(5):
            for number in range(50):
                await dead_letters().add(A, number, "refused")
        assert not any(letter.durable for letter in dead_letters())
        del store.trouble["write"]


async def test_tried_again(disk, store, mock_clock):
    """A store that failed is tried again by itself, after a while."""
    async with tree_on(store):
        store.trouble["write"] = OSError("anything")
        bury(1)
        await settled()
        store.trouble.clear()
        await settled()
        assert [] == stored(disk)
        mock_clock.jump(2)
        await settled()
        assert ["1"] == stored(disk)


async def test_cannot_open(disk, store, caplog):
    """A store that cannot be opened now does not keep the tree from starting; it is opened as soon as that works."""
    async with tree_on(FakeStore(disk)):
        bury("old", recipient=A)
    store.trouble["open"] = FULL
    async with tree_on(store):
        letter = await dead_letters().add(A, "new", "refused")
        assert not letter.durable
        assert ["new"] == messages()
        store.trouble.clear()
        assert await dead_letters().flush()
        later = await dead_letters().add(A, "last", "refused")
        assert ["old", "new", "last"] == messages()
        assert letter.id == dead_letters()[1].id
        assert "2-2" == later.id
        assert letter.message == dead_letters().get(letter.id).message
        check_sums()

    assert {'"old"', '"new"', '"last"'} == set(stored(disk))
    assert "dead_letter_store_failed" in caplog.text


async def test_never_opened(disk, store, caplog):
    """If the store never works, the letters that are lost at the end are counted in the log."""
    store.trouble["open"] = FULL
    async with tree_on(store):
        bury(1, 2, 3)

    assert "dead_letters_lost" in caplog.text
    assert "letters=3" in caplog.text
    assert {} == disk.letters


async def test_foreign_file(store):
    """What is not a store of letters, and never will be, keeps the tree from starting."""
    store.trouble["open"] = FOREIGN
    with pytest.raises(StartFailed, match="store of dead letters") as caught:
        async with tree_on(store):
            raise AssertionError
    assert FOREIGN is caught.value.__cause__


async def test_cannot_close(disk, store, caplog):
    """A store that cannot be closed is reported, and that is all."""
    store.trouble["close"] = OSError("busy")
    async with tree_on(store):
        bury(1)

    assert ["1"] == stored(disk)
    assert "dead_letter_store_not_closed" in caplog.text


@pytest.mark.parametrize("fails", ["write", "written"])
async def test_failed_writes_leave_no_doubt(disk, store, fails, mock_clock):
    """A letter that was delivered while its write failed is removed from the disk, if the write got that far."""
    async with tree_on(store):
        store.trouble[fails] = FULL
        bury(1, recipient=A)
        await settled()
        assert len(disk.letters) == (fails == "written")
        spawn(collect, [], name=A)
        await dead_letters().retry()
        store.trouble.clear()
        assert await dead_letters().flush()
        assert {} == disk.letters


async def test_failed_writes_are_not_repeated(disk, store, mock_clock):
    """What a failed write did after all is found out, and is not written again."""
    async with tree_on(store):
        store.trouble["written"] = FULL
        bury(1, 2)
        await settled()
        assert not dead_letters()[0].durable
        store.trouble.clear()
        assert await dead_letters().flush()
        assert dead_letters()[0].durable
        assert 1 == len(disk.writes)
        disk.by_hand("1-1")
        bury(3)
        assert await dead_letters().flush()
        assert [2, 3] == messages()
        check_sums()
    assert ["2", "3"] == stored(disk)


async def test_cannot_be_stored(disk, store, caplog):
    """A message that is no data stays in memory and says why; the others of its batch are written."""
    async with tree_on(store):
        bury(1, object(), 2, recipient=A)
        bad = await dead_letters().add(A, object(), "refused")
        assert await dead_letters().flush()
        assert ["1", "2"] == stored(disk)
        assert [True, False, True, False] == [letter.durable for letter in dead_letters()]
        assert "not JSON serializable" in bad.not_stored
        assert (0, 2) == (check_sums().unsaved, check_sums().not_stored)
        await dead_letters().retry()
        spawn(collect, [], name=A)
        await dead_letters().retry()
        assert 0 == check_sums().not_stored

    assert "dead_letters_not_storable" in caplog.text
    assert {} == disk.letters


async def test_cannot_be_stored_any_more(disk, store):
    """A letter that is in the store, and whose message is no data any more, stays there as it was until it goes."""
    async with tree_on(store):
        message = [1]
        bury(message, recipient=A)
        await dead_letters().flush()
        message.append(object())
        await dead_letters().retry()
        assert await dead_letters().flush()
        assert (["[1]"], 1) == (stored(disk), next(iter(disk.letters.values())).attempts)
        assert dead_letters()[0].durable
        await dead_letters().purge()
        assert {} == disk.letters


async def test_wrong_in_itself(disk, store):
    """A letter that no store takes stays in memory, and the others of its batch are written."""
    async with tree_on(store):
        bury(1)
        bad = await dead_letters().add(A, 2, "refused", attempts=2**70)
        bury(3)
        assert await dead_letters().flush()
        assert "attempts" in bad.not_stored
        assert ["1", "3"] == stored(disk)


async def test_changes_while_it_is_stored(disk, store, monkeypatch):
    """A message that changes while it is made data is tried again; if that does not help, it says so."""
    results = [RuntimeError("dictionary changed size during iteration"), '"better"', *[RuntimeError("again")] * 3]

    def encode(_message):
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(store, "encode", encode)
    async with tree_on(store):
        bury(1)
        await dead_letters().flush()
        bury(2)
        await dead_letters().flush()
        assert [None, "RuntimeError('again')"] == [letter.not_stored for letter in dead_letters()]
    assert ['"better"'] == stored(disk)


# ------------------------------------------------------------------------------------------- the service


async def test_writer_killed(disk, store, mock_clock):
    """The service that writes may be killed in the middle of a batch: it is all written, and nothing twice."""
    store.gate = threading.Event()
    async with tree_on(store):
        bury(1, 2)
        await in_thread(store.began)
        bury(3)
        ref = service("write_dead_letters")
        kill(ref)
        await wait_all_tasks_blocked()
        store.gate.set()
        await ref.wait()
        assert 3 == len(dead_letters())
        await settled()
        mock_clock.jump(1)
        await settled()
        assert 3 == len(disk.letters)
        assert ref is not service("write_dead_letters")

    assert ["1", "2", "3"] == stored(disk)


async def test_writer_crashes(disk, store, monkeypatch, mock_clock):
    """A planted fault in the service, before or after a batch is written, loses nothing."""
    async with tree_on(store):
        mirror = dead_letters().mirror
        for fault in ("_take", "_done"):
            healthy = getattr(mirror, fault)

            def broken(*_args, healthy=healthy, fault=fault):
                monkeypatch.setattr(mirror, fault, healthy)
                raise RuntimeError("planted")

            monkeypatch.setattr(mirror, fault, broken)
            bury(fault)
            await settled()
            mock_clock.jump(60)
            await settled()
            assert 0 == mirror.waiting

    assert ['"_take"', '"_done"'] == stored(disk)


async def test_hidden(store):
    """Services are no part of the tree, with a store as well."""
    async with tree_on(store) as tree:
        bury(1)
        await dead_letters().flush()
        assert (tree.ref,) == current_runtime().processes()
        assert 2 == spawn(idle).pid


async def test_without_a_store(tree):
    """Without a store there is nothing to write and nothing to look at."""
    assert not await dead_letters().flush()
    assert 0 == await dead_letters().refresh()
