"""The survey as a whole: grows the tree of processes, waits until the book is complete, and says how it ended."""

import signal
import time
from collections.abc import Iterable

import attrs
import trio

from examples.survey.aggregator import AGGREGATOR, Aggregator, Watcher
from examples.survey.book import Book
from examples.survey.chaos import CHAOS, Chaos, tell_chaos
from examples.survey.coordinator import COORDINATOR, Coordinator
from examples.survey.display import Display
from examples.survey.fault import fault_text
from examples.survey.options import Options
from examples.survey.outcome import Outcome
from examples.survey.progress import Progress
from examples.survey.quarantine import discharge, options_for
from examples.survey.restarts import RestartLog
from examples.survey.team import TEAM, Team
from examples.survey.ward import Ward
from nursery_otp import ChildSpec, OTPError, RestartLimitReached, Shutdown, child, open_supervisor

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@attrs.define
class Survey:
    """One run: what its processes share, and what has become of it."""

    book: Book
    options: Options
    display: Display
    log: RestartLog = attrs.field(factory=RestartLog)
    signalled: int | None = None
    failure: str | None = None
    began: float = attrs.field(factory=time.monotonic)

    async def run(self) -> Outcome:
        """Survey until it is done, cannot be done, or is interrupted by a signal."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._stop_on_signal, nursery.cancel_scope)
            await self.supervise()
            nursery.cancel_scope.cancel(reason="the survey is over")
        return self.outcome()

    async def supervise(self) -> None:
        """Run the tree of processes. When this is left, however it is left, they have all been stopped in order."""
        try:
            async with open_supervisor(
                self.children(),
                strategy="rest_for_one",
                auto_shutdown="any_significant",
                max_restarts=3,  # nobody on this level is expected to crash; one accident may take others along
                period=60.0,
                dead_letters=options_for(self.options.dead_letters),
            ) as root:
                await self.book.complete.wait()
                await discharge(self.book)
                root.shutdown()
        except OTPError as error:
            self.failure = _in_words(error)
        match self.log.supervisor and self.log.supervisor.exit_reason:
            case Shutdown(RestartLimitReached() as limit):
                self.failure = f"the team gave up: {_in_words(limit)}"
            case _:
                pass  # it was stopped with the others, or never started

    def children(self) -> Iterable[ChildSpec]:
        """The tree, in the order of who needs whom."""
        yield child(Ward, self.options.open_interpreter)
        # First to start and last to stop, so it sees everything. Temporary: a display that has failed, perhaps because
        # the terminal is gone, would fail again.
        yield child(Progress, self.book, self.log, self.display, restart="temporary", shutdown=1.0)
        yield child(Aggregator, self.book, self._watchers(), name=AGGREGATOR)
        yield child(Coordinator, self.book, self.log, name=COORDINATOR)
        yield self._team()
        if self.options.chaos is not None:
            yield child(Chaos, self.options.chaos, self.book.total, name=CHAOS)

    def _team(self) -> ChildSpec:
        # Transient and significant: a team that has reached its restart limit has ended in an orderly way, and is not
        # to be tried again. It takes the whole survey with it.
        files = len(self.book.tree.files)
        seats = min(self.options.workers, files)
        budget = self.options.restart_budget(files)
        opener = self.options.open_interpreter
        return child(Team, seats, budget, opener, self.log, name=TEAM, restart="transient", significant=True)

    def _watchers(self) -> tuple[Watcher, ...]:
        return () if self.options.chaos is None else (tell_chaos,)

    async def _stop_on_signal(
        self, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        # A signal as an event, so that no KeyboardInterrupt is raised in the middle of a step. Once, though: whoever
        # presses Ctrl-C a second time does not want to wait for an orderly stop.
        with trio.open_signal_receiver(*SIGNALS) as signals:
            task_status.started()
            async for number in signals:
                self.signalled = number
                scope.cancel(reason=f"signal {number}")
                return

    def outcome(self) -> Outcome:
        """What has become of it, so far."""
        return Outcome(
            book=self.book,
            log=self.log,
            workers=self.options.workers,
            chaos=self.options.chaos,
            seconds=time.monotonic() - self.began,
            signalled=self.signalled,
            failure=self.failure,
        )


def _in_words(error: BaseException) -> str:
    cause = error.__cause__
    return fault_text(error) + (f", because of {_in_words(cause)}" if cause is not None else "")
