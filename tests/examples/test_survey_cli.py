"""The command line: what it takes, what it prints where, and its exit status."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from examples.survey import cli
from examples.survey.book import Quarantine
from examples.survey.cli import main, parser, standard_library
from examples.survey.logs import is_news
from examples.survey.survey import Survey

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    """A tree with one good file and one broken one."""
    (tmp_path / "good.py").write_text("import os\n")
    (tmp_path / "bad.py").write_text("def f(:\n")
    return tmp_path


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "examples.survey", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    return subprocess.Popen(command, cwd=ROOT, **(pipes | options))


def test_tables(folder, capsys):
    """The report goes to stdout, progress to stderr."""
    assert 0 == main([str(folder), "--workers", "1"])
    output = capsys.readouterr()

    assert "SyntaxError: invalid syntax (bad.py, line 1)" in output.out
    assert output.err.splitlines()[-1].startswith("survey: 2 of 2 files, 1 quarantined")


def test_json(folder, capsys):
    """With --json stdout is one document and nothing else."""
    assert 0 == main([str(folder), "--json"])
    document = json.loads(capsys.readouterr().out)

    assert [{"file": "bad.py", "reason": "SyntaxError: invalid syntax (bad.py, line 1)"}] == document["report"][
        "quarantined"
    ]
    assert {"bad.py"} == {one["file"] for one in document["run"]["restarts"]}
    assert document["complete"]


def test_chaos_in_json(folder, capsys):
    """Under "report" there is nothing that chaos could change."""
    reports = []
    for more in ([], ["--chaos", "1"], ["--chaos", "2", "--workers", "1"]):
        main([str(folder), "--json", *more])
        reports.append(json.loads(capsys.readouterr().out)["report"])

    assert reports[0] == reports[1] == reports[2]


def test_restart_limit(folder, capsys):
    """A team that gave up is an exit status of 1 and a sentence."""
    assert 1 == main([str(folder), "--max-restarts", "0"])
    assert "more than 0 restarts" in capsys.readouterr().err


def test_empty_folder(tmp_path, capsys):
    """An empty folder is no failure, but nobody should have to guess."""
    assert 0 == main([str(tmp_path)])
    assert f"survey: no Python files in {tmp_path}" in capsys.readouterr().err


def test_nothing_at_path(tmp_path, capsys):
    """Nothing at PATH is status 2, with the reason, and nothing on stdout."""
    assert 2 == main([str(tmp_path / "nowhere"), "--json"])
    output = capsys.readouterr()

    assert ("", f"survey: cannot survey {tmp_path}/nowhere: No such file or directory\n") == (output.out, output.err)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--workers", "0"], "'0' is not a number from 1 to 100"),
        (["--workers", "101"], "'101' is not a number from 1 to 100"),
        (["--workers", "two"], "'two' is not a number from 1 to 100"),
        (["--max-restarts", "-1"], "'-1' is not a number from 0"),
        (["--chaos", "x"], "invalid int value: 'x'"),
        (["--nonsense"], "unrecognized arguments"),
        (["a", "b"], "unrecognized arguments: b"),
    ],
)
def test_wrong_usage(arguments, text, capsys):
    """Wrong usage is status 2, and says what would have been right."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert 2 == caught.value.code
    assert text in capsys.readouterr().err


def test_defaults():
    """Without arguments it is the standard library, with more than one worker."""
    options = parser().parse_args([])

    assert options.path is None
    assert options.workers >= 2
    assert (standard_library() / "ast.py").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to a process")
def test_ctrl_c():
    """Ctrl-C in the middle of the standard library: stopped in order, status 130, and the rest is known."""
    with start("--json", "--workers", "1") as process:
        assert "survey: 0 of" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    document = json.loads(out)

    assert 130 == process.returncode
    assert "interrupted by SIGINT" in err
    assert "Traceback" not in err
    assert not document["complete"]
    assert document["undone"]["count"] > 0


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BaseExceptionGroup("", [KeyboardInterrupt()])])
def test_second_ctrl_c(folder, monkeypatch, capsys, error):
    """An interrupt that did not wait for an orderly stop leaves a report of what was found."""

    async def run(self):
        self.book.settle(self.book.tree.files[0], Quarantine("SyntaxError"))
        raise error

    monkeypatch.setattr(Survey, "run", run)

    assert 130 == main([str(folder), "--json"])
    assert 1 == json.loads(capsys.readouterr().out)["undone"]["count"]


def test_ctrl_c_before_the_survey(folder, monkeypatch, capsys):
    """An interrupt before there is anything to report is no traceback."""
    monkeypatch.setattr(cli, "find_files", Mock(side_effect=KeyboardInterrupt))

    assert 130 == main([str(folder)])
    assert "survey: interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "news"),
    [
        ('process_crashed ref="<worker#5 ended: crashed(SyntaxError())>"', False),
        ('process_crashed ref="<coordinator#2 ended: crashed(KeyError())>"', True),
        ("process_survives_kill ref='<worker#5>'", True),
    ],
)
def test_log(message, news):
    """The log tells what the report does not."""
    assert news == is_news(logging.makeLogRecord({"msg": message}))


@pytest.mark.skipif(sys.platform == "win32", reason="closes one end of a pipe")
def test_broken_pipe(folder):
    """A reader that has gone is no traceback, and no success."""
    with start(folder) as process:
        process.stdout.close()
        err = process.stderr.read()

    assert 1 == process.returncode
    assert "Traceback" not in err
    assert "Exception ignored" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_full_disk(folder):
    """A report that could not be written is no success, and the reason is said."""
    with open("/dev/full", "w") as full, start(folder, stdout=full) as process:
        err = process.stderr.read()

    assert 1 == process.returncode
    assert "survey: cannot write the report: No space left on device" in err
    assert "Traceback" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="closes standard streams")
def test_closed_stderr(folder):
    """Without a stderr there is no progress, and stdout is the document's all the same."""
    command = 'exec "$0" -m examples.survey "$1" --json 2>&-'
    run = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, folder], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )

    assert json.loads(run.stdout)["complete"]


def test_ascii_terminal(folder):
    """Names and reasons that the terminal cannot show are escaped, not an error."""
    (folder / "über.py").write_text("x = €\n", encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    with start(folder, env=environment) as process:
        out, err = process.communicate()

    assert 0 == process.returncode, err
    assert "\\xfcber.py" in out
