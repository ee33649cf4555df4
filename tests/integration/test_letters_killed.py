"""A program that is killed while its tree buries, retries and adds letters loses none that it knew to be durable."""

import os
import random
import sqlite3
import subprocess
import sys

import pytest
import trio

from nursery_otp import DeadLetterOptions, dead_letters, open_supervisor
from nursery_otp.stores import SQLiteStore
from tests.integration.bury_letters import FOR_HELPER

COUNT = 10_000
LINES = 8_000  # somewhat less than the program says if nobody kills it
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}


def killed_after(path, lines):
    """Start the program and kill it when it has said so many lines; all that it had said."""
    command = [sys.executable, "-m", "tests.integration.bury_letters", str(path), str(COUNT)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as child:
        read = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        read += child.stdout.readlines()
    said = [line.decode().split() for line in read if line.endswith(b"\n")]
    assert {"durable"} >= {what for what, _ in said}
    return [int(number) for _, number in said]


async def letters_in(path):
    """What the next program finds: the number of each letter, as a tree sees it."""
    async with open_supervisor(dead_letters=DeadLetterOptions(store=SQLiteStore(path))) as tree:
        found = [
            letter.message if isinstance(letter.message, int) else letter.message.args[0] for letter in dead_letters()
        ]
        keys = [letter.idempotency_key for letter in dead_letters()]
        assert all(letter.durable for letter in dead_letters())
        tree.shutdown()
    assert len(keys) == len(set(keys))
    return found


def check(path, lines):
    """One round."""
    acknowledged = killed_after(path, lines)
    if not path.exists():
        assert [] == acknowledged
        return
    found = trio.run(letters_in, path)
    connection = sqlite3.connect(path)
    assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
    connection.close()

    assert set() == set(acknowledged) - set(found), "lost"
    assert len(found) == len(set(found)), "twice"
    assert len(found) >= len(acknowledged) >= lines
    assert all(number % FOR_HELPER for number in acknowledged)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7])
def test_killed(tmp_path, share):
    """Every letter that was durable is there, none twice, and the file opens."""
    check(tmp_path / "letters.sqlite", random.Random(share).randrange(100) + int(LINES * share))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
def test_killed_at_random(tmp_path, seed):
    """The same, fifty times, at any point."""
    check(tmp_path / "letters.sqlite", random.Random(seed).randrange(LINES))
