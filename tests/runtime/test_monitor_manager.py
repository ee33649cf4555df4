"""The monitor manager: what there is, what became of it, and what is on for too long."""

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Crashed,
    InvalidSpec,
    MonitorStatistics,
    Name,
    NoRuntime,
    current_ref,
    current_runtime,
    demonitor,
    find_leaks,
    kill,
    list_monitors,
    mailbox,
    monitor,
    monitor_stats,
    open_supervisor,
    send_nowait,
    spawn,
    spawn_monitor,
    start_monitor,
)
from tests.runtime.helpers import as_process, ended, idle, watcher


def statistics(*, created=0, demonitor=0, target=0, owner=0, active=0, leaks=0):
    """What is expected of `monitor_stats`."""
    return MonitorStatistics(
        created=created,
        cleaned_by_demonitor=demonitor,
        cleaned_by_target=target,
        cleaned_by_owner=owner,
        active=active,
        leaks=leaks,
    )


# ---------------------------------------------------------------------------------------------- listing


@as_process
async def test_record(tree, autojump_clock):
    """A monitor tells who watches whom, under which tag, since when and for how long."""
    await trio.sleep(7)
    began = current_runtime().now()
    ref = spawn(idle, name=Name("watched"))
    watch = monitor(Name("watched"), tag=("db", 1))
    await trio.sleep(5)

    assert (current_ref(), ref, Name("watched"), ("db", 1)) == (watch.owner, watch.ref, watch.target, watch.tag)
    assert (began, 5.0, True) == (watch.created_at, watch.age, watch.active)
    assert f"<Monitor ('db', 1) of watched by {current_ref()}>" == repr(watch)
    assert monitor(ref).tag is None


async def test_filters(tree):
    """Every filter alone and all of them together; the oldest come first."""
    one, two = spawn(idle), spawn(idle)
    first, (a, b) = await watcher(one, two, tag="a")
    second, (c, d) = await watcher(two, one, tag="b")

    assert (a, b, c, d) == list_monitors()
    assert (a, b) == list_monitors(owner=first) == list_monitors(tag="a")
    assert (a, d) == list_monitors(target=one)
    assert (b,) == list_monitors(owner=first, target=two) == list_monitors(tag="a", target=two)
    assert (b,) == list_monitors(owner=first, target=two, tag="a", older_than=0)
    assert () == list_monitors(owner=first, tag="b") == list_monitors(owner=one) == list_monitors(target=second)
    await ended(one)
    assert (b, c) == list_monitors()
    assert () == list_monitors(target=one)
    await ended(first)
    assert (c,) == list_monitors()


async def test_order(tree):
    """The order is that of their making, whoever made them, also when the clock did not move."""
    target = spawn(idle)

    async def on_command():
        while await mailbox().receive():
            made.append(monitor(target))

    made = []
    refs = [spawn(on_command) for _ in range(3)]
    for index in (2, 0, 1, 0, 2, 1):
        send_nowait(refs[index], "monitor")
        await wait_all_tasks_blocked()

    assert tuple(made) == list_monitors() == list_monitors(target=target)


async def test_by_name(tree):
    """A name in a filter means who holds it now; nobody has no monitors."""
    ref = spawn(idle, name=Name("target"))
    owner, (watch,) = await watcher(Name("target"))

    assert (watch,) == list_monitors(target=Name("target")) == list_monitors(target=ref, owner=owner)
    assert () == list_monitors(target=Name("nobody")) == list_monitors(owner=Name("nobody"))
    assert () == list_monitors(owner=owner, target=Name("nobody"))


async def test_older_than(tree, autojump_clock):
    """Age is measured on the clock of the runtime; as old as that is old enough."""
    target = spawn(idle)
    _, (old,) = await watcher(target)
    await trio.sleep(10)
    _, (young,) = await watcher(target)

    assert (old, young) == list_monitors(older_than=0)
    assert (old,) == list_monitors(older_than=10)
    assert () == list_monitors(older_than=10.001)


async def test_dead_ends(tree):
    """Addresses of processes that have ended find nothing."""
    ref = spawn(idle)
    owner, _ = await watcher(ref)
    await ended(ref)
    await ended(owner)

    assert () == list_monitors(owner=owner) == list_monitors(target=ref)


async def test_two_trees(tree):
    """Two trees in one run know nothing of each other's monitors, not even of those on their own processes."""
    ref = spawn(idle)
    async with open_supervisor() as other:
        foreign, (watch,) = await watcher(ref)
        assert (watch,) == list_monitors(target=ref) == list_monitors()
        assert 1 == monitor_stats().active
        outside = await inside_of(tree, lambda: (list_monitors(), list_monitors(target=ref), monitor_stats().created))
        assert ((), (), 0) == outside
        await ended(foreign)
        assert 1 == monitor_stats().cleaned_by_owner
        other.shutdown()


async def inside_of(tree, function):
    """What a function gives that runs in a tree, whatever tree this is."""
    values = []

    async def body():
        values.append(function())

    await (await tree.start(body, restart="temporary")).wait()
    return values[0]


async def test_bad_filters(tree):
    """A filter that cannot be meant is an error."""
    with pytest.raises(InvalidSpec, match=r"tag=\[\]: must be hashable"):
        list_monitors(tag=[])
    with pytest.raises(InvalidSpec, match="older_than=-1: must be"):
        list_monitors(older_than=-1)
    with pytest.raises(InvalidSpec, match="older_than='x': must be"):
        find_leaks("x")
    for field in ("owner", "target"):
        with pytest.raises(TypeError, match="not an address: 5"):
            list_monitors(**{field: 5})


def test_outside():
    """Without a tree there is nothing to ask."""
    for function in (list_monitors, monitor_stats, find_leaks):
        with pytest.raises(NoRuntime, match=rf"{function.__name__}\(\)"):
            function()


# ----------------------------------------------------------------------------------------- statistics


@as_process
async def test_statistics(tree):
    """Every monitor is created once and ends in one of three ways."""
    ref, other = spawn(idle), spawn(idle)
    assert statistics() == monitor_stats()
    watch = monitor(ref)
    monitor(other)
    assert statistics(created=2, active=2) == monitor_stats()
    demonitor(watch)
    demonitor(watch)
    assert statistics(created=2, active=1, demonitor=1) == monitor_stats()
    await ended(other)
    assert statistics(created=2, demonitor=1, target=1) == monitor_stats()
    owner, _ = await watcher(ref, ref, current_ref())
    assert statistics(created=5, demonitor=1, target=1, active=3) == monitor_stats()
    await ended(owner)
    assert statistics(created=5, demonitor=1, target=1, owner=3) == monitor_stats()


@as_process
async def test_statistics_of_the_dead(tree):
    """A monitor on a dead process is created and cleaned at once; one on oneself does not count."""
    ref = spawn(idle)
    await ended(ref)
    monitor(ref)
    monitor(Name("nobody"))
    monitor(current_ref())

    assert statistics(created=2, target=2) == monitor_stats()


async def test_both_ends_at_once(tree):
    """When owner and target end together, the first end takes the monitor, and it is counted once."""

    async def mutual():
        monitor(await mailbox().receive())
        await idle()

    owner, target = spawn(mutual), spawn(mutual)
    send_nowait(owner, target)
    send_nowait(target, owner)
    await wait_all_tasks_blocked()
    kill(owner)
    kill(target)
    await wait_all_tasks_blocked()

    assert statistics(created=2, target=1, owner=1) == monitor_stats()
    assert () == list_monitors()


# -------------------------------------------------------------------------------------------- options


def test_options_are_checked():
    """What is no `MonitorOptions` is an error before anything is started."""
    with pytest.raises(InvalidSpec, match="monitors=5: must be a MonitorOptions"):
        open_supervisor(monitors=5)


def test_statistics_are_values():
    """Statistics can be compared, and not be changed."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        statistics().created = 1


@as_process
async def test_bad_tags(tree):
    """A tag that cannot be compared as a key is an error, and nothing is watched or spawned."""
    ref = spawn(idle)
    processes = current_runtime().processes()
    with pytest.raises(InvalidSpec, match=r"tag=\{\}: must be hashable"):
        monitor(ref, tag={})
    with pytest.raises(InvalidSpec, match=r"tag=\{\}: must be hashable"):
        spawn_monitor(idle, tag={})
    with pytest.raises(InvalidSpec, match=r"tag=\{\}: must be hashable"):
        await start_monitor(idle, tag={})

    assert processes == current_runtime().processes()
    assert statistics() == monitor_stats()


async def test_crash_of_the_owner(tree):
    """A crash cleans up like any other end."""

    async def crashing():
        monitor(target)
        raise ValueError

    target = spawn(idle)
    reason = await spawn(crashing).wait()

    assert isinstance(reason, Crashed)
    assert statistics(created=1, owner=1) == monitor_stats()
    assert [None] == [target._process.watchers or None]
