"""The team: the supervisor of the workers, each in its seat."""

import math
from collections.abc import Iterable

from examples.survey.restarts import RestartLog
from examples.survey.worker import Opener, worker
from nursery_otp import ChildSpec, Name, Supervisor, child, current_ref


class Team(Supervisor):
    """One for one: a broken file is the business of one worker."""

    strategy = "one_for_one"
    # The limit counts over the whole survey and not per second. Crashes are no surprise here but a known part of the
    # work, in bursts where broken files lie side by side; what they have is a known total, see `restart_budget`.
    period = math.inf

    def __init__(self, seats: int, max_restarts: int, open_interpreter: Opener, log: RestartLog) -> None:
        self.seats = seats
        self.max_restarts = max_restarts
        self.open_interpreter = open_interpreter
        log.supervisor = current_ref()

    def children(self) -> Iterable[ChildSpec]:
        """A worker in each seat."""
        return [child(worker, seat, self.open_interpreter, id=f"worker-{seat}") for seat in range(1, self.seats + 1)]


TEAM = Name[Team]("team")
