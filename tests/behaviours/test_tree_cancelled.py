"""Cancellation from outside is a graceful, ordered stop."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    SHUTDOWN,
    Failed,
    GenServer,
    Supervisor,
    child,
    kill,
    open_supervisor,
    send_exit,
    spawn,
    start,
)
from tests.behaviours.slow_tree import IN_ORDER, Endless, Slow, specs
from tests.behaviours.stage import Puppet, note_outcome, pause

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
