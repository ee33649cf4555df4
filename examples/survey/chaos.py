"""Chaos: kills a worker now and then, to show that it makes no difference.

It counts verdicts instead of seconds, so a seed means the same gaps on any machine; which worker is doing what at that
moment is left to the moment.
"""

import random

from examples.survey.source_tree import SourceFile
from examples.survey.team import TEAM
from nursery_otp import GenServer, Name, SupervisorHandle, cast, kill, whereis

LONGEST_MEAN_GAP = 20  # files per kill, so that a standard library sees about a hundred
SHARE = 5  # of a small tree, so that it sees a few


class Chaos(GenServer):
    """Kills a random worker after a random number of verdicts: on average one in twenty, more in a small tree."""

    def __init__(self, seed: int, files: int) -> None:
        self.random = random.Random(seed)
        self.longest_gap = 2 * max(1, min(LONGEST_MEAN_GAP, files // SHARE)) - 1
        self.gap = self._next_gap()

    @cast
    async def settled(self, file: SourceFile) -> None:
        """A verdict more; time for a victim?"""
        self.gap -= 1
        if self.gap == 0:
            self.gap = self._next_gap()
            await self._kill_one()

    def _next_gap(self) -> int:
        return self.random.randint(1, self.longest_gap)

    async def _kill_one(self) -> None:
        team = await SupervisorHandle(TEAM).which_children()
        victim = self.random.choice(team).ref
        if victim is not None:  # else it is being restarted, and so has escaped
            kill(victim)


CHAOS = Name[Chaos]("chaos")


def tell_chaos(file: SourceFile) -> None:
    """There is a verdict more, if anybody wants to know: the first ones may come before chaos does."""
    if whereis(CHAOS) is not None:
        Chaos.settled(CHAOS, file)
