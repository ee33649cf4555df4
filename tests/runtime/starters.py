"""The functions that start a process, servers whose start fails or hangs, and that nothing is left of them."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import current_runtime, start, start_link, start_monitor
from tests.runtime.helpers import Desk

STARTERS = [start, start_link, start_monitor]


@pytest.fixture(params=STARTERS, ids=lambda function: function.__name__)
def starter(request):
    """One of the three functions, giving the ref in any case."""

    async def starting(*args, **options):
        result = await request.param(*args, **options)
        return result[0] if request.param is start_monitor else result

    return starting


class Hanging(Desk):
    """A server whose init never ends."""

    async def init(self):
        await trio.sleep_forever()


def failing(error):
    """A server whose init raises."""

    class Failing(Desk):
        async def init(self):
            await trio.lowlevel.checkpoint()
            raise error

    return Failing


async def nothing_left():
    """Neither a process, nor a link or monitor, nor a name."""
    await wait_all_tasks_blocked()
    runtime = current_runtime()
    assert {"root", "body"} >= {ref._process.label for ref in runtime.processes()}
    assert ((), (), {}) == (runtime.links(), runtime.monitors(), runtime.names())
