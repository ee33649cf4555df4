"""What a dead-letter queue easily gets wrong, each with a queue that does: the check finds the difference."""

import itertools

import pytest
import trio

from nursery_otp import (
    AutomaticRetry,
    DeadLetterOptions,
    GenServer,
    Name,
    call,
    cast,
    child,
    current_runtime,
    dead_letters,
    open_supervisor,
    spawn,
)
from tests.runtime.helpers import collect
from tests.runtime.letter_queue import service
from tests.runtime.letter_stores import FakeStore, settled

QUEUE = Name["NaiveQueue"]("dead-letters")
A = Name("a")


class NaiveQueue(GenServer):
    """A queue as one would write it first: a server that has the letters in its state."""

    def __init__(self) -> None:
        self.letters: dict[int, object] = {}
        self.numbers = itertools.count(1)

    @cast
    def bury(self, message: object) -> None:
        self.letters[next(self.numbers)] = message

    @call
    def list(self, limit: int) -> list[object]:
        """The newest come first, and the limit is applied before the order is put right."""
        return sorted([*reversed(self.letters.values())][:limit], key=str)

    @call
    def purge(self) -> int:
        """A number is returned."""
        return len(self.letters)

    @call
    async def retry(self, name: Name, times: int) -> None:
        """One after the other, in the queue itself; in front of each other as they fail."""
        for message in list(self.letters.values()) * times:
            ref = current_runtime().names().get(name.text)
            if ref is not None:
                ref._process.offer(message)


class Naive:
    """The naive queue, with the methods that the checks use."""

    children = (child(NaiveQueue, name=QUEUE),)
    options = DeadLetterOptions()

    async def bury(self, *messages):
        for message in messages:
            NaiveQueue.bury(QUEUE, message)

    async def messages(self, limit=10**9):
        return await NaiveQueue.list(QUEUE, limit)

    async def purge(self):
        return await NaiveQueue.purge(QUEUE)

    async def crash(self):
        ref = current_runtime().names()["dead-letters"]
        ref._process.interrupt(ValueError("planted"))
        await ref.wait()
        await trio.testing.wait_all_tasks_blocked()


class Ours:
    """The real one."""

    children = ()
    options = DeadLetterOptions(retry=AutomaticRetry())

    def __init__(self):
        self.options = DeadLetterOptions(retry=AutomaticRetry(), store=FakeStore())

    async def bury(self, *messages):
        for message in messages:
            current_runtime().sent += 1
            dead_letters().bury(A, message, "noproc")

    async def messages(self, limit=None):
        return [letter.message for letter in dead_letters().list(limit=limit)]

    async def purge(self):
        return await dead_letters().purge()

    async def crash(self):
        for label in ("write_dead_letters", "retry_dead_letters", "InlineSupervisor"):
            ref = service(label)
            ref._process.interrupt(ValueError("planted"))
            await ref.wait()
            await settled()
            trio.lowlevel.current_clock().jump(60)  # it is started again after a while
            await settled()
            assert ref is not service(label)


async def survives_its_own_crash(queue):
    """Its contents are there after the crash of whatever processes it consists of."""
    await queue.bury(1, 2, 3)
    await queue.crash()
    return [1, 2, 3] == await queue.messages()


async def purges(queue):
    """After a purge nothing is there; that a number was returned proves nothing."""
    await queue.bury(1, 2, 3)
    return 3 == await queue.purge() and [] == await queue.messages()


async def lists_the_first(queue):
    """A limit of 5 of 2,000 gives the first five, in order."""
    await queue.bury(*range(2_000))
    return [0, 1, 2, 3, 4] == await queue.messages(5)


@pytest.mark.parametrize("check", [survives_its_own_crash, purges, lists_the_first])
@pytest.mark.parametrize(("kind", "holds"), [(Naive, False), (Ours, True)])
async def test_trap(check, kind, holds, mock_clock):
    """The naive queue falls into the trap, ours does not."""
    queue = kind()
    async with open_supervisor(queue.children, dead_letters=queue.options, max_restarts=9) as tree:
        assert holds is await check(queue)
        tree.shutdown()


async def naive_retry():
    """Each letter on its own: what fails does not keep those behind it."""
    for letter in dead_letters().list():
        emit = current_runtime().telemetry.letter_retried
        ref = current_runtime().names().get(letter.recipient.text)
        if ref is None:
            emit({"attempts": 2}, {"letter": letter, "result": "no process"})
        else:
            ref._process.offer(letter.message)
            await dead_letters().purge(letter.id)


async def in_order(retry):
    """Whether a recipient that comes back after the first failure gets its letters in order."""
    got, back = [], []
    async with open_supervisor() as tree:
        for number in range(6):
            dead_letters().bury(A, number, "noproc")

        def come_back(*_event):
            if not back:
                back.append(spawn(collect, got, name=A))

        with current_runtime().telemetry.attached(("nursery_otp", "letter", "retried"), come_back):
            await retry()
            await retry()
        await trio.testing.wait_all_tasks_blocked()
        tree.shutdown()
    assert {*range(6)} == {*got}
    return got == sorted(got)


async def test_nobody_is_overtaken():
    """A letter that fails keeps those behind it, so that a recipient which comes back meanwhile gets them in order."""
    assert not await in_order(naive_retry)
    assert await in_order(lambda: dead_letters().retry())


async def test_handled_is_handled():
    """A letter that its receiver has accepted and crashed on is still there; a queue that only sends has lost it."""

    async def crash():
        from nursery_otp import mailbox

        await mailbox().receive()
        raise ValueError("planted")

    left = {}
    for kind in ("naive", "ours"):
        async with open_supervisor() as tree:
            dead_letters().bury(A, "hello", "noproc")
            ref = spawn(crash, name=A)
            if kind == "naive":
                ref._process.offer("hello")
                await dead_letters().purge()
            else:
                await dead_letters().retry()
            await ref.wait()
            left[kind] = [letter.message for letter in dead_letters()]
            tree.shutdown()

    assert {"naive": [], "ours": ["hello"]} == left


class CallOften(GenServer):
    """Somebody else who uses the loop."""

    @call
    def echo(self, value: int) -> int:
        return value


async def calls_during(work):
    """How many calls to another server are answered while this is done."""
    answered = 0
    async with open_supervisor() as tree:
        ref = await tree.start(CallOften)
        for number in range(1_000):
            dead_letters().bury(Name(f"n{number % 20}"), number, "noproc")
        for number in range(0, 20, 2):
            spawn(collect, [], name=Name(f"n{number}"))
        done = trio.Event()

        async def run():
            await work()
            done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            while not done.is_set():
                await CallOften.echo(ref, 1)
                answered += 1
        tree.shutdown()
    return answered


async def test_loop_is_shared():
    """While 1,000 letters are sent again, another server answers about as many calls; the naive retry answers none."""

    async def naive():
        for letter in dead_letters().list():
            ref = current_runtime().names().get(letter.recipient.text)
            if ref is not None:
                ref._process.offer(letter.message)

    assert await calls_during(naive) < 5
    assert await calls_during(lambda: dead_letters().retry()) > 500
