"""The name of a child that is being restarted, and who calls by it meanwhile."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    CallExited,
    CallTimeout,
    GenServer,
    Ignore,
    Name,
    NameTaken,
    NoProcess,
    StartFailed,
    Stop,
    Supervisor,
    SupervisorHandle,
    child,
    current_runtime,
    kill,
    register,
    send_nowait,
    spawn,
    start,
    stop,
    whereis,
)
from tests.behaviours.moody import CALM, NAME, Moody, crash_of
from tests.behaviours.stage import Puppet, Stage, note_outcome, outcome_of, pause

# --------------------------------------------------------------------------------------------- names


async def test_call_waits_for_the_next_incarnation(autojump_clock):
    """A call by name to a child that is being restarted waits, and reaches the next incarnation."""
    async with Stage(max_restarts=9) as supervisor:
        ref = await supervisor.start(Puppet, name=NAME, backoff=CALM)
        await crash_of(ref)

        assert None is whereis(NAME)
        assert {"x": None} == current_runtime().names()
        assert "there" == await Puppet.ask.within(60)(NAME, "there")
        assert 10 == trio.current_time()
        assert ref is not whereis(NAME)


async def test_waiting_call_has_its_limit(autojump_clock):
    """The wait for the next incarnation is part of the call's time."""
    async with Stage(max_restarts=9) as supervisor:
        await crash_of(await supervisor.start(Puppet, name=NAME, backoff=CALM))
        with pytest.raises(CallTimeout):
            await Puppet.ask.within(4)(NAME, "there")

        assert 4 == trio.current_time()
        await trio.sleep(20)
        assert "there" == await Puppet.ask(NAME, "there")


async def test_waiting_call_is_cancelled(autojump_clock):
    """A call that is cancelled while it waits for the next incarnation does not reach it."""
    async with Stage(max_restarts=9) as supervisor:
        diary = []
        await crash_of(await supervisor.start(Puppet, diary, name=NAME, backoff=CALM))
        with trio.move_on_after(3):
            await Puppet.ask(NAME, lambda server: server.note("asked"))
        await trio.sleep(30)

    assert "asked" not in diary


async def test_many_wait(autojump_clock):
    """All who wait are put through in the order of their coming."""
    diary = []
    async with Stage(max_restarts=9) as supervisor, trio.open_nursery() as nursery:
        await crash_of(await supervisor.start(Puppet, diary, name=NAME, backoff=CALM))
        for number in range(5):
            ask = Puppet.ask.within(60)(NAME, lambda server, number=number: server.note(number))
            nursery.start_soon(note_outcome, [], number, ask)
            await trio.testing.wait_all_tasks_blocked()

    assert ["init", "init", 0, 1, 2, 3, 4] == diary[:7]


async def test_nobody_can_take_the_name(autojump_clock):
    """The name of a child that is being restarted is kept for it."""
    async with Stage(max_restarts=9) as supervisor:
        await crash_of(await supervisor.start(Puppet, name=NAME, backoff=CALM))
        thief = spawn(trio.sleep_forever)
        with pytest.raises(NameTaken, match="name 'x' is taken by a child that <root#1> is restarting"):
            register(NAME, thief)
        with pytest.raises(NameTaken):
            spawn(trio.sleep_forever, name=NAME)
        with pytest.raises(NameTaken):
            await start(Puppet, name=NAME)
        assert isinstance(await outcome_of(supervisor.start(Puppet, name=NAME, id="other")), StartFailed)

        await trio.sleep(20)
        assert "there" == await Puppet.ask(NAME, "there")


async def test_send_and_cast_do_not_wait(autojump_clock):
    """What does not wait for an answer does not wait for an incarnation either."""
    async with Stage(max_restarts=9) as supervisor:
        await crash_of(await supervisor.start(Puppet, name=NAME, backoff=CALM))
        with pytest.raises(NoProcess):
            send_nowait(NAME, "hello")
        Puppet.tell(NAME, "hello")

        assert ["noproc"] == [letter.reason for letter in current_runtime().dead_letters]


async def test_name_of_a_stopped_child_is_free(autojump_clock):
    """A child that will not come back by itself has no name: calls fail at once, others may take it."""
    async with Stage() as supervisor:
        await supervisor.start(Puppet, name=NAME)
        await supervisor.terminate_child("x")
        with pytest.raises(NoProcess):
            await Puppet.ask(NAME, "there")
        other = spawn(trio.sleep_forever, name=NAME)

        assert other is whereis(NAME)
        with pytest.raises(StartFailed):
            await supervisor.restart_child("x")
        kill(other)
        await other.wait()
        assert (await supervisor.restart_child("x")) is whereis(NAME)


@pytest.mark.parametrize("way", ["terminate_child", "limit", "ignored"])
async def test_those_who_wait_fail_when_it_does_not_come_back(autojump_clock, way):
    """When the child is given up, those who wait for its name fail at once."""

    class Team(Supervisor):
        max_restarts = 1
        period = 1000

        def children(self):
            moods = {"limit": [None, KeyError()], "ignored": [None, Ignore()], "terminate_child": []}[way]
            return [child(Moody, moods, name=NAME, backoff=CALM)]

    diary = []
    async with Stage() as supervisor, trio.open_nursery() as nursery:
        team = SupervisorHandle(await supervisor.start(Team, restart="temporary"))
        await crash_of(whereis(NAME))
        nursery.start_soon(note_outcome, diary, "call", Puppet.ask.within(1000)(NAME, "there"))
        await trio.testing.wait_all_tasks_blocked()
        assert [] == diary
        if way == "terminate_child":
            await team.terminate_child("x")
        else:
            await trio.sleep(100)

    ((_, error),) = diary
    assert isinstance(error, NoProcess)


async def test_group_restart_keeps_all_names(autojump_clock):
    """While a group is restarted the names of all that will come back are kept."""
    diary = []

    class Slow(Puppet):
        async def init(self):
            await trio.sleep(3)

    class Team(Supervisor):
        strategy = "one_for_all"
        max_restarts = 9

        def children(self):
            return [child(Slow, id="slow"), child(Puppet, name=NAME)]

    async with Stage() as supervisor, trio.open_nursery() as nursery:
        team = SupervisorHandle(await supervisor.start(Team))
        begun = trio.current_time()
        await crash_of((await team.which_children())[0].ref)
        assert {"x": None} == current_runtime().names()
        nursery.start_soon(note_outcome, diary, "call", Puppet.ask(NAME, "there"))
        await trio.sleep(10)

        assert [("call", "there")] == diary
        assert 10 == trio.current_time() - begun


async def test_names_of_those_who_will_return(autojump_clock):
    """A group restart that fails half-way keeps the names of all that its next attempt will bring back."""

    class Team(Supervisor):
        strategy = "one_for_all"
        max_restarts = 9

        def children(self):
            return [child(Moody, [None, KeyError()], id="moody", backoff=CALM), child(Puppet, name=NAME)]

    async with Stage() as supervisor:
        await supervisor.start(Team)
        await crash_of(whereis(NAME))
        await trio.sleep(1)

        assert {"x": None} == current_runtime().names()
        assert "there" == await Puppet.ask.within(60)(NAME, "there")
        assert 10 == trio.current_time()


async def test_no_two_incarnations(autojump_clock):
    """Two incarnations of a child never overlap, however slowly the old one ends."""
    alive, most = [], []

    class Slow(Puppet):
        def init(self):
            alive.append(self)
            most.append(len(alive))

        async def terminate(self, reason):
            await trio.sleep(2)
            alive.remove(self)

    async with Stage(max_restarts=9) as supervisor:
        for _ in range(4):
            await Puppet.ask(await supervisor.start(Slow), None)
            Puppet.tell((await supervisor.which_children())[-1].ref, lambda _server: Stop("again"))
            await trio.sleep(5)
            await supervisor.terminate_child((await supervisor.which_children())[-1].id)

    assert {1} == set(most)


# ----------------------------------------------------------------------------------- a call in between


async def test_call_to_a_child_whose_init_hangs(autojump_clock):
    """A call by name during a slow restart waits for the end of the init, within its limit."""

    class Slow(GenServer):
        async def init(self):
            await trio.sleep(3)

    async with Stage(max_restarts=9) as supervisor:
        ref = await supervisor.start(Slow, name=Name[Slow]("slow"))
        await crash_of(ref)
        assert "starting" == whereis(Name("slow"))._process.status
        begun = trio.current_time()
        await stop(Name("slow"))

        assert 3 == trio.current_time() - begun


async def test_call_that_is_served_by_the_old_one():
    """A call that the old incarnation has in its mailbox fails with it; only calls made later wait."""
    diary = []
    async with Stage(max_restarts=9) as supervisor, trio.open_nursery() as nursery:
        ref = await supervisor.start(Puppet, name=NAME)
        Puppet.tell_async(ref, pause())
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(note_outcome, diary, "early", Puppet.ask(NAME, "early"))
        await trio.testing.wait_all_tasks_blocked()
        await crash_of(ref)

        assert "late" == await Puppet.ask(NAME, "late")
    assert isinstance(diary[0][1], CallExited)
