"""A monitor from the manager, against the least that a monitor can be.

Direct: the record and the two table entries that are needed to deliver a `Down`, written here: no tag, no call site, no
time of creation, no counters, no look for leaks, no events. Managed: `nursery_otp.monitor`.

The claim is about the life of a monitor: a process is spawned, monitored and stopped, and its `Down` is received. Most
of that is the process. The second comparison, monitor and demonitor with nothing else, shows what the manager costs by
itself; it is there for information. Both sides use the same processes and mailboxes, so what those cost is in both.
"""

from collections.abc import Callable
from typing import Any

import trio
from slices import Comparison, Work, compare, self_check

from nursery_otp import Down, ExitReason, Ref, demonitor, mailbox, monitor, open_supervisor, spawn, stop
from nursery_otp._runtime.context import process_for
from nursery_otp._runtime.process import Process


class Direct:
    """A watch, and nothing besides."""

    __slots__ = ("owner", "target", "watched")

    def __init__(self, owner: Process, target: Ref[Any], watched: Process) -> None:
        self.owner = owner
        self.target = target
        self.watched: Process | None = watched

    def fire(self, reason: ExitReason) -> None:
        """The watched process has ended."""
        self.watched = None
        owner = self.owner
        if owner.monitors is not None:
            owner.monitors.pop(self, None)  # type: ignore[call-overload]
        owner.deliver(Down(self, self.target, reason))  # type: ignore[arg-type]


def direct_monitor(target: Ref[Any]) -> Direct:
    """Watch a living process."""
    owner = process_for("direct_monitor")
    watched = target._process  # noqa: SLF001 - as `monitor` does
    watch: Any = Direct(owner, target, watched)
    if watched.watchers is None:
        watched.watchers = {}
    watched.watchers[watch] = None
    if owner.monitors is None:
        owner.monitors = {}
    owner.monitors[watch] = None
    return watch


def direct_demonitor(watch: Any) -> None:
    """End the watch; nobody has ended yet."""
    process_for("direct_demonitor")
    watched, watch.watched = watch.watched, None
    watched.watchers.pop(watch, None)
    watch.owner.monitors.pop(watch, None)


async def idle() -> None:
    await trio.sleep_forever()


def life(watch: Callable[[Ref[Any]], object]) -> Work:
    """Spawn, monitor, stop, and receive the `Down`."""

    async def turn(operations: int) -> None:
        box = mailbox()
        for _ in range(operations):
            ref = spawn(idle)
            watched = watch(ref)
            await stop(ref)
            message = await box.receive()
            assert message.monitor is watched

    return turn


async def pair(operations: int) -> None:
    ref = spawn(idle)
    for _ in range(operations):
        demonitor(monitor(ref))
    await stop(ref)


async def tagged_pair(operations: int) -> None:
    ref = spawn(idle)
    for _ in range(operations):
        demonitor(monitor(ref, tag="tag"))
    await stop(ref)


async def direct_pair(operations: int) -> None:
    ref = spawn(idle)
    for _ in range(operations):
        direct_demonitor(direct_monitor(ref))
    await stop(ref)


async def measure(quads: int) -> list[Comparison]:
    results: list[Comparison] = []

    async def body() -> None:
        managed, direct = life(monitor), life(direct_monitor)
        results.extend(
            [
                await self_check("direct life", direct, quads=quads),
                await compare("life of a monitor, managed", managed, "direct", direct, quads=quads),
                await compare("monitor + demonitor, no life around", pair, "direct", direct_pair, quads=quads),
                await compare("the same, with a tag", tagged_pair, "direct", direct_pair, quads=quads),
            ]
        )

    async with open_supervisor() as supervisor:
        await (await supervisor.start(body, restart="temporary")).wait()
        supervisor.shutdown()
    return results
