"""What is told of monitors while somebody listens."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Crashed,
    Name,
    current_ref,
    current_runtime,
    demonitor,
    kill,
    list_monitors,
    mailbox,
    monitor,
    send_nowait,
    spawn,
)
from tests.runtime.helpers import as_process, ended, idle, watcher


@pytest.fixture
async def told(tree):
    """What is told in a tree."""
    return listen()


def listen():
    """Everything that is told about monitors, as (last words of the name, measurements, metadata)."""
    heard = []
    bus = current_runtime().telemetry
    for prefix in ("monitor", "owner", "leaks"):
        bus.attach(("nursery_otp", prefix), lambda *event: heard.append(("_".join(event[0][1:]), *event[1:])))
    return heard


async def test_events(tree, told, autojump_clock):
    """Making and ending are told, with the time between and what ended it."""

    async def watching():
        watches.append(monitor(one))
        watches.append(monitor(two))
        watches.append(monitor(two))
        await trio.sleep(1)
        demonitor(watches[0])
        await trio.sleep(4)

    watches = []
    one, two = spawn(idle), spawn(idle)
    owner = spawn(watching)
    await trio.sleep(3)
    kill(one)
    await owner.wait()
    await watcher(two)
    kill(two)
    await two.wait()

    a, b, c = watches
    assert [("monitor_created", {}, {"monitor": watch}) for watch in watches] == told[:3]
    assert [
        ("monitor_cleaned", {"duration": 1.0}, {"monitor": a, "cause": "demonitor"}),
        ("monitor_cleaned", {"duration": 5.0}, {"monitor": b, "cause": "owner"}),
        ("monitor_cleaned", {"duration": 5.0}, {"monitor": c, "cause": "owner"}),
        ("owner_cleanup", {"count": 2}, {"owner": owner}),
    ] == told[3:7]
    assert ["monitor_created", "monitor_cleaned"] == [name for name, *_ in told[7:]]
    assert ("target", 0.0) == (told[8][2]["cause"], told[8][1]["duration"])


@as_process
async def test_no_cleanup_without_monitors(tree, told):
    """A process that ends without any monitor, or with none any more, is not told of."""

    async def tidy():
        demonitor(monitor(target))

    target = spawn(idle)
    await ended(spawn(idle))
    assert not monitor(current_ref()).active
    assert [] == told
    await spawn(tidy).wait()

    assert ["monitor_created", "monitor_cleaned"] == [name for name, *_ in told]


@as_process
async def test_events_of_a_dead_target(tree, told, autojump_clock):
    """A monitor on nobody is made and ended."""
    watch = monitor(Name("nobody"))

    assert [
        ("monitor_created", {}, {"monitor": watch}),
        ("monitor_cleaned", {"duration": 0.0}, {"monitor": watch, "cause": "target"}),
    ] == told


async def test_event_of_leaks(patient, autojump_clock):
    """Leaks are told with their tags, each once, and the monitors."""
    told = listen()
    target = spawn(idle)

    async def on_command(tag):
        while await mailbox().receive():
            made.append(monitor(target, tag=tag))

    made = []
    refs = [spawn(on_command, tag) for tag in ("a", None)]
    for index in (1, 0, 1):
        send_nowait(refs[index], "monitor")
        await wait_all_tasks_blocked()
    await trio.sleep(301)

    assert ("leaks_detected", {"count": 3}, {"tags": (None, "a"), "monitors": tuple(made)}) == told[-1]


async def test_tables_seen_from_a_handler(tree):
    """Whoever is told of an end sees no monitor of the dead, though the processes are only half through with it."""

    def look(_name, _measured, about):
        seen.append((about["monitor"].active, len(list_monitors()), len(list_monitors(target=target))))

    seen = []
    target = spawn(idle)
    for _ in range(3):
        await watcher(target)
    doomed, _ = await watcher(spawn(idle), spawn(idle))
    current_runtime().telemetry.attach(("nursery_otp", "monitor", "cleaned"), look)
    kill(target)
    await target.wait()
    assert [(False, 2, 0)] * 3 == seen
    kill(doomed)
    await doomed.wait()

    assert [(False, 0, 0)] * 2 == seen[3:]


async def test_handler_that_raises(tree, caplog):
    """A handler that raises harms neither the owner nor the target."""

    def bad(*_event):
        raise ValueError

    current_runtime().telemetry.attach(("nursery_otp", "monitor"), bad)
    target = spawn(idle)
    owner, (watch,) = await watcher(target)
    assert watch.active
    current_runtime().telemetry.attach(("nursery_otp", "monitor"), bad)
    kill(owner)

    assert not isinstance(await owner.wait(), Crashed)
    assert () == list_monitors()
