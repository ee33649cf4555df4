"""Processes that are spawned: nobody waits for their init, and the spawner goes on at once."""

from functools import partial

import pytest
import trio
from trio.testing import assert_no_checkpoints, wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    NORMAL,
    Crashed,
    Down,
    Exit,
    Failed,
    InvalidSpec,
    MailboxOptions,
    Name,
    Stop,
    Supervisor,
    SupervisorHandle,
    current_ref,
    current_runtime,
    kill,
    mailbox,
    open_supervisor,
    process_info,
    spawn,
    spawn_link,
    spawn_monitor,
    trap_exits,
)
from tests.runtime.helpers import Desk, as_process, idle


async def test_spawn(tree):
    """`spawn` is no checkpoint; the function runs in its turn, with its arguments."""
    log = []

    async def function(*args):
        log.append(args)

    with assert_no_checkpoints():
        ref = spawn(function, 1, 2)
    assert [] == log
    assert NORMAL == await ref.wait()
    assert [(1, 2)] == log


async def test_keyword_arguments(tree):
    """Keyword arguments go into a partial, as with `nursery.start_soon`."""
    log = []

    async def function(value, *, key):
        log.append((value, key))

    await spawn(partial(function, 1, key=2)).wait()
    assert [(1, 2)] == log


async def test_spawn_order(tree):
    """What is spawned first takes its number first."""
    refs = [spawn(idle) for _ in range(5)]

    assert refs == sorted(refs, key=lambda ref: ref.pid)
    assert refs == list(current_runtime().processes()[1:])


async def test_nobody_is_told(tree):
    """The end of a spawned process, a crash included, is nobody's business: neither its spawner's nor the tree's."""

    async def crash():
        raise ValueError

    async def spawner():
        await spawn(crash).wait()
        return await mailbox().receive()

    ref = spawn(spawner)
    await wait_all_tasks_blocked()

    assert ref.alive
    assert tree.ref.alive


async def test_it_outlives_its_spawner(tree):
    """A spawned process belongs to the tree, not to the one who spawned it."""
    refs = []

    async def spawner():
        refs.append(spawn(idle))

    await spawn(spawner).wait()
    await wait_all_tasks_blocked()

    assert refs[0].alive


async def test_end_of_the_tree():
    """When the block ends, spawned processes are asked to stop, after the supervised ones; nothing is left."""
    log = []

    async def process(label):
        try:
            await idle()
        finally:
            log.append(label)

    async with open_supervisor() as tree:
        ref = spawn(process, "spawned")
        await tree.start(process, "supervised")
        runtime = current_runtime()
        tree.shutdown()

    assert ["supervised", "spawned"] == log
    assert not ref.alive
    runtime.check_empty()


async def test_end_of_the_tree_for_stubborn_processes(autojump_clock):
    """Who traps exits and does not go has five seconds after the tree; then it is killed."""
    async with open_supervisor() as tree:
        ref = spawn(idle, trap_exits=True)
        tree.shutdown()

    assert KILLED == ref.exit_reason
    assert 5 == trio.current_time()


async def test_block_does_not_wait_for_spawned_processes(autojump_clock):
    """The block waits for children; who is only spawned does not keep it open."""
    async with open_supervisor():
        ref = spawn(idle)

    assert not ref.alive
    assert 0 == trio.current_time()


async def test_behaviours(tree):
    """Servers and supervisors can be spawned like functions."""

    class Team(Supervisor):
        pass

    desk, team = spawn(Desk), spawn(Team)

    assert 1 == await Desk.echo(desk, 1)
    assert () == await SupervisorHandle(team).which_children()


@pytest.mark.parametrize("error", [ValueError("boom"), Stop("boom")])
async def test_failed_init_of_a_spawned_server(tree, error):
    """Nobody waits for the init of a spawned server; its failure is its exit reason."""

    class Server(Desk):
        def init(self):
            raise error

    assert await spawn(Server).wait() in {Crashed(error), Failed("boom")}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": "name"}, "name"),
        ({"mailbox": 5}, "mailbox"),
        ({"mailbox": None}, "mailbox"),
        ({"trap_exits": "yes"}, "trap_exits"),
    ],
)
@pytest.mark.parametrize("function", [spawn, spawn_link, spawn_monitor])
@as_process
async def test_wrong_options(tree, function, options, field):
    """Wrong options are refused by name and value, and nothing is spawned."""
    before = current_runtime().processes()
    with pytest.raises(InvalidSpec) as caught:
        function(idle, **options)

    assert (field, options[field]) == (caught.value.field, caught.value.value)
    assert before == current_runtime().processes()


async def test_no_function(tree):
    """What cannot be called is refused; a coroutine, the usual mistake, too."""
    coroutine = idle()
    for wrong in (5, None, coroutine):
        with pytest.raises(InvalidSpec, match="must be callable"):
            spawn(wrong)
    coroutine.close()

    assert 1 == len(current_runtime().processes())


async def test_mailbox_options(tree):
    """The mailbox is what the options say."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=3, kind="channel"))

    assert "<ChannelMailbox 0/3 queued>" == repr(ref._process.mailbox)
    assert "<LeanMailbox 0/100000 queued>" == repr(spawn(idle)._process.mailbox)


# ---------------------------------------------------------------------------------- link and monitor


@as_process
async def test_spawn_link(tree):
    """`spawn_link` links from the first moment, so that no end is missed."""
    trap_exits()
    ref = spawn_link(idle)
    assert frozenset({ref}) == process_info(current_ref()).links
    kill(ref)

    assert Exit(ref, KILLED) == await mailbox().receive()


async def test_spawn_link_without_trapping(tree):
    """The crash of what was spawned and linked ends its spawner."""
    error = ValueError()

    async def crash():
        raise error

    async def spawner():
        spawn_link(crash)
        await idle()

    assert Crashed(error) == await spawn(spawner).wait()


async def test_end_of_the_spawner_of_a_link(tree):
    """The end of the spawner ends what it spawned and linked, unless it is a normal end."""
    refs = []

    async def spawner(reason):
        refs.append(spawn_link(idle))
        raise Stop(reason)

    await spawn(spawner, "boom").wait()
    await spawn(spawner, NORMAL).wait()
    await wait_all_tasks_blocked()

    assert [Failed("boom"), None] == [ref.exit_reason for ref in refs]


@as_process
async def test_spawn_monitor(tree):
    """`spawn_monitor` watches from the first moment."""

    async def crash():
        raise Stop("at once")

    ref, watch = spawn_monitor(crash)

    assert Down(watch, ref, Failed("at once")) == await mailbox().receive()


@as_process
async def test_arguments_of_all(tree):
    """All three take arguments, a name, the mailbox options and `trap_exits`."""
    trap_exits()
    options = {"trap_exits": True, "mailbox": MailboxOptions(capacity=1)}
    refs = [
        spawn(trio.sleep, 60, name=Name("a"), **options),
        spawn_link(trio.sleep, 60, name=Name("b"), **options),
        spawn_monitor(trio.sleep, 60, name=Name("c"), **options)[0],
    ]

    assert ["a", "b", "c"] == [str(ref.name) for ref in refs]
    assert all(process_info(ref).trap_exits for ref in refs)
    assert {1} == {ref._process.mailbox.capacity for ref in refs}
