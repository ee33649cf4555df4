"""Fixtures of the tests of the runtime."""

import pytest
import trio

from nursery_otp import current_runtime, kill, open_supervisor

HANG = 60.0
"""No test needs so many seconds, be it on a mock clock or on a real one: whoever waits so long waits for ever."""


@pytest.fixture
async def tree():
    """A running supervision tree; the test itself is in its block, and no process."""
    with trio.fail_after(HANG):
        async with open_supervisor() as supervisor:
            yield supervisor
            supervisor.shutdown()
            for ref in current_runtime().processes()[1:]:
                kill(ref)  # who traps exits and does nothing would be waited for


@pytest.fixture
async def patient():
    """A tree for tests in which hours pass."""
    with trio.fail_after(1e6):
        async with open_supervisor() as supervisor:
            yield supervisor
            supervisor.shutdown()
