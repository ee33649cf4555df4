"""Monitors that are on for too long: reported once, in time, and with all that is needed to find them."""

import logging
import math

import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    MonitorOptions,
    current_runtime,
    find_leaks,
    kill,
    list_monitors,
    monitor_stats,
    open_supervisor,
    spawn,
)
from tests.runtime.helpers import idle, watcher


def warnings_in(caplog):
    """The reports of leaks in the log."""
    return [record.getMessage() for record in caplog.records if "monitors_leaked" in record.getMessage()]


async def test_leak_is_reported_once(patient, autojump_clock, caplog):
    """Five minutes after it was made, a monitor is reported, with tag and call site, and never again."""
    target = spawn(idle)
    _, (watch,) = await watcher(target, tag="worker")
    await trio.sleep(299)
    assert (0, []) == (monitor_stats().leaks, warnings_in(caplog))
    await trio.sleep(2)

    (text,) = warnings_in(caplog)
    assert 1 == monitor_stats().leaks
    assert "count=1 older_than=300.0" in text
    assert repr("'worker'") in text
    assert watch.call_site in text
    assert (logging.WARNING,) == tuple(record.levelno for record in caplog.records)
    await trio.sleep(10_000)
    assert (1, 1) == (monitor_stats().leaks, len(warnings_in(caplog)))


async def test_no_leak(patient, autojump_clock, caplog):
    """Monitors that end in time are none, whoever ends them."""
    for turn in range(5):
        target, other = spawn(idle), spawn(idle)
        owner, _ = await watcher(target, other)
        await trio.sleep(200)
        kill(owner if turn % 2 else target)
        kill(other)
        await wait_all_tasks_blocked()
        kill(owner)
    await trio.sleep(1000)

    assert (0, []) == (monitor_stats().leaks, warnings_in(caplog))


async def test_many_leaks_are_one_report(patient, autojump_clock, caplog):
    """Monitors that become leaks about the same time are one entry, which stays short; what ended is not in it."""
    target, mortal = spawn(idle), spawn(idle)
    for number in range(50):
        await watcher(target, mortal, tag=("tag", number))
        await trio.sleep(0.5)
    kill(mortal)
    await trio.sleep(340)

    assert 50 == monitor_stats().leaks == len(list_monitors())
    first, second = warnings_in(caplog)
    assert "count=1 " in first
    assert "count=49 " in second
    assert "and 29 more" in second
    assert "(49 times)" in second
    assert len(second) < 1500


async def test_no_alarm_without_monitors(patient, autojump_clock):
    """Nothing looks for leaks while there is no monitor that could become one: a clock that jumps comes to rest."""
    alarms = current_runtime().alarms
    assert [] == alarms.armed()
    target = spawn(idle)
    owner, _ = await watcher(target)
    assert 1 == len(alarms.armed())
    await trio.sleep(301)
    assert [] == alarms.armed()
    kill(owner)
    await trio.sleep(301)
    assert [] == alarms.armed()
    await watcher(target)
    assert 1 == len(alarms.armed())


async def test_no_alarm_after_the_tree():
    """A tree that has ended has no alarm left."""
    async with open_supervisor() as supervisor:
        await watcher(spawn(idle))
        runtime = current_runtime()
        supervisor.shutdown()

    assert [] == runtime.alarms.armed()


async def test_off(autojump_clock, caplog):
    """With `math.inf` nothing is looked for; `find_leaks` then takes five minutes, or what it is given."""
    async with open_supervisor(monitors=MonitorOptions(leak_after=math.inf)) as supervisor:
        _, watches = await watcher(spawn(idle))
        await trio.sleep(299)
        assert [] == current_runtime().alarms.armed()
        assert () == find_leaks()
        assert tuple(watches) == find_leaks(200)
        await trio.sleep(1)
        assert tuple(watches) == find_leaks()
        assert (0, []) == (monitor_stats().leaks, warnings_in(caplog))
        supervisor.shutdown()


async def test_find_leaks(autojump_clock):
    """By default `find_leaks` takes the threshold of the tree; looking counts nothing."""
    async with open_supervisor(monitors=MonitorOptions(leak_after=10.0)) as supervisor:
        target = spawn(idle)
        _, old = await watcher(target)
        await trio.sleep(9.5)
        await watcher(target)
        assert () == find_leaks()
        await trio.sleep(0.6)
        assert tuple(old) == find_leaks()
        assert 1 == monitor_stats().leaks
        find_leaks(0)
        assert 1 == monitor_stats().leaks
        supervisor.shutdown()


async def test_hostile_tags(patient, autojump_clock, caplog):
    """A tag whose repr raises is reported as such, and the clock of the runtime goes on."""

    class Hostile:
        def __repr__(self):
            raise ValueError

    await watcher(spawn(idle), tag=Hostile())
    await trio.sleep(301)

    assert 1 == monitor_stats().leaks
    assert "Hostile whose repr raised ValueError" in warnings_in(caplog)[0]
