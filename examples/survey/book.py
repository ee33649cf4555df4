"""What has been found out, file by file: the one thing that must survive every crash.

The book belongs to whoever ordered the survey, not to the tree of processes: like an ETS table with an heir, it is
still there when the aggregator, or the whole tree, has ended. So a restarted coordinator knows what is left, and an
interrupted survey can still say what it found. Anybody may read it; verdicts are written by the aggregator alone, and
what was interrupted by the coordinator, as its last act.
"""

from typing import TypeAlias

import attrs
import trio

from examples.survey.measurement import Measurement
from examples.survey.source_tree import SourceFile, SourceTree


@attrs.frozen
class Quarantine:
    """The verdict on a file that could not be measured: the reason, as type and message of an exception."""

    reason: str


Verdict: TypeAlias = Measurement | Quarantine


class Book:
    """A verdict for each file of a tree."""

    def __init__(self, tree: SourceTree) -> None:
        self.tree = tree
        self.verdicts: dict[SourceFile, Verdict] = {file: Quarantine(reason) for file, reason in tree.refused}
        self.quarantined = len(self.verdicts)
        self.interrupted: tuple[SourceFile, ...] = ()  # in a worker's hand when the survey was stopped
        self.complete = trio.Event()
        self._check_complete()

    def __repr__(self) -> str:
        return f"<Book: {self.settled} of {self.total} files>"

    @property
    def total(self) -> int:
        """How many verdicts there will be in the end."""
        return len(self.tree.files) + len(self.tree.refused)

    @property
    def settled(self) -> int:
        """How many there are."""
        return len(self.verdicts)

    def settle(self, file: SourceFile, verdict: Verdict) -> bool:
        """Write down a verdict; False if the file has one already, which then stands."""
        if file in self.verdicts:
            return False
        self.verdicts[file] = verdict
        self.quarantined += isinstance(verdict, Quarantine)
        self._check_complete()
        return True

    def undone(self) -> tuple[SourceFile, ...]:
        """The files without a verdict, in order."""
        return tuple(file for file in self.tree.files if file not in self.verdicts)

    def _check_complete(self) -> None:
        if self.settled == self.total:
            self.complete.set()
