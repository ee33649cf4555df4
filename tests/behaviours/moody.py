"""A named child that may fail to start again, and calm waits between its restarts."""

import trio
import trio.testing

from nursery_otp import Backoff, Name, kill
from tests.behaviours.stage import Puppet

NAME = Name[Puppet]("x")
CALM = Backoff(initial=10, factor=2, maximum=100, jitter=0, stable_after=1000)


class Moody(Puppet):
    """Starts as long as nothing in the list says otherwise."""

    def __init__(self, moods, born=None):
        super().__init__()
        if born is not None:
            born.append(trio.current_time())
        if moods and (mood := moods.pop(0)):
            raise mood


async def crash_of(ref):
    """Kill a process, and wait for all that comes of it."""
    kill(ref)
    await ref.wait()
    await trio.testing.wait_all_tasks_blocked()
