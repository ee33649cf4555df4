"""Keys made of parts, some of them open: what such a key matches, and which of two says more.

A key is a tuple of parts. A part is a literal (text, a whole number, a member of an enumeration), `ANY`, or a `Glob`:
text in which `*` stands for any run of characters. A key matches tuples of its own length only.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, TypeAlias, final

import attrs

Part: TypeAlias = "str | int | Enum | Glob | _Any"
Parts: TypeAlias = tuple[Any, ...]


@final
class _Any:
    """The type of `ANY`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ANY"

    def __reduce__(self) -> str:
        return "ANY"  # copies and pickles are the one object again


ANY: Final = _Any()
"""Any part of a tuple, in the key of a rule: `("render", ANY)`."""


@attrs.frozen
class Glob:
    """Text in which each `*` stands for any run of characters, an empty one too."""

    text: str

    def __str__(self) -> str:
        return self.text


def part_of(text: str) -> Part:
    """A part that is written as text. A lone `*` is `ANY`, and a run of `*` is one."""
    while "**" in text:
        text = text.replace("**", "*")
    if text == "*":
        return ANY
    return Glob(text) if "*" in text else text


def is_open(parts: Parts) -> bool:
    """Whether a key has parts that match more than one thing."""
    return any(isinstance(part, Glob | _Any) for part in parts)


def literals(parts: Parts) -> int:
    """How many parts are literal."""
    return sum(not isinstance(part, Glob | _Any) for part in parts)


def covers(wide: Parts, narrow: Parts) -> bool:
    """Whether `wide` matches everything that `narrow` does; `narrow` may be a tuple of literals."""
    return len(wide) == len(narrow) and all(map(_part_covers, wide, narrow))


def overlap(one: Parts, other: Parts) -> bool:
    """Whether there is anything that both match."""
    return len(one) == len(other) and all(map(_parts_overlap, one, other))


def undecided(one: Parts, other: Parts) -> bool:
    """Whether both match something, and neither is the more specific one."""
    return (
        literals(one) == literals(other) and overlap(one, other) and not covers(one, other) and not covers(other, one)
    )


def _part_covers(wide: object, narrow: object) -> bool:
    if isinstance(wide, _Any):
        return True
    if isinstance(wide, Glob):
        # No literal of `wide` is a star, so that a star in `narrow` can only fall under one of its stars: which is
        # right, as it stands for any run of characters.
        text = narrow.text if isinstance(narrow, Glob) else narrow
        return isinstance(text, str) and _glob_matches(wide.text, text)
    return not isinstance(narrow, Glob) and wide == narrow


def _parts_overlap(one: object, other: object) -> bool:
    if isinstance(one, Glob) and isinstance(other, Glob):
        # Between a beginning and an end that suit both there is room for whatever stands in the middle of either.
        (begin, *_, end), (other_begin, *_, other_end) = one.text.split("*"), other.text.split("*")
        return (begin.startswith(other_begin) or other_begin.startswith(begin)) and (
            end.endswith(other_end) or other_end.endswith(end)
        )
    return _part_covers(one, other) or _part_covers(other, one)


def _glob_matches(glob: str, text: str) -> bool:
    begin, *middle, end = glob.split("*")
    if len(text) < len(begin) + len(end) or not text.startswith(begin) or not text.endswith(end):
        return False
    at, last = len(begin), len(text) - len(end)
    for piece in middle:
        found = text.find(piece, at, last)
        if found < 0:
            return False
        at = found + len(piece)
    return True
