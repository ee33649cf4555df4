"""`nursery-otp dlq` used wrongly, or on what is no file of letters: a line that says so, and nothing is changed."""

import json
import os

import pytest

from tests.cli.letter_file import clock, dlq

__all__ = ["clock", "dlq"]  # fixtures, for pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list"], "the following arguments are required: FILE"),
        (["lst", "x"], "invalid choice: 'lst'"),
        (["list", "x", "--older-than", "soon"], "'soon' is no duration"),
        (["list", "x", "--limit", "0"], "'0' is no whole number"),
        (["list", "x", "--state", "dead"], "invalid choice: 'dead'"),
        (["list", "x", "--recip", "a"], "unrecognized arguments"),
        (["purge", "x", "--app", "a:b"], "unrecognized arguments"),
    ],
)
def test_wrong_use(dlq, arguments, said):
    """Wrong use is status 2 and one line, also as JSON."""
    status, out, err = dlq(*arguments)
    assert (2, "", 1) == (status, out, err.count("\n"))
    assert said in err

    status, out, err = dlq(*arguments, "--json")
    assert (2, "") == (status, out)
    assert said in json.loads(err)["error"]


@pytest.mark.parametrize("command", [["list"], ["show", "1-1"], ["export"], ["retry", "--all"], ["purge", "--all"]])
def test_wrong_files(dlq, tmp_path, command):
    """A file that is not there is not made; one that is something else is left alone."""
    name, *rest = command
    missing, text = tmp_path / "missing", tmp_path / "text"
    text.write_text("x" * 5000)
    status, _out, err = dlq(name, str(missing), *rest)
    assert 1 == status
    assert f"nursery-otp: {missing}: there is no such file" in err
    status, _out, err = dlq(name, str(text), *rest)
    assert 1 == status
    assert "no SQLite database" in err

    assert [text] == list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["list"], ["retry", "--all"], ["purge", "--all"], ["purge", "--all", "--yes"]])
def test_empty_file(dlq, tmp_path, command):
    """A file that is empty stays empty."""
    name, *rest = command
    empty = tmp_path / "empty"
    empty.touch()
    status, _out, err = dlq(name, str(empty), *rest)

    assert (1, 0) == (status, empty.stat().st_size)
    assert "or empty" in err


@pytest.mark.parametrize("command", [["list"], ["purge", "--all", "--yes"]])
@pytest.mark.parametrize("path", ["", ":memory:"])
def test_path_that_is_none(dlq, command, path):
    """What is no file is wrong use."""
    name, *rest = command
    status, _out, err = dlq(name, path, *rest)

    assert 2 == status
    assert "must be the path of a file" in err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("command", [["list"], ["purge", "--all"]])
def test_pipe(dlq, tmp_path, command):
    """A pipe with a name is refused, and not waited for."""
    name, *rest = command
    os.mkfifo(tmp_path / "pipe")
    status, _out, err = dlq(name, str(tmp_path / "pipe"), *rest)

    assert 1 == status
    assert "this is no file" in err
