"""How long each restart took: from the end of a worker to its successor in the same seat being ready for work."""

import statistics
from typing import Literal, TypeAlias

import attrs

from nursery_otp import Ref

Cause: TypeAlias = Literal["crashed", "killed", "other"]


@attrs.frozen
class Restart:
    """One worker that ended, and was replaced."""

    seat: int
    cause: Cause
    reason: str
    file: str | None
    seconds: float


@attrs.frozen
class Spread:
    """The restart times in three numbers of seconds."""

    min: float
    median: float
    max: float


@attrs.frozen
class _End:
    cause: Cause
    reason: str
    file: str | None
    when: float


class RestartLog:
    """Pairs each end of a worker with the next beginning in its seat."""

    def __init__(self) -> None:
        self.restarts: list[Restart] = []
        self.supervisor: Ref[object] | None = None  # whose restarts these are; how it ended says if it ran out of them
        self._ends: dict[int, _End] = {}

    def __repr__(self) -> str:
        return f"<RestartLog: {len(self.restarts)} restarts, {len(self._ends)} under way>"

    def ended(self, seat: int, cause: Cause, reason: str, file: str | None, when: float) -> None:
        """The worker in this seat has ended."""
        self._ends[seat] = _End(cause, reason, file, when)

    def serving(self, seat: int, when: float) -> None:
        """A worker in this seat is ready; not a restart if it is the first one."""
        end = self._ends.pop(seat, None)
        if end is not None:
            self.restarts.append(Restart(seat, end.cause, end.reason, end.file, when - end.when))

    def spread(self) -> Spread | None:
        """Minimum, median and maximum; None without a restart."""
        times = [restart.seconds for restart in self.restarts]
        return Spread(min(times), statistics.median(times), max(times)) if times else None
