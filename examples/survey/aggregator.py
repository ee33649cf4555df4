"""The aggregator: writes the verdicts into the book, one at a time, each file once."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from examples.survey.book import Book, Quarantine, Verdict
from examples.survey.measurement import Measurement
from examples.survey.quarantine import admit
from examples.survey.source_tree import SourceFile
from nursery_otp import GenServer, Name, call, cast

Watcher: TypeAlias = Callable[[SourceFile], None]


class Aggregator(GenServer):
    """The only writer of verdicts. `watchers` are told of each new one; they must not block, so: casts."""

    def __init__(self, book: Book, watchers: Iterable[Watcher] = ()) -> None:
        self.book = book
        self.watchers = tuple(watchers)

    @call
    def record(self, file: SourceFile, measurement: Measurement) -> None:
        """Write a measurement down. A call, for the worker must not let go of its file before it is in the book."""
        self._settle(file, measurement)

    @cast
    def quarantine(self, file: SourceFile, reason: str) -> None:
        """Write down that the file is given up, and why.

        A cast, for the coordinator must not wait for a process without which it will be stopped: if this one is dead,
        the next coordinator starts from the book, and gives the file another try.
        """
        self._settle(file, Quarantine(reason))

    def _settle(self, file: SourceFile, verdict: Verdict) -> None:
        # Once per file: a worker that is killed after it has reported leaves its file to another one.
        if self.book.settle(file, verdict):
            if isinstance(verdict, Quarantine):
                admit(file, verdict.reason)
            for watcher in self.watchers:
                watcher(file)


AGGREGATOR = Name[Aggregator]("aggregator")
