"""`nursery-otp dlq list`, `show` and `export`: they find what the options say, and show all of it."""

import json

import pytest

from tests.cli.letter_file import LETTERS, clock, dlq, file, ids
from tests.stores.letters import outside

__all__ = ["clock", "dlq", "file"]  # fixtures, for pytest


def test_list(dlq, file):
    """The list has a line for each letter, in the order they were added, cut to the terminal."""
    status, out, err = dlq("list", file)

    assert (0, "") == (status, err)
    assert [
        "ID   RECIPIENT  REASON    STATE               TRIES  AGE   MESSAGE",
        '1-1  orders     noproc    waiting             1      30s   put(17,"x")',
        '1-2  orders     overflow  exhausted           1      2h1m  {"a":1}',
        '1-3  billing    noproc    waiting, requested  1      1d1h  "' + "y" * 39 + "…",
        "1-4  Counter#7  noproc    waiting             1      1h1s  put(4)",
        "1-5  billing    noproc    waiting             1      1h    (not stored)",
        "5 letters",
    ] == out.splitlines()
    assert 100 == max(map(len, out.splitlines()))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["1-1", "1-2", "1-3", "1-4", "1-5"]),
        (["--recipient", "orders"], ["1-1", "1-2"]),
        (["--reason", "overflow"], ["1-2"]),
        (["--state", "exhausted"], ["1-2"]),
        (["--state", "waiting", "--recipient", "orders"], ["1-1"]),
        (["--older-than", "1h"], ["1-2", "1-3", "1-4"]),
        (["--older-than", "2h", "--limit", "1"], ["1-2"]),
        (["--limit", "2"], ["1-1", "1-2"]),
    ],
)
def test_filters(dlq, file, options, expected):
    """Each filter leaves the letters for which it holds; together, those for which all hold."""
    assert expected == ids(dlq("list", file, "--json", *options))


def test_list_json(dlq, file):
    """JSON has all fields, messages as JSON rather than as text, and how many letters there are without the limit."""
    status, out, _err = dlq("list", file, "--json", "--limit", "2")
    result = json.loads(out)

    assert (0, 1) == (status, out.count("\n"))
    assert (file, 5) == (result["file"], result["total"])
    assert {**LETTERS[1]._asdict(), "message": {"a": 1}, "metadata": {}} == result["letters"][1]
    assert "5 letters, the first 2 shown" == dlq("list", file, "--limit", "2")[1].splitlines()[-1]


def test_list_nothing(dlq, file):
    """Nothing found is said, and is status 1."""
    assert (1, "no letters\n", "") == dlq("list", file, "--recipient", "nobody")
    status, out, _err = dlq("list", file, "--recipient", "nobody", "--json")

    assert (1, []) == (status, json.loads(out)["letters"])


def test_show(dlq, file):
    """Everything about one letter; nothing about fields that are not set."""
    status, out, err = dlq("show", file, "1-4")

    assert (0, "") == (status, err)
    assert [
        "id                1-4",
        "recipient         Counter#7 (one process of an earlier run)",
        'message           {"$message": ["put", [4], {}]}',
        "reason            noproc",
        "attempts          1",
        "first failure     2033-05-18 02:33:19 UTC (1h1s ago)",
        "last attempt      2001-09-09 01:46:44 UTC (11574d1h ago)",
        "idempotency key   key-4",
        "state             waiting",
        "requested         no",
    ] == out.splitlines()
    assert LETTERS[0].id == json.loads(dlq("show", file, "1-1", "--json")[1])["id"]


def test_show_what_is_no_json(dlq, file):
    """A message that is no JSON (written by hand, or by another store) is shown as the text it is."""
    outside(file, "UPDATE letters SET message = 'plain', first_failure = 1e300 WHERE id = '1-1'")

    assert 'message           "plain"' in dlq("show", file, "1-1")[1].splitlines()
    assert "plain" == json.loads(dlq("show", file, "1-1", "--json")[1])["message"]


def test_show_nothing(dlq, file):
    """A letter that is not there is status 1, as a line or as JSON."""
    assert (1, "", f"nursery-otp: {file}: there is no letter '9-9'\n") == dlq("show", file, "9-9")
    status, out, err = dlq("show", file, "9-9", "--json")

    assert (1, "") == (status, out)
    assert {"error": f"{file}: there is no letter '9-9'", "status": 1} == json.loads(err)


def test_export(dlq, file, tmp_path):
    """An export has a JSON object per line, on standard output or in a new file, and no file is overwritten."""
    status, out, err = dlq("export", file)
    assert (0, "") == (status, err)
    assert ["1-1", "1-2", "1-3", "1-4", "1-5"] == [json.loads(line)["id"] for line in out.splitlines()]

    target = tmp_path / "out.jsonl"
    assert (0, f"1 letter written to {target}\n", "") == dlq("export", file, "--state", "exhausted", "-o", str(target))
    assert out.splitlines()[1] + "\n" == target.read_text()
    status, _out, err = dlq("export", file, "1-1", "-o", str(target))
    assert (1, f"nursery-otp: {target}: it exists; name a new file\n") == (status, err)
    assert out.splitlines()[1] + "\n" == target.read_text()


def test_export_nothing(dlq, file, tmp_path):
    """An export of nothing is status 1, and leaves no file."""
    target = tmp_path / "out.jsonl"
    for arguments in (["1-9"], ["--reason", "x"]):
        status, out, err = dlq("export", file, *arguments, "-o", str(target))

        assert (1, "") == (status, out)
        assert "nothing was exported" in err
        assert not target.exists()
    assert "No such file or directory" in dlq("export", file, "-o", str(tmp_path / "missing" / "x"))[2]


def test_failed_export_leaves_no_file(dlq, file, tmp_path):
    """An export that fails half way leaves nothing that looks like an export."""
    outside(file, "UPDATE letters SET state = 'gone' WHERE id = '1-4'")
    status, _out, err = dlq("export", file, "-o", str(tmp_path / "out.jsonl"))

    assert 1 == status
    assert "the letter '1-4' is damaged" in err
    assert not (tmp_path / "out.jsonl").exists()


def test_export_of_an_id_that_is_not_there(dlq, file, tmp_path):
    """An export that would lack a letter is none."""
    for rest in ([], ["-o", str(tmp_path / "out.jsonl")]):
        status, out, err = dlq("export", file, "1-1", "9-9", *rest)

        assert (1, "") == (status, out)
        assert f"nursery-otp: {file}: there is no letter '9-9'; nothing was exported\n" == err
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("text", ["NaN", "[1e999]", "-Infinity"])
def test_json_is_json(dlq, file, text):
    """A stored text that only Python takes for JSON is given as text."""
    outside(file, f"UPDATE letters SET message = '{text}'")  # noqa: S608

    assert text == json.loads(dlq("show", file, "1-1", "--json")[1])["message"]
