"""`nursery-otp dlq`: finds what the options say, changes nothing without `--yes`, and says what it did."""

import json
import os
import sqlite3
import time

import pytest

from nursery_otp import Message
from nursery_otp.cli import main
from nursery_otp.stores import MessageCodec, SQLiteStore
from nursery_otp.stores.files import LetterFile
from tests.stores.letters import add, letter, outside

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


# --------------------------------------------------------------------------------------------- looking


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


# -------------------------------------------------------------------------------------------- changing


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


# ----------------------------------------------------------------------------------------------- wrong


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


def test_export_of_an_id_that_is_not_there(dlq, file, tmp_path):
    """An export that would lack a letter is none."""
    for rest in ([], ["-o", str(tmp_path / "out.jsonl")]):
        status, out, err = dlq("export", file, "1-1", "9-9", *rest)

        assert (1, "") == (status, out)
        assert f"nursery-otp: {file}: there is no letter '9-9'; nothing was exported\n" == err
    assert not (tmp_path / "out.jsonl").exists()


def test_what_a_terminal_would_obey(dlq, file):
    """Names in the file that hold escapes or ends of lines are printed escaped."""
    outside(file, "UPDATE letters SET recipient = 'evil' || char(27) || '[2J' || char(10) || 'FAKE' WHERE id = '1-4'")
    for arguments in (["retry", file, "--all"], ["retry", file, "--all", "--yes"]):
        out = dlq(*arguments)[1]

        assert "\x1b" not in out
        assert not [line for line in out.splitlines() if line.startswith("FAKE")]
        assert r"evil\x1b[2J\nFAKE" in out


@pytest.mark.parametrize("text", ["NaN", "[1e999]", "-Infinity"])
def test_json_is_json(dlq, file, text):
    """A stored text that only Python takes for JSON is given as text."""
    outside(file, f"UPDATE letters SET message = '{text}'")  # noqa: S608

    assert text == json.loads(dlq("show", file, "1-1", "--json")[1])["message"]


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
