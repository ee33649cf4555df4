"""What a stretch of work leaves in memory."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs
from trio.testing import wait_all_tasks_blocked

STATM = Path("/proc/self/statm")

Work = Callable[[int], Awaitable[None]]


@attrs.frozen
class Reading:
    """The memory of this process now. Objects are those that the garbage collector tracks, blocks all of Python's."""

    resident: int
    objects: int
    blocks: int

    @classmethod
    def now(cls) -> Reading:
        """Read without collecting garbage first."""
        return cls(_resident(), len(gc.get_objects()), sys.getallocatedblocks())

    def __sub__(self, other: Reading) -> Reading:
        return Reading(self.resident - other.resident, self.objects - other.objects, self.blocks - other.blocks)


def _resident() -> int:
    if STATM.exists():
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # never sinks, but also grows with a leak


# What may be left, however much was done: caches fill up slowly.
RESIDENT = 8 * 2**20
OBJECTS = 1_000
BLOCKS = 4_000
UNCOLLECTED = 300


@attrs.frozen
class Result:
    """What one workload did, and what it left: with the collector on, and without it."""

    name: str
    cycles: int
    seconds: float
    growth: Reading
    uncollected: int
    stretch: int
    per_cycle: float

    @property
    def rate(self) -> float:
        """Cycles per second."""
        return self.cycles / self.seconds

    @property
    def problems(self) -> list[str]:
        """What grew more than it may."""
        allowed = UNCOLLECTED + round(self.per_cycle * self.stretch)
        found = {
            "resident bytes": (self.growth.resident, RESIDENT),
            "objects": (self.growth.objects, OBJECTS),
            "blocks": (self.growth.blocks, BLOCKS),
            f"objects that only the garbage collector frees, in {self.stretch} cycles": (self.uncollected, allowed),
        }
        return [
            f"{self.name}: +{grown} {what} (limit {limit})" for what, (grown, limit) in found.items() if grown > limit
        ]


async def measure(name: str, work: Work, cycles: int, *, per_cycle: float) -> Result:
    """Do the work until it is warm, then measured, then for a stretch without the garbage collector.

    `per_cycle` is how many objects each cycle may leave to the collector.
    """
    warm_up, stretch = max(200, cycles // 20), max(200, cycles // 50)
    await work(warm_up)
    await _quiet()
    before, begin = Reading.now(), time.perf_counter()
    await work(cycles)
    seconds = time.perf_counter() - begin
    await _quiet()
    growth = Reading.now() - before
    return Result(name, cycles, seconds, growth, await _uncollected(work, stretch), stretch, per_cycle)


async def _quiet() -> None:
    """Nothing is on its way any more, and no garbage is left."""
    await wait_all_tasks_blocked()
    gc.collect()


async def _uncollected(work: Work, stretch: int) -> int:
    """How many objects only the garbage collector could have freed."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        before = len(gc.get_objects())
        await work(stretch)
        await wait_all_tasks_blocked()
        return len(gc.get_objects()) - before
    finally:
        if enabled:
            gc.enable()
        gc.collect()
