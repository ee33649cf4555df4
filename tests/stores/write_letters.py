"""The program that is killed: it writes letters into a file and prints the id of each that is safe.

`python -m tests.stores.write_letters FILE COUNT`. What it does is `write_letters`; whoever wants to see another way of
writing survive replaces that.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable

from nursery_otp import AddLetter, LetterRecord, Message
from nursery_otp.stores import SQLiteStore

BATCH = 100


def letter_of(number: int, epoch: int, encode: Callable[[object], str]) -> LetterRecord:
    """The letter that is written with this number."""
    message = encode(Message("put", (number, "x" * (number % 300))))
    return LetterRecord(f"{epoch}-{number}", "name", "worker", message, "noproc", idempotency_key=str(number))


def write_letters(path: str, count: int, acknowledge: Callable[[list[str]], None]) -> None:
    """Write letters 1 to `count`; tell which are durable, as soon as they are."""
    store = SQLiteStore(path)
    epoch = store.open().epoch
    letters: queue.SimpleQueue[LetterRecord | None] = queue.SimpleQueue()

    def write() -> None:
        more = True
        while more:
            batch = [letters.get()]
            while len(batch) < BATCH and batch[-1] is not None:
                try:
                    batch.append(letters.get_nowait())
                except queue.Empty:
                    break
            more = batch[-1] is not None
            found = [letter for letter in batch if letter is not None]
            store.write([AddLetter(letter) for letter in found])
            acknowledge([letter.id for letter in found])

    thread = threading.Thread(target=write)
    thread.start()
    for number in range(1, count + 1):
        letters.put(letter_of(number, epoch, store.encode))
    letters.put(None)
    thread.join()
    store.close()


def print_ids(ids: list[str]) -> None:
    """Straight into the pipe: what is in a buffer dies with the process."""
    os.write(sys.stdout.fileno(), "".join(f"{identity}\n" for identity in ids).encode())


if __name__ == "__main__":
    write_letters(sys.argv[1], int(sys.argv[2]), print_ids)
