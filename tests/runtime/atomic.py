"""Processes with little room, and broadcasts to all or to nobody that run beside the test."""

import trio

from nursery_otp import BroadcastFailed, MailboxOptions, Name, broadcast, send_nowait, spawn
from tests.runtime.helpers import idle

KEPT = Name("kept")


def process(kind="lean", queued=0, capacity=2, overflow="block", **options):
    """A process that does nothing, with so many messages."""
    box = MailboxOptions(capacity=capacity, overflow=overflow, kind=kind)
    ref = spawn(idle, mailbox=box, **options)
    for number in range(queued):
        send_nowait(ref, number)
    return ref


def take(ref):
    """Read a message from outside, as if the process did."""
    return ref._process.mailbox.receive_nowait()


def messages(*refs):
    """How often each has the message."""
    return [ref._process.mailbox.items().count("all") for ref in refs]


def capacities(*refs):
    """The room that mailboxes seem to have, and how many wait."""
    return [(ref._process.mailbox.capacity, len(ref._process.mailbox.line or ())) for ref in refs]


class Sender:
    """A broadcast in a task of its own."""

    def __init__(self, nursery, *recipients, **options):
        self.scope = trio.CancelScope()
        self.outcome = None
        nursery.start_soon(self._send, recipients, options)

    async def _send(self, recipients, options):
        with self.scope:
            try:
                self.outcome = await broadcast(recipients, "all", strategy="all_or_nothing", **options)
            except BroadcastFailed as error:
                ((recipient, cause),) = error.failures
                self.outcome = recipient, type(cause)
