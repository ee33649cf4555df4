"""`nursery-otp dlq retry` and `purge`: they change nothing without `--yes`, and say what they did."""

import json
import sqlite3

import pytest

from nursery_otp.stores import SQLiteStore
from nursery_otp.stores.files import LetterFile
from tests.cli.letter_file import BEFORE, clock, dlq, file, ids, state
from tests.stores.letters import add, letter, outside

__all__ = ["clock", "dlq", "file"]  # fixtures, for pytest


@pytest.mark.parametrize("command", ["retry", "purge"])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_dry_run_changes_nothing(dlq, file, command, more):
    """Without `--yes` the letters are named, and the file stays as it is."""
    status, out, err = dlq(command, file, "--recipient", "orders", *more)

    assert (0, "") == (status, err)
    assert "1-1" in out
    assert "1-2" in out
    assert "1-3" not in out
    assert BEFORE == state(file)


def test_retry(dlq, file):
    """`retry --yes` marks exactly the letters that the dry run named; the program sees that."""
    said = json.loads(dlq("retry", file, "--recipient", "orders", "--json")[1])
    assert {"file": file, "action": "retry", "done": False, "letters": ["1-1", "1-2"], "skipped": {}} == said
    done = json.loads(dlq("retry", file, "--recipient", "orders", "--json", "--yes")[1])

    assert {**said, "done": True} == done
    assert {"1-1", "1-2", "1-3"} == {identity for identity, requested in state(file) if requested}


def test_retry_in_words(dlq, file):
    """What would be done, and what was done, in words."""
    lines = dlq("retry", file, "1-1")[1].splitlines()
    assert "1 letter would be marked for delivery; nothing was changed, --yes does it" == lines[-1]
    assert (0, "1 letter marked for delivery\n", "") == dlq("retry", file, "1-1", "--yes")


def test_retry_of_what_cannot_be_delivered(dlq, file):
    """Letters to one process of an earlier run, and those without a message, are left alone, with the reason."""
    status, out, _err = dlq("retry", file, "1-4", "1-5", "--yes")

    assert 1 == status
    assert [
        "left alone: 1-4: its recipient Counter#7 is not a name, so nobody else can be it",
        "left alone: 1-5: its message was not stored",
        "no such letters; nothing was changed",
    ] == out.splitlines()
    assert ["1-1", "1-2", "1-3"] == ids(dlq("retry", file, "--all", "--yes", "--json"))
    assert {"1-4", "1-5"} == set(json.loads(dlq("retry", file, "--all", "--json")[1])["skipped"])


def test_purge(dlq, file):
    """`purge --yes` removes exactly the letters that the dry run named."""
    assert ["1-2", "1-3", "1-4"] == ids(dlq("purge", file, "--older-than", "1h", "--json"))
    assert (0, "3 letters removed\n", "") == dlq("purge", file, "--older-than", "1h", "--yes")
    assert ["1-1", "1-5"] == [identity for identity, _ in state(file)]

    assert (0, "2 letters removed\n", "") == dlq("purge", file, "--all", "--yes")
    assert (1, "no such letters; nothing was changed\n", "") == dlq("purge", file, "--all", "--yes")


def test_limit_of_a_change(dlq, file):
    """With a limit only the first letters are changed."""
    dlq("purge", file, "--limit", "2", "--yes")

    assert ["1-3", "1-4", "1-5"] == [identity for identity, _ in state(file)]


@pytest.mark.parametrize("command", ["retry", "purge"])
def test_an_id_that_is_not_there(dlq, file, command):
    """A wrong id among right ones is a mistake: nothing is done."""
    status, out, err = dlq(command, file, "1-1", "9-9", "--yes")

    assert (1, "", f"nursery-otp: {file}: there is no letter '9-9'; nothing was changed\n") == (status, out, err)
    assert BEFORE == state(file)


def test_ids_and_options_in_any_order(dlq, file):
    """Ids may stand before, between and after options."""
    for arguments in (["1-1", "1-2", "--json"], ["--json", "1-1", "1-2"], ["1-1", "--json", "1-2"]):
        assert ["1-1", "1-2"] == ids(dlq("retry", file, *arguments))


@pytest.mark.parametrize("command", ["retry", "purge"])
def test_a_selection_must_be_said(dlq, file, command):
    """Without a selection, or with `--all` and another one, nothing is done: that is wrong use."""
    status, _out, err = dlq(command, file, "--yes")
    assert 2 == status
    assert "say which letters" in err
    status, _out, err = dlq(command, file, "--all", "1-1", "--yes")
    assert 2 == status
    assert "--all" in err

    assert BEFORE == state(file)


def test_long_dry_run(dlq, file):
    """A dry run of many letters shows the first ones and counts the rest."""
    store = SQLiteStore(file)
    store.open()
    store.write(add(*(letter(number) for number in range(100, 150))))
    store.close()
    lines = dlq("purge", file, "--recipient", "worker")[1].splitlines()

    assert ["... and 30 more", "50 letters would be removed; nothing was changed, --yes does it"] == lines[-2:]
    assert 1 + 20 + 2 == len(lines)


def test_letters_that_arrive_meanwhile(dlq, file):
    """A command waits for the write of the running program, and the two changes do not undo each other."""
    store = SQLiteStore(file)
    store.open()
    dlq("purge", file, "1-1", "--yes")
    store.write(add(letter(50)))

    assert store.changed()
    assert ["1-2", "1-3", "1-4", "1-5", "1-50"] == [each.id for each in store.reload()]
    store.close()


def test_what_a_terminal_would_obey(dlq, file):
    """Names in the file that hold escapes or ends of lines are printed escaped."""
    outside(file, "UPDATE letters SET recipient = 'evil' || char(27) || '[2J' || char(10) || 'FAKE' WHERE id = '1-4'")
    for arguments in (["retry", file, "--all"], ["retry", file, "--all", "--yes"]):
        out = dlq(*arguments)[1]

        assert "\x1b" not in out
        assert not [line for line in out.splitlines() if line.startswith("FAKE")]
        assert r"evil\x1b[2J\nFAKE" in out


@pytest.mark.parametrize("command", ["retry", "purge"])
def test_dry_run_keeps_nobody_waiting(dlq, file, command):
    """Saying what would be done needs no lock, so it also works while a program writes."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    status, out, err = dlq(command, file, "--all")
    connection.close()

    assert (0, "") == (status, err)
    assert "would be" in out


def test_changes_read_no_more_than_they_need(dlq, file, monkeypatch):
    """While the program cannot write, no whole letters are read."""
    monkeypatch.setattr(LetterFile, "select", None)

    assert (0, "5 letters removed\n", "") == dlq("purge", file, "--all", "--yes")
