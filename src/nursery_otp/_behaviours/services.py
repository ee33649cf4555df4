"""What serves a supervision tree without being part of it: supervised processes in a runtime of their own.

They have their own pids, names and counters, so that the tree looks and counts as if they were not there; clock and
fate they share with it. They start before the first process of the tree and end after the last one, and they never
give up: what crashes is started again, after a while that grows.
"""

from __future__ import annotations

import math

import trio

from nursery_otp._behaviours.ending import stop_child
from nursery_otp._behaviours.supervisor import InlineSupervisor, child
from nursery_otp._policy.restarts import Backoff
from nursery_otp._policy.specs import ChildSpec, SupervisorFlags
from nursery_otp._policy.timeouts import Timeouts
from nursery_otp._runtime.dead_letters import DeadLetterQueue
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.runtime import Runtime
from nursery_otp._runtime.spawning import create

PATIENCE = Backoff(initial=0.1, maximum=30.0)


@protected
class Services:
    """The services of one tree, as far as it needs any."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._root: Process | None = None
        self._started = trio.Event()

    def start(self, nursery: trio.Nursery) -> None:
        """Let them run as tasks of this nursery."""
        specs = _needed(self._runtime.dead_letters, self._started)
        if not specs:
            return
        services = self._runtime.services = Runtime(Timeouts())
        services.alarms = self._runtime.alarms
        services.fatal = self._runtime.fatal
        services.on_fatal = self._runtime.on_fatal
        services.nursery = nursery
        self._launch(services, nursery, specs)

    def _launch(self, services: Runtime, nursery: trio.Nursery, specs: list[ChildSpec]) -> None:
        flags = SupervisorFlags(max_restarts=math.inf)
        self._root = create(services, InlineSupervisor, (flags, specs))
        # Nobody stands above the supervisor of the services; if it should be killed there is another one.

        def again(*_end: object) -> bool:
            self._launch(services, nursery, specs)
            return False  # the crash is reported by the process itself

        self._root.on_end = again
        self._root.launch(nursery)

    def tree_started(self) -> None:
        """The children of the tree are up: whoever has something to send to them may begin."""
        self._started.set()

    async def stop(self) -> None:
        """End them; return when they have ended."""
        if self._root is not None:
            await stop_child(self._root, math.inf, 0)


def _needed(queue: DeadLetterQueue, started: trio.Event) -> list[ChildSpec]:
    """No time limit for their stop: what a thread is writing is waited for in any case."""
    specs = []
    if queue.mirror is not None:
        specs.append(child(write_dead_letters, queue, shutdown=math.inf, backoff=PATIENCE))
    if queue.mirror is not None or queue.options.retry is not None:
        specs.append(child(retry_dead_letters, queue, started, shutdown=math.inf, backoff=PATIENCE))
    return specs


async def write_dead_letters(queue: DeadLetterQueue) -> None:
    """Keep the store up to date."""
    if queue.mirror is not None:
        await queue.mirror.serve()


async def retry_dead_letters(queue: DeadLetterQueue, started: trio.Event) -> None:
    """Send again what is due, or asked for."""
    await started.wait()  # before that, the processes that letters are for are not there
    await queue.retrying.serve()
