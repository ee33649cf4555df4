"""`nursery-otp`: one entry, commands imported when they are asked for, an exit status that tells the truth."""

import json
import os
import subprocess
import sys
from importlib import import_module

import pytest

from nursery_otp import cli
from nursery_otp.cli import main
from nursery_otp.stores import SQLiteStore
from tests.stores.letters import add, letter

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}


def program(*arguments, **options):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "nursery_otp", *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False, **options)


def test_help_lists_the_commands(capsys):
    """The help names every command and what it is for; without any arguments it is an error."""
    assert 0 == main(["--help"])
    text = capsys.readouterr().out
    for name, (_module, purpose) in cli.COMMANDS.items():
        assert f"  {name}" in text
        assert purpose in text

    assert 2 == main([])
    assert text == capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(name, capsys):
    """Every module in the table is there and explains itself."""
    assert callable(import_module(cli.COMMANDS[name][0]).run)
    assert 0 == main([name, "--help"])
    assert f"usage: nursery-otp {name}" in capsys.readouterr().out


def test_help_imports_no_command():
    """The help costs the library itself and nothing else: no command, no database, no argument parser."""
    script = (
        "import sys; before = None; import nursery_otp; before = set(sys.modules); "
        "from nursery_otp.cli import main; main(['--help']); print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    more = set(done.stderr.split())

    assert {"nursery_otp.cli", "nursery_otp.cli.output"} <= more
    assert not more & {"sqlite3", "argparse", "rich", "nursery_otp.stores", "nursery_otp.cli.dlq"}


def test_version(capsys):
    """The version is that of the package."""
    assert 0 == main(["--version"])
    assert capsys.readouterr().out.startswith("nursery-otp 0")


def test_unknown_command(capsys):
    """An unknown command is wrong use, in one line that names the ones there are."""
    assert 2 == main(["dql"])
    assert "nursery-otp: no command 'dql'; there is: dlq\n" == capsys.readouterr().err

    assert 2 == main(["dql", "--json"])
    captured = capsys.readouterr()
    assert {"error": "no command 'dql'; there is: dlq", "status": 2} == json.loads(captured.err)
    assert "" == captured.out


def test_installed_script():
    """The package installs the command under its name."""
    from importlib.metadata import entry_points

    found = [each.value for each in entry_points(group="console_scripts") if each.name == "nursery-otp"]
    if not found:
        pytest.skip("installed before the command was there")
    assert "nursery_otp.cli:main" in found


def test_interrupted(monkeypatch, capsys):
    """Control-C is one line and status 130."""

    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("nursery_otp.cli._run", interrupted)

    assert 130 == main(["dlq"])
    assert "nursery-otp: interrupted\n" == capsys.readouterr().err


@pytest.fixture
def full(tmp_path):
    """A file with many letters."""
    path = tmp_path / "letters.sqlite"
    store = SQLiteStore(path)
    store.open()
    store.write(add(*(letter(number, recipient="日本") for number in range(2000))))
    store.close()
    return path


def test_broken_pipe(full):
    """A reader that stops early, as `head` does, gets its lines, and nobody a traceback."""
    command = [sys.executable, "-m", "nursery_otp", "dlq", "export", str(full)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        first = child.stdout.readline()
        child.stdout.close()
        problem = child.stderr.read()

    assert "1-0" == json.loads(first)["id"]
    assert (1, b"") == (child.returncode, problem)


def test_terminal_without_unicode(full):
    """A terminal that cannot show a name gets it escaped."""
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "nursery_otp", "dlq", "list", str(full), "--limit", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    assert r"\u65e5\u672c" in done.stdout


def test_no_traceback_for_users(tmp_path):
    """What users do wrong is said in one line."""
    for arguments in (["dlq", "list", str(tmp_path)], ["dlq", "list"], ["dlq"], ["dlq", "lst", "x"], ["x"]):
        done = program(*arguments, text=True)

        assert done.returncode in (1, 2)
        assert ("", 1) == (done.stdout, done.stderr.count("\n")), done.stderr
        assert done.stderr.startswith("nursery-otp: ")


def test_json_everywhere(capsys):
    """Version and help are JSON if that is asked for."""
    assert 0 == main(["--version", "--json"])
    assert "version" in json.loads(capsys.readouterr().out)
    for arguments, status in ((["--help", "--json"], 0), (["--json", "--help"], 0), (["--json"], 2)):
        assert status == main(arguments)
        assert "usage: nursery-otp" in json.loads(capsys.readouterr().out)["help"]


@pytest.mark.parametrize("command", ["", "list", "show", "export", "retry", "purge"])
def test_help_as_json(command, capsys):
    """The help of every command is JSON if that is asked for, wherever that is said."""
    words = [command] if command else []
    assert 0 == main(["dlq", *words, "--help"])
    text = capsys.readouterr().out
    for arguments in (
        ["dlq", *words, "--help", "--json"],
        ["dlq", *words, "--json", "-h"],
        ["--json", "dlq", *words, "--help"],
    ):
        assert 0 == main(arguments)
        captured = capsys.readouterr()

        assert ("", 1) == (captured.err, captured.out.count("\n"))
        assert text == json.loads(captured.out)["help"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["export"], ["purge", "--all"], ["--help"]])
def test_full_disk(full, command):
    """Output that cannot be written is one line, and status 1."""
    name, *rest = command
    with open("/dev/full", "w") as target:
        line = [sys.executable, "-m", "nursery_otp", "dlq", name, str(full), *rest]
        done = subprocess.run(line, env=ENVIRONMENT, stdout=target, stderr=subprocess.PIPE, text=True, check=False)

    assert 1 == done.returncode
    assert "cannot write the output: No space left on device" in done.stderr
    assert 1 == done.stderr.count("\n")


def test_closed_output(full):
    """Without an output nothing is done at all; without a place for errors the status says it."""
    shell = f"{sys.executable} -m nursery_otp dlq"

    def run(rest):
        return subprocess.run(f"{shell} {rest}", shell=True, env=ENVIRONMENT, capture_output=True, check=False)  # noqa: S602

    done = run(f"purge '{full}' --all --yes >&-")
    assert (1, b"nursery-otp: cannot write the output: the standard output is closed\n") == (
        done.returncode,
        done.stderr,
    )
    done = run(f"list '{full}' --limit 1 2>&-")
    assert (0, 3) == (done.returncode, done.stdout.count(b"\n"))
    done = run("list /no/such/file 2>&-")
    assert (1, b"") == (done.returncode, done.stdout)
