"""Who is restarted with whom, how often, and which ends end the supervisor."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    AutoShutdown,
    Crashed,
    RestartLimitReached,
    Shutdown,
    Stop,
    Supervisor,
    SupervisorHandle,
    child,
    kill,
    send_exit,
    stop,
)
from tests.behaviours.stage import Puppet, Stage
from tests.behaviours.teams import refs, team_of

# ----------------------------------------------------------------------------------- restarting


@pytest.mark.parametrize(
    ("strategy", "gone"), [("one_for_one", {2}), ("rest_for_one", {2, 3}), ("one_for_all", {1, 2, 3})]
)
async def test_strategies(strategy, gone):
    """The strategy says who is restarted with a child that ended; the others are terminated in reverse order."""
    diary = []
    async with Stage() as supervisor:
        handle = SupervisorHandle(await supervisor.start(team_of(3, diary, strategy=strategy)))
        before = await refs(handle)
        del diary[:]
        send_exit(before[2], "boom")
        await before[2].wait()
        after = await refs(handle)

        assert gone == {number for number in before if before[number] is not after[number]}
        stops = [(number, "terminate", SHUTDOWN) for number in (3, 1) if number in gone]
        starts = [(number, "init") for number in sorted(gone)]
        assert [*stops, *starts] == diary


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize(
    ("reason", "normal"),
    [(NORMAL, True), (SHUTDOWN, True), (Shutdown("x"), True), (KILLED, False), (Crashed(ValueError()), False)],
    ids=str,
)
async def test_restart_types(restart, reason, normal):
    """permanent: always; transient: unless it ended normally; temporary: never, and forgotten."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Puppet, id="x", restart=restart)
        if reason == KILLED:
            kill(ref)
        else:
            Puppet.tell(ref, lambda _server: Stop(reason))
        assert reason == await ref.wait()
        infos = await supervisor.which_children()

    if restart == "temporary":
        assert () == infos
    else:
        restarted = restart == "permanent" or not normal
        assert [("running" if restarted else "stopped")] == [info.status for info in infos]
        assert restarted is (infos[0].ref not in {None, ref})


async def test_children_may_crash_while_others_work():
    """A restart is no business of the siblings' callers: their calls go through."""
    async with Stage(max_restarts=5) as supervisor, trio.open_nursery() as nursery:
        calm = await supervisor.start(Puppet, id="calm")
        wild = await supervisor.start(Puppet, id="wild")
        replies = []

        async def ask():
            replies.append(await Puppet.ask_async(calm, lambda _server: trio.testing.wait_all_tasks_blocked()))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        kill(wild)

    assert [None] == replies


async def test_limit(autojump_clock):
    """Past the limit a supervisor stops its children in reverse order; its reason carries the last crash."""
    diary = []
    error = ValueError("last")
    async with Stage() as supervisor:
        ref = await supervisor.start(team_of(3, diary, max_restarts=1), restart="temporary")
        handle = SupervisorHandle(ref)
        send_exit((await refs(handle))[2], Crashed(ValueError("first")))
        await trio.sleep(1)
        del diary[:]
        send_exit((await refs(handle))[2], Crashed(error))
        reason = await ref.wait()

    match reason:
        case Shutdown(RestartLimitReached(child_id=2, max_restarts=1, period=5.0) as limit):
            assert error is limit.__cause__
        case other:
            raise AssertionError(other)
    assert [(3, "terminate", SHUTDOWN), (1, "terminate", SHUTDOWN)] == diary


async def test_limit_slides(autojump_clock):
    """Restarts further apart than the period never reach the limit."""
    async with Stage(max_restarts=1, period=5) as supervisor:
        ref = await supervisor.start(Puppet, id="x")
        for _ in range(10):
            kill(ref)
            await trio.sleep(5.1)
            ((_, ref),) = (await refs(supervisor)).items()

        assert ref.alive


async def test_permanent_supervisor_is_restarted():
    """A supervisor that gave up is a child that ended: its own supervisor starts it, and all below it, again."""
    diary = []
    async with Stage() as supervisor:
        first = await supervisor.start(team_of(2, diary, max_restarts=0), id="team")
        kill((await refs(SupervisorHandle(first)))[1])
        await first.wait()
        ((_, second),) = (await refs(supervisor)).items()

        assert first is not second
        assert [1, 2] == list(await refs(SupervisorHandle(second)))


async def test_transient_supervisor_that_gave_up():
    """Giving up is a shutdown: a transient supervisor is not restarted for it, as in OTP."""
    async with Stage() as supervisor:
        team = await supervisor.start(team_of(1, max_restarts=0), id="team", restart="transient")
        kill((await refs(SupervisorHandle(team)))[1])
        await team.wait()

        assert "stopped" == (await supervisor.which_children())[0].status


# --------------------------------------------------------------------------------- automatic shutdown


@pytest.mark.parametrize(("mode", "ends_after"), [("any_significant", 1), ("all_significant", 2)])
async def test_auto_shutdown(mode, ends_after):
    """The end of any, or of the last, significant child ends the supervisor."""

    class Mission(Supervisor):
        auto_shutdown = mode

        def children(self):
            options = {"restart": "transient", "significant": True}
            return [child(Puppet, id=1, **options), child(Puppet, id=2, **options), child(Puppet, id="other")]

    async with Stage() as supervisor:
        ref = await supervisor.start(Mission, restart="temporary")
        children = await refs(SupervisorHandle(ref))
        for number in (1, 2)[:ends_after]:
            assert ref.alive
            await stop(children[number])
            await trio.testing.wait_all_tasks_blocked()

        assert Shutdown(AutoShutdown(ends_after)) == ref.exit_reason
        assert SHUTDOWN == children["other"].exit_reason
