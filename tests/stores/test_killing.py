"""A program that is killed while it writes loses no letter that it had acknowledged."""

import random

import pytest

from nursery_otp.stores import SQLiteStore
from tests.stores.killing import kill_after, look
from tests.stores.letters import add
from tests.stores.write_letters import letter_of

COUNT = 10_000


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.7, 0.97])
def test_killed_while_writing(tmp_path, share):
    """Every acknowledged letter is there, none twice, none half, and the file opens."""
    lines = random.Random(share).randrange(int(COUNT * share), int(COUNT * share) + 200)
    came = kill_after(tmp_path / "letters.sqlite", COUNT, lines)

    assert () == came.problems
    assert lines <= came.acknowledged <= came.found <= COUNT


def test_faults_are_found(tmp_path):
    """The check sees a letter that is lost, there under two ids, changed, or out of order."""
    path = tmp_path / "letters.sqlite"
    store = SQLiteStore(path)
    store.open()
    first, second, third = (letter_of(number, 1, store.encode) for number in (1, 2, 3))
    store.write(add(first, third._replace(reason="x")))
    store.close()
    problems = " / ".join(look(path, [first.id, second.id]).problems)

    assert "1 acknowledged letters are lost: ['1-2']" in problems
    assert "missing in between" in problems
    assert "have changed" in problems
    assert ("no file",) == look(tmp_path / "none", ["1-1"]).problems
