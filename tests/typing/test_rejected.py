"""Type checkers reject exactly what they should: the marked lines of `rejected.py`, for the reasons named there.

Both tests need a checker, so that `make test` leaves them out: `make check` runs the one for mypy, `make types` the one
for basedpyright.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REJECTED = Path(__file__).with_name("rejected.py")
MARK = re.compile(r"# E:(?: mypy=(?P<mypy>[\w-]+))?(?: pyright=(?P<pyright>\w+))?$")
MYPY_ERROR = re.compile(r"rejected\.py:(\d+): error: .*\[([\w-]+)\]$")

# What pyright says besides, about code that is wrong anyway.
CONSEQUENCES = {"reportUnknownMemberType", "reportUnknownVariableType", "reportUntypedFunctionDecorator"}


def expected(checker: str) -> dict[int, str]:
    """What a checker has to say about each line."""
    lines = enumerate(REJECTED.read_text(encoding="utf-8").splitlines(), start=1)
    marks = {number: MARK.search(line) for number, line in lines}
    return {number: mark[checker] for number, mark in marks.items() if mark is not None and mark[checker]}


def compare(checker: str, found: dict[int, set[str]]) -> None:
    """Every marked line is rejected, for the reason it names, and no other line is."""
    wanted = expected(checker)

    assert 100 <= len(wanted)
    assert sorted(wanted) == sorted(found), sorted(set(wanted) ^ set(found))
    assert {} == {line: (code, found[line]) for line, code in wanted.items() if code not in found[line]}


def test_marks() -> None:
    """Every mark can be read, and names at least one checker."""
    marked = [line for line in REJECTED.read_text(encoding="utf-8").splitlines() if "# E:" in line]

    assert [] == [line for line in marked if not (mark := MARK.search(line)) or not any(mark.groups())]


@pytest.mark.types
def test_mypy() -> None:
    """mypy --strict, as the project uses it, rejects exactly the marked lines."""
    command = [sys.executable, "-m", "mypy", "--hide-error-context", "--no-pretty", str(REJECTED)]
    run = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    found: dict[int, set[str]] = defaultdict(set)
    for line in run.stdout.splitlines():
        if error := MYPY_ERROR.search(line):
            found[int(error[1])].add(error[2])

    assert 1 == run.returncode, run.stdout + run.stderr
    compare("mypy", found)


@pytest.mark.pyright
def test_pyright(tmp_path: Path) -> None:
    """basedpyright, as the project uses it, rejects exactly the marked lines."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["basedpyright"]
    options |= {"include": [str(REJECTED)], "exclude": [], "extraPaths": [str(ROOT / "src"), str(ROOT)]}
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps(options), encoding="utf-8")
    checker = Path(sys.executable).with_name("basedpyright")
    command = [checker, "--project", config, "--pythonpath", sys.executable, "--outputjson"]
    run = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    report = json.loads(run.stdout)
    found: dict[int, set[str]] = defaultdict(set)
    for problem in report["generalDiagnostics"]:
        if problem["rule"] not in CONSEQUENCES:
            found[problem["range"]["start"]["line"] + 1].add(problem["rule"])

    assert 1 == report["summary"]["filesAnalyzed"]
    compare("pyright", found)
