"""Files in quarantine are dead letters: they can be listed, and are delivered once the file is repaired."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from examples.survey.cli import main
from examples.survey.options import Options
from examples.survey.quarantine import inspector_of
from examples.survey.source_tree import SourceFile
from nursery_otp import DeadLetterOptions, dead_letters, open_supervisor
from nursery_otp.cli import main as nursery_otp
from nursery_otp.stores import SQLiteStore
from tests.examples.small_tree import REASONS, make_folder, new_survey

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    """The small tree."""
    (tmp_path / "tree").mkdir()
    return make_folder(tmp_path / "tree")


@pytest.fixture
def file(tmp_path):
    """Where the letters are."""
    return tmp_path / "letters.sqlite"


def letters(file, capsys):
    """What the command line lists: cause by name of the file."""
    capsys.readouterr()
    nursery_otp(["dlq", "list", str(file), "--json"])
    found = json.loads(capsys.readouterr().out)
    found = found["letters"] if isinstance(found, dict) else found
    return {os.path.basename(each["recipient"]): each for each in found}


def survey(folder, file):
    """One survey, and its report."""
    outcome = trio.run(new_survey(folder, dead_letters=file).run)
    assert 0 == outcome.status
    return outcome


def repair(folder, name):
    """Make a file one that parses."""
    (folder / name).unlink()
    (folder / name).write_text("x = 1\n")


def test_listed(folder, file, capsys):
    """Each quarantined file is a letter in the SQLite file, with the reason as its cause."""
    survey(folder, file)
    found = letters(file, capsys)

    assert {each.file: each.reason for each in REASONS} == {name: each["cause"] for name, each in found.items()}
    assert {"quarantined"} == {each["reason"] for each in found.values()}


def test_once(folder, file, capsys):
    """A file that is quarantined again in the next survey is the same letter as before."""
    survey(folder, file)
    before = letters(file, capsys)
    survey(folder, file)

    assert before == letters(file, capsys)


def test_repaired_for_the_next_survey(folder, file, capsys):
    """A file that the next survey can measure is no letter any more."""
    survey(folder, file)
    repair(folder, "bad_syntax.py")
    survey(folder, file)

    assert {"bad_coding.py", "bad_text.py", "gone.py"} == set(letters(file, capsys))


def test_retry(folder, file, capsys):
    """After a repair `nursery-otp dlq retry` delivers; what is still broken stays, with one more attempt."""
    survey(folder, file)
    repair(folder, "bad_syntax.py")
    command = [sys.executable, "-c", "import sys; from nursery_otp.cli import main; sys.exit(main())"]
    arguments = ["dlq", "retry", str(file), "--all", "--yes", "--json", "--app", "examples.survey.repairs:tree"]
    environment = {**os.environ, "SURVEY_DEAD_LETTERS": str(file), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    left = letters(file, capsys)

    assert 1 == done.returncode
    assert (1, 3) == (len(report["letters"]), len(report["failed"]))
    assert any("SyntaxError" in problem for problem in report["failed"].values())
    assert {"bad_coding.py", "bad_text.py", "gone.py"} == set(left)
    assert {2} == {each["attempts"] for each in left.values()}


def test_requested(folder, file, capsys):
    """What was asked for is delivered by the next survey, or tried."""
    survey(folder, file)
    repair(folder, "bad_syntax.py")
    nursery_otp(["dlq", "retry", str(file), "--all", "--yes"])
    survey(folder, file)

    assert {"bad_coding.py", "bad_text.py", "gone.py"} == set(letters(file, capsys))


def test_in_memory(folder):
    """Without a file the letters are gone with the survey."""
    assert Options().dead_letters is None
    survey(folder, None)


def test_command_line(folder, file, capsys):
    """The option of the command line."""
    assert 0 == main([str(folder), "--json", "--workers", "1", "--dead-letters", str(file)])
    assert 4 == len(letters(file, capsys))


def test_not_a_file_of_letters(folder, tmp_path, capsys):
    """A file that is something else is left alone, and the survey says so."""
    other = tmp_path / "other.sqlite"
    other.write_text("no database at all, and long enough to be told from one" * 100)
    assert 1 == main([str(folder), "--json", "--dead-letters", str(other)])
    assert "store of dead letters" in capsys.readouterr().err
    assert other.read_text().startswith("no database")


def test_same_name():
    """Files of the same name in different folders have different inspectors."""
    first, second = (SourceFile("a.py", Path(folder, "a.py")) for folder in ("x", "y"))
    assert inspector_of(first) != inspector_of(second)


async def test_message(folder, file):
    """The letter holds the file itself, with a path that is valid from everywhere."""
    await new_survey(folder, dead_letters=file).run()
    async with open_supervisor(dead_letters=DeadLetterOptions(store=SQLiteStore(file))) as tree:
        messages = [letter.message for letter in dead_letters()]
        tree.shutdown()

    assert all(isinstance(message, SourceFile) and message.path.is_absolute() for message in messages)
