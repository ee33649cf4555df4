"""The known failures of other actor libraries, each as a test that this one does not repeat it."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    NORMAL,
    CallExited,
    CallTimeout,
    Down,
    Failed,
    GenServer,
    Later,
    Name,
    RestartLimitReached,
    Shutdown,
    StartFailed,
    Stop,
    Supervisor,
    SupervisorHandle,
    call,
    cast,
    child,
    current_ref,
    current_runtime,
    get_state,
    kill,
    mailbox,
    monitor,
    open_supervisor,
    send_nowait,
    spawn,
    start,
    stop,
)


class Fragile(GenServer):
    """A server that can be told to do all the wrong things."""

    def __init__(self, alive=None):
        self.alive = alive
        if alive is not None:
            alive.append(self)
        self.handled = []

    @call
    async def crash(self):
        raise KeyError("in the handler")

    @call
    async def work(self, seconds):
        await trio.sleep(seconds)
        self.handled.append(seconds)
        return seconds

    @call
    def ping(self):
        return "pong"

    @call
    def forget(self):
        return Later().pending()

    @cast
    def fail(self):
        raise KeyError("in a cast")

    @cast
    def leave(self):
        return Stop()


async def test_call_to_a_crashing_server_returns_at_once(autojump_clock):
    """Elsewhere: the caller of a handler that crashes waits out its timeout, or for ever."""
    async with open_supervisor() as supervisor:
        ref = await supervisor.start(Fragile)
        with pytest.raises(CallExited) as caught:
            await Fragile.crash.within(1000)(ref)
        supervisor.shutdown()

    assert 0 == trio.current_time()
    assert "KeyError('in the handler')" == repr(caught.value.__cause__)


async def test_queued_calls_of_a_crashing_server_return_at_once(autojump_clock):
    """Elsewhere: calls that wait in the mailbox of a server that crashes are forgotten with it."""
    causes = []
    async with open_supervisor() as supervisor:
        ref = await supervisor.start(Fragile)
        Fragile.fail(ref)
        for request in [Fragile.ping.request(ref) for _ in range(10)]:
            with pytest.raises(CallExited) as caught:
                await request.receive(within=1000)
            causes.append(repr(caught.value.__cause__))
        supervisor.shutdown()

    assert 0 == trio.current_time()
    assert ["KeyError('in a cast')"] * 10 == causes


async def test_init_failure_keeps_its_own_error():
    """Elsewhere: the exception of an init is replaced by a broken channel, a timeout, or an error about the error."""
    error = OSError(2, "no such device")

    class Driver(GenServer):
        async def init(self):
            await trio.lowlevel.checkpoint()
            raise error

    class Team(Supervisor):
        def children(self):
            return [child(Driver)]

    async with open_supervisor() as supervisor:
        for begin in (supervisor.start, start):
            with pytest.raises(StartFailed) as caught:
                await begin(Driver)
            assert error is caught.value.__cause__
        with pytest.raises(StartFailed) as caught:
            await supervisor.start(Team)
        assert error is caught.value.reason.detail.reason.error
    with pytest.raises(StartFailed) as caught:
        async with open_supervisor([child(Driver)]):
            pass
    assert error is caught.value.__cause__


async def test_init_failure_does_not_cancel_the_caller():
    """Elsewhere: a failing init cancels the scope of whoever started it, or leaks a task of the dead server."""
    async with open_supervisor() as supervisor:
        neighbour = await supervisor.start(Fragile)
        with pytest.raises(StartFailed):
            await supervisor.start(Fragile, "wrong", "arguments", id="second")

        assert "pong" == await Fragile.ping(neighbour)
        assert (supervisor.ref, neighbour) == current_runtime().processes()
        supervisor.shutdown()


async def test_callers_timeout_never_hurts_the_server(autojump_clock):
    """Elsewhere: the reply to a caller that has given up crashes the server, or is taken for the next reply."""
    async with open_supervisor() as supervisor:
        ref = await supervisor.start(Fragile)
        with pytest.raises(CallTimeout):
            await Fragile.work.within(1)(ref, 3)
        with trio.move_on_after(1):
            await Fragile.work(ref, 3)

        assert "pong" == await Fragile.ping.within(60)(ref)
        assert 6 == trio.current_time()
        assert [3, 3] == (await get_state(ref)).handled
        assert {} == current_runtime().ledger().dead_lettered
        supervisor.shutdown()


async def test_late_reply_is_not_a_message(autojump_clock):
    """Elsewhere: the late reply lies in the caller's mailbox, where it is mistaken for something else."""
    seen = []

    async def caller(ref):
        with pytest.raises(CallTimeout):
            await Fragile.work.within(1)(ref, 3)
        await trio.sleep(10)
        seen.append(mailbox().statistics().sent)

    async with open_supervisor() as supervisor:
        ref = await supervisor.start(Fragile)
        await spawn(caller, ref).wait()
        supervisor.shutdown()

    assert [0] == seen


async def test_restart_intensity_belongs_to_the_supervisor(autojump_clock):
    """Elsewhere: each child has a counter of its own, so that a team may crash for ever, one after the other."""

    class Team(Supervisor):
        max_restarts = 2

        def children(self):
            return [child(Fragile, id=number) for number in range(3)]

    async with open_supervisor() as supervisor:
        ref = await supervisor.start(Team, restart="temporary")
        team = SupervisorHandle(ref)
        for number in range(3):
            assert ref.alive
            kill((await team.which_children())[number].ref)
            await trio.sleep(0.1)

        assert isinstance(ref.exit_reason, Shutdown)
        assert isinstance(ref.exit_reason.detail, RestartLimitReached)
        assert 2 == ref.exit_reason.detail.child_id
        supervisor.shutdown()


async def test_restart_intensity_is_not_reset_by_success(autojump_clock):
    """Elsewhere: a counter that a successful restart resets never reaches its limit."""
    with pytest.raises(RestartLimitReached):
        async with open_supervisor(max_restarts=3, period=10) as supervisor:
            name = Name[Fragile]("x")
            await supervisor.start(Fragile, name=name)
            for _ in range(5):
                assert "pong" == await Fragile.ping(name)
                Fragile.fail(name)
                await trio.sleep(1)

    assert trio.current_time() < 5


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_temporary_crash_leaves_the_rest_alone(strategy):
    """Elsewhere: the crash of a child that nobody restarts cancels the nursery of its siblings."""
    async with open_supervisor(strategy=strategy, max_restarts=0) as supervisor:
        first = await supervisor.start(Fragile, id=1)
        wild = await supervisor.start(Fragile, id=2, restart="temporary")
        last = await supervisor.start(Fragile, id=3)
        with pytest.raises(CallExited):
            await Fragile.crash(wild)

        assert ("pong", "pong") == (await Fragile.ping(first), await Fragile.ping(last))
        assert [1, 3] == [info.id for info in await supervisor.which_children()]
        supervisor.shutdown()


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
async def test_no_two_incarnations_overlap(autojump_clock, strategy):
    """Elsewhere: the new incarnation starts while the old one is still cleaning up, and both hold the resource."""
    alive, most = [], []

    class Holder(Fragile):
        def __init__(self):
            super().__init__(alive)
            most.append(len(alive))

        async def terminate(self, reason):
            await trio.sleep(3)
            alive.remove(self)

    async with open_supervisor(strategy=strategy, max_restarts=99) as supervisor:
        name = Name[Fragile]("holder")
        await supervisor.start(Holder, name=name)
        other = await supervisor.start(Fragile, id="other")
        for _ in range(5):
            Fragile.fail(name)
            if strategy == "one_for_all":
                kill(other)
            await trio.sleep(10)
            other = (await supervisor.which_children())[1].ref
        supervisor.shutdown()

    assert 6 <= len(most)
    assert {1} == set(most)


async def test_normal_stop_while_a_reply_is_owed_fails_the_caller(autojump_clock):
    """Elsewhere: a server that stops normally leaves the callers it owes a reply waiting for ever."""
    errors = []

    async def ask(ref):
        with pytest.raises(CallExited) as caught:
            await Fragile.forget.within(1000)(ref)
        errors.append(caught.value.reason)

    async with open_supervisor() as supervisor, trio.open_nursery() as nursery:
        for end in (stop, leave):
            ref = await supervisor.start(Fragile, restart="temporary")
            nursery.start_soon(ask, ref)
            await trio.testing.wait_all_tasks_blocked()
            await end(ref)
            await ref.wait()
        supervisor.shutdown()

    assert [NORMAL, NORMAL] == errors
    assert 0 == trio.current_time()


async def leave(ref):
    Fragile.leave(ref)


async def test_down_comes_after_the_last_message():
    """Elsewhere: the news of a process's end overtakes what it had sent."""
    seen = []

    async def talker(target):
        for number in range(3):
            send_nowait(target, number)
        raise Stop("done")

    async def listener():
        ref = spawn(talker, current_ref())
        watch = monitor(ref)
        async for message in mailbox():
            seen.append(message)
            if isinstance(message, Down):
                assert Down(watch, ref, Failed("done")) == message
                return

    async with open_supervisor():
        await spawn(listener).wait()

    assert [0, 1, 2] == seen[:3]
    assert 4 == len(seen)


async def test_stop_is_not_stuck_behind_the_mailbox():
    """Elsewhere: a stop is one more message behind ten thousand others."""
    handled = []

    class Counting(GenServer):
        @cast
        def note(self, number):
            handled.append(number)

    async with open_supervisor() as supervisor:
        ref = await supervisor.start(Counting, restart="temporary")
        for number in range(10_000):
            Counting.note(ref, number)
        await stop(ref)
        supervisor.shutdown()

    assert [] == handled


async def test_kill_is_not_swallowed_by_the_handler():
    """Elsewhere: a handler with `except Exception` swallows the cancellation by which it is to be ended."""

    caught_inside = []

    class Careful(GenServer):
        @call
        async def work(self):
            for _ in range(100):
                try:
                    await trio.sleep_forever()
                except Exception as error:
                    caught_inside.append(error)

    async with open_supervisor(max_restarts=3) as supervisor:
        ref = await supervisor.start(Careful)
        request = Careful.work.request(ref)
        await trio.testing.wait_all_tasks_blocked()
        kill(ref)
        with pytest.raises(CallExited):
            await request.receive()
        supervisor.shutdown()

    assert [] == caught_inside


async def test_names_survive_a_restart():
    """Elsewhere: after a restart the name is gone, or still means the dead incarnation."""
    async with open_supervisor(max_restarts=9) as supervisor:
        name = Name[Fragile]("x")
        await supervisor.start(Fragile, name=name)
        for _ in range(5):
            with pytest.raises(CallExited):
                await Fragile.crash(name)
            assert "pong" == await Fragile.ping(name)
        supervisor.shutdown()
