"""Letters whose message is being handled still, though whoever sent it does not wait for that any more."""

from typing import ClassVar

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    AutomaticRetry,
    DeadLetterOptions,
    GenServer,
    Name,
    current_runtime,
    dead_letters,
    delivery_statistics,
    kill,
    mailbox,
    open_supervisor,
    send,
    send_nowait,
    spawn,
)
from tests.runtime.helpers import collect
from tests.runtime.letter_queue import NO_JITTER, bury, check_sums

SLOW = Name("slow")
LIMIT, WORK = 5.0, 8.0


class Shared(GenServer):
    """Handles each message in more time than a send may take; one record for all incarnations."""

    begun: ClassVar = []
    done: ClassVar = []

    async def handle_info(self, message):
        self.begun.append(message)
        await trio.sleep(WORK)
        if message == "poison":
            raise ValueError(message)
        self.done.append(message)


@pytest.fixture
def record():
    Shared.begun.clear()
    Shared.done.clear()
    return Shared


async def to_dead_letter(message, within=LIMIT):
    return await send(SLOW, message, confirm="handled", within=within, on_error="dead_letter")


async def test_handled_after_all(tree, autojump_clock, record):
    """A message that becomes a dead letter while it is handled leaves the queue when its handler has returned."""
    await tree.start(Shared, name=SLOW)
    delivery = await to_dead_letter("order")

    assert not delivery
    assert delivery.error.handling
    assert "retrying" == delivery.letter.state
    assert 1 == check_sums().retrying
    await trio.sleep(WORK)
    assert ["order"] == record.done
    assert (0, 1) == (check_sums().queued, check_sums().delivered)
    assert current_runtime().ledger().balanced


async def test_crashed_after_all(tree, autojump_clock, record):
    """If its handler crashes, the letter waits for the next incarnation."""
    ref = await tree.start(Shared, name=SLOW, restart="temporary")
    await to_dead_letter("poison")
    await ref.wait()

    assert ["waiting"] == [letter.state for letter in dead_letters()]
    assert 1 == check_sums().waiting
    await wait_all_tasks_blocked()
    got = []
    spawn(collect, got, name=SLOW)
    await dead_letters().retry()
    assert ["poison"] == got
    assert current_runtime().ledger().balanced


async def test_not_by_the_clock(autojump_clock, record):
    """Automatic retries leave it alone, and those behind it: nothing is handled twice, and nothing overtakes it."""
    options = DeadLetterOptions(retry=AutomaticRetry(interval=1.0, backoff=NO_JITTER))
    async with open_supervisor(dead_letters=options) as tree:
        await tree.start(Shared, name=SLOW)
        await to_dead_letter(1)
        bury(2, 3, recipient=SLOW)
        await trio.sleep(10 * WORK)
        assert [1, 2, 3] == record.begun == record.done
        assert (0, 3) == (check_sums().queued, check_sums().delivered)
        tree.shutdown()


async def test_retried(tree, autojump_clock, record):
    """A retry that runs into its limit says so, and its letter is delivered when its handler returns."""
    await tree.start(Shared, name=SLOW)
    bury(1, 2, recipient=SLOW)
    report = await dead_letters().retry()

    (why,) = report.failed.values()
    assert "it is being handled still" in why
    assert ("0-2",) == report.skipped
    assert () == (await dead_letters().retry()).delivered
    assert ["retrying", "waiting"] == [letter.state for letter in dead_letters()]
    await trio.sleep(WORK)
    assert [1] == record.done
    assert ["0-2"] == [letter.id for letter in dead_letters()]
    check_sums()


async def test_last_attempt(autojump_clock, record):
    """That its attempts are used up is no matter if the last of them is handled after all."""
    async with open_supervisor(dead_letters=DeadLetterOptions(max_attempts=2)) as tree:
        await tree.start(Shared, name=SLOW)
        bury(1, recipient=SLOW)
        await dead_letters().retry()
        check_sums()
        await trio.sleep(WORK)
        assert (0, 0, 1) == (check_sums().queued, check_sums().exhausted, check_sums().delivered)
        tree.shutdown()


async def test_last_attempt_crashes(autojump_clock, record):
    """And if it crashes, the letter is exhausted."""
    async with open_supervisor(dead_letters=DeadLetterOptions(max_attempts=2)) as tree:
        ref = await tree.start(Shared, name=SLOW, restart="temporary")
        bury("poison", recipient=SLOW)
        await dead_letters().retry()
        await ref.wait()
        assert (1, 1) == (check_sums().queued, check_sums().exhausted)
        tree.shutdown()


async def test_purged_meanwhile(tree, autojump_clock, record):
    """A letter that is purged while it is handled is gone, whatever becomes of it."""
    await tree.start(Shared, name=SLOW)
    await to_dead_letter("order")
    assert 1 == await dead_letters().purge()
    await trio.sleep(WORK)

    assert ["order"] == record.done
    assert (0, 1, 0) == (check_sums().queued, check_sums().purged, check_sums().delivered)


async def test_expires_late(autojump_clock, record):
    """A letter that became too old while it was handled expires when its handler has crashed."""
    async with open_supervisor(dead_letters=DeadLetterOptions(expire_after=1.0)) as tree:
        ref = await tree.start(Shared, name=SLOW, restart="temporary")
        await to_dead_letter("poison")
        await trio.sleep(2)
        assert 1 == len(dead_letters())
        await ref.wait()
        assert (0, 1) == (check_sums().queued, check_sums().expired)
        tree.shutdown()


async def test_handled_by_a_function(tree, autojump_clock):
    """For a plain function it is over when it asks for its next message, or is killed."""
    ref = spawn(slow_reader, name=SLOW)
    await to_dead_letter(1)
    await trio.sleep(WORK)
    assert 0 == len(dead_letters())
    await to_dead_letter(2)
    kill(ref)
    await ref.wait()
    assert [2] == [letter.message for letter in dead_letters()]
    check_sums()


async def slow_reader():
    while True:
        await mailbox().receive()
        await trio.sleep(WORK)


async def test_sender_cancelled(tree, autojump_clock, record):
    """A sender that is cancelled leaves nothing behind: no letter, no alarm, no limit that fires for nobody."""
    await tree.start(Shared, name=SLOW)
    with trio.move_on_after(1):
        await to_dead_letter("order")
    await trio.sleep(2 * WORK)

    assert ["order"] == record.done
    assert 0 == check_sums().added
    assert 1 == delivery_statistics().cancelled
    assert {} == dict(current_runtime().limits.fired)


async def test_tree_ends(autojump_clock, record):
    """If the tree ends meanwhile, what could be handled in the time for that is delivered, and the rest is there."""
    for within, left in ((LIMIT, ["more"]), (1.0, ["order", "more"])):
        async with open_supervisor() as tree:
            queue = dead_letters()
            ref = await tree.start(Shared, name=SLOW)
            await to_dead_letter("order", within)
            send_nowait(ref, "more")
            tree.shutdown()
        assert left == [letter.message for letter in queue]
        assert {"waiting"} == {letter.state for letter in queue}
