"""The runtime of a tree: its tables, its counters, and the check that nothing is left."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    LeakedResources,
    Ledger,
    Name,
    Stop,
    child,
    current_ref,
    current_runtime,
    kill,
    link,
    mailbox,
    monitor,
    open_supervisor,
    send_after,
    send_exit,
    send_interval,
    send_nowait,
    spawn,
    stop,
    trap_exits,
)
from tests.runtime.helpers import Desk, idle


async def partner(target):
    """A process that is linked to another and watches it."""
    link(target)
    monitor(target)
    await idle()


# ------------------------------------------------------------------------------------------- tables


async def test_tables(tree):
    """Processes, names, monitors, links and timers of a tree can be listed."""
    runtime = current_runtime()
    desk = await tree.start(Desk, name=Name("desk"))
    ref = spawn(partner, desk)
    timers = send_interval(1, desk, "tick"), send_after(0.5, Name("desk"), "tick")
    await wait_all_tasks_blocked()

    assert (tree.ref, desk, ref) == runtime.processes()
    assert {"desk": desk} == runtime.names()
    assert [(ref, desk)] == [(watch.owner, watch.ref) for watch in runtime.monitors()]
    assert ((desk, ref),) == runtime.links()
    assert timers[::-1] == runtime.timers()
    assert "<Runtime with 3 processes>" == repr(runtime)


async def test_tables_are_snapshots(tree):
    """What was listed does not change afterwards."""
    runtime = current_runtime()
    before = runtime.processes(), runtime.names()
    spawn(idle, name=Name("idle"))

    assert ((tree.ref,), {}) == before


async def test_what_ended_is_not_listed(tree):
    """The dead are in no table."""
    runtime = current_runtime()
    ref = spawn(idle, name=Name("idle"))
    other = spawn(partner, ref)
    await wait_all_tasks_blocked()
    kill(ref)
    await other.wait()

    assert ((tree.ref,), {}, (), ()) == (runtime.processes(), runtime.names(), runtime.monitors(), runtime.links())


async def test_numbers_are_not_used_again(tree):
    """A number means one process, for the life of the tree."""
    refs = []
    for _ in range(3):
        refs.append(spawn(idle))
        kill(refs[-1])
        await refs[-1].wait()

    assert [2, 3, 4] == [ref.pid for ref in refs]


# -------------------------------------------------------------------------------------- check_empty


async def test_check_empty(tree):
    """While something is left, the check says what, and of which kind."""
    ref = spawn(idle, name=Name("idle"))
    spawn(partner, ref)
    send_after(5, ref, "tick")
    await wait_all_tasks_blocked()
    with pytest.raises(LeakedResources) as caught:
        current_runtime().check_empty()

    text = str(caught.value)
    assert text.startswith("left behind: processes: <root#1>, <idle#2 'idle'>, <partner#3>; names: idle; ")
    assert "monitors: <Monitor of <idle#2 'idle'> by <partner#3>>; links: " in text
    assert "; timers: <Timer to <idle#2 'idle'>, due at " in text


async def test_nothing_is_left(autojump_clock):
    """After the block of a tree nothing of it is left, whatever was going on."""
    async with open_supervisor([child(Desk, name=Name("desk"))]) as tree:
        runtime = current_runtime()
        ref = spawn(idle, name=Name("idle"))
        spawn(partner, ref)
        send_interval(1, Name("desk"), "tick")
        Desk.put_off.request(Name("desk"), "never answered")
        Desk.run.request(Name("desk"), idle)
        await wait_all_tasks_blocked()
        send_nowait(ref, "unread")
        tree.shutdown()

    runtime.check_empty()
    assert runtime.ledger().balanced
    assert 0 == runtime.ledger().queued


async def test_two_trees(autojump_clock):
    """Two trees in one `trio.run` have tables, counters and clocks of their own, but their processes can talk."""
    runtimes, desks = [], []

    async def own_tree(label, ready, done):
        async with open_supervisor() as tree:
            desks.append(await tree.start(Desk, name=Name("desk")))
            runtimes.append(current_runtime())
            ready.set()
            await done.wait()
            assert label == await Desk.echo(Name("desk"), label)
            tree.shutdown()

    first, second, done = trio.Event(), trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(own_tree, "one", first, done)
        await first.wait()
        nursery.start_soon(own_tree, "two", second, done)
        await second.wait()
        assert "hello" == await Desk.echo(desks[0], "hello")
        done.set()

    assert runtimes[0] is not runtimes[1]
    for runtime in runtimes:
        runtime.check_empty()
        assert runtime.ledger().balanced


async def test_across_trees():
    """Monitors, links and calls work between two trees, and end with either of them."""
    got = []
    async with open_supervisor() as outer:

        async def watching(desk):
            trap_exits()
            link(desk)
            monitor(desk)
            answers.append(await Desk.echo(desk, 1))
            got.extend([await mailbox().receive(), await mailbox().receive()])

        answers = []
        async with open_supervisor() as inner:
            desk = await inner.start(Desk)
            inner_runtime = current_runtime()
            watcher = await outer.start(watching, desk, restart="temporary")
            await wait_all_tasks_blocked()
            inner.shutdown()
        inner_runtime.check_empty()
        await watcher.wait()
        outer.shutdown()

    assert [1] == answers
    assert {desk.exit_reason} == {message.reason for message in got}


# ------------------------------------------------------------------------------------------- ledger


async def test_ledger(tree):
    """Every message is counted once, by what became of it."""
    ref = spawn(idle)
    desk = await tree.start(Desk, restart="temporary")
    start = current_runtime().ledger()
    for number in range(3):
        send_nowait(ref, number)
    Desk.note(desk, 1)
    assert 2 == await Desk.echo(desk, 2)
    Desk.note(Name("nobody"), 3)
    assert 0 == ref._process.mailbox.receive_nowait()
    ledger = current_runtime().ledger()

    assert 6 == ledger.sent - start.sent
    assert 3 == ledger.handled - start.handled
    assert (2, {"noproc": 1}, {}) == (ledger.queued, ledger.dead_lettered, ledger.dropped)
    assert ledger.balanced

    kill(ref)
    await ref.wait()
    ledger = current_runtime().ledger()
    assert (0, {"noproc": 1, "process ended": 2}) == (ledger.queued, ledger.dead_lettered)
    assert ledger.balanced


async def test_ledger_of_signals(tree):
    """Signals are counted like messages; those that nobody reads any more are dropped, and no dead letters."""
    ref = spawn(idle, trap_exits=True)
    send_exit(ref, "boom")
    kill(ref)
    await ref.wait()

    assert {"process ended": 1} == current_runtime().ledger().dropped
    assert [] == list(current_runtime().dead_letters)
    assert current_runtime().ledger().balanced


async def test_unbalanced_ledger():
    """A ledger that has lost a message is not balanced."""
    assert Ledger(5, 1, 1, {"noproc": 1}, {"drop_newest": 2}).balanced
    assert not Ledger(6, 1, 1, {"noproc": 1}, {"drop_newest": 2}).balanced


# --------------------------------------------------------------------------------------- exit hooks


async def test_on_exit(tree):
    """A hook sees the end of every process, supervised or not, until it is removed."""
    ends = []
    remove = current_runtime().on_exit(lambda ref, reason: ends.append((ref, reason)))
    spawned, desk = spawn(idle), await tree.start(Desk, restart="temporary")
    kill(spawned)
    await spawned.wait()
    await stop(desk, "bye")
    remove()
    remove()
    other = spawn(idle)
    kill(other)
    await other.wait()

    assert [(spawned, KILLED), (desk, desk.exit_reason)] == ends


@pytest.mark.parametrize("removes_itself", [True, False])
async def test_failing_hook(tree, caplog, removes_itself):
    """A hook that raises is removed and reported; neither the process nor the other hooks suffer."""
    ends, calls = [], []

    def failing(_ref, _reason):
        calls.append(1)
        if removes_itself:
            remove()
        raise ValueError("hook")

    remove = current_runtime().on_exit(failing)
    current_runtime().on_exit(lambda ref, _reason: ends.append(ref))
    refs = [spawn(idle), spawn(idle)]
    for ref in refs:
        kill(ref)
        assert KILLED == await ref.wait()

    assert refs == ends
    assert [1] == calls
    assert "exit_hook_detached" in caplog.text
    assert 1 == len(current_runtime().processes())


# ---------------------------------------------------------------------------------- clock and chance


async def test_clock(autojump_clock):
    """The time of a runtime is that of its `trio.run`."""
    async with open_supervisor() as tree:
        await trio.sleep(3)
        assert trio.current_time() == current_runtime().now()
        tree.shutdown()


async def test_seed():
    """With a seed chance is the same in every run."""
    values = []
    for seed in (1, 1, 2):
        async with open_supervisor(seed=seed) as tree:
            values.append(current_runtime().random.random())
            tree.shutdown()

    assert values[0] == values[1] != values[2]


async def test_memory_of_ended_processes(tree):
    """A thousand processes that came and went leave nothing in the tables."""

    async def short():
        current_ref()
        raise Stop("end")

    for _ in range(1000):
        spawn(short)
    await wait_all_tasks_blocked()

    assert (tree.ref,) == current_runtime().processes()
