"""Cancellation from outside is a graceful, ordered stop; and trees inside of trees."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    KILLED,
    SHUTDOWN,
    Failed,
    GenServer,
    Name,
    RestartLimitReached,
    Supervisor,
    SupervisorHandle,
    child,
    current_runtime,
    kill,
    open_supervisor,
    send_exit,
    spawn,
    start,
    stop,
    whereis,
)
from tests.behaviours.stage import Puppet, Stage, note_outcome, pause


class Slow(Puppet):
    """Takes its time to terminate, and writes down when it began to and whether it came to its end."""

    def __init__(self, label, diary, seconds=1):
        super().__init__(diary, label=label)
        self.seconds = seconds

    async def init(self):
        pass

    async def terminate(self, reason):
        self.note("stops", trio.current_time())
        await trio.sleep(self.seconds)
        self.note("stopped", trio.current_time())


class Team(Supervisor):
    def __init__(self, diary):
        self.diary = diary

    def children(self):
        return [child(Slow, label, self.diary, id=label) for label in ("x", "y")]


IN_ORDER = [
    ("c", "stops", 10),
    ("c", "stopped", 11),
    ("y", "stops", 11),
    ("y", "stopped", 12),
    ("x", "stops", 12),
    ("x", "stopped", 13),
    ("a", "stops", 13),
    ("a", "stopped", 14),
]


def specs(diary):
    return [child(Slow, "a", diary), child(Team, diary), child(Slow, "c", diary)]


# ------------------------------------------------------------------------------------------- in order


@pytest.mark.parametrize("where", ["body", "wait", "call", "start"])
async def test_ordered_stop(autojump_clock, where):
    """Children end in reverse start order, depth first, terminate runs in full, then `Cancelled` goes on."""
    diary = []
    seen = []
    with trio.move_on_after(10) as scope:
        try:
            async with open_supervisor(specs(diary)) as supervisor:
                match where:
                    case "body":
                        await trio.sleep_forever()
                    case "call":
                        ref = await start(Puppet)
                        await Puppet.ask_async.within(99)(ref, pause())
                    case "start":
                        await supervisor.start(Endless)
        except BaseException as error:
            seen.append(type(error))
            raise

    assert scope.cancelled_caught
    assert [trio.Cancelled] == seen
    assert [entry[:2] for entry in IN_ORDER] == [entry[:2] for entry in diary]
    if where in {"body", "wait"}:
        assert IN_ORDER == diary
        assert 14 == trio.current_time()


class Endless(GenServer):
    async def init(self):
        await trio.sleep_forever()


async def test_limits_hold(autojump_clock):
    """Each child has its own shutdown limit, also when the block is cancelled."""
    diary = []
    with trio.move_on_after(1):
        async with open_supervisor(
            [
                child(Slow, "kill", diary, 5, id=1, shutdown="kill"),
                child(Slow, "slow", diary, 9, id=2, shutdown=3),
                child(Slow, "fast", diary, 1, id=3),
            ]
        ):
            await trio.sleep_forever()

    assert [("fast", "stops", 1), ("fast", "stopped", 2), ("slow", "stops", 2)] == diary
    assert 5 == trio.current_time()


async def test_cancelled_again(autojump_clock):
    """Further cancellations while the tree is stopped change nothing: the order is kept."""
    diary = []
    with trio.CancelScope() as outer, trio.move_on_after(10) as inner:
        async with trio.open_nursery() as nursery:

            async def cancel_again():
                with trio.CancelScope(shield=True):
                    await trio.sleep(11.5)
                outer.cancel()
                nursery.cancel_scope.cancel()

            nursery.start_soon(cancel_again)
            async with open_supervisor(specs(diary)):
                await trio.sleep_forever()

    assert IN_ORDER == diary
    assert outer.cancelled_caught or inner.cancelled_caught


async def test_cancelled_while_shutting_down(autojump_clock):
    """A cancellation that comes while `shutdown` is at work does not break the order either."""
    diary = []
    with trio.move_on_after(12.5) as scope:
        async with open_supervisor(specs(diary)) as supervisor:
            await trio.sleep(10)
            supervisor.shutdown()

    assert IN_ORDER == diary
    assert scope.cancel_called


async def test_cancelled_while_starting(autojump_clock):
    """Cancelled while the children are started, what was started is stopped in order; nothing is left."""
    diary = []
    with trio.move_on_after(10) as scope:
        async with open_supervisor([*specs(diary), child(Endless, shutdown=2), child(Slow, "never", diary)]):
            raise AssertionError("the body does not run")

    assert scope.cancelled_caught
    assert [label for label, what, _ in diary if what == "stopped"] == ["c", "y", "x", "a"]
    assert trio.current_time() <= 16


async def test_hanging_start_deep_in_the_tree(autojump_clock):
    """A start that hangs somewhere below does not keep the tree from being stopped."""
    diary = []

    class Stuck(Supervisor):
        def children(self):
            return [child(Slow, "deep", diary), child(Endless, shutdown=2)]

    with trio.move_on_after(10) as scope:
        async with open_supervisor() as supervisor:
            await supervisor.start(Slow, "a", diary)
            await supervisor.start(Stuck)

    assert scope.cancelled_caught
    assert ["deep", "a"] == [label for label, what, _ in diary if what == "stopped"]


async def test_hanging_restart(autojump_clock):
    """Nor does a restart that hangs."""
    starts = []

    class Once(GenServer):
        async def init(self):
            starts.append(self)
            if len(starts) > 1:
                await trio.sleep_forever()

    with trio.move_on_after(10) as scope:
        async with open_supervisor(max_restarts=9) as supervisor:
            kill(await supervisor.start(Once, shutdown=2))
            await trio.sleep_forever()

    assert scope.cancelled_caught
    assert 2 == len(starts)


async def test_hanging_start_and_shutdown(autojump_clock):
    """`shutdown` ends a tree in which a start hangs; who waits for that start learns of it."""
    diary = []
    async with open_supervisor() as supervisor, trio.open_nursery() as nursery:
        nursery.start_soon(note_outcome, diary, "start", supervisor.start(Endless, shutdown=2))
        await trio.sleep(5)
        supervisor.shutdown()
        with trio.CancelScope(shield=True):
            await supervisor.address.wait()

    assert trio.current_time() <= 10
    assert SHUTDOWN == supervisor.address.exit_reason


async def test_no_restart_while_stopping(autojump_clock):
    """A child that crashes while the tree is stopped is not restarted."""
    diary = []
    with trio.move_on_after(10):
        async with open_supervisor([child(Slow, "a", diary, id=1), child(Slow, "b", diary, 3, id=2)]) as supervisor:
            first = (await supervisor.which_children())[0].ref

            async def crash_it():
                with trio.CancelScope(shield=True):
                    await trio.sleep(11)
                    send_exit(first, "boom")

            spawn(crash_it)
            await trio.sleep_forever()

    assert [("b", "stops", 10), ("b", "stopped", 13)] == diary
    assert Failed("boom") == first.exit_reason


async def test_body_cleans_up_with_the_tree_alive(autojump_clock):
    """The body's own clean-up may still talk to the children: the stop begins when the block is left."""
    with trio.move_on_after(1):
        async with open_supervisor() as supervisor:
            ref = await supervisor.start(Puppet)
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    assert "still there" == await Puppet.ask(ref, "still there")


async def test_body_fails_while_cancelled(autojump_clock):
    """An error that the body raises while it is cancelled goes on."""
    with pytest.raises(ValueError, match="clean-up"), trio.move_on_after(1):
        async with open_supervisor() as supervisor:
            await supervisor.start(Puppet)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("clean-up")


async def test_sibling_task_fails(autojump_clock):
    """An error of a sibling task in the surrounding nursery cancels the block, which stops in order."""
    diary = []

    async def fail_later():
        await trio.sleep(10)
        raise KeyError("sibling")

    with pytest.RaisesGroup(KeyError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_later)
            async with open_supervisor(specs(diary)):
                await trio.sleep_forever()

    assert IN_ORDER == diary


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
