"""What the tests of supervised sends share: nobody and the dead to send to, and what was told and counted."""

import pytest

from nursery_otp import Backoff, Name, current_runtime, delivery_statistics, kill, spawn
from tests.runtime.helpers import idle

NOBODY = Name("nobody")
STEADY = Backoff(initial=1.0, factor=2.0, maximum=3.0, jitter=0.0)


@pytest.fixture
async def events(tree):
    """The names, measurements and metadata of everything told about sends and mailboxes."""
    seen = []
    bus = current_runtime().telemetry
    for name in (("nursery_otp", "send"), ("nursery_otp", "mailbox")):
        bus.attach(name, lambda name, measured, about: seen.append((name[1:], dict(measured), dict(about))))
    return seen


@pytest.fixture
async def dead(tree):
    """A process that has ended."""
    ref = spawn(idle)
    kill(ref)
    await ref.wait()
    return ref


def counts(**expected):
    """Whether the statistics are these and otherwise zero."""
    statistics = delivery_statistics()
    numbers = ("delivered", "cancelled", "reported", "dead_lettered", "logged", "ignored", "retried", "buffered")
    found = {name: getattr(statistics, name) for name in numbers if getattr(statistics, name)}
    if statistics.failed:
        found["failed"] = statistics.failed
    given_up = statistics.reported + statistics.dead_lettered + statistics.logged + statistics.ignored
    assert sum(statistics.failed.values()) == given_up
    return expected == found
