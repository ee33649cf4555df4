"""The mailbox: where messages wait for the one process that reads them.

`Mailbox` holds what all mailboxes share: the bound, the overflow policies, the line of senders who wait for room, the
counters, and Trio's `ReceiveChannel` interface. How items are kept and how the reader sleeps is left to the two
implementations, in `lean_mailbox` and `channel_mailbox`.

Signals (`put`) are always accepted. Ordinary messages (`offer`) are subject to the bound. An item that leaves without
being read goes through `owner.discard`, so that nothing disappears uncounted.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import attrs
import trio

from nursery_otp._policy.mailboxes import MailboxOptions
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Down, Envelope, Exit, Notice, Tick

EMPTY: Any = type("EMPTY", (), {"__repr__": lambda _self: "EMPTY"})()

SIGNALS = (Down, Exit, Tick, Notice)


class Owner(Protocol):
    """What a mailbox needs of the process that it belongs to."""

    def discard(self, item: object, reason: str) -> None:
        """`item` will not be read."""

    def overflow_crash(self, capacity: float) -> None:
        """The policy is "crash", and the mailbox is full."""

    def close_mailbox(self) -> None:
        """The reader wants nothing more."""

    def received(self, item: object) -> None:
        """A plain function has taken this item out."""

    def finished(self) -> None:
        """A plain function asks for its next message, so it is done with the last one."""


class _Nobody:
    """Whom a mailbox belongs to when its process has ended."""

    def discard(self, item: object, reason: str) -> None: ...
    def overflow_crash(self, capacity: float) -> None: ...
    def close_mailbox(self) -> None: ...
    def received(self, item: object) -> None: ...
    def finished(self) -> None: ...


NOBODY = _Nobody()


@attrs.frozen
class MailboxStatistics:
    """A snapshot of a mailbox: how much is in it, and what became of all that was sent to it."""

    queued: int
    capacity: float
    sent: int
    handled: int
    waiting_senders: int


class Waiter:
    """A message in front of a full mailbox; `task` is its sender, if that is parked for it."""

    __slots__ = ("item", "task")

    def __init__(self, item: object, task: trio.lowlevel.Task | None) -> None:
        self.item = item
        self.task = task


@protected
class Mailbox(trio.abc.ReceiveChannel[Any]):
    """The reading end of a process's mailbox, and the runtime's way in."""

    __slots__ = ("capacity", "closed", "handled", "line", "overflow", "owner", "sent")

    def __init__(self, options: MailboxOptions, owner: Owner) -> None:
        self.capacity = options.capacity
        self.overflow = options.overflow
        self.owner = owner
        self.sent = 0
        self.handled = 0
        self.closed = False
        self.line: deque[Waiter] | None = None

    # ------------------------------------------------------------------------------- kept elsewhere

    @abstractmethod
    def __len__(self) -> int:
        """How many items are in it."""

    @abstractmethod
    def _append(self, item: object) -> None:
        """Put at the end and wake the reader."""

    @abstractmethod
    def take(self) -> Any:
        """Remove and return the first item, or EMPTY."""

    @abstractmethod
    def take_first(self, wanted: Callable[[Any], bool]) -> Any:
        """Remove and return the first item that is wanted, or EMPTY; the others keep their order."""

    @abstractmethod
    def items(self) -> list[Any]:
        """All items, first to be read first."""

    @abstractmethod
    async def park(self) -> None:
        """Sleep until something may have arrived, or until `wake`. A checkpoint."""

    @abstractmethod
    def wake(self) -> None:
        """End the reader's sleep, if it sleeps."""

    # --------------------------------------------------------------------------------------- way in

    def put(self, item: object) -> None:
        """Accept a signal, whatever the bound says."""
        self.sent += 1
        self._append(item)

    def offer(self, item: object) -> bool:
        """Accept an ordinary message or deal with it as the policy says; False: the sender has to wait or give up."""
        if len(self) < self.capacity:
            self.sent += 1
            self._append(item)
            return True
        return self._overflow(item)

    def _overflow(self, item: object) -> bool:
        match self.overflow:
            case "drop_newest":
                self.sent += 1
                self.owner.discard(item, "drop_newest")
            case "drop_oldest":
                oldest = self.take_first(_is_ordinary)
                if oldest is not EMPTY:
                    self.handled -= 1
                    self.owner.discard(oldest, "drop_oldest")
                self.put(item)
            case "crash":
                self.put(item)
                self.owner.overflow_crash(self.capacity)
            case _:
                return False
        return True

    async def wait_room(self, item: object) -> None:
        """Wait in line until the message has been accepted. Cancelled: it has not been."""
        waiter = self.queue_up(item, trio.lowlevel.current_task())

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            if self.line is not None:
                self.line.remove(waiter)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def queue_up(self, item: object, task: trio.lowlevel.Task | None = None) -> Waiter:
        """Stand in line for room; with no task (a call, whose sender waits for the answer anyway) nobody is woken."""
        if self.line is None:
            self.line = deque()
        waiter = Waiter(item, task)
        self.line.append(waiter)
        return waiter

    def leave_line(self, call: object) -> bool:
        """Take back a call that is not accepted yet (there is only one of each, unlike of messages)."""
        line = self.line or deque()
        for waiter in line:
            if waiter.item is call:
                line.remove(waiter)
                return True
        return False

    def _admit(self) -> None:
        """There is room again."""
        line = self.line
        while line and len(self) < self.capacity:
            waiter = line.popleft()
            self.put(waiter.item)
            if waiter.task is not None:
                trio.lowlevel.reschedule(waiter.task)
        if not line:
            self.line = None

    # -------------------------------------------------------------------------------------- way out

    def remove(self, unwanted: Callable[[Any], bool], reason: str) -> int:
        """Discard all unwanted items; how many there were."""
        removed = 0
        while (item := self.take_first(unwanted)) is not EMPTY:
            self.handled -= 1
            self.owner.discard(item, reason)
            removed += 1
        return removed

    def close(self) -> tuple[list[Any], list[Waiter]]:
        """Accept nothing more; what was in it, and who stood in line before it."""
        self.closed = True
        line, self.line = list(self.line or ()), None
        left: list[Any] = []
        while (item := self.take()) is not EMPTY:
            self.handled -= 1
            left.append(item)
        self.wake()
        return left, line

    def receive_nowait(self) -> Any:
        """The next message; `trio.WouldBlock` if there is none."""
        if self.closed:
            raise trio.ClosedResourceError
        self.owner.finished()
        item = self.take()
        if item is EMPTY:
            raise trio.WouldBlock
        self.owner.received(item)
        return item.message if type(item) is Tick or type(item) is Envelope else item

    async def receive(self) -> Any:
        """The next message, waiting for one if there is none. OTP: `receive`.

        A request made with a client function arrives as a `Call`, to be answered with its `reply` or `fail`.
        """
        self.owner.finished()
        await trio.lowlevel.checkpoint_if_cancelled()
        waited = False
        while not self.closed and len(self) == 0:
            await self.park()
            waited = True
        message = self.receive_nowait()
        if not waited:
            await trio.lowlevel.cancel_shielded_checkpoint()
        return message

    async def aclose(self) -> None:
        """Accept nothing more: what is queued or comes later is a dead letter."""
        self.owner.close_mailbox()
        await trio.lowlevel.checkpoint()

    def statistics(self) -> MailboxStatistics:
        """A snapshot of the counters."""
        waiting = len(self.line or ())
        return MailboxStatistics(len(self), self.capacity, self.sent, self.handled, waiting)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self)}/{self.capacity:g} queued>"


def _is_ordinary(item: object) -> bool:
    return not isinstance(item, SIGNALS)
