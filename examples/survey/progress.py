"""Progress: looks into the book at a steady rate and shows where the survey stands.

It is told nothing and asks nobody, so the survey does not wait for it. It writes in a thread: a terminal that is held
(Ctrl-S) or a pipe that nobody reads stops this process alone.
"""

from collections.abc import Callable
from functools import partial

import trio

from examples.survey.book import Book
from examples.survey.display import Display, Standing
from examples.survey.restarts import RestartLog
from nursery_otp import Continue, ExitReason, GenServer, current_ref, send_interval


class Progress(GenServer):
    """Shows the standing on every tick, and the last one when it is stopped."""

    def __init__(self, book: Book, log: RestartLog, display: Display) -> None:
        self.book = book
        self.log = log
        self.display = display

    def init(self) -> Continue:
        """Begin, but not here: a display that fails would be a tree that does not start."""
        send_interval(self.display.period, current_ref(), "tick")
        return Continue("begin")

    async def handle_continue(self, argument: object) -> None:
        """Show what there is to do."""
        await self.show()

    async def handle_info(self, message: object) -> None:
        """A tick."""
        await self.show()

    async def terminate(self, reason: ExitReason) -> None:
        """The last word is the true one, not the one of the last tick."""
        await self.show()
        await in_thread(self.display.close)

    async def show(self) -> None:
        """Show the standing of this moment."""
        standing = Standing(self.book.settled, self.book.total, self.book.quarantined, len(self.log.restarts))
        await in_thread(partial(self.display.show, standing))


async def in_thread(function: Callable[[], None]) -> None:
    """Run something that may block, and let go of it if it does when this process is stopped."""
    await trio.to_thread.run_sync(function, abandon_on_cancel=True)
