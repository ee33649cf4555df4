"""A worker: asks for a file, measures it, reports, asks again. It catches nothing.

What is wrong with a file is an exception in the worker that holds it, and the end of that worker. The supervisor
replaces the worker, the coordinator hears of its end and deals with the file; here there is nothing to clean up.
"""

import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, TypeAlias

import trio

from examples.survey.aggregator import AGGREGATOR, Aggregator
from examples.survey.coordinator import COORDINATOR, Coordinator
from examples.survey.measurement import Measurement
from nursery_otp import current_ref


class Measures(Protocol):
    """What a worker needs from an interpreter."""

    async def measure(self, path: Path) -> Measurement:
        """Measure one file."""
        ...


Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[Measures]]


async def worker(
    seat: int, open_interpreter: Opener, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Work until told to stop.

    The start is over once there is an interpreter. It does not wait for the coordinator: that may have crashed, and
    would be replaced by the supervisor that first waits for our team, which waits for this start.
    """
    async with open_interpreter() as interpreter:
        task_status.started()
        while True:
            file = await Coordinator.next_job.within(math.inf)(COORDINATOR, seat, current_ref())
            await Aggregator.record(AGGREGATOR, file, await interpreter.measure(file.path))
