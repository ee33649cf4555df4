"""The block of `open_supervisor`: what it waits for, what it starts and stops, and how errors leave it."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    CallExited,
    Crashed,
    Failed,
    GenServer,
    Ignore,
    Name,
    NoProcess,
    NoRuntime,
    NotInProcess,
    RestartLimitReached,
    Shutdown,
    StartFailed,
    Stop,
    SupervisorEnded,
    SupervisorHandle,
    Timeouts,
    child,
    current_ref,
    current_runtime,
    kill,
    open_supervisor,
    register,
    send_after,
    send_exit,
    send_interval,
    spawn,
    start,
    stop_nowait,
    whereis,
)
from tests.behaviours.stage import Puppet, Stage, crash, outcome_of, pause


class Labelled(Puppet):
    """Writes down under its label."""

    def __init__(self, label, diary):
        super().__init__(diary, label=label)


def children(diary, *labels, **options):
    return [child(Labelled, label, diary, id=label, **options) for label in labels]


async def short(seconds=1):
    await trio.sleep(seconds)


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


# ------------------------------------------------------------------------------------ giving up, failing


async def test_limit_leaves_the_block():
    """Past the restart limit `RestartLimitReached` leaves the block, caused by the last crash."""
    error = KeyError("last straw")
    with pytest.raises(RestartLimitReached) as caught:
        async with open_supervisor(max_restarts=0) as supervisor:
            ref = await supervisor.start(Puppet, id="x")
            send_exit(ref, Crashed(error))
            await trio.sleep_forever()

    assert error is caught.value.__cause__
    assert ("x", 0, 5.0) == (caught.value.child_id, caught.value.max_restarts, caught.value.period)
    assert "child 'x' ended once too often: more than 0 restarts within 5 s" in str(caught.value)


async def test_limit_while_the_block_waits():
    """The same after the body has ended."""

    async def worker():
        raise KeyError("again")

    with pytest.raises(RestartLimitReached) as caught:
        async with open_supervisor(max_restarts=3) as supervisor:
            await supervisor.start(worker)

    assert "KeyError('again')" == repr(caught.value.__cause__)


async def test_limit_while_the_body_calls():
    """A body that was in a call to the very child gets `RestartLimitReached`, not a group of consequences."""
    with pytest.raises(RestartLimitReached):
        async with open_supervisor(max_restarts=2) as supervisor:
            await supervisor.start(Puppet, name=Name("x"))
            for _ in range(100):
                await outcome_of(Puppet.ask(Name[Puppet]("x"), crash))
            await trio.sleep_forever()


async def test_limit_and_error_of_the_body():
    """Two problems of their own leave the block together."""
    with pytest.RaisesGroup(ValueError, RestartLimitReached):
        async with open_supervisor(max_restarts=0) as supervisor:
            kill(await supervisor.start(Puppet))
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("body")


async def test_auto_shutdown_is_no_error(autojump_clock):
    """An automatic shutdown ends the block like `shutdown`."""
    async with open_supervisor(auto_shutdown="any_significant") as supervisor:
        await supervisor.start(Puppet)
        await supervisor.start(short, 4, restart="temporary", significant=True)
        await trio.sleep_forever()

    assert 4 == trio.current_time()


class Failing(GenServer):
    def __init__(self):
        raise ValueError("cannot start")


async def test_children_do_not_start():
    """If one of the children does not start, the others are stopped in reverse order and `StartFailed` is raised."""
    diary = []
    before = trio.lowlevel.current_statistics().tasks_living
    with pytest.raises(StartFailed) as caught:
        async with open_supervisor([*children(diary, "a", "b"), child(Failing), *children(diary, "c")]):
            raise AssertionError("the body does not run")

    assert "Failing" == caught.value.child_id
    assert "ValueError('cannot start')" == repr(caught.value.__cause__)
    assert [("a", "init"), ("b", "init"), ("b", "terminate", SHUTDOWN), ("a", "terminate", SHUTDOWN)] == diary
    await trio.testing.wait_all_tasks_blocked()
    assert before == trio.lowlevel.current_statistics().tasks_living
    with pytest.raises(NoRuntime):
        current_runtime()


async def test_children_that_decline():
    """A child that declines to start is no error."""

    class Shy(GenServer):
        def __init__(self):
            raise Ignore

    async with open_supervisor([child(Shy)]) as supervisor:
        assert "stopped" == (await supervisor.which_children())[0].status


async def test_name_in_use_at_the_root():
    """Two trees know nothing of each other: both may use the same names."""
    name = Name("same")
    async with Stage(name=name) as outer:
        async with Stage(name=name) as inner:
            assert inner.ref is whereis(name)
            assert outer.ref is not inner.ref
        assert outer.ref is whereis(name)


# -------------------------------------------------------------------------------------- what is left


async def test_nothing_is_left():
    """Names, timers, monitors and processes of all kinds end with the block."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Puppet, name=Name("a"))
        other = spawn(trio.sleep_forever)
        register(Name("b"), other)
        send_after(100, ref, "late")
        timer = send_interval(1, other, "tick")
        runtime = current_runtime()

    assert {} == runtime.names()
    assert () == runtime.processes() == runtime.timers() == runtime.monitors() == runtime.links()
    assert not timer.active
    assert not other.alive


async def test_outside_of_the_block():
    """After the block there is no runtime, and nothing can be started."""
    async with Stage() as supervisor:
        handle = supervisor
    with pytest.raises(NoRuntime, match="needs a running supervision tree"):
        current_runtime()
    with pytest.raises(NoRuntime):
        spawn(trio.sleep_forever)
    with pytest.raises(NoProcess):
        await handle.which_children()
    with pytest.raises(NoProcess):
        stop_nowait(handle.address)
    handle.shutdown()


async def test_body_is_no_process():
    """The body of the block is no process of its own, whatever the code around it is."""
    seen = []

    async def process():
        async with Stage():
            seen.append(await outcome_of(name_of_self()))
        seen.append(current_ref())

    async with Stage():
        ref = spawn(process)
        await ref.wait()

    assert isinstance(seen[0], NotInProcess)
    assert ref is seen[1]


async def name_of_self():
    return current_ref()


# -------------------------------------------------------------------------------------------- misuse


async def test_twice():
    """A tree is opened once."""
    tree = open_supervisor()
    async with tree:
        pass
    with pytest.raises(RuntimeError, match="a supervision tree is opened once; call open_supervisor again"):
        async with tree:
            pass


async def test_while_open():
    """Nor can it be entered again while it is open, which it survives."""
    tree = open_supervisor()
    async with tree as supervisor:
        with pytest.raises(RuntimeError, match="opened once"):
            async with tree:
                pass
        assert () == await supervisor.which_children()


def test_plain_with():
    """`with` instead of `async with` is told what to write."""
    with (
        pytest.raises(RuntimeError, match=r"use 'async with open_supervisor\(\.\.\.\)', not 'with'"),
        open_supervisor(),
    ):
        pass


async def test_never_entered():
    """A tree that is never entered does nothing."""
    open_supervisor(children([], "a"))


async def test_timeouts_of_the_tree(autojump_clock):
    """`timeouts` are the limits of this tree."""
    async with Stage(timeouts=Timeouts(default=2)):
        ref = await start(Puppet)
        error = await outcome_of(Puppet.ask_async(ref, pause(3)))

    assert 2 == error.limit


async def test_ended_before_the_body():
    """If everything is over before the body has begun, the body is cancelled at its first checkpoint."""

    async def quick():
        pass

    reached = []
    async with open_supervisor(
        [child(quick, restart="temporary", significant=True)], auto_shutdown="any_significant"
    ) as supervisor:
        await supervisor.address.wait()
        reached.append(1)
        await trio.sleep_forever()

    assert len(reached) <= 1


async def test_failed_reason_of_a_child_is_kept():
    """The reason of a child that nobody restarts can be read from its ref after the tree is gone."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Puppet, restart="temporary")
        Puppet.tell(ref, lambda _server: Stop("why"))
        await ref.wait()

    assert Failed("why") == ref.exit_reason
