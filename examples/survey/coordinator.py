"""The coordinator: hands files to workers, and takes back what a worker had in hand when it ended.

Workers ask for work, and a file changes hands in one step: before the worker is told of it, it is monitored (since it
asked for the first time) and the file is in its hand, here in the plan. Wherever a worker is killed, its `Down` comes
after everything that it said, at once if it is dead already, and finds the file in its hand:

- before it asked: nothing in hand, nothing to take back;
- after it asked, before the answer reached it: in hand here, though it never knew;
- while it measured: in hand;
- after its verdict was written, before it said so: in hand, measured twice, and written once (see `aggregator`).
"""

from collections import deque

import attrs
import trio

from examples.survey.aggregator import AGGREGATOR, Aggregator
from examples.survey.book import Book
from examples.survey.fault import fault_text
from examples.survey.plan import Lost, Plan
from examples.survey.restarts import Cause, RestartLog
from examples.survey.source_tree import SourceFile, in_order
from nursery_otp import (
    Crashed,
    Down,
    ExitReason,
    GenServer,
    Killed,
    Later,
    Name,
    OTPError,
    Ref,
    Shutdown,
    call,
    monitor,
)


@attrs.frozen
class Idle:
    """A worker that waits for a file, and the reply that it waits for."""

    worker: Ref[None]
    job: Later[SourceFile]


class Coordinator(GenServer):
    """Starts from what the book says is left: a new incarnation needs to know nothing else."""

    def __init__(self, book: Book, log: RestartLog) -> None:
        self.book = book
        self.log = log
        self.plan: Plan[Ref[None]] = Plan(book.undone())
        self.seats: dict[Ref[None], int] = {}
        self.idle: deque[Idle] = deque()
        self.stopped: list[SourceFile] = []

    @call
    def next_job(self, seat: int, worker: Ref[None]) -> SourceFile:
        """The worker is done with what it had; give it the next file, as soon as there is one."""
        if worker not in self.seats:
            self._take_on(seat, worker)
        self.plan.finish(worker)
        file = self.plan.give(worker)
        if file is not None:
            return file
        idle = Idle(worker, Later[SourceFile]())
        self.idle.append(idle)
        return idle.job.pending()

    def handle_info(self, message: object) -> None:
        """A worker has ended: take back its file, and see who could have it."""
        match message:
            case Down(target=worker, reason=reason):
                self._lost(worker, reason)
                self._serve_idle()
            case _:
                pass  # nobody sends anything else

    def terminate(self, reason: ExitReason) -> None:
        """Leave word of what was not finished."""
        self.book.interrupted = in_order({*self.stopped, *self.plan.in_hand.values()})

    def _take_on(self, seat: int, worker: Ref[None]) -> None:
        monitor(worker)
        self.seats[worker] = seat
        self.log.serving(seat, trio.current_time())

    def _lost(self, worker: Ref[None], reason: ExitReason) -> None:
        self.idle = deque(idle for idle in self.idle if idle.worker is not worker)
        lost = self.plan.lose(worker, at_fault=is_fault(reason))
        self._log(self.seats.pop(worker), reason, lost)
        if lost is not None and lost.quarantined:
            Aggregator.quarantine(AGGREGATOR, lost.file, reason_text(reason))

    def _log(self, seat: int, reason: ExitReason, lost: Lost | None) -> None:
        if not isinstance(reason, Shutdown):
            name = None if lost is None else lost.file.name
            self.log.ended(seat, cause_of(reason), reason_text(reason), name, trio.current_time())
        elif lost is not None:  # asked to stop, so it will not be replaced: an orderly end of the whole survey
            self.stopped.append(lost.file)

    def _serve_idle(self) -> None:
        while self.idle and self.plan.waiting:
            idle = self.idle.popleft()
            file = self.plan.give(idle.worker)
            if file is not None:
                idle.job.reply(file)


COORDINATOR = Name[Coordinator]("coordinator")


def is_fault(reason: ExitReason) -> bool:
    """Whether an end counts against the file: a crash does, unless it is about other processes (`OTPError`)."""
    return isinstance(reason, Crashed) and not isinstance(reason.error, OTPError)


def cause_of(reason: ExitReason) -> Cause:
    """The kind of end, for the log."""
    match reason:
        case Crashed():
            return "crashed"
        case Killed():
            return "killed"
        case _:
            return "other"


def reason_text(reason: ExitReason) -> str:
    """The reason in a line."""
    return fault_text(reason.error) if isinstance(reason, Crashed) else str(reason)
