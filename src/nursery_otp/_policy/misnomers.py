"""Attributes of classes that would have no effect: words of OTP's that are others here, and misspelt ones.

A class may have attributes of its own, so only what is hardly meant as one is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import takewhile

FLAGS = ("strategy", "max_restarts", "period", "auto_shutdown", "max_children", "follow_caller", "children")
"""What classes of supervisors are made of."""

_SUPERVISOR_WORDS = {
    **dict.fromkeys(("intensity", "restart_intensity", "max_intensity", "max_r", "restart_limit"), "max_restarts"),
    **dict.fromkeys(("max_seconds", "max_t", "max_period", "restart_period", "restart_window"), "period"),
    **dict.fromkeys(("restart_strategy", "supervision_strategy"), "strategy"),
    **dict.fromkeys(("child_specs", "children_specs", "get_children", "init"), "children"),
}
_SERVER_WORDS = {
    "handle_call": "mark a method for each request with @call",
    "handle_cast": "mark a method for each request with @cast",
    "trap_exit": "it is called 'trap_exits'",
    "code_change": "the code of a running server is not replaced",
}


def supervisor_misnomer(name: str) -> str | None:
    """What is wrong with an attribute of this name of a class of supervisors, if anything is."""
    return supervisor_word(name) or (None if name.startswith("_") or name in FLAGS else _advice(_like(name)))


def supervisor_word(name: str) -> str | None:
    """The same, found in no time: only for words that are known, and for another case, plural or underscore."""
    return None if name.startswith("_") or name in FLAGS else _advice(_SUPERVISOR_NAMES.get(_plain(name)))


def server_misnomer(name: str) -> str | None:
    """What is wrong with an attribute of this name of a class of servers, if anything is."""
    return _SERVER_WORDS.get(name)


def _advice(meant: str | None) -> str | None:
    return None if meant is None else f"it is called '{meant}'"


def _like(name: str) -> str | None:
    return next((flag for flag in FLAGS if _one_slip(name.casefold(), flag)), None)


def _one_slip(word: str, other: str) -> bool:
    """Whether they differ in one letter that is missing, too many or another, or in two that have changed places."""
    for _ in range(2):  # take away what is the same at the beginning, and then at the end
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False)))
        word, other = word[same:][::-1], other[same:][::-1]
    return max(len(word), len(other)) <= 1 or (len(word) == 2 and word == other[::-1])


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").removesuffix("s")


def _by_plain(words: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {**{_plain(word): meant for word, meant in words.items()}, **{_plain(name): name for name in names}}


_SUPERVISOR_NAMES = _by_plain(_SUPERVISOR_WORDS, FLAGS)
