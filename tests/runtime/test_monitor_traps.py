"""Traps of monitor managers: ours against the way that seems to do, and does not.

Each trap is a check that takes a way of watching. The naive way is in the test, and fails the check.
"""

import contextlib
import gc
import sys
import weakref

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Down,
    GenServer,
    Name,
    call,
    current_ref,
    current_runtime,
    demonitor,
    list_monitors,
    mailbox,
    monitor,
    monitor_stats,
    monitored,
    open_supervisor,
    send_after,
    spawn,
)
from tests.runtime.boxes import drain
from tests.runtime.helpers import ended, idle, inside


async def holds(check, way):
    """The check, in a process of its own."""
    await inside(lambda: check(way))


async def fails(check, way):
    """The check sees what is wrong with this way."""
    with pytest.raises(AssertionError):
        await inside(lambda: check(way))


async def plain(target, tag=None):
    """Our way, as one that could wait."""
    return monitor(target, tag=tag)


# --------------------------------------------------------------------- the `Down` goes to the caller


class Manager(GenServer):
    """The naive manager: a process that watches on behalf of others, and so gets their messages."""

    def init(self):
        self.watches = []

    @call
    def watch(self, target, tag=None):
        self.watches.append(monitor(target, tag=tag))
        return self.watches[-1]


async def through_a_manager(target, tag=None):
    """Ask the manager to watch."""
    return await Manager.watch(Name[Manager]("manager"), target, tag)


async def down_goes_to_the_caller(watch):
    """Whoever asked hears of the end."""
    ref = spawn(idle)
    await watch(ref)
    await ended(ref)
    await wait_all_tasks_blocked()
    assert [(Down, ref)] == [(type(message), message.target) for message in drain(mailbox())]


async def test_trap_down_goes_to_the_caller(tree):
    """The `Down` is in the mailbox of the process that called `monitor`, not in that of some manager."""
    await tree.start(Manager, name=Name("manager"))

    await holds(down_goes_to_the_caller, plain)
    await fails(down_goes_to_the_caller, through_a_manager)


# ------------------------------------------- the end of the owner leaves nothing behind in any index


class ByTarget:
    """The naive index: made when somebody watches, cleaned when the target ends; of owners it hears nothing."""

    def __init__(self):
        self.index = {}
        current_runtime().on_exit(lambda ref, _reason: self.index.pop(ref, None))

    def watch(self, target):
        self.index.setdefault(target, []).append(current_ref())
        return monitor(target)

    def owners(self):
        return [owner for owners in self.index.values() for owner in owners]


class ByOurs:
    """What `list_monitors` knows."""

    def watch(self, target):
        return monitor(target, tag="tag")

    def owners(self):
        return [watch.owner for watch in list_monitors()]


async def end_of_the_owner_leaves_nothing(index):
    """After the end of a process that watched three others, it is in no index and no table, and is not kept alive."""

    async def watching():
        for target in targets:
            index.watch(target)
        await idle()

    targets = [spawn(idle) for _ in range(3)]
    owner = spawn(watching)
    await wait_all_tasks_blocked()
    assert [owner] * 3 == index.owners()
    await ended(owner)
    assert [] == index.owners()
    for process in current_runtime().table.values():
        assert not process.watchers
        assert not process.monitors
    dead = weakref.ref(owner._process)
    del owner
    gc.collect()
    assert dead() is None


async def test_trap_end_of_the_owner_leaves_nothing(tree):
    """The end of an owner takes its monitors out of every index."""
    await holds(end_of_the_owner_leaves_nothing, ByOurs())
    await fails(end_of_the_owner_leaves_nothing, ByTarget())


# ------------------------------------------------- the call site is the test's own file and line


@attrs.frozen
class Noted:
    """A monitor with a call site that was noted by somebody."""

    monitor: object
    call_site: str


def noting(target):
    """The naive way: the place where the frame is asked for, which is in the manager."""
    frame = sys._getframe()
    return Noted(monitor(target), f"{frame.f_code.co_filename}:{frame.f_lineno}")


async def noted_by_a_manager(target):
    """The naive way through a process: at best the place is in its handler."""
    watch = await through_a_manager(target)
    return Noted(watch, watch.call_site)


def names_the_callers_line(watch):
    """The file and line are those of whoever wanted the monitor."""

    async def check(_):
        ref = spawn(idle)
        here, watched = sys._getframe().f_lineno, watch(ref)
        if not hasattr(watched, "call_site"):
            here, watched = sys._getframe().f_lineno, await watched
        assert f"{__file__}:{here}" == watched.call_site

    return check


async def test_trap_call_site_is_the_callers(tree):
    """The call site names the file and line of this test, not of the manager."""
    await tree.start(Manager, name=Name("manager"))

    await holds(names_the_callers_line(monitor), None)
    await fails(names_the_callers_line(noting), None)
    await fails(names_the_callers_line(noted_by_a_manager), None)


# -------------------------------------------------------- a tag filter never matches somebody else's

TAGS = ["db", "db-replica", "", None, 0, 17, ("db",), ("db", "replica"), frozenset({"db"}), "None", "%", "*", "d.*"]


def by_text(tag):
    """Naive: the tag is contained in the other's text."""
    return [watch.tag for watch in list_monitors() if str(tag) in str(watch.tag)]


def by_truth(tag):
    """Naive: no tag means all, and so does every tag that is empty."""
    return [watch.tag for watch in list_monitors() if not tag or watch.tag == tag]


def by_beginning(tag):
    """Naive: as a routing key."""
    return [watch.tag for watch in list_monitors() if str(watch.tag).startswith(str(tag))]


def by_equality(tag):
    """Ours."""
    return [watch.tag for watch in list_monitors(tag=tag)]


async def finds_only_its_own(find):
    """Every tag finds the one monitor that has it; a tag that nobody has finds none."""
    target = spawn(idle)
    watches = [monitor(target, tag=tag) for tag in TAGS]
    try:
        assert [[tag] for tag in TAGS] == [find(tag) for tag in TAGS]
        assert [[], [], [], []] == [find(tag) for tag in ("d", "DB", ("replica",), -1)]
    finally:
        for watch in watches:
            demonitor(watch)


@pytest.mark.parametrize("naive", [by_text, by_truth, by_beginning])
async def test_trap_tag_finds_only_its_own(tree, naive):
    """A tag is compared as a whole."""
    await holds(finds_only_its_own, by_equality)
    await fails(finds_only_its_own, naive)


# ----------------------------------------------------------------------- one leak is counted once


class CountsEachLook:
    """The naive check: every so often it counts what is old."""

    def __init__(self):
        self.leaks = 0

    async def look(self):
        send_after(0, current_ref(), "look")
        async for _ in mailbox():
            self.leaks += len(list_monitors(older_than=300))
            send_after(60, current_ref(), "look")


async def one_leak_is_counted_once(leaks):
    """An hour with one monitor that is never ended is one leak."""
    monitor(spawn(idle))
    await trio.sleep(3600)
    assert 1 == leaks()


async def test_trap_one_leak_is_counted_once(autojump_clock):
    """A leak is reported once, however often it is looked for."""
    async with open_supervisor() as supervisor:
        await holds(one_leak_is_counted_once, lambda: monitor_stats().leaks)
        naive = CountsEachLook()
        spawn(naive.look)
        await fails(one_leak_is_counted_once, lambda: naive.leaks)
        supervisor.shutdown()


# ---------------------------------------------------- a block is over on every way out, and leaves no `Down`


@contextlib.contextmanager
def without_finally(target):
    """Naive: what comes after the block is only reached if nothing goes wrong."""
    watch = monitor(target)
    yield watch
    demonitor(watch)


@contextlib.contextmanager
def only_on_exceptions(target):
    """Naive: a cancellation is no `Exception`."""
    watch = monitor(target)
    try:
        yield watch
    except Exception:
        demonitor(watch)
        raise
    else:
        demonitor(watch)


@contextlib.contextmanager
def without_flush(target):
    """Naive: a `Down` that is queued already surprises whoever reads next."""
    watch = monitor(target)
    try:
        yield watch
    finally:
        demonitor(watch, flush=False)


async def leaves_nothing_on_any_way(block):
    """Out by an exception and by a cancellation, with the target alive and dead."""
    for dies in (False, True):
        ref = spawn(idle)
        with contextlib.suppress(ZeroDivisionError), block(ref):
            if dies:
                await ended(ref)
            raise ZeroDivisionError
        assert ([], ()) == (drain(mailbox()), list_monitors(owner=current_ref()))
        with trio.move_on_after(0), block(ref):
            await trio.sleep_forever()
        assert ([], ()) == (drain(mailbox()), list_monitors(owner=current_ref()))


@pytest.mark.parametrize("naive", [without_finally, only_on_exceptions, without_flush])
async def test_trap_blocks_are_left_in_many_ways(tree, naive):
    """`monitored` cleans up whichever way its block is left."""
    await holds(leaves_nothing_on_any_way, monitored)
    await fails(leaves_nothing_on_any_way, naive)


# --------------------------------------------------------- a call site does not keep its frame alive


class KeepsFrame:
    """Naive: whoever wants file and line can ask the frame for them, later."""

    def __init__(self, target):
        self.monitor = monitor(target)
        self.frame = sys._getframe(1)


async def keeps_no_variables(watch):
    """What the caller had in its hands is gone when the caller is done with it."""

    class Large:
        pass

    def caller():
        large = Large()
        return weakref.ref(large), watch(spawn(idle))

    thing, kept = caller()
    gc.collect()
    assert thing() is None
    assert kept is not None


async def test_trap_call_site_keeps_no_frame(tree):
    """A monitor may live for weeks; what was around it when it was made need not."""
    await holds(keeps_no_variables, monitor)
    await fails(keeps_no_variables, KeepsFrame)
