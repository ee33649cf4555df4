"""^C, by a real signal: the program ends at once, with a KeyboardInterrupt, and in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

SIGNALS = int(os.environ.get("INTERRUPT_SIGNALS", "20"))
LINES = int(os.environ.get("INTERRUPT_LINES", "12"))
PATIENCE = 60

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


def start(*arguments: object) -> subprocess.Popen[str]:
    """The program in `interrupts.py`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.integration.interrupts", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(program: subprocess.Popen[str], patience: float = PATIENCE) -> tuple[str, str]:
    """What it has printed by its end, which has to come by itself."""
    try:
        return program.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        program.kill()
        printed, complaints = program.communicate()
        pytest.fail(f"it hangs, after:\n{printed}{complaints}")


def test_at_random_moments():
    """A busy tree that gets the signal at a random moment ends in order, every time."""
    printed, complaints = finish(start("signals", 1, SIGNALS), PATIENCE + SIGNALS)
    assert {"KeyboardInterrupt, in order": SIGNALS} == Counter(printed.splitlines()), complaints


def test_at_random_lines():
    """Whatever line of the package is interrupted, the program ends with the KeyboardInterrupt and nothing else."""
    printed, complaints = finish(start("lines", 1, LINES), PATIENCE + LINES)
    outcomes = printed.splitlines()
    assert LINES == len(outcomes), complaints
    assert [] == [outcome for outcome in outcomes if not outcome.startswith("KeyboardInterrupt, ")]


def say(program: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert program.stdout is not None
    return program.stdout.readline().strip()


def test_traceback_and_status():
    """An idle tree ends as any Python program does: with the traceback, by the signal, and `terminate` has run."""
    program = start("wait")
    assert "ready" == say(program)
    program.send_signal(signal.SIGINT)
    printed, complaints = finish(program)
    assert ["the body ends", "terminated: idle"] == printed.splitlines()
    assert "KeyboardInterrupt" == complaints.splitlines()[-1]
    assert -signal.SIGINT == program.returncode


def test_handler_in_an_endless_loop():
    """Code of the user's that never awaits is interrupted where it is, and the others end in order."""
    program = start("stuck")
    assert "ready" == say(program)
    program.send_signal(signal.SIGINT)
    printed, complaints = finish(program)
    assert "terminated: idle" == printed.strip()
    assert "in handle_info" in complaints
    assert -signal.SIGINT == program.returncode


def test_second_interrupt():
    """The first ^C asks, the second does not."""
    program = start("clinging")
    assert "ready" == say(program)
    program.send_signal(signal.SIGINT)
    assert "asked" == say(program)
    program.send_signal(signal.SIGINT)
    finish(program)
    assert -signal.SIGINT == program.returncode
