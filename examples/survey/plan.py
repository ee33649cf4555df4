"""Which file is where: waiting, in a worker's hand, or settled. No processes here, only the bookkeeping.

Rule 1: a file that leaves `waiting` is in somebody's hand or settled, in the same step. There is no moment at which it
is in neither place, so no crash can lose it.
Rule 2: what a worker had in hand when it ended goes back to the end of the queue, and so to another worker.
Rule 3: only the file's own fault counts against it, and the second one settles it. So a file costs `STRIKES` workers at
most, and a folder full of broken files is a bounded number of crashes.
"""

from collections import Counter, deque
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import attrs

from examples.survey.source_tree import SourceFile

STRIKES = 2

W = TypeVar("W", bound=Hashable)


@attrs.frozen
class Lost:
    """What became of the file that a lost worker had in hand: given back, or given up."""

    file: SourceFile
    quarantined: bool


class Plan(Generic[W]):
    """The bookkeeping of a coordinator; `W` is whatever identifies a worker."""

    def __init__(self, files: Iterable[SourceFile]) -> None:
        self.waiting = deque(files)
        self.in_hand: dict[W, SourceFile] = {}
        self.faults: Counter[SourceFile] = Counter()

    def __repr__(self) -> str:
        return f"<Plan: {len(self.waiting)} waiting, {len(self.in_hand)} in hand>"

    def give(self, worker: W) -> SourceFile | None:
        """Put the next file into the worker's hand; None if there is none, for now."""
        if not self.waiting:
            return None
        self.in_hand[worker] = self.waiting.popleft()
        return self.in_hand[worker]

    def finish(self, worker: W) -> None:
        """What the worker had in hand, if anything, is settled."""
        self.in_hand.pop(worker, None)

    def lose(self, worker: W, *, at_fault: bool) -> Lost | None:
        """The worker has ended. With a file in hand, it was that file's fault or not."""
        file = self.in_hand.pop(worker, None)
        if file is None:
            return None
        self.faults[file] += at_fault
        quarantined = self.faults[file] >= STRIKES
        if not quarantined:
            self.waiting.append(file)
        return Lost(file, quarantined)
