"""Children that turn against their supervisors, and supervisors against each other."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio

from nursery_otp import (
    CallExited,
    CallTimeout,
    Deadlock,
    GenServer,
    Name,
    NoProcess,
    RestartLimitReached,
    StartFailed,
    Supervisor,
    SupervisorHandle,
    call,
    child,
    stop,
)
from tests.integration.laboratory import Tree, run_program


class Rebel(GenServer):
    """Turns against its own supervisor."""

    def __init__(self, supervisor: Name[Any], where: str = "") -> None:
        self.supervisor = SupervisorHandle(supervisor)
        self.where = where

    async def init(self) -> None:
        if self.where == "init":
            await self.supervisor.which_children()
        if self.where == "shutdown in init":
            self.supervisor.shutdown()

    @call
    async def stop_it(self) -> None:
        await stop(self.supervisor.address)

    @call
    async def end_myself(self, id: str) -> None:
        await self.supervisor.terminate_child(id)

    async def terminate(self, reason: object) -> None:
        if self.where == "terminate":
            await self.supervisor.which_children()


ROOT = Name[Any]("root")


def test_stopping_the_own_supervisor():
    """A server that stops its supervisor and waits for it ends with it, at its shutdown limit at the latest."""

    async def program():
        async with Tree(name=ROOT, shutdown=False) as supervisor:
            ref = await supervisor.start(Rebel, ROOT, id="rebel", shutdown=3.0)
            with pytest.raises((CallExited, Deadlock)):
                await Rebel.stop_it.within(math.inf)(ref)
            supervisor.shutdown()
        return trio.current_time()

    assert 3 >= run_program(program)


def test_terminating_oneself():
    """A server that has its supervisor terminate it, and waits for that, is killed at its shutdown limit."""

    async def program():
        async with Tree(name=ROOT) as supervisor:
            ref = await supervisor.start(Rebel, ROOT, id="rebel", shutdown=3.0)
            with pytest.raises((CallExited, Deadlock)):
                await Rebel.end_myself.within(math.inf)(ref, "rebel")
        return trio.current_time()

    assert 3 >= run_program(program)


def test_calling_the_supervisor_in_init():
    """The supervisor waits for that init: a deadlock, and known at once."""

    async def program():
        async with Tree(name=ROOT) as supervisor:
            with pytest.raises(StartFailed) as caught:
                await supervisor.start(Rebel, ROOT, "init")
            assert isinstance(caught.value.__cause__, Deadlock)
        return trio.current_time()

    assert 0 == run_program(program)


def test_calling_the_supervisor_in_terminate():
    """A terminate that asks the supervisor that is stopping it does not hold the tree up for longer than it may."""

    async def program():
        async with Tree(name=ROOT) as supervisor:
            await supervisor.start(Rebel, ROOT, "terminate", shutdown=3.0)
        return trio.current_time()

    assert 3 >= run_program(program)


def test_shutting_down_the_supervisor_in_init():
    """A request to shut down made while the tree comes up is carried out when it is up."""

    async def program():
        async with Tree([child(Rebel, ROOT, "shutdown in init")], name=ROOT, shutdown=False):
            await trio.sleep_forever()

    run_program(program)


class Assassin(Supervisor):
    """A supervisor with a child that stops the other supervisor, and waits for its end."""

    def __init__(self, other: Name[Any], limit: float) -> None:
        self.other, self.limit = other, limit

    def children(self) -> Any:
        return [child(Rebel, self.other, id="rebel", shutdown=self.limit)]


def test_supervisors_that_stop_each_other():
    """Two supervisors whose children stop each other both end."""
    one, two = Name[Any]("one"), Name[Any]("two")

    async def program():
        specs = [child(Assassin, two, 2.0, name=one), child(Assassin, one, 2.0, name=two)]
        async with Tree(specs, max_restarts=10):
            rebels = [(await SupervisorHandle(name).which_children())[0].ref for name in (one, two)]
            async with trio.open_nursery() as nursery:
                for rebel in rebels:
                    nursery.start_soon(_attempt, Rebel.stop_it.within(math.inf)(rebel))
            assert not any(ref.alive for ref in rebels)

    run_program(program)


async def _attempt(doing: Any) -> None:
    try:
        await doing
    except (CallExited, Deadlock, NoProcess, CallTimeout):
        pass


class Sibling(GenServer):
    """Asks another server of the same supervisor while it starts."""

    def __init__(self, other: Name[Sibling] | None) -> None:
        self.other = other

    async def init(self) -> None:
        if self.other is not None:
            try:
                await Sibling.hello.within(math.inf)(self.other)
            except NoProcess:
                pass

    @call
    def hello(self) -> str:
        return "hello"

    @call
    def crash(self) -> None:
        raise ValueError("crash")


def test_waiting_for_a_younger_sibling():
    """A restarting server that calls, by name, one that can only be restarted after it is told of the deadlock."""
    older, younger = Name[Sibling]("older"), Name[Sibling]("younger")

    async def program():
        specs = [child(Sibling, younger, name=older), child(Sibling, None, name=younger)]
        with pytest.raises(RestartLimitReached) as caught:
            async with Tree(specs, strategy="one_for_all"):
                with pytest.raises(CallExited):
                    await Sibling.crash(younger)
                await trio.sleep_forever()
        assert isinstance(caught.value.__cause__, Deadlock)
        return trio.current_time()

    assert 0 == run_program(program)
