"""A tree opened by an async fixture: entered in one task, used in another."""

import pytest
import trio

from nursery_otp import KILLED, Name, current_runtime, kill, open_supervisor, spawn, whereis
from tests.behaviours.stage import Puppet

NAME = Name[Puppet]("x")


@pytest.fixture
async def diary():
    return []


@pytest.fixture
async def supervisor(diary):
    async with open_supervisor(max_restarts=9) as supervisor:
        await supervisor.start(Puppet, diary, name=NAME)
        yield supervisor
        supervisor.shutdown()
    assert "terminate" == diary[-1][0]


async def test_use(supervisor):
    """The test that uses the fixture is inside of the tree: names, spawning and restarts work."""
    ref = whereis(NAME)
    kill(ref)

    assert KILLED == await ref.wait()
    assert "there" == await Puppet.ask(NAME, "there")
    assert KILLED != await ended(spawn(trio.sleep, 0))
    assert supervisor.ref in current_runtime().processes()


async def ended(ref):
    return await ref.wait()


async def test_again(supervisor, diary):
    """Each test has a tree of its own."""
    assert ["init"] == diary
    assert 2 == len(current_runtime().processes())
