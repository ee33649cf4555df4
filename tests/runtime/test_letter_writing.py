"""What becomes of a batch that a store does not take at once."""

import pytest
import trio

from nursery_otp import Backoff, DeadLetterOptions, InvalidSpec, RemoveLetter, dead_letters, open_supervisor
from nursery_otp._runtime import letter_mirror
from tests.runtime.letter_queue import A, bury
from tests.runtime.letter_stores import FULL, Disk, FakeStore, settled, stored

HANG = 60.0


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A store that failed is left alone until somebody asks for it."""
    monkeypatch.setattr(letter_mirror, "PATIENCE", Backoff(initial=1000.0, maximum=1000.0))


class Picky(FakeStore):
    """Has a reason of its own not to take some messages, and says only that it does not take the batch."""

    refused = frozenset({"7", "13"})

    def write(self, changes):
        wrong = [c for c in changes if not isinstance(c, RemoveLetter) and c.letter.message in self.refused]
        if wrong:
            raise InvalidSpec("changes", len(changes), "one of them is too long")
        super().write(changes)


class Doubtful(FakeStore):
    """Its first write reaches the disk, though it reports an error."""

    def write(self, changes):
        super().write(changes)
        if len(self.disk.writes) == 1:
            raise FULL


async def with_store(store, body):
    """Run something in a tree with this store."""
    with trio.fail_after(HANG):
        async with open_supervisor(dead_letters=DeadLetterOptions(store=store)) as tree:
            await body()
            tree.shutdown()


@pytest.mark.parametrize("count", [1, 2, 20])
async def test_letters_that_only_the_store_refuses(count):
    """Letters that the store refuses for a reason of its own stay in memory, and the rest of their batch is written."""
    disk = Disk()
    numbers = range(7, 7 + count)

    async def body():
        bury(*numbers, recipient=A)
        assert await dead_letters().flush()
        letters = dead_letters().list()
        assert [f"{number}" not in Picky.refused for number in numbers] == [letter.durable for letter in letters]
        assert "one of them is too long" in letters[0].not_stored
        assert 0 == dead_letters().statistics().unsaved

    await with_store(Picky(disk), body)
    assert [str(number) for number in numbers if str(number) not in Picky.refused] == stored(disk)


async def test_request_between_two_attempts_to_write():
    """A delivery that somebody asks for while the outcome of a write is unknown is tried, once, and answered."""
    disk = Disk()

    async def body():
        bury(1, recipient=A)
        await settled()
        assert len(disk.writes) == 1
        disk.by_hand("1-1", requested=True)
        assert await dead_letters().flush()
        await settled()
        assert dead_letters()[0].attempts > 1
        assert await dead_letters().flush()
        assert 0 == await dead_letters().refresh()

    await with_store(Doubtful(disk), body)
    (record,) = disk.letters.values()
    assert (2, False) == (record.attempts, record.requested)


async def test_answer_to_a_letter_whose_writing_is_in_doubt():
    """A request that is answered before the letter is written again does not come back with it."""
    disk = Disk()

    async def body():
        bury(1, recipient=A)
        await settled()
        assert len(disk.writes) == 1
        disk.by_hand("1-1", requested=True)
        assert 1 == await dead_letters().refresh()
        await settled()
        assert dead_letters()[0].attempts > 1
        assert await dead_letters().flush()
        assert 0 == await dead_letters().refresh()

    await with_store(Doubtful(disk), body)
    (record,) = disk.letters.values()
    assert (2, False) == (record.attempts, record.requested)
