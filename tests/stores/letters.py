"""Letters for tests of stores, and what is in a file of them."""

import sqlite3

from nursery_otp import AddLetter, LetterRecord
from nursery_otp.stores import SQLiteStore


def letter(number, epoch=1, **fields):
    """A letter; without `fields` one as most are."""
    usual = {
        "id": f"{epoch}-{number}",
        "recipient_kind": "name",
        "recipient": "worker",
        "message": f'{{"$message":["put",[{number}],{{}}]}}',
        "reason": "noproc",
        "first_failure": 1e9 + number,
        "last_attempt": 1e9 + number,
        "idempotency_key": f"key-{number}",
    }
    return LetterRecord(**{**usual, **fields})


def add(*letters):
    """The changes that add these letters."""
    return [AddLetter(each) for each in letters]


def outside(path, *statements):
    """Do something to the file as another program would."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


def kept(path):
    """What whoever opens the file next finds."""
    other = SQLiteStore(path)
    try:
        return list(other.open().letters)
    finally:
        other.close()
