"""Cycles that go through a name that is to be held again, through a supervisor, or through a stop."""

import math

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Backoff,
    Deadlock,
    Name,
    StartFailed,
    kill,
    stop,
)
from tests.runtime.helpers import Desk, idle


@pytest.fixture
async def absent(tree):
    """A name whose holder has been killed, and is restarted after two seconds."""
    ref = await tree.start(Desk, name=Name("absent"), backoff=Backoff(initial=2.0, jitter=0.0))
    kill(ref)
    await ref.wait()
    await wait_all_tasks_blocked()
    return Name("absent")


async def test_name_that_the_own_supervisor_brings_back(tree, absent, autojump_clock):
    """A child that is starting cannot wait for a name that its supervisor would have to bring back first."""

    class Child(Desk):
        async def init(self):
            await Desk.echo(absent, 1)

    with pytest.raises(StartFailed) as caught:
        await tree.start(Child)

    assert isinstance(caught.value.__cause__, Deadlock)
    assert 0 == trio.current_time()


@pytest.mark.parametrize("first", ["child", "other"])
async def test_name_through_another_process(tree, absent, first, autojump_clock):
    """The same through a process in between, whoever of the two calls first."""
    other = await tree.start(Desk)
    errors = []

    async def wait_for_the_name():
        try:
            return await Desk.echo(absent, 1)
        except Deadlock as error:
            errors.append(error)

    class Child(Desk):
        async def init(self):
            try:
                await Desk.run(other, wait_for_the_name if first == "child" else idle)
            except Deadlock as error:
                errors.append(error)

    if first == "other":
        Desk.run.request(other, wait_for_the_name)
        await wait_all_tasks_blocked()
    await tree.start(Child)

    assert 1 == len(errors)
    assert 0 == trio.current_time()


async def test_supervisor_that_stops_a_child(tree, absent, autojump_clock):
    """A supervisor that waits for the end of a child does not hang on a call that waits for the supervisor."""
    errors = []
    other, stopping = await tree.start(Desk), await tree.start(Desk, id="stopping")

    async def wait_for_the_name():
        try:
            return await Desk.echo(absent, 1)
        except Deadlock as error:
            errors.append(error)

    Desk.run.request(stopping, lambda: Desk.run(other, wait_for_the_name))
    await wait_all_tasks_blocked()
    await tree.terminate_child("stopping")

    assert 1 == len(errors)
    assert 0 == trio.current_time()


async def test_waiting_for_a_name_is_no_deadlock_by_itself(tree, absent, autojump_clock):
    """A child that is up may wait for a name of its own supervisor."""
    desk = await tree.start(Desk)

    assert 1 == await Desk.run(desk, lambda: Desk.echo(absent, 1))
    assert 2 == trio.current_time()


async def test_terminate_that_calls_the_one_who_stops(tree, autojump_clock):
    """A server whose `terminate` calls the process that waits for its end would wait for ever."""
    errors = []

    class Calling(Desk):
        async def terminate(self, reason):
            try:
                await Desk.echo(desk, 1)
            except Deadlock as error:
                errors.append(error)

    desk, calling = await tree.start(Desk), await tree.start(Calling, restart="temporary")
    await Desk.run(desk, lambda: stop(calling))

    assert 1 == len(errors)
    assert 0 == trio.current_time()


async def test_stop_of_one_who_waits_for_the_caller(tree, autojump_clock):
    """Whoever waits for the end of a process that waits for his answer would wait for ever, too."""
    first, second = await tree.start(Desk), await tree.start(Desk)
    go_on, errors = trio.Event(), []

    async def stop_second():
        await go_on.wait()
        try:
            await stop(second)
        except Deadlock as error:
            errors.append(error)

    async def call_first():
        go_on.set()
        return await Desk.echo.within(math.inf)(first, "answer")

    Desk.run.request(first, stop_second)
    await wait_all_tasks_blocked()
    answer = Desk.run.request(second, call_first)

    assert "answer" == await answer.receive(within=20)
    assert [(first, second, first)] == [error.cycle for error in errors]
    assert 0 == trio.current_time()
