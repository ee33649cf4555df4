"""The default mailbox: a list that is read from the front by one task.

Reading moves an index instead of the items; the read part is cut off when it is the larger one, so a message costs
constant time and an idle mailbox is one empty list. Unlike a memory channel it can give up an item from the middle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from nursery_otp._policy.mailboxes import MailboxOptions
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.mailbox import EMPTY, Mailbox, Owner, is_void

_SHORT = 64  # below this many read items cutting them off costs more than it saves


@protected
class LeanMailbox(Mailbox):
    """A single-reader mailbox with nothing inside but a list."""

    __slots__ = ("_head", "_items", "_reader")

    def __init__(self, options: MailboxOptions, owner: Owner) -> None:
        super().__init__(options, owner)
        self._items: list[Any] = []
        self._head = 0
        self._reader: trio.lowlevel.Task | None = None

    def __len__(self) -> int:
        return len(self._items) - self._head - self.voids

    def roughly(self) -> int:
        return max(0, len(self._items) - self._head - self.voids)

    def _append(self, item: object) -> None:
        self._items.append(item)
        if self._reader is not None:
            self.wake()

    # The two hot ways in repeat `_append` instead of calling it.

    def put(self, item: object) -> None:
        self.sent += 1
        self._items.append(item)
        if self._reader is not None:
            self.wake()

    def offer(self, item: object) -> bool:
        if len(self._items) - self._head >= self.room:
            return self._overflow(item)
        self.sent += 1
        self._items.append(item)
        if self._reader is not None:
            self.wake()
        return True

    def take(self) -> Any:
        items, head = self._items, self._head
        if head == len(items):
            return EMPTY
        item = items[head]
        items[head] = None
        head += 1
        if head == len(items):
            items.clear()
            head = 0
        elif head > _SHORT and head * 2 > len(items):
            del items[:head]
            head = 0
        self._head = head
        self.handled += 1
        return self.taken(item) if self.unusual else item

    def take_first(self, wanted: Callable[[Any], bool]) -> Any:
        items = self._items
        for index in range(self._head, len(items)):
            if wanted(items[index]) and not is_void(items[index]):
                item = items.pop(index)
                self.handled += 1
                if self.line is not None:
                    self._admit()
                return item
        return EMPTY

    def items(self) -> list[Any]:
        items = self._items[self._head :]
        return [item for item in items if not is_void(item)] if self.voids else items

    def _drop_voids(self) -> None:
        self._items, self._head, self.voids = self.items(), 0, 0
        self._changed()

    async def park(self) -> None:
        if self._reader is not None:
            raise trio.BusyResourceError("another task is reading this mailbox")
        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    def wake(self) -> None:
        reader = self._reader
        if reader is not None:
            self._reader = None
            trio.lowlevel.reschedule(reader)
