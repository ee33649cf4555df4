"""Which dead letters to send again now, in which order, and when to look again.

Letters for the same recipient form a line, oldest first. Whoever stands behind a letter that cannot go now waits as
well, so that nobody is overtaken; only an exhausted letter, which may never go, is walked around.
"""

from __future__ import annotations

import math
from collections.abc import Container, Hashable, Iterable
from typing import NamedTuple

from nursery_otp._policy.dead_letters import AutomaticRetry
from nursery_otp._policy.letters import LetterState


class Candidate(NamedTuple):
    """A letter that might be sent again: its number, its recipient's line, its state, and when it is due.

    `wanted` means that somebody asked for this very letter: it goes though it is exhausted.
    """

    number: int
    line: Hashable
    state: LetterState
    due: float
    wanted: bool = False


class Round(NamedTuple):
    """One round of retries: the lines, each in order, and when the first of those that are left will be due."""

    lines: dict[Hashable, list[int]]
    next_due: float


def plan_round(candidates: Iterable[Candidate], now: float, busy: Container[Hashable] = ()) -> Round:
    """Who goes now. Candidates come oldest first; in a line that is busy somebody is retrying already."""
    lines: dict[Hashable, list[int]] = {}
    closed: set[Hashable] = set()
    next_due = math.inf
    for number, line, state, due, wanted in candidates:
        if line in busy or line in closed or (state == "exhausted" and not wanted):
            continue
        if due > now:
            closed.add(line)
            next_due = min(next_due, due)
        else:
            lines.setdefault(line, []).append(number)
    return Round(lines, next_due)


def state_after_failure(attempts: int, state: LetterState, max_attempts: float) -> LetterState:
    """How a letter stands after so many failed attempts; one that was exhausted stays so."""
    return "exhausted" if state == "exhausted" or attempts >= max_attempts else "waiting"


def due_at(options: AutomaticRetry, first_failure: float, last_attempt: float, attempts: int, chance: float) -> float:
    """When a letter may be sent again; `chance` in [0, 1) places it within the jitter."""
    return max(first_failure + options.min_age, last_attempt + options.backoff.delay(max(1, attempts), chance))


def next_round(last: float, interval: float, due: float) -> float:
    """When to look again: rounds keep their distance, and none is in vain."""
    return max(last + interval, due)
