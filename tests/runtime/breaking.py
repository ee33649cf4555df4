"""What the tests of circuit breakers use."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import CircuitBreaker, Name, NoProcess, current_runtime, open_supervisor, send, set_breaker

NAME = Name("recipient")
POLICY = CircuitBreaker(failures=1, cool_down=10.0, buffer=5)
STRICT = CircuitBreaker(failures=1, cool_down=10.0)
CHANGED = ("nursery_otp", "breaker", "changed")


async def opened(recipient=NAME):
    """Make the breaker of a recipient open."""
    error = (await send(recipient, 1, on_error="ignore")).error
    assert isinstance(error, NoProcess)


def nothing_left():
    """No gate, no send in line, and no alarm."""
    breakers = current_runtime().breakers
    assert {} == breakers._gates
    assert 0 == breakers.waiting
    assert [] == current_runtime().alarms.armed()


class Nowhere:
    """An address that cannot be a key, and leads to nobody."""

    __hash__ = None

    def whereis(self):
        return None


class Senders:
    """Sends in tasks of their own, and what became of each."""

    def __init__(self, nursery):
        self._nursery = nursery
        self.errors = {}
        self.scopes = {}

    async def send(self, *messages, to=NAME, **options):
        for message in messages:
            self.scopes[message] = trio.CancelScope()
            self._nursery.start_soon(self._send, to, message, options)
            await wait_all_tasks_blocked()

    async def _send(self, to, message, options):
        with self.scopes[message]:
            delivery = await send(to, message, on_error="ignore", within=100.0, **options)
            self.errors[message] = type(delivery.error)


@pytest.fixture
async def tree():
    """A tree in which only the recipient of the tests has a breaker."""
    with trio.fail_after(10_000):
        async with open_supervisor(max_restarts=5) as supervisor:
            set_breaker(NAME, POLICY)
            yield supervisor
            supervisor.shutdown()


@pytest.fixture
def senders(tree, nursery):
    """Nobody yet."""
    return Senders(nursery)
