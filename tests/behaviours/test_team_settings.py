"""What is set for a whole tree or team: following the caller, and what calls do while a child is restarting."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    Backoff,
    CallTimeout,
    InvalidSpec,
    Name,
    NoProcess,
    Supervisor,
    SupervisorHandle,
    Timeouts,
    child,
    kill,
    start,
    stop,
    whereis,
)
from tests.behaviours.stage import Puppet, Stage, endless

NAME = Name[Puppet]("x")
LATER = Backoff(initial=10, jitter=0)


async def work(server):
    """Work for a while, and write down that it is done."""
    await trio.sleep(9)
    server.note("done")


class Following(Supervisor):
    """A team whose servers end their work with their callers."""

    follow_caller = True

    def __init__(self, diary):
        self.diary = diary

    def children(self):
        return [child(Puppet, self.diary, name=NAME), child(Inner, self.diary)]


class Inner(Supervisor):
    """A team in that team, which says nothing about it."""

    def __init__(self, diary):
        self.diary = diary

    def children(self):
        return [child(Puppet, self.diary, name=Name("deep"))]


@pytest.mark.parametrize("name", ["x", "deep"])
async def test_following_team(autojump_clock, name):
    """`follow_caller` of a supervisor holds for all servers below it, at any depth."""
    diary = []
    async with Stage() as supervisor:
        await supervisor.start(Following, diary)
        with pytest.raises(CallTimeout):
            await Puppet.ask_async.within(3)(Name[Puppet](name), endless)
        await trio.testing.wait_all_tasks_blocked()

        assert "alive" == await Puppet.ask(Name[Puppet](name), "alive")
    assert ("cancelled", 3, True) in diary


async def test_children_started_later_follow(autojump_clock):
    """It holds for children that are started later, too, and after a restart."""
    diary = []
    async with Stage() as supervisor:
        team = SupervisorHandle(await supervisor.start(Following, diary))
        ref = await team.start(Puppet, diary, id="late", name=Name("late"))
        kill(ref)
        await ref.wait()
        with pytest.raises(CallTimeout):
            await Puppet.ask_async.within(2)(Name[Puppet]("late"), endless)
        await trio.testing.wait_all_tasks_blocked()

    assert ("cancelled", 2, True) in diary


async def test_beside_a_following_team(autojump_clock):
    """It does not hold for servers beside the team."""
    diary = []
    async with Stage() as supervisor:
        await supervisor.start(Following, [])
        ref = await supervisor.start(Puppet, diary)
        with pytest.raises(CallTimeout):
            await Puppet.ask_async.within(3)(ref, work)
        await stop(ref, drain=True)

    assert "done" in diary


async def test_following_tree(autojump_clock):
    """`open_supervisor(follow_caller=True)` sets it for the whole tree."""
    diary = []
    async with Stage(follow_caller=True) as supervisor:
        ref = await supervisor.start(Puppet, diary)
        inner = SupervisorHandle(await supervisor.start(Inner, diary))
        assert 1 == len(await inner.which_children())
        for target in (ref, Name[Puppet]("deep")):
            with pytest.raises(CallTimeout):
                await Puppet.ask_async.within(3)(target, endless)
        await trio.testing.wait_all_tasks_blocked()

    assert 2 == diary.count(("cancelled", 3, True))


async def test_expired_in_a_following_team(autojump_clock):
    """A request to such a server that expires before it is started is dropped."""
    diary = []
    async with Stage(follow_caller=True) as supervisor:
        ref = await supervisor.start(Puppet, diary)
        busy = Puppet.ask_async.request(ref, work)
        with pytest.raises(CallTimeout):
            await Puppet.ask.within(2)(ref, lambda server: server.note("too late"))
        await busy.receive()

    assert "done" in diary
    assert "too late" not in diary


# ----------------------------------------------------------------------------------- while_restarting


async def down(supervisor):
    """A child that is waiting for its restart."""
    ref = await supervisor.start(Puppet, name=NAME, backoff=LATER)
    kill(ref)
    await ref.wait()
    await trio.testing.wait_all_tasks_blocked()


async def test_wait_is_the_default(autojump_clock):
    """A call by name waits for the next incarnation."""
    async with Stage(max_restarts=9) as supervisor:
        await down(supervisor)

        assert "there" == await Puppet.ask.within(60)(NAME, "there")
        assert 10 == trio.current_time()


async def test_fail_for_the_tree(autojump_clock):
    """With `while_restarting="fail"` in the timeouts of the tree it fails at once."""
    async with Stage(max_restarts=9, timeouts=Timeouts(while_restarting="fail")) as supervisor:
        await down(supervisor)
        with pytest.raises(NoProcess):
            await Puppet.ask(NAME, "there")

        assert 0 == trio.current_time()
        assert "there" == await Puppet.ask.while_restarting("wait").within(60)(NAME, "there")
        assert 10 == trio.current_time()


async def test_fail_for_a_call(autojump_clock):
    """A single client can be told so, and it composes with `within` in any order."""
    async with Stage(max_restarts=9) as supervisor:
        await down(supervisor)
        for client in (
            Puppet.ask.while_restarting("fail"),
            Puppet.ask.while_restarting("fail").within(60),
            Puppet.ask.within(60).while_restarting("fail"),
        ):
            with pytest.raises(NoProcess):
                await client(NAME, "there")
        with pytest.raises(NoProcess):
            await Puppet.ask.while_restarting("fail").request(NAME, "there").receive()

        assert 0 == trio.current_time()


async def test_fail_reaches_a_running_child():
    """The setting says nothing about a child that is there."""
    async with Stage() as supervisor:
        await supervisor.start(Puppet, name=NAME)

        assert "there" == await Puppet.ask.while_restarting("fail")(NAME, "there")
        assert None is not whereis(NAME)


def test_choice_is_checked():
    """There are two choices."""
    with pytest.raises(InvalidSpec, match="while_restarting='maybe': must be one of 'wait', 'fail'"):
        Puppet.ask.while_restarting("maybe")


async def test_unsupervised_servers_do_not_follow(autojump_clock):
    """A server without a supervisor is in no team."""
    diary = []
    async with Stage(follow_caller=True):
        ref = await start(Puppet, diary)
        with pytest.raises(CallTimeout):
            await Puppet.ask_async.within(3)(ref, work)
        await stop(ref, drain=True)

    assert "done" in diary
