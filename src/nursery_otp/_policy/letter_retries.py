"""Which dead letters to send again now, in which order, and when to look again.

Letters for the same recipient form a line, oldest first. Whoever stands behind a letter that cannot go now waits as
well, so that nobody is overtaken; only an exhausted letter, which may never go, is walked around.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import NamedTuple

from nursery_otp._policy.dead_letters import AutomaticRetry
from nursery_otp._policy.letters import LetterState


class Candidate(NamedTuple):
    """A letter that might be sent again: its number, its recipient's line, its state, and when it is due.

    One that is being handled is never due. `wanted` means that somebody asked for this very letter: it goes though it
    is exhausted.
    """

    number: int
    line: Hashable
    state: LetterState
    due: float
    wanted: bool = False


class Round:
    """One round of retries, planned letter by letter, so that nobody has to stop for all of them at once.

    `lines` are the letters that go, in order for each recipient; `left` are those that wait and stay, `next_due` is
    when the first of these will be due, and `blocked` whether some stay because of what somebody else does. A line that
    is in the plan is `busy` from then on: nobody else may plan for it.
    """

    def __init__(self, now: float, busy: set[Hashable]) -> None:
        self.lines: dict[Hashable, list[int]] = {}
        self.left: list[int] = []
        self.next_due = math.inf
        self.blocked = False
        self._now = now
        self._busy = busy
        self._closed: set[Hashable] = set()

    def consider(self, candidate: Candidate) -> None:
        """Whether this one goes. Candidates come oldest first; in a line that is busy somebody is retrying already."""
        number, line, state, due, wanted = candidate
        if state == "exhausted" and not wanted:
            return
        if self._open(line, due):
            self._busy.add(line)
            self.lines.setdefault(line, []).append(number)
        elif state == "waiting":
            self.left.append(number)

    def _open(self, line: Hashable, due: float) -> bool:
        if line in self._closed:
            return False
        if line in self._busy and line not in self.lines:
            self.blocked = True
            return False
        if due > self._now:
            self._closed.add(line)
            self.next_due = min(self.next_due, due)
            self.blocked = self.blocked or due == math.inf
            return False
        return True

    def over(self) -> None:
        """The lines are free again."""
        self._busy.difference_update(self.lines)


def state_after_failure(attempts: int, state: LetterState, max_attempts: float) -> LetterState:
    """How a letter stands after so many failed attempts; one that was exhausted stays so."""
    return "exhausted" if state == "exhausted" or attempts >= max_attempts else "waiting"


def due_at(options: AutomaticRetry, first_failure: float, last_attempt: float, attempts: int, chance: float) -> float:
    """When a letter may be sent again; `chance` in [0, 1) places it within the jitter."""
    return max(first_failure + options.min_age, last_attempt + options.backoff.delay(max(1, attempts), chance))


def next_round(last: float, interval: float, due: float) -> float:
    """When to look again: rounds keep their distance, and none is in vain."""
    return max(last + interval, due)
