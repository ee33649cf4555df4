"""One way to use a mailbox of either kind, and Trio's own memory channel, which is the yardstick."""

import math

import pytest
import trio

from nursery_otp import MailboxOptions, NoProcess, send, send_nowait, spawn
from tests.runtime.helpers import idle

OURS = ("lean", "channel")
ALL = (*OURS, "trio")

GONE = (NoProcess, trio.BrokenResourceError)
"""What a sender gets whose receiver wants nothing more."""


class ProcessBox:
    """The mailbox of an idle process; the test is its reader."""

    def __init__(self, kind, capacity):
        self.ref = spawn(idle, mailbox=MailboxOptions(capacity=capacity, kind=kind))
        self.mailbox = self.ref._process.mailbox
        self.receive = self.mailbox.receive
        self.receive_nowait = self.mailbox.receive_nowait
        self.aclose = self.mailbox.aclose

    async def send(self, message):
        await send(self.ref, message)

    def send_nowait(self, message):
        send_nowait(self.ref, message)

    def __aiter__(self):
        return self.mailbox

    def counts(self):
        """How many messages are queued, and how many senders wait for room."""
        statistics = self.mailbox.statistics()
        return statistics.queued, statistics.waiting_senders


class TrioBox:
    """A memory channel."""

    def __init__(self, capacity):
        self.sender, self.receiver = trio.open_memory_channel(capacity)
        self.send = self.sender.send
        self.send_nowait = self.sender.send_nowait
        self.receive = self.receiver.receive
        self.receive_nowait = self.receiver.receive_nowait
        self.aclose = self.receiver.aclose

    def __aiter__(self):
        return self.receiver

    def counts(self):
        statistics = self.receiver.statistics()
        return statistics.current_buffer_used, statistics.tasks_waiting_send


def open_box(kind, capacity=math.inf):
    """A box of one of the kinds."""
    return TrioBox(capacity) if kind == "trio" else ProcessBox(kind, capacity)


def drain(box):
    """Everything that can be read at once."""
    messages = []
    while True:
        try:
            messages.append(box.receive_nowait())
        except trio.WouldBlock:
            return messages


@pytest.fixture(params=OURS)
def kind(request):
    """The implementation of mailboxes: of our own kinds, not Trio's."""
    return request.param
