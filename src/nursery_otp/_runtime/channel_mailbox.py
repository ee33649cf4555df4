"""A mailbox on Trio's own memory channel: the yardstick for the lean one, and a choice for the cautious.

A memory channel only gives up its first item, so what is passed over while looking for another is kept in a deque in
front of it. And it hands an item to a sleeping reader at once, where it could neither be counted nor be taken back; so
what comes while the reader sleeps goes into the deque, and the channel only carries a token that wakes it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import trio

from nursery_otp._policy.mailboxes import MailboxOptions
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.mailbox import EMPTY, Mailbox, Owner, is_void

_WAKE: Any = object()


@protected
class ChannelMailbox(Mailbox):
    """A mailbox that keeps its items in `trio.open_memory_channel`."""

    __slots__ = ("_front", "_reading", "_receiver", "_sender")

    def __init__(self, options: MailboxOptions, owner: Owner) -> None:
        super().__init__(options, owner)
        self._sender, self._receiver = trio.open_memory_channel[Any](math.inf)
        self._front: deque[Any] = deque()
        self._reading = False

    def _collect(self) -> deque[Any]:
        while True:
            try:
                item = self._receiver.receive_nowait()
            except trio.WouldBlock:
                return self._front
            if item is not _WAKE:
                self._front.append(item)

    def __len__(self) -> int:
        return len(self._collect()) - self.voids

    def roughly(self) -> int:
        return max(0, len(self._front) + self._receiver.statistics().current_buffer_used - self.voids)

    def _append(self, item: object) -> None:
        if self._reading:
            self._collect().append(item)
            self.wake()
        else:
            self._sender.send_nowait(item)

    def take(self) -> Any:
        front = self._collect()
        if not front:
            return EMPTY
        item = front.popleft()
        self.handled += 1
        return self.taken(item) if self.unusual else item

    def take_first(self, wanted: Callable[[Any], bool]) -> Any:
        front = self._collect()
        for index, item in enumerate(front):
            if wanted(item) and not is_void(item):
                del front[index]
                self.handled += 1
                if self.line is not None:
                    self._admit()
                return item
        return EMPTY

    def items(self) -> list[Any]:
        return [item for item in self._collect() if not is_void(item)]

    def _drop_voids(self) -> None:
        self._front, self.voids = deque(self.items()), 0
        self._changed()

    async def park(self) -> None:
        if self._reading:
            raise trio.BusyResourceError("another task is reading this mailbox")
        self._collect()
        self._reading = True
        try:
            await self._receiver.receive()
        finally:
            self._reading = False

    def wake(self) -> None:
        if self._reading:
            self._reading = False
            self._sender.send_nowait(_WAKE)
