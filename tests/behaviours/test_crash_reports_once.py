"""As many reports as crashes: whoever is told to end has not crashed, and no crash is reported twice."""

import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    GenServer,
    RestartLimitReached,
    Stop,
    Supervisor,
    current_runtime,
    kill,
    link,
    open_supervisor,
    send_exit,
    spawn,
    start,
    stop_nowait,
)
from nursery_otp import child as spec
from tests.behaviours.fragile import Fragile, crash, entries, reports, watch

__all__ = ["reports", "watch"]  # fixtures, for pytest


class Sore(GenServer):
    """Crashes when it is stopped."""

    def terminate(self, _reason):
        raise ValueError("sore")


async def test_crash_while_stopped(reports, watch):
    """A crash in `terminate` is reported, although its supervisor does not care why the child ends."""
    async with open_supervisor([spec(Sore)]) as supervisor:
        watch()
        supervisor.shutdown()

    assert ["its supervisor was stopping it"] == [report.decision for report in reports]


async def test_supervisor_killed(reports, watch):
    """Crashes that a killed supervisor has not read are reported all the same."""

    gate = trio.Event()

    async def fails():
        await gate.wait()
        raise ValueError("late")

    class Crew(Supervisor):
        def children(self):
            return [spec(fails, id="a"), spec(fails, id="b")]

    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Crew, restart="temporary")
        gate.set()
        kill(ref)
        await ref.wait()
        supervisor.shutdown()

    assert 2 >= len(reports)
    assert all(report.decision for report in reports)


async def test_what_is_no_crash(reports, watch, caplog):
    """Who fails on purpose, is killed or asked to stop has not crashed."""

    async def fails():
        raise Stop("on purpose")

    async with open_supervisor() as supervisor:
        watch()
        await (await supervisor.start(fails, restart="temporary")).wait()
        victim = await supervisor.start(trio.sleep_forever, restart="temporary")
        kill(victim)
        await victim.wait()
        supervisor.shutdown()

    assert ([], []) == (reports, entries(caplog))


async def test_storm(reports, watch, caplog, autojump_clock):
    """However many crash, and whenever: as many reports as crashes."""
    crashes = []

    async def worker():
        runtime = current_runtime()
        await trio.sleep(runtime.random.random())
        crashes.append(1)
        raise ValueError("storm")

    caplog.set_level(logging.CRITICAL, "nursery_otp")
    with pytest.raises(RestartLimitReached):
        async with open_supervisor(
            [spec(worker, id=n) for n in range(20)], strategy="rest_for_one", max_restarts=300, period=1000, seed=1
        ):
            watch()
            await trio.sleep_forever()

    assert len(crashes) > 300
    assert len(reports) == len(crashes)


async def test_one_crash_one_report(reports, watch, caplog):
    """Who is ended by a signal, or asked to stop, has not crashed, although the reason has an error in it."""
    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Fragile, restart="temporary")

        async def linked():
            link(ref)
            await trio.sleep_forever()

        bystanders = [spawn(linked) for _ in range(3)]
        await wait_all_tasks_blocked()
        Fragile.drop(ref, "plate")
        for bystander in bystanders:
            assert isinstance((await bystander.wait()).error, KeyError)
        signalled, asked, server = spawn(trio.sleep_forever), spawn(trio.sleep_forever), await start(Fragile)
        await wait_all_tasks_blocked()
        send_exit(signalled, ValueError("x"))
        stop_nowait(asked, ValueError("x"))
        stop_nowait(server, ValueError("x"))
        for other in (signalled, asked, server):
            await other.wait()
        await wait_all_tasks_blocked()
        supervisor.shutdown()

    assert ["Message(drop('plate'))"] == [report.message for report in reports]
    assert 1 == len(entries(caplog))


async def test_crash_while_asked_to_stop(reports, watch):
    """A crash of its own is reported, also if the process was asked to stop for another one."""
    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Sore, restart="temporary")
        stop_nowait(ref, ValueError("x"))
        await ref.wait()
        await wait_all_tasks_blocked()
        supervisor.shutdown()

    assert ["sore"] == [str(report.error) for report in reports]


async def test_stray_cancellation(reports, watch):
    """A `Cancelled` of no scope is a crash like any other, and is reported like any other."""
    kept = []

    async def catch():
        try:
            await trio.sleep_forever()
        except trio.Cancelled as error:
            kept.append(error)
            raise

    async def stray():
        await trio.lowlevel.checkpoint()
        raise kept[0]

    with trio.move_on_after(0):
        await catch()
    async with open_supervisor() as supervisor:
        watch()
        await (await supervisor.start(stray, restart="temporary")).wait()
        supervisor.shutdown()

    assert [trio.Cancelled] == [type(report.error) for report in reports]


@pytest.mark.parametrize(
    "end", [lambda ref: send_exit(ref, ValueError("told")), lambda ref: stop_nowait(ref, ValueError("told"))]
)
async def test_told_to(reports, watch, end):
    """Who ends with an error because somebody said so has not crashed; nor has who is linked to one that did."""

    async def linked(peer):
        link(peer)
        await trio.sleep_forever()

    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Fragile, restart="temporary")
        peer = spawn(linked, ref)
        await wait_all_tasks_blocked()
        end(ref)
        await peer.wait()
        culprit = await supervisor.start(Fragile, restart="temporary")
        peer = spawn(linked, culprit)
        await wait_all_tasks_blocked()
        await crash(culprit)
        await peer.wait()
        supervisor.shutdown()

    assert [repr(culprit)] == [report.process for report in reports]
