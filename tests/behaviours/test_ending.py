"""Ending children: asked, given time, killed, and if even that does not help, reported and waited for."""

import logging
import math
import re

import pytest
import trio
import trio.testing

from nursery_otp import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    Crashed,
    Exit,
    Supervisor,
    SupervisorHandle,
    child,
    current_runtime,
    mailbox,
    open_supervisor,
    send_exit,
    shutdown_scope,
    spawn,
    trap_exits,
)
from tests.behaviours.stage import Puppet, Stage


class Slow(Puppet):
    """Takes its time to terminate."""

    def __init__(self, seconds, diary=None):
        super().__init__(diary)
        self.seconds = seconds

    async def terminate(self, reason):
        self.note("terminate", reason)
        await trio.sleep(self.seconds)
        self.note("terminated")


# ---------------------------------------------------------------------------------------- the limit


@pytest.mark.parametrize(
    ("shutdown", "needs", "reason", "takes"),
    [
        (3, 2, SHUTDOWN, 2),
        (3, 3.5, KILLED, 3),
        (None, 4.9, SHUTDOWN, 4.9),
        (None, 5.1, KILLED, 5),
        (math.inf, 10**6, SHUTDOWN, 10**6),
        (0, 1, KILLED, 0),
        ("kill", 1, KILLED, 0),
    ],
)
@pytest.mark.parametrize("way", ["terminate_child", "shutdown"])
async def test_limit(autojump_clock, shutdown, needs, reason, takes, way):
    """A child has its shutdown limit to terminate, five seconds unless given; then it is killed."""
    diary = []
    async with Stage() as supervisor:
        ref = await supervisor.start(Slow, needs, diary, id="slow", shutdown=shutdown)
        begun = trio.current_time()
        if way == "terminate_child":
            await supervisor.terminate_child("slow")
            assert takes == trio.current_time() - begun
    assert takes == trio.current_time() - begun
    assert reason == ref.exit_reason
    assert ("terminated" in diary) is (reason == SHUTDOWN)
    assert shutdown == 0 or (("terminate", SHUTDOWN) in diary) is (shutdown != "kill")


async def test_supervisors_have_no_limit(autojump_clock):
    """A supervisor has all the time that its children need, unless told otherwise."""

    class Team(Supervisor):
        def children(self):
            return [child(Slow, 100, shutdown=200)]

    async with Stage() as supervisor:
        patient = await supervisor.start(Team, id="patient")
        hasty = await supervisor.start(Team, id="hasty", shutdown=7)
        begun = trio.current_time()

    assert (SHUTDOWN, KILLED) == (patient.exit_reason, hasty.exit_reason)
    assert 107 == trio.current_time() - begun


async def test_killed_supervisor_takes_its_children_along(autojump_clock):
    """When the limit of a supervisor is over its children are killed, and have ended before it has."""
    refs = []

    class Team(Supervisor):
        def children(self):
            return [child(Slow, 100, id=number, shutdown=200) for number in range(3)]

    async with Stage() as supervisor:
        team = SupervisorHandle(await supervisor.start(Team, shutdown=7))
        refs += [info.ref for info in await team.which_children()]

    assert [KILLED, KILLED, KILLED] == [ref.exit_reason for ref in refs]


# ------------------------------------------------------------------------ plain functions as children


async def test_plain_function_is_cancelled():
    """A plain function is cancelled by a polite stop, and ends with its reason."""
    diary = []

    async def worker():
        try:
            await trio.sleep_forever()
        finally:
            diary.append("cancelled")

    async with Stage() as supervisor:
        ref = await supervisor.start(worker)

    assert ["cancelled"] == diary
    assert SHUTDOWN == ref.exit_reason


async def test_trapping_function_gets_a_message():
    """A plain function that traps exits is asked by a message, and killed when it does not listen."""
    diary = []

    async def listening():
        diary.append(await mailbox().receive())

    async def deaf():
        await trio.sleep_forever()

    async with Stage() as supervisor:
        first = await supervisor.start(listening, trap_exits=True)
        second = await supervisor.start(deaf, trap_exits=True, shutdown=0)

    assert [Exit(supervisor.address, SHUTDOWN)] == diary
    assert (NORMAL, KILLED) == (first.exit_reason, second.exit_reason)


async def test_shutdown_scope(autojump_clock):
    """A function with a shutdown scope cleans up after it, within its limit."""
    diary = []

    async def worker(seconds):
        with shutdown_scope() as scope:
            await trio.sleep_forever()
        diary.append(scope.cancelled_caught)
        await trio.sleep(seconds)
        diary.append("cleaned up")

    async with Stage() as supervisor:
        fast = await supervisor.start(worker, 2, shutdown=3)
    assert [True, "cleaned up"] == diary
    assert SHUTDOWN == fast.exit_reason

    async with Stage() as supervisor:
        slow = await supervisor.start(worker, 4, shutdown=3)
    assert [True, "cleaned up", True] == diary
    assert KILLED == slow.exit_reason


async def test_crash_while_stopping():
    """What goes wrong while a child is stopped is its own reason, and nobody restarts it."""

    async def worker():
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("clean-up")

    async with Stage() as supervisor:
        ref = await supervisor.start(worker)

    assert isinstance(ref.exit_reason, Crashed)


# ------------------------------------------------------------------------------ those who do not end


async def shielded(seconds, trap=False):
    """Cannot be ended by anybody for some time."""
    if trap:
        trap_exits()
    with trio.CancelScope(shield=True):
        await trio.sleep(seconds)


def reports(caplog):
    """What was reported about survivors: after how many seconds, and where they were."""
    texts = [record.getMessage() for record in caplog.records if "process_survives_kill" in record.getMessage()]
    return [(float(re.search(r"seconds=([\d.]+)", text)[1]), text) for text in texts]


@pytest.mark.parametrize("strategy", ["one_for_one", "simple_one_for_one"])
@pytest.mark.parametrize("shutdown", ["kill", 3])
async def test_survivor_is_reported(autojump_clock, caplog, strategy, shutdown):
    """A child that shields itself is reported with the line it is at, again and again, and waited for."""
    with caplog.at_level(logging.WARNING):
        async with Stage(strategy=strategy) as supervisor:
            ref = await supervisor.start(shielded, 40, shutdown=shutdown)
            await trio.testing.wait_all_tasks_blocked()
            begun = trio.current_time()
        assert 40 == trio.current_time() - begun

    found = reports(caplog)
    assert [5, 15, 35] == [seconds for seconds, _ in found]
    for _, text in found:
        assert f"shielded#{ref.pid}" in text
        assert re.search(r"where='[^']+\.py:\d+'", text)
    assert KILLED == ref.exit_reason


async def test_survivor_is_waited_for_by_terminate_child(autojump_clock, caplog):
    """`terminate_child` returns when the child has ended, however long that takes; others wait their turn."""
    async with Stage() as supervisor:
        await supervisor.start(shielded, 20, id="stubborn", shutdown=1)
        await trio.testing.wait_all_tasks_blocked()
        begun = trio.current_time()
        with caplog.at_level(logging.WARNING):
            await supervisor.terminate_child("stubborn")

        assert 20 == trio.current_time() - begun
    assert [5, 15] == [seconds for seconds, _ in reports(caplog)]


async def test_no_report_about_the_obedient(autojump_clock, caplog):
    """A child that ends soon after its kill is not worth a line."""
    with caplog.at_level(logging.WARNING):
        async with Stage() as supervisor:
            await supervisor.start(shielded, 4, shutdown="kill")
            await trio.testing.wait_all_tasks_blocked()

    assert [] == reports(caplog)


async def test_survivor_of_an_outer_cancellation(autojump_clock, caplog):
    """Cancelled from outside, the tree does not pretend: the block is left when the stubborn child has ended."""
    with caplog.at_level(logging.WARNING), trio.move_on_after(1) as scope:
        async with open_supervisor() as supervisor:
            await supervisor.start(shielded, 30, shutdown=2)

    assert scope.cancelled_caught
    assert 30 == trio.current_time()
    assert [5, 15] == [seconds for seconds, _ in reports(caplog)]


async def test_survivor_without_a_supervisor(autojump_clock, caplog):
    """A process without a supervisor is stopped at the end of the tree, and killed after five seconds."""
    with caplog.at_level(logging.WARNING):
        async with Stage():
            ref = spawn(shielded, 30)
            await trio.testing.wait_all_tasks_blocked()

    assert KILLED == ref.exit_reason
    assert [5, 15] == [seconds for seconds, _ in reports(caplog)]
    assert 30 == trio.current_time()


async def test_unsupervised_processes_are_stopped(autojump_clock):
    """Processes without a supervisor are stopped after the tree, politely, all at the same time."""
    diary = []

    async def worker(seconds):
        with shutdown_scope():
            await trio.sleep_forever()
        await trio.sleep(seconds)
        diary.append(seconds)

    async with Stage() as supervisor:
        await supervisor.start(Puppet, diary)
        for seconds in (4, 2, 3):
            spawn(worker, seconds)
        await trio.testing.wait_all_tasks_blocked()

    assert ["init", ("terminate", SHUTDOWN), 2, 3, 4] == diary
    assert 4 == trio.current_time()


async def test_signal_to_a_stopping_child(autojump_clock):
    """A child that gets an exit signal while it terminates ends at once; its supervisor goes on."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Slow, 100, id="slow", shutdown=200)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.terminate_child, "slow")
            await trio.sleep(1)
            send_exit(ref, "now")
        assert 1 == trio.current_time()
        assert (supervisor.ref,) == current_runtime().processes()
