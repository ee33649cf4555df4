"""How a survey ended, and the exit status that says so."""

import signal
from collections.abc import Iterator

import attrs

from examples.survey.book import Book
from examples.survey.restarts import RestartLog
from examples.survey.source_tree import printable

DONE = 0
UNDONE = 1
BAD_PATH = 2  # also argparse's status for wrong usage
SIGNAL_BASE = 128  # a shell's convention for what a signal ended
INTERRUPTED = SIGNAL_BASE + signal.SIGINT


@attrs.frozen(kw_only=True)
class Outcome:
    """The book and the log as they are when the tree of processes has ended, and why it ended."""

    book: Book
    log: RestartLog
    workers: int
    chaos: int | None
    seconds: float
    signalled: int | None = None
    failure: str | None = None

    @property
    def undone(self) -> int:
        """How many files have no verdict."""
        return len(self.book.undone())

    @property
    def in_hand(self) -> list[str]:
        """The files without a verdict that a worker was about to measure."""
        undone = set(self.book.undone())
        return [file.name for file in self.book.interrupted if file in undone]

    @property
    def status(self) -> int:
        """0 only if each file has a verdict and nothing else went wrong. A quarantine is a verdict."""
        if self.failure is not None:
            return UNDONE
        if not self.undone:
            return DONE
        return UNDONE if self.signalled is None else SIGNAL_BASE + self.signalled

    def problems(self) -> Iterator[str]:
        """In words, what there is to say beyond the report; nothing after a complete survey."""
        if not self.book.total:
            yield f"no Python files in {printable(self.book.tree.path)}"
        if self.signalled is not None and self.undone:
            yield f"interrupted by {signal.Signals(self.signalled).name}; the workers were stopped in order"
        if self.failure is not None:
            yield self.failure
        if self.undone:
            yield f"{self.undone} of {self.book.total} files left undone; in hand: {', '.join(self.in_hand) or 'none'}"
