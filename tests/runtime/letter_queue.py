"""What the tests of dead letters share: letters of any kind, trees with a queue, receivers that crash or never end."""

import trio

from nursery_otp import Backoff, DeadLetterOptions, Name, current_runtime, dead_letters, mailbox, open_supervisor, spawn
from tests.runtime.helpers import idle

A, B, NOBODY = Name("a"), Name("b"), Name("nobody")
NO_JITTER = Backoff(initial=1, factor=2, maximum=8, jitter=0)


async def dead(name=None):
    """The ref of a process that has ended."""
    ref = spawn(trio.lowlevel.checkpoint, name=name)
    await ref.wait()
    return ref


def bury(*messages, recipient=NOBODY, reason="noproc"):
    """Dead letters of any kind."""
    for message in messages:
        current_runtime().sent += 1
        dead_letters().bury(recipient, message, reason)


def tree_with(**options):
    """A tree with these options for dead letters."""
    return open_supervisor(dead_letters=DeadLetterOptions(**options))


def messages():
    """What is in the queue."""
    return [letter.message for letter in dead_letters()]


def check_sums():
    """The numbers of the statistics add up, and to those of the ledger."""
    found = dead_letters().statistics()
    gone = found.delivered + found.purged + found.expired + found.evicted
    assert found.loaded + found.added == found.queued + gone
    assert found.queued == found.waiting + found.retrying + found.exhausted == len(dead_letters())
    assert found.added == sum(found.by_reason.values())
    return found


async def crash_on(poison, into):
    """A process that crashes when it gets a certain message."""
    while True:
        message = await mailbox().receive()
        if message == poison:
            raise ValueError(message)
        into.append(message)


async def one_slow():
    """A process that never comes to an end with its first message."""
    await mailbox().receive()
    await idle()


def service(label):
    """The ref of a service of this tree."""
    (ref,) = [each.ref for each in current_runtime().services.table.values() if each.label == label]
    return ref
