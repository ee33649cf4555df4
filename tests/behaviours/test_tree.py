"""The block of `open_supervisor`: what it waits for, how it is shut down, and errors of its body."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    CallExited,
    Shutdown,
    Stop,
    SupervisorEnded,
    SupervisorHandle,
    kill,
    open_supervisor,
)
from tests.behaviours.labelled import children, short
from tests.behaviours.stage import Puppet, Stage, crash

# ------------------------------------------------------------------------------------ entering, waiting


async def test_children_are_up():
    """The children have been started, in order, when the block begins."""
    diary = []
    async with Stage(children(diary, "a", "b")) as supervisor:
        assert [("a", "init"), ("b", "init")] == diary
        assert ["a", "b"] == [info.id for info in await supervisor.which_children()]


async def test_empty_block():
    """A block without children ends with its body."""
    async with open_supervisor():
        pass


async def test_block_waits_for_one_shots(autojump_clock):
    """The block waits until its transient and temporary children are through."""
    async with open_supervisor() as supervisor:
        await supervisor.start(short, 5, restart="temporary")
        await supervisor.start(short, 7, restart="transient", id="x")

    assert 7 == trio.current_time()


async def test_block_waits_for_permanent_children(autojump_clock):
    """A permanent child keeps the block open until somebody ends it."""
    with trio.move_on_after(1000) as scope:
        async with open_supervisor() as supervisor:
            await supervisor.start(Puppet)

    assert scope.cancelled_caught


async def test_block_waits_for_children_started_later(autojump_clock):
    """A child that another child starts while the block waits is waited for, too."""

    async def parent(handle):
        await trio.sleep(3)
        await handle.start(short, 4, restart="temporary", id="grandchild")

    async with open_supervisor() as supervisor:
        await supervisor.start(parent, SupervisorHandle(supervisor.ref), restart="temporary")

    assert 7 == trio.current_time()


async def test_restarted_one_shot(autojump_clock):
    """A transient child that crashes is restarted while the block waits, and then waited for."""
    runs = []

    async def worker():
        runs.append(trio.current_time())
        await trio.sleep(1)
        if len(runs) < 3:
            raise KeyError

    async with open_supervisor(max_restarts=5) as supervisor:
        await supervisor.start(worker, restart="transient")

    assert [0, 1, 2] == runs


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_services_do_not_keep_it(autojump_clock, restart):
    """Services are stopped, in reverse order, when only they are left."""
    diary = []
    async with open_supervisor(children(diary, "a", "b", service=True, restart=restart)) as supervisor:
        await supervisor.start(short, 5, restart="temporary")
        del diary[:]

    assert 5 == trio.current_time()
    assert [("b", "terminate", SHUTDOWN), ("a", "terminate", SHUTDOWN)] == diary


async def test_only_services():
    """With nothing but services the block ends with its body."""
    diary = []
    async with open_supervisor(children(diary, "a", service=True)):
        pass

    assert [("a", "init"), ("a", "terminate", SHUTDOWN)] == diary


async def test_stopped_child_does_not_keep_it():
    """A child that has been terminated, though still known, keeps nobody waiting."""
    async with open_supervisor() as supervisor:
        await supervisor.start(Puppet, id="x")
        await supervisor.terminate_child("x")


async def test_service_while_the_body_runs(autojump_clock):
    """Services run as long as the body does."""
    diary = []
    async with open_supervisor(children(diary, "a", service=True)) as supervisor:
        await trio.sleep(100)
        assert "running" == (await supervisor.which_children())[0].status


async def test_terminated_while_the_block_waits(autojump_clock):
    """The block ends when the last child is terminated by request while it waits."""

    async def later(handle):
        await trio.sleep(5)
        await handle.terminate_child("x")

    async with trio.open_nursery() as nursery, open_supervisor() as supervisor:
        await supervisor.start(Puppet, id="x")
        handle = SupervisorHandle(supervisor.address)
        nursery.start_soon(later, handle)

    assert 5 == trio.current_time()


# ------------------------------------------------------------------------------------------ shutting down


async def test_shutdown_ends_the_wait():
    """`shutdown` stops all children in reverse order, and with them the block."""
    diary = []
    async with open_supervisor(children(diary, "a", "b", "c")) as supervisor:
        del diary[:]
        supervisor.shutdown()
        supervisor.shutdown()

    assert [(label, "terminate", SHUTDOWN) for label in "cba"] == diary


async def test_shutdown_cancels_the_body():
    """When the root supervisor has ended, what is left of the body is cancelled."""
    async with open_supervisor() as supervisor:
        await supervisor.start(Puppet)
        supervisor.shutdown()
        await trio.sleep_forever()


async def test_shutdown_from_within(autojump_clock):
    """A child may end the whole tree through a handle."""

    async def worker(handle):
        await trio.sleep(3)
        handle.shutdown()
        await trio.sleep_forever()

    async with open_supervisor() as supervisor:
        ref = await supervisor.start(worker, supervisor)
        await supervisor.start(Puppet)

    assert SHUTDOWN == ref.exit_reason
    assert 3 == trio.current_time()


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, Shutdown("detail")])
async def test_shutdown_with_a_normal_reason(reason):
    """Any normal reason ends the block without an error."""
    async with open_supervisor() as supervisor:
        supervisor.shutdown(reason)


@pytest.mark.parametrize("reason", ["odd", ValueError("x"), KILLED])
async def test_shutdown_with_an_abnormal_reason(reason):
    """A root that was told to end abnormally says so where the block ends."""
    with pytest.raises(SupervisorEnded) as caught:
        async with open_supervisor() as supervisor:
            supervisor.shutdown(reason)

    assert Stop(reason).reason == caught.value.reason


async def test_killed_root():
    """A root that is killed leaves nobody behind, and says so."""
    with pytest.raises(SupervisorEnded) as caught:
        async with open_supervisor() as supervisor:
            ref = await supervisor.start(Puppet)
            kill(supervisor.ref)
            await trio.sleep_forever()

    assert (KILLED, KILLED) == (caught.value.reason, ref.exit_reason)


# ------------------------------------------------------------------------------------- errors of the body


async def test_body_fails():
    """When the body fails the children are stopped in order, and the very error goes on."""
    diary = []
    error = ValueError("body")
    with pytest.raises(ValueError, match="body") as caught:
        async with open_supervisor(children(diary, "a", "b")):
            del diary[:]
            raise error

    assert error is caught.value
    assert [("b", "terminate", SHUTDOWN), ("a", "terminate", SHUTDOWN)] == diary


async def test_body_fails_with_a_group():
    """A group of errors of the body goes on as it is."""
    with pytest.RaisesGroup(KeyError, ValueError):
        async with open_supervisor(), trio.open_nursery() as nursery:
            nursery.start_soon(fail, KeyError())
            nursery.start_soon(fail, ValueError())


async def fail(error):
    raise error


async def test_body_returns_early():
    """Leaving the body by `return` is leaving it normally."""

    async def program():
        async with open_supervisor() as supervisor:
            await supervisor.start(short, 0, restart="temporary")
            return "result"

    assert "result" == await program()


async def test_crashes_do_not_reach_the_body():
    """A child's crash is data: the body of the block is not disturbed."""
    async with Stage(max_restarts=3) as supervisor:
        ref = await supervisor.start(Puppet)
        with pytest.raises(CallExited):
            await Puppet.ask(ref, crash)
        await trio.lowlevel.checkpoint()
