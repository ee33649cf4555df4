"""Trees inside of trees, and starts that are cancelled."""

import trio
import trio.testing

from nursery_otp import (
    KILLED,
    SHUTDOWN,
    GenServer,
    Name,
    RestartLimitReached,
    Supervisor,
    SupervisorHandle,
    child,
    current_runtime,
    kill,
    open_supervisor,
    spawn,
    start,
    stop,
    whereis,
)
from tests.behaviours.slow_tree import IN_ORDER, Endless, Slow, Team, specs
from tests.behaviours.stage import Puppet, Stage, note_outcome

# --------------------------------------------------------------------------------------- trees in trees


async def inner_tree(diary):
    """A process that opens a tree of its own."""
    async with open_supervisor(specs(diary)):
        await trio.sleep_forever()


async def test_nested_stop(autojump_clock):
    """A polite stop of a process that holds a tree stops that tree in order first."""
    diary = []
    async with Stage() as supervisor:
        ref = await supervisor.start(inner_tree, diary, shutdown=60)
        await trio.sleep(10)

    assert IN_ORDER == diary
    assert SHUTDOWN == ref.exit_reason


async def test_nested_kill(autojump_clock):
    """So does a kill: it is a cancellation from outside for the inner tree, which is never left behind."""
    diary = []
    async with Stage():
        ref = spawn(inner_tree, diary)
        await trio.sleep(10)
        kill(ref)
        assert KILLED == await ref.wait()

    assert IN_ORDER == diary


async def test_nested_block_in_a_body(autojump_clock):
    """A tree in the body of another is its own world, and ends first."""
    diary = []
    async with Stage([child(Slow, "outer", diary)]) as outer:
        outer_runtime = current_runtime()
        async with Stage([child(Slow, "inner", diary, name=Name("x"))]):
            assert outer_runtime is not current_runtime()
            assert outer.ref.alive
            assert None is not whereis(Name("x"))
        assert outer_runtime is current_runtime()
        assert None is whereis(Name("x"))
        assert ["inner", "inner"] == [entry[0] for entry in diary]

    assert ["inner", "inner", "outer", "outer"] == [entry[0] for entry in diary]


async def test_calls_between_trees():
    """A ref is valid in every tree of the program: calls and monitors reach over."""
    async with Stage() as outer:
        ref = await outer.start(Puppet)
        async with Stage() as inner:
            other = await inner.start(Puppet)

            assert "outer" == await Puppet.ask(ref, "outer")
            assert "from inner" == await Puppet.ask_async(other, lambda _server: Puppet.ask(ref, "from inner"))
            await stop(other)
        assert "outer" == await Puppet.ask(ref, "outer")


async def test_nested_limit():
    """An inner tree that gives up is a crash of the process that holds it, with the reason."""

    async def holder():
        async with open_supervisor(max_restarts=0) as inner:
            kill(await inner.start(Puppet))
            await trio.sleep_forever()

    async with Stage():
        ref = spawn(holder)
        reason = await ref.wait()

    assert isinstance(reason.error, RestartLimitReached)


async def test_deep_tree(autojump_clock):
    """Supervisors nested a hundred deep start, restart from the leaf, and stop."""
    diary = []

    class Level(Supervisor):
        def __init__(self, depth):
            self.depth = depth

        def children(self):
            if self.depth == 0:
                return [child(Slow, "leaf", diary, name=Name("leaf"))]
            return [child(Level, self.depth - 1)]

    async with Stage() as supervisor:
        await supervisor.start(Level, 100)
        leaf = whereis(Name("leaf"))
        kill(leaf)
        await leaf.wait()

        assert "back" == await Slow.ask(Name("leaf"), "back")
        assert 103 == len(current_runtime().processes())
    assert ["stops", "stopped"] == [what for _, what, _ in diary]


async def test_started_children_of_a_cancelled_start(autojump_clock):
    """A start that is cancelled may still come about; the child is under the supervisor, not lost."""

    class Takes(GenServer):
        async def init(self):
            await trio.sleep(3)

    async with Stage() as supervisor:
        with trio.move_on_after(1):
            await supervisor.start(Takes, id="t")
        await trio.sleep(5)

        assert ["running"] == [info.status for info in await supervisor.which_children()]


async def test_cancelled_start_without_supervisor(autojump_clock):
    """A start without a supervisor that is cancelled leaves no process behind."""
    async with Stage() as supervisor:
        with trio.move_on_after(1):
            await start(Endless)

        assert (supervisor.ref,) == current_runtime().processes()


async def test_handle_request_is_cancelled(autojump_clock):
    """A request to a supervisor that is cancelled does not disturb it."""
    async with Stage() as supervisor, trio.open_nursery() as nursery:
        team = SupervisorHandle(await supervisor.start(Team, []))
        nursery.start_soon(note_outcome, [], "x", team.start(Endless, shutdown=0))
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0):
            await team.which_children()
        nursery.cancel_scope.cancel()
