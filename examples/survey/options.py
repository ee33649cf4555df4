"""How to survey: what the command line, or a test, can choose."""

import os
from pathlib import Path

import attrs

from examples.survey.interpreter import open_interpreter
from examples.survey.plan import STRIKES
from examples.survey.worker import Opener

SLACK = 10


def default_workers() -> int:
    """One per core, and one more that goes on while another waits for its next file or its restart."""
    return (os.cpu_count() or 1) + 1


@attrs.frozen(kw_only=True)
class Options:
    """The choices. `max_restarts` is by default derived from the number of files, see `restart_budget`.

    `dead_letters` is the file for what was quarantined; without it, that is forgotten when the survey is over.
    """

    workers: int = attrs.field(factory=default_workers)
    chaos: int | None = None
    max_restarts: int | None = None
    open_interpreter: Opener = open_interpreter
    dead_letters: Path | None = None

    def restart_budget(self, files: int) -> int:
        """How many restarts the team may need before something else than the files must be wrong.

        A file crashes `STRIKES` workers at most, as it is then quarantined; so even a tree in which no file parses
        stays below this limit, and a worker that cannot work at all (no memory, no processes left) soon passes it.
        Chaos kills once per verdict at the very most. The slack is for accidents.
        """
        if self.max_restarts is not None:
            return self.max_restarts
        return STRIKES * files + (files if self.chaos is not None else 0) + SLACK
