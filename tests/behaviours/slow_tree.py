"""A tree that takes its time to stop, and writes down in which order it does."""

import trio

from nursery_otp import GenServer, Supervisor, child
from tests.behaviours.stage import Puppet


class Slow(Puppet):
    """Takes its time to terminate, and writes down when it began to and whether it came to its end."""

    def __init__(self, label, diary, seconds=1):
        super().__init__(diary, label=label)
        self.seconds = seconds

    async def init(self):
        pass

    async def terminate(self, reason):
        self.note("stops", trio.current_time())
        await trio.sleep(self.seconds)
        self.note("stopped", trio.current_time())


class Team(Supervisor):
    def __init__(self, diary):
        self.diary = diary

    def children(self):
        return [child(Slow, label, self.diary, id=label) for label in ("x", "y")]


IN_ORDER = [
    ("c", "stops", 10),
    ("c", "stopped", 11),
    ("y", "stops", 11),
    ("y", "stopped", 12),
    ("x", "stops", 12),
    ("x", "stopped", 13),
    ("a", "stops", 13),
    ("a", "stopped", 14),
]


def specs(diary):
    return [child(Slow, "a", diary), child(Team, diary), child(Slow, "c", diary)]


class Endless(GenServer):
    async def init(self):
        await trio.sleep_forever()
