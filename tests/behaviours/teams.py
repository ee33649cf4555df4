"""Supervisors as classes, of puppets that write down under their number."""

from nursery_otp import Supervisor, child
from tests.behaviours.labelled import Labelled


class Team(Supervisor):
    """As many puppets as wanted, with ids from 1."""

    def __init__(self, size=2, diary=None, **flags):
        for name, value in flags.items():
            setattr(self, name, value)
        self.size = size
        self.diary = [] if diary is None else diary

    def children(self):
        return [child(Labelled, number, self.diary, id=number) for number in range(1, self.size + 1)]


def team_of(size=2, diary=None, **flags):
    """A class that needs no arguments, whose instances are such a team."""

    class Made(Team):
        def __init__(self):
            super().__init__(size, diary, **flags)

    return Made


async def refs(handle):
    return {info.id: info.ref for info in await handle.which_children()}
