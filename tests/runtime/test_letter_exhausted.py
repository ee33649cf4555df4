"""Dead letters after their last attempt: kept, in nobody's way, and sent again only for whoever asks for them."""

import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import RetryReport, current_runtime, dead_letters, kill, spawn
from tests.runtime.helpers import collect
from tests.runtime.letter_queue import A, bury, check_sums, crash_on, messages, one_slow, tree_with


async def test_exhausted():
    """After its last attempt a letter is kept, and goes again only if asked for by id or state."""
    async with tree_with(max_attempts=3) as tree:
        queue = dead_letters()
        bury(1, recipient=A)
        await queue.retry()
        assert "waiting" == queue[0].state
        await queue.retry()
        assert "exhausted" == queue[0].state
        assert (0, 1) == (check_sums().waiting, check_sums().exhausted)
        assert RetryReport() == await queue.retry()
        assert 3 == queue[0].attempts
        assert ["0-1"] == list((await queue.retry("0-1")).failed)
        assert (4, "exhausted") == (queue[0].attempts, queue[0].state)
        got = []
        spawn(collect, got, name=A)
        assert ("0-1",) == (await queue.retry(state="exhausted")).delivered
        check_sums()
        tree.shutdown()

    assert [1] == got


async def test_exhausted_does_not_hold_back():
    """Those behind an exhausted letter are delivered, and it holds nobody back when it fails once more."""
    async with tree_with(max_attempts=2) as tree:
        bury("poison", 2, 3, recipient=A)
        got = []
        ref = spawn(crash_on, "poison", got, name=A)
        first = await dead_letters().retry()
        await ref.wait()
        ref = spawn(crash_on, "poison", got, name=A)
        second = await dead_letters().retry("0-2")
        third = await dead_letters().retry("0-1", "0-3")
        tree.shutdown()

    assert (["0-1"], ("0-2", "0-3")) == (list(first.failed), first.skipped)
    assert ("0-2",) == second.delivered
    assert (["0-1", "0-3"], ()) == (list(third.failed), third.skipped)  # 3 was sent, though 1 crashed the receiver


async def test_exhausted_do_not_expire(mock_clock):
    """What is exhausted stays until it is purged, for somebody to look at."""
    async with tree_with(max_attempts=2, expire_after=10) as tree:
        bury(1, 2, recipient=A)
        await dead_letters().retry("0-1")
        mock_clock.jump(100)
        assert [1] == messages()
        assert 1 == await dead_letters().purge(expired=True)
        check_sums()
        tree.shutdown()


async def test_too_old_after_its_attempt(mock_clock):
    """A letter that has become too old while it was sent expires when that fails."""
    async with tree_with(expire_after=3, max_attempts=9) as tree:
        bury(1, recipient=A)
        spawn(one_slow, name=A)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dead_letters().retry)
            await wait_all_tasks_blocked()
            assert "retrying" == dead_letters()[0].state
            mock_clock.jump(4)
            assert 1 == len(dead_letters())
            kill(current_runtime().names()["a"])
        assert 0 == len(dead_letters())
        assert 1 == check_sums().expired
        tree.shutdown()
