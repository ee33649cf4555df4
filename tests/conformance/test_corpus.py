"""Corpus files are told apart by their scenarios, and broken ones are refused with a reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.corpus import CorpusError, load, load_file

Json = Any
SUPERVISOR = {"id": "s.1", "family": "retry", "supervisor": {}, "actions": [], "expected": {"steps": []}}
PROCESS = {"id": "gs-1", "family": "gen_server", "actors": {}, "steps": [], "expected": []}


def write(folder: Path, content: Json, name: str = "corpus.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "content", [[SUPERVISOR, PROCESS], {"format": 1, "otp": "25", "scenarios": [SUPERVISOR, PROCESS]}]
)
def test_both_formats_in_both_wrappings(tmp_path: Path, content: Json) -> None:
    """A scenario is judged by its own shape, wherever it stands."""
    scenarios = load_file(write(tmp_path, content))

    assert [("s.1", "supervisor"), ("gs-1", "process")] == [(each.id, each.format) for each in scenarios]
    assert ["supervisor", "gen_server"] == [each.group for each in scenarios]


def test_several_files(tmp_path: Path) -> None:
    """The scenarios of all files, in order."""
    paths = [write(tmp_path, [SUPERVISOR], "one.json"), write(tmp_path, [PROCESS], "two.json")]

    assert ["s.1", "gs-1"] == [each.id for each in load(paths)]


def without(scenario: Json, key: str) -> Json:
    return {name: value for name, value in scenario.items() if name != key}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[1, 2", "is not JSON"),
        ("7", "holds no array of scenarios"),
        ({"format": 2, "scenarios": []}, "has format 2"),
        ({"scenarios": []}, "has format None"),
        ({"format": 1}, "holds no array of scenarios"),
        ([7], "an entry that is no object: 7"),
        ([{"id": "x", "family": "y"}], "scenario x: has neither supervisor"),
        ([without(SUPERVISOR, "id")], "scenario <without id>: needs a text as 'id'"),
        ([without(SUPERVISOR, "family")], "scenario s.1: needs a text as 'family'"),
        ([without(SUPERVISOR, "expected")], "scenario s.1: has no 'expected'"),
        ([without(PROCESS, "expected")], "scenario gs-1: has no 'expected'"),
        ([SUPERVISOR | {"expected": []}], "scenario s.1: 'expected' is not a trace"),
        ([PROCESS | {"expected": [7]}], "scenario gs-1: 'expected' is not a trace"),
        ([SUPERVISOR | {"actions": {}}], "scenario s.1: 'actions' must be an array"),
    ],
)
def test_malformed_file(tmp_path: Path, content: Json, problem: str) -> None:
    """The error names the file and what is wrong in it."""
    path = write(tmp_path, content)

    with pytest.raises(CorpusError) as caught:
        load_file(path)
    assert str(path) in str(caught.value)
    assert problem in str(caught.value)


def test_unreadable_file(tmp_path: Path) -> None:
    """A file that is not there is no traceback."""
    with pytest.raises(CorpusError, match="cannot be read"):
        load_file(tmp_path / "missing.json")


def test_binary_file(tmp_path: Path) -> None:
    """Nor is one that is no text."""
    path = tmp_path / "corpus.json"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(CorpusError, match="is not JSON"):
        load_file(path)
