"""What somebody may have meant who wrote a word that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, if one is at all; upper and lower case do not count."""
    by_folded = {each.casefold(): each for each in known}
    found = get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error message; empty if no known word is near."""
    meant = nearest(word, known)
    return "" if meant is None else f"; did you mean {meant!r}?"
