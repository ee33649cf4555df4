"""The README's programs run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = [match[1] for match in BLOCK.finditer(README.read_text(encoding="utf-8"))]


def run(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)


def test_quickstart():
    """The quickstart is the first program, and prints what its comments say."""
    result = run(PROGRAMS[0])

    assert (0, "25\n100\n") == (result.returncode, result.stdout), result.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_run(program):
    """Every program of the README ends without an error."""
    result = run(program)

    assert 0 == result.returncode, result.stderr
