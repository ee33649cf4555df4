"""What it costs to keep dead letters in a file: making text of a message, and writing letters durably.

The baselines are what one would write by hand: `json.dumps` of the same content, and the same rows put into a bare
table with the same settings of SQLite. A batch is 1,000 letters and one commit, which is synced to the disk; CPU time
does not show how long the disk takes. `python bench/letters.py` prints that, and the CPU time of the whole process for
10,000 letters.
"""

import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import trio
from slices import Comparison, Work, compare, self_check

from nursery_otp import AddLetter, LetterRecord, Message
from nursery_otp.stores import MessageCodec, SQLiteStore

BATCH = 1_000
LETTERS = 10_000
ROUNDS = 7
FIELDS = LetterRecord._fields
NUMBERS = count(1)
CODEC = MessageCodec()


def letter(number: int) -> LetterRecord:
    message = CODEC.encode(Message("put", (number, "an order of some length"), {}))
    return LetterRecord(
        f"1-{number}", "name", "orders", message, "noproc", "{}", 1, 1e9 + number, 1e9 + number, f"8d1c-{number}"
    )


def store_in(directory: str) -> Callable[[list[LetterRecord]], None]:
    store = SQLiteStore(Path(directory, "store.sqlite"))
    store.open()
    return lambda letters: store.write([AddLetter(each) for each in letters])


def bare_in(directory: str) -> Callable[[list[LetterRecord]], None]:
    connection = sqlite3.connect(Path(directory, "bare.sqlite"), isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"CREATE TABLE letters ({', '.join(FIELDS)})")
    insert = f"INSERT INTO letters VALUES ({', '.join('?' * len(FIELDS))})"  # noqa: S608 - names from above

    def write(letters: list[LetterRecord]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, letters)
        connection.execute("COMMIT")

    return write


def batches(write: Callable[[list[LetterRecord]], None]) -> Work:
    async def work(operations: int) -> None:
        for _ in range(operations):
            write([letter(next(NUMBERS)) for _ in range(BATCH)])

    return work


async def encode(operations: int) -> None:
    for number in range(operations):
        CODEC.encode(Message("put", (number, "an order of some length"), {}))


async def dump(operations: int) -> None:
    for number in range(operations):
        json.dumps({"$message": ["put", [number, "an order of some length"], {}]})


async def measure(quads: int) -> list[Comparison]:
    with tempfile.TemporaryDirectory() as directory:
        store, bare = batches(store_in(directory)), batches(bare_in(directory))
        return [
            await self_check("json.dumps", dump, quads=quads),
            await compare("a message as text", encode, "json.dumps", dump, quads=quads),
            await compare(f"{BATCH} durable letters", store, "the same rows, by hand", bare, quads=quads),
        ]


async def absolute() -> None:
    best: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as directory:
            work = batches(store_in(directory))
            wall, cpu = time.perf_counter(), time.process_time()
            await work(LETTERS // BATCH)
            best.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = (min(column) for column in zip(*best, strict=True))
    print(f"{LETTERS:,} durable letters: {cpu * 1e3:.1f} ms CPU, {wall * 1e3:.1f} ms, {LETTERS / wall:,.0f} letters/s")


if __name__ == "__main__":
    trio.run(absolute)
