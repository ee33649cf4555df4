"""Dead letters: what one costs, and what others feel of a thousand that are sent again.

- A message that nobody will handle, kept in the queue, against an attrs object of the same fields in a bounded
  deque: what one would write by hand, without ids, expiry, counters or a way to retry.
- What others feel: `python bench/dead_letters.py` prints how long calls to a server take while 1,000 letters are sent
  again, half of them to recipients that are not there, and on an idle loop. The bar is twice as long, in the median and
  on average. One call in a hundred waits for the longest step of a retry, and takes about three times as long.

The program also prints what 10,000 letters cost in CPU time, into memory and into a file. How long the
disk takes is not in it, and the sends that failed are in one number only.
"""

import math
import statistics
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio
from slices import Comparison, compare, quiet_collector, self_check

from nursery_otp import (
    DeadLetterOptions,
    DeadLetterQueue,
    GenServer,
    Name,
    Ref,
    call,
    current_runtime,
    dead_letters,
    open_supervisor,
    send_nowait,
    spawn,
)
from nursery_otp.stores import SQLiteStore

LETTERS = 1_000
MANY = 10_000
ROUNDS = 7
RECIPIENTS = 10
CALLS = 3_000
FOR_EVER = DeadLetterOptions(max_attempts=math.inf)


@attrs.frozen
class Record:
    """A dead letter by hand."""

    recipient: object
    message: object
    reason: str
    time: float


class Server(GenServer):
    """Answers calls, and takes letters."""

    @call
    def echo(self, value: int) -> int:
        return value

    def handle_info(self, message: object) -> None: ...


def fill(queue: DeadLetterQueue) -> None:
    """Half of the letters are for servers, the others for nobody."""
    for number in range(LETTERS // 2):
        queue.add_nowait(Name(f"server-{number % RECIPIENTS}"), number, "refused")
        queue.add_nowait(Name(f"nobody-{number}"), number, "refused")


@asynccontextmanager
async def tree_of_servers() -> AsyncIterator[Ref[Server]]:
    """Servers with names, and one more for the calls."""
    async with open_supervisor(dead_letters=FOR_EVER) as tree:
        for number in range(RECIPIENTS):
            await tree.start(Server, name=Name(f"server-{number}"))
        yield await tree.start(Server)
        tree.shutdown()


async def measure(quads: int) -> list[Comparison]:
    now = trio.lowlevel.current_clock().current_time
    by_hand: deque[Record] = deque(maxlen=MANY)
    async with tree_of_servers() as ref:
        bury = dead_letters().bury

        async def letters(operations: int) -> None:
            for number in range(operations):
                bury(ref, number, "noproc")

        async def records(operations: int) -> None:
            for number in range(operations):
                by_hand.append(Record(ref, number, "noproc", now()))

        return [
            await self_check("attrs object in a deque", records, quads=quads),
            await compare("dead letter, at the bound", letters, "attrs object in a deque", records, quads=quads),
        ]


# -------------------------------------------------------------------------------------------- absolute


async def into_memory() -> float:
    """CPU seconds for 10,000 messages to a process that has ended, from `send_nowait` on."""
    async with open_supervisor() as tree:
        ref = await dead()
        with quiet_collector():
            began = time.thread_time()
            for number in range(MANY):
                send_nowait(ref, number)
            spent = time.thread_time() - began
        tree.shutdown()
    return spent


async def into_queue() -> float:
    """CPU seconds for 10,000 letters, without the send that failed."""
    async with open_supervisor() as tree:
        ref, bury = await dead(), dead_letters().bury
        with quiet_collector():
            began = time.thread_time()
            for number in range(MANY):
                bury(ref, number, "noproc")
            spent = time.thread_time() - began
        tree.shutdown()
    return spent


async def into_file() -> tuple[float, float]:
    """CPU seconds of the whole process until 10,000 letters are durable, and those of the event loop in it."""
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder, "letters.sqlite"))
        async with open_supervisor(dead_letters=DeadLetterOptions(store=store)) as tree:
            ref, queue = await dead(Name("worker")), dead_letters()
            messages = [("order", number) for number in range(MANY)]
            with quiet_collector():
                whole, loop = time.process_time(), time.thread_time()
                for message in messages:
                    queue.bury(ref, message, "noproc")
                await queue.add(Name("worker"), "the last", "refused")
                await queue.flush()
                spent = time.process_time() - whole, time.thread_time() - loop
            tree.shutdown()
    return spent


async def dead(name: Name[None] | None = None) -> Ref[None]:
    ref = spawn(trio.lowlevel.checkpoint, name=name)
    await ref.wait()
    return ref


async def latencies() -> tuple[list[float], list[float]]:
    """Seconds that calls take on an idle loop, and while 1,000 letters are sent again."""
    idle: list[float] = []
    busy: list[float] = []
    async with tree_of_servers() as ref:
        done = trio.Event()

        async def retry() -> None:
            await dead_letters().retry()
            done.set()

        async def one(into: list[float]) -> None:
            began = time.perf_counter()
            await Server.echo(ref, 1)
            into.append(time.perf_counter() - began)

        with quiet_collector():
            for _ in range(CALLS):
                await one(idle)
            fill(dead_letters())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(retry)
                while not done.is_set():
                    await one(busy)
        assert current_runtime().ledger().balanced
    return idle, busy


async def absolute() -> None:
    memory = min([await into_memory() for _ in range(ROUNDS)])
    queue = min([await into_queue() for _ in range(ROUNDS)])
    print(f"{MANY:,} letters into memory: {queue * 1e3:.1f} ms; with the sends that failed: {memory * 1e3:.1f} ms")
    whole, loop = (min(column) for column in zip(*[await into_file() for _ in range(ROUNDS)], strict=True))
    print(f"{MANY:,} letters into a file: {whole * 1e3:.1f} ms CPU, of which the event loop {loop * 1e3:.1f} ms")
    for _ in range(3):
        idle, busy = await latencies()
        for name, of in (("median", statistics.median), ("mean", statistics.mean), ("99 %", high)):
            print(
                f"call, {name:<6}: {of(idle) * 1e6:6.1f} us idle, {of(busy) * 1e6:6.1f} us: {of(busy) / of(idle):.2f}"
            )


def high(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[-1]


if __name__ == "__main__":
    trio.run(absolute)
