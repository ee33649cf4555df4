"""A file with letters of every kind, and `nursery-otp dlq` to look at it and change it."""

import json
import time

import pytest

from nursery_otp import Message
from nursery_otp.cli import main
from nursery_otp.stores import MessageCodec, SQLiteStore
from tests.stores.letters import add, letter

NOW = 2e9
ENCODE = MessageCodec().encode


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """It is always the same time, and the terminal always the same."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setenv("COLUMNS", "100")


LETTERS = [
    letter(1, recipient="orders", message=ENCODE(Message("put", (17, "x"))), first_failure=NOW - 30),
    letter(
        2, recipient="orders", reason="overflow", message=ENCODE({"a": 1}), first_failure=NOW - 7300, state="exhausted"
    ),
    letter(3, recipient="billing", message=ENCODE("y" * 2000), first_failure=NOW - 90_000, requested=True, cause="why"),
    letter(4, recipient="Counter#7", recipient_kind="ref", first_failure=NOW - 3601),
    letter(5, recipient="billing", message=None, first_failure=NOW - 3600),
]


@pytest.fixture
def file(tmp_path):
    """A file with letters; the store is the program that has it open meanwhile."""
    path = tmp_path / "letters.sqlite"
    store = SQLiteStore(path)
    store.open()
    store.write(add(*LETTERS))
    yield str(path)
    store.close()


def state(file):
    """What is in the file, as a set of id and requested."""
    store = SQLiteStore(file)
    letters = store.open().letters
    store.close()
    return [(each.id, each.requested) for each in letters]


BEFORE = [(each.id, each.requested) for each in LETTERS]


@pytest.fixture
def dlq(capsys):
    """Run a command; its status, its output, and what it says on stderr."""

    def run(*arguments):
        status = main(["dlq", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def ids(result):
    """The ids in the JSON output of a successful command."""
    status, out, err = result
    assert (0, "") == (status, err)
    return [each if isinstance(each, str) else each["id"] for each in json.loads(out)["letters"]]
