"""Corpus files: read them, tell their two formats apart, refuse what is none of them with a clear error.

A *supervisor* corpus is an array of scenarios with `supervisor` and `actions`. A *process* corpus is an object
`{"format": 1, "scenarios": [...]}`, or the bare array, of scenarios with `actors` and `steps`. A file may mix them:
every scenario is judged by its own shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs

Json: TypeAlias = Any
Format: TypeAlias = Literal["supervisor", "process"]

_SHAPES: Mapping[Format, tuple[str, str]] = {"supervisor": ("supervisor", "actions"), "process": ("actors", "steps")}


class CorpusError(Exception):
    """This file cannot be replayed; the message says which file, which scenario and why."""


@attrs.frozen
class Scenario:
    """One scenario with the trace that is expected of it."""

    id: str
    family: str
    format: Format
    data: dict[str, Json]

    @property
    def group(self) -> str:
        """Where the report counts it: all supervisor scenarios together, the others by family."""
        return "supervisor" if self.format == "supervisor" else self.family

    @property
    def tags(self) -> frozenset[str]:
        return frozenset(self.data.get("tags", ()))

    @property
    def expected(self) -> list[Json]:
        """One entry per step."""
        expected = self.data["expected"]
        steps: list[Json] = expected["steps"] if self.format == "supervisor" else expected
        return steps


def load(paths: Iterable[Path]) -> list[Scenario]:
    """The scenarios of all these files, in order."""
    return [scenario for path in paths for scenario in load_file(path)]


def load_file(path: Path) -> list[Scenario]:
    """The scenarios of one file; raises `CorpusError`."""
    return [_scenario(path, entry) for entry in _entries(path, _parsed(path))]


def _parsed(path: Path) -> Json:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # broken JSON, or bytes that are not UTF-8
        raise CorpusError(f"{path}: is not JSON: {error}") from error


def _entries(path: Path, content: Json) -> list[Json]:
    if isinstance(content, dict):
        if content.get("format") != 1:
            raise CorpusError(f"{path}: has format {content.get('format')!r}; only format 1 is known")
        content = content.get("scenarios")
    if not isinstance(content, list):
        raise CorpusError(f"{path}: holds no array of scenarios")
    return content


def _scenario(path: Path, entry: Json) -> Scenario:
    if not isinstance(entry, dict):
        raise CorpusError(f"{path}: has an entry that is no object: {json.dumps(entry)[:80]}")
    where = f"{path}: scenario {entry.get('id', '<without id>')}"
    shape = _format(where, entry)
    for key in ("id", "family"):
        if not isinstance(entry.get(key), str):
            raise CorpusError(f"{where}: needs a text as {key!r}")
    _check_expected(where, shape, entry)
    return Scenario(entry["id"], entry["family"], shape, entry)


def _format(where: str, entry: dict[str, Json]) -> Format:
    for shape, keys in _SHAPES.items():
        if all(key in entry for key in keys):
            if not isinstance(entry[keys[1]], list):
                raise CorpusError(f"{where}: {keys[1]!r} must be an array")
            return shape
    raise CorpusError(f"{where}: has neither supervisor + actions nor actors + steps")


def _check_expected(where: str, shape: Format, entry: dict[str, Json]) -> None:
    expected = entry.get("expected")
    if expected is None:
        raise CorpusError(f"{where}: has no 'expected' to compare with")
    steps = expected if shape == "process" else expected.get("steps") if isinstance(expected, dict) else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise CorpusError(f"{where}: 'expected' is not a trace (an array with one object per step)")
