"""How a tree that fails leaves its block, what is left after it, and how it can be misused."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    SHUTDOWN,
    Crashed,
    Failed,
    GenServer,
    Ignore,
    Name,
    NoProcess,
    NoRuntime,
    NotInProcess,
    RestartLimitReached,
    StartFailed,
    Stop,
    Supervisor,
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
from tests.behaviours.labelled import children, short
from tests.behaviours.stage import Puppet, Stage, crash, outcome_of, pause

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


async def test_limit_of_the_normal():
    """A function that comes to its end, as a child that must not, is told apart from one that crashes."""

    async def job():
        """Done at once."""

    with pytest.raises(RestartLimitReached, match=r'though it did not crash: .* \(restart="transient"') as caught:
        async with open_supervisor([child(job)]):
            await trio.sleep_forever()
    assert caught.value.in_peace
    assert caught.value.__cause__ is None


async def test_limit_of_a_nested_supervisor():
    """A supervisor that gives up has ended because of a crash, however orderly it did so."""

    async def worker():
        raise KeyError("again")

    class Below(Supervisor):
        def children(self):
            return [child(worker)]

    with pytest.raises(RestartLimitReached) as caught:
        async with open_supervisor([child(Below)], max_restarts=0):
            await trio.sleep_forever()
    assert not caught.value.in_peace
    assert isinstance(caught.value.__cause__, RestartLimitReached)


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
