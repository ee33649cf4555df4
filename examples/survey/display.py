"""How progress looks: a bar on a terminal, a line now and then anywhere else. On stderr; stdout is the report's."""

import sys
from typing import Protocol, TextIO

import attrs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@attrs.frozen
class Standing:
    """How far the survey is."""

    settled: int
    total: int
    quarantined: int
    restarts: int

    def __str__(self) -> str:
        return f"{self.settled} of {self.total} files, {self.quarantined} quarantined, {self.restarts} restarts"


class Display(Protocol):
    """Something that shows a standing, each time it is told to."""

    period: float
    """How many seconds between two showings are a sensible rate."""

    def show(self, standing: Standing) -> None:
        """Show it now."""

    def close(self) -> None:
        """No more is to come."""


class Lines:
    """A line whenever something has changed: for logs, so at a rate at which a person would write one."""

    period = 2.0

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.shown: Standing | None = None

    def show(self, standing: Standing) -> None:
        """Write a line, unless it would be the same one again."""
        if standing != self.shown:
            self.shown = standing
            print(f"survey: {standing}", file=self.stream, flush=True)

    def close(self) -> None:
        """Nothing to close: the stream is not ours."""


class Bar:
    """A bar that grows."""

    period = 0.1

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("survey"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rest]}"))
        self.progress = Progress(*columns, TimeElapsedColumn(), console=console, auto_refresh=False)
        self.task = self.progress.add_task("survey", total=None, rest="")

    def show(self, standing: Standing) -> None:
        """Draw the bar."""
        rest = f"{standing.quarantined} quarantined, {standing.restarts} restarts"
        self.progress.update(self.task, completed=standing.settled, total=standing.total, rest=rest)
        self.progress.start()  # the first time; it does nothing after that
        self.progress.refresh()

    def close(self) -> None:
        """Leave the bar as it stands, and give the cursor back."""
        self.progress.stop()


def choose_display() -> Display:
    """The bar, if stderr is a terminal that can show one."""
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal and not console.is_dumb_terminal else Lines(sys.stderr)
