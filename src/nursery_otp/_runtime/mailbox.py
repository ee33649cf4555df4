"""The mailbox: where messages wait for the one process that reads them.

`Mailbox` holds what all mailboxes share: the bound, the overflow policies, the line of senders who wait for room, the
counters, and Trio's `ReceiveChannel` interface. How items are kept and how the reader sleeps is left to the two
implementations, in `lean_mailbox` and `channel_mailbox`.

Signals (`put`) are always accepted. Ordinary messages (`offer`) are subject to the bound. An item that leaves without
being read goes through `owner.discard`, so that nothing disappears uncounted.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import attrs
import trio

from nursery_otp._policy.mailboxes import MailboxOptions
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Down, Envelope, Exit, Notice, Tick
from nursery_otp._runtime.parcels import Parcel

EMPTY: Any = type("EMPTY", (), {"__repr__": lambda _self: "EMPTY"})()

ASKING = ("block", "reject")
"""Policies that leave it to the sender what to do."""

SIGNALS = (Down, Exit, Tick, Notice)
_MANY = 64


class Owner(Protocol):
    """What a mailbox needs of the process that it belongs to."""

    def discard(self, item: object, reason: str) -> None:
        """`item` will not be read."""

    def overflowed(self) -> None:
        """A message has found the mailbox full."""

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
    def overflowed(self) -> None: ...
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


class Sender(Protocol):
    """Whom somebody in the line belongs to."""

    def admitted(self) -> None:
        """There was room, and the item is in the mailbox."""

    def lost(self, process: Any) -> Exception:
        """What to tell whoever waits: the process has ended, or wants nothing more."""

    def fail(self, error: BaseException) -> bool:
        """There will be no room."""


class Waiter:
    """An item in front of a full mailbox, and whoever has to know what becomes of it."""

    __slots__ = ("item", "sender")
    places = 1

    def __init__(self, item: object, sender: Sender) -> None:
        self.item = item
        self.sender = sender

    def enter(self, mailbox: Mailbox) -> None:
        """There is room."""
        mailbox.put(self.item)
        self.sender.admitted()


class Booking(Waiter):
    """Somebody who wants places for messages that will come later, all together or not at all."""

    __slots__ = ("places",)

    def __init__(self, places: int, sender: Sender) -> None:
        super().__init__(None, sender)
        self.places = places

    def enter(self, mailbox: Mailbox) -> None:
        """There is room for all of them."""
        mailbox.keep_room(self)
        self.sender.admitted()


@protected
class Mailbox(trio.abc.ReceiveChannel[Any]):
    """The reading end of a process's mailbox, and the runtime's way in."""

    __slots__ = (
        "booked",
        "capacity",
        "closed",
        "direct",
        "handled",
        "line",
        "overflow",
        "owner",
        "room",
        "sent",
        "unusual",
        "voids",
    )

    def __init__(self, options: MailboxOptions, owner: Owner) -> None:
        self.capacity = options.capacity
        self.overflow = options.overflow
        self.owner = owner
        self.sent = 0
        self.handled = 0
        self.closed = False
        self.direct = False  # the reader works, and what is offered is accepted or has to wait: nothing else can happen
        self.line: OrderedDict[object, Waiter] | None = None  # by sender
        self.booked: dict[Booking, None] | None = None  # they have places, which `capacity` lacks meanwhile
        self.voids = 0  # parcels that were taken back: they stay where they are until they are read, and do not count
        self.room = self.capacity  # how many items an offer may find: with voids, and none while others stand in line
        self.unusual = False  # whether there is a line, or a void

    # ------------------------------------------------------------------------------- kept elsewhere

    @abstractmethod
    def __len__(self) -> int:
        """How many items are in it."""

    @abstractmethod
    def roughly(self) -> int:
        """How many items are in it, for a look from another thread: nothing is touched, and it may be off by some."""

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
    def _drop_voids(self) -> None:
        """Let go of all parcels that were taken back."""

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
        if len(self) + self.voids < self.room:
            self.sent += 1
            self._append(item)
            return True
        return self._overflow(item)

    def _overflow(self, item: object) -> bool:
        if self.overflow in ASKING:
            return False
        self.owner.overflowed()
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
            case _:
                self.put(item)
                self.owner.overflow_crash(self.bound)
        return True

    def queue_up(self, item: object, sender: Sender) -> None:
        """Stand in line for room."""
        self.line_up(Waiter(item, sender))

    def line_up(self, waiter: Waiter) -> None:
        """Be the last in the line."""
        if self.line is None:
            self.line = OrderedDict()
        self.line[waiter.sender] = waiter
        self._changed()
        self.owner.overflowed()  # not before: whoever hears of it may make room

    def leave_line(self, sender: object) -> bool:
        """Take back what is not accepted yet."""
        if self.line is None or self.line.pop(sender, None) is None:
            return False
        self._admit()
        return True

    def _admit(self) -> None:
        """There may be room again. Whoever is let in may have this done once more, or queue up again."""
        while self.line:
            sender, waiter = next(iter(self.line.items()))
            if len(self) + waiter.places > self.capacity:
                return
            del self.line[sender]
            waiter.enter(self)
        self.line = None
        self._changed()

    def _changed(self) -> None:
        self.unusual = self.line is not None or self.voids > 0
        self.room = self.capacity + self.voids if self.line is None else -math.inf

    def taken(self, item: Any) -> Any:
        """An item has been read, in an unusual state of things: it, or the first behind it that is not void."""
        self.unusual = False  # so that `take` does not ask again
        while is_void(item):
            self.handled -= 1
            self.voids -= 1
            item = self.take()
        self._changed()
        if self.line is not None:
            self._admit()
        return item

    @property
    def may_shrink(self) -> bool:
        """Whether something is in it, or booked, that may be taken out by somebody else than the reader."""
        return bool(self.booked) or any(isinstance(item, Parcel | Tick) for item in self.items())

    @property
    def bound(self) -> float:
        """How many messages it holds at most, whether there are messages or only bookings in it."""
        return self.capacity + sum(waiter.places for waiter in self.booked or ())

    def book(self, waiter: Booking) -> bool:
        """Keep room for what will come, if there is room and nobody waits for it."""
        if self.line or len(self) + waiter.places > self.capacity:
            return False
        self.keep_room(waiter)
        return True

    def keep_room(self, waiter: Booking) -> None:
        """The room is there. It costs nothing to remember: the bound is lower by so much."""
        if self.booked is None:
            self.booked = {}
        self.booked[waiter] = None
        self.capacity -= waiter.places
        self._changed()

    def cancel_booking(self, waiter: Booking) -> None:
        """The room is free again, unless the mailbox is closed."""
        booked = self.booked
        if booked is not None and waiter in booked:
            del booked[waiter]
            self.capacity += waiter.places
            self._changed()
            if self.line is not None:
                self._admit()

    # -------------------------------------------------------------------------------------- way out

    def remove(self, unwanted: Callable[[Any], bool], reason: str) -> int:
        """Discard all unwanted items; how many there were."""
        removed = 0
        while (item := self.take_first(unwanted)) is not EMPTY:
            self.handled -= 1
            self.owner.discard(item, reason)
            removed += 1
        return removed

    def take_back(self, parcel: Parcel) -> None:
        """Nobody shall read this parcel, which is in the mailbox. Looking for it would take long, if there are many."""
        parcel.void = True
        self.voids += 1
        self._changed()
        self.owner.discard(parcel, "taken back")
        if self.voids > _MANY and self.voids > len(self):
            self._drop_voids()
        if self.line is not None:
            self._admit()

    def close(self) -> tuple[list[Any], list[Waiter]]:
        """Accept nothing more; what was in it, and who stood in line before it or had booked a place."""
        self.closed = True
        self.direct = False
        line, self.line = [*(self.line or {}).values(), *(self.booked or ())], None
        self.capacity, self.booked = self.bound, None
        self._changed()
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
        kind = type(item)
        return item.message if kind is Tick or kind is Envelope or kind is Parcel else item

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
        return MailboxStatistics(len(self), self.bound, self.sent, self.handled, waiting)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self)}/{self.bound:g} queued>"


def _is_ordinary(item: object) -> bool:
    return not isinstance(item, SIGNALS)


def is_void(item: object) -> bool:
    """Whether an item is one that was taken back."""
    return type(item) is Parcel and item.void
