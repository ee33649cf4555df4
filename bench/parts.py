"""The parts that docs/design.md chooses, each against the obvious one that it was chosen over.

Each pair does the same small job, so a ratio says what the choice saves there, and nothing about a whole call: that is
`call.py`. The baselines are Trio's own tools, and a dict that is copied.
"""

import math
from collections.abc import Iterable

import trio
import trio.testing
from slices import Comparison, Work, compare, self_check

from nursery_otp import MailboxOptions
from nursery_otp._policy.versioned import VersionedMap
from nursery_otp._runtime.alarms import Alarms
from nursery_otp._runtime.lean_mailbox import LeanMailbox

CHILDREN = 1_000


class Owner:
    """The process that a mailbox belongs to."""

    def discard(self, item: object, reason: str) -> None:
        raise AssertionError(item, reason)

    def overflow_crash(self, capacity: float) -> None:
        raise AssertionError(capacity)

    def close_mailbox(self) -> None:
        raise AssertionError


class Waiter:
    """Something with a deadline."""

    alarm = 0

    def on_alarm(self) -> None:
        raise AssertionError


async def limit_in_the_heap(operations: int) -> None:
    alarms, waiter = Alarms(trio.lowlevel.current_clock().current_time), Waiter()
    for _ in range(operations):
        alarms.arm(alarms.now() + 5, waiter)
        alarms.disarm(waiter)


async def limit_as_scope(operations: int) -> None:
    for _ in range(operations):
        with trio.CancelScope(deadline=trio.current_time() + 5):  # noqa: ASYNC100 - the cost of the scope itself
            pass


async def lean_mailbox(operations: int) -> None:
    mailbox = LeanMailbox(MailboxOptions(), Owner())
    for _ in range(operations):
        mailbox.offer(None)
        mailbox.take()


async def memory_channel(operations: int) -> None:
    sender, receiver = trio.open_memory_channel[None](math.inf)
    for _ in range(operations):
        sender.send_nowait(None)
        receiver.receive_nowait()


class Echo:
    """A task that answers whoever is in `caller`, by waking its task."""

    def __init__(self) -> None:
        self.me: trio.lowlevel.Task | None = None
        self.caller: trio.lowlevel.Task | None = None

    async def serve(self) -> None:
        self.me = trio.lowlevel.current_task()
        while True:
            await trio.lowlevel.wait_task_rescheduled(abort)
            if self.caller is not None:
                trio.lowlevel.reschedule(self.caller)

    async def ask(self, operations: int) -> None:
        self.caller = trio.lowlevel.current_task()
        for _ in range(operations):
            if self.me is not None:
                trio.lowlevel.reschedule(self.me)
            await trio.lowlevel.wait_task_rescheduled(abort)


def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED


class ChannelEcho:
    """The same with a channel for the requests, and a new one for each reply."""

    def __init__(self) -> None:
        self.sender, self.receiver = trio.open_memory_channel[trio.MemorySendChannel[None]](math.inf)

    async def serve(self) -> None:
        async for reply in self.receiver:
            reply.send_nowait(None)

    async def ask(self, operations: int) -> None:
        for _ in range(operations):
            sender, receiver = trio.open_memory_channel[None](1)
            self.sender.send_nowait(sender)
            await receiver.receive()


class Children:
    """A mapping in which one entry changes at a time, while the version before stays valid."""

    def __init__(self) -> None:
        self.copied = dict(enumerate(range(CHILDREN)))
        self.versioned: VersionedMap[int, int] = VersionedMap()
        for key, value in self.copied.items():
            self.versioned = self.versioned.set(key, value)

    async def change_versioned(self, operations: int) -> None:
        for number in range(operations):
            self.versioned = self.versioned.set(number % CHILDREN, number)

    async def change_copied(self, operations: int) -> None:
        for number in range(operations):
            self.copied = {**self.copied, number % CHILDREN: number}


async def measure(quads: int) -> list[Comparison]:
    echo, channel_echo, children = Echo(), ChannelEcho(), Children()
    pairs: Iterable[tuple[str, Work, str, Work]] = [
        ("limit of a wait: alarm heap", limit_in_the_heap, "CancelScope", limit_as_scope),
        ("message in and out: lean mailbox", lean_mailbox, "memory channel", memory_channel),
        ("reply: waking the caller's task", echo.ask, "a channel per reply", channel_echo.ask),
        (f"change 1 of {CHILDREN}: versioned map", children.change_versioned, "copied dict", children.change_copied),
    ]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo.serve)
        nursery.start_soon(channel_echo.serve)
        await trio.testing.wait_all_tasks_blocked()
        results = [await self_check("memory channel", memory_channel, quads=quads)]
        for name, ours, baseline_name, baseline in pairs:
            results.append(await compare(name, ours, baseline_name, baseline, quads=quads))
        nursery.cancel_scope.cancel()
    return results
