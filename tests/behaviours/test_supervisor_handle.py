"""Starting, stopping, restarting and deleting children by request, with all the errors."""

import math

import pytest
import trio
import trio.testing

from nursery_otp import (
    SHUTDOWN,
    AlreadyPresent,
    AlreadyStarted,
    ChildCount,
    ChildInfo,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    Crashed,
    Failed,
    GenServer,
    Ignore,
    InvalidSpec,
    Name,
    NameTaken,
    StartFailed,
    StartIgnored,
    Stop,
    Supervisor,
    SupervisorHandle,
    child,
    send_exit,
    spawn,
    whereis,
)
from tests.behaviours.stage import Puppet, Stage


class Team(Supervisor):
    max_restarts = 100


class Moody(GenServer):
    """Starts well, fails or declines, as the list says; then as its last entry says."""

    def __init__(self, moods):
        mood = moods.pop(0) if len(moods) > 1 else moods[0]
        match mood:
            case "ignore":
                raise Ignore
            case "fail":
                raise ValueError("bad mood")
            case "stop":
                raise Stop("enough")


# -------------------------------------------------------------------------------------------- start


async def test_start_returns_when_init_is_over(autojump_clock):
    """`start` waits for the init and returns the child's ref; the child is listed."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Slow)

        assert 3 == trio.current_time()
        assert (ChildInfo("Slow", ref, "running", "worker"),) == await supervisor.which_children()


class Slow(GenServer):
    async def init(self):
        await trio.sleep(3)


async def test_start_with_options():
    """`start` takes the options of a child specification."""
    diary = []
    async with Stage() as supervisor:
        ref = await supervisor.start(Puppet, diary, id=("any", 1), name=Name("x"), restart="transient", shutdown=9)
        spec = await supervisor.get_childspec(("any", 1))

        assert (Puppet, (diary,), Name("x"), "transient", 9) == (
            spec.factory,
            spec.args,
            spec.name,
            spec.restart,
            spec.shutdown,
        )
        assert ref is whereis(Name("x"))


@pytest.mark.parametrize(("moods", "reason"), [(["fail"], "ValueError('bad mood')"), (["stop"], None)])
async def test_start_fails(moods, reason):
    """A failing init is `StartFailed` with the reason; the supervisor forgets the child."""
    async with Stage() as supervisor:
        with pytest.raises(StartFailed) as caught:
            await supervisor.start(Moody, moods)

        assert "Moody" == caught.value.child_id
        if reason is None:
            assert Failed("enough") == caught.value.reason
        else:
            assert reason == repr(caught.value.__cause__)
            assert Crashed(caught.value.__cause__) == caught.value.reason
        assert () == await supervisor.which_children()


async def test_start_ignored():
    """A child that declines is `StartIgnored` for `start`, None for `start_child`; a permanent one stays known."""
    async with Stage() as supervisor:
        with pytest.raises(StartIgnored, match="Moody declined to be started"):
            await supervisor.start(Moody, ["ignore"], id="first")
        assert None is await supervisor.start_child(child(Moody, ["ignore"], id="second"))
        with pytest.raises(StartIgnored):
            await supervisor.start(Moody, ["ignore"], id="third", restart="temporary")

        assert [("first", None, "stopped"), ("second", None, "stopped")] == [
            (info.id, info.ref, info.status) for info in await supervisor.which_children()
        ]


async def test_start_the_same_id():
    """An id in use: `AlreadyStarted` with the ref if the child runs, `AlreadyPresent` if it does not."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Puppet, id="x")
        with pytest.raises(AlreadyStarted) as started:
            await supervisor.start(Moody, ["fail"], id="x")
        assert ref is started.value.ref
        assert f"'x' is started already: {ref}" == str(started.value)

        await supervisor.terminate_child("x")
        with pytest.raises(AlreadyPresent) as present:
            await supervisor.start(Puppet, id="x")
        assert "x" == present.value.child_id
        assert "child 'x' is known to the supervisor but does not run; use restart_child or delete_child" == str(
            present.value
        )


async def test_start_makes_ids():
    """Without an id the child is called after its name or its factory, and made unique."""
    async with Stage() as supervisor:
        for options in ({}, {}, {"name": Name("fred")}, {}, {"id": "Puppet-5"}, {}, {}):
            await supervisor.start(Puppet, **options)
        infos = await supervisor.which_children()

    ids = [info.id for info in infos]
    assert ["Puppet", "Puppet-2", "fred", "Puppet-3", "Puppet-5", "Puppet-4"] == ids[:6]
    assert 7 == len(set(ids))


async def test_start_with_a_name_in_use():
    """A child whose name is taken does not start; the holder is unharmed."""
    async with Stage() as supervisor:
        holder = spawn(trio.sleep_forever, name=Name("taken"))
        with pytest.raises(StartFailed) as caught:
            await supervisor.start(Puppet, name=Name("taken"))

        cause = caught.value.__cause__
        assert isinstance(cause, AlreadyStarted | NameTaken)
        assert "taken" in str(cause)
        assert holder is whereis(Name("taken"))
        assert () == await supervisor.which_children()


async def test_start_child_takes_a_spec():
    """`start_child` starts from a specification that can be used again under another supervisor."""
    spec = child(Puppet, [], id="x")
    async with Stage() as supervisor:
        first = await supervisor.start_child(spec)
        team = SupervisorHandle(await supervisor.start(Team))
        second = await team.start_child(spec)

        assert first is not second
        assert spec is await supervisor.get_childspec("x")
        assert spec is await team.get_childspec("x")


@pytest.mark.parametrize("arguments", [(), (5,), (Puppet,), (child(Puppet), child(Puppet))])
async def test_start_child_without_a_spec(arguments):
    """A static supervisor wants one child specification."""
    async with Stage() as supervisor:
        with pytest.raises(InvalidSpec, match="must be a ChildSpec"):
            await supervisor.start_child(*arguments)

        assert supervisor.ref.alive


async def test_start_significant():
    """A significant child is refused by a supervisor that never shuts down automatically."""
    async with Stage() as supervisor:
        with pytest.raises(InvalidSpec, match="significant=True: the supervisor's auto_shutdown is 'never'"):
            await supervisor.start(Puppet, restart="temporary", significant=True)


# --------------------------------------------------------------------- terminate, restart, delete


async def test_terminate_child():
    """A terminated child runs its terminate, is not restarted, and stays known; again is no error."""
    diary = []
    async with Stage() as supervisor:
        ref = await supervisor.start(Puppet, diary, id="x")
        await supervisor.terminate_child("x")

        assert SHUTDOWN == ref.exit_reason
        assert ["init", ("terminate", SHUTDOWN)] == diary
        assert (ChildInfo("x", None, "stopped", "worker"),) == await supervisor.which_children()
        await supervisor.terminate_child("x")


async def test_terminate_temporary_child():
    """A terminated temporary child is forgotten."""
    async with Stage() as supervisor:
        await supervisor.start(Puppet, id="x", restart="temporary")
        await supervisor.terminate_child("x")

        assert () == await supervisor.which_children()
        with pytest.raises(ChildNotFound):
            await supervisor.terminate_child("x")


async def test_terminate_by_ref():
    """A static supervisor knows its children by id, not by ref."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Puppet)
        with pytest.raises(ChildNotFound, match="is not a child of this supervisor"):
            await supervisor.terminate_child(ref)

        assert ref.alive


@pytest.mark.parametrize("method", ["terminate_child", "restart_child", "delete_child", "get_childspec"])
async def test_unknown_child(method):
    """A child that is not there is `ChildNotFound`."""
    async with Stage() as supervisor:
        with pytest.raises(ChildNotFound) as caught:
            await getattr(supervisor, method)("nobody")

        assert "nobody" == caught.value.child_id
        assert "child 'nobody' is not a child of this supervisor" == str(caught.value)


@pytest.mark.parametrize("method", ["terminate_child", "restart_child", "delete_child", "get_childspec"])
async def test_unhashable_id(method):
    """What cannot be an id is refused, and harms nobody."""
    async with Stage() as supervisor:
        await supervisor.start(Puppet)
        with pytest.raises(InvalidSpec, match=r"id=.*must be hashable"):
            await getattr(supervisor, method)(["x"])

        assert 1 == (await supervisor.count_children()).active


async def test_restart_child():
    """A stopped child is started again from its specification, as a new incarnation."""
    diary = []
    async with Stage() as supervisor:
        ref = await supervisor.start(Puppet, diary, id="x")
        await supervisor.terminate_child("x")
        new = await supervisor.restart_child("x")

        assert new is not ref
        assert new.alive
        assert ["init", ("terminate", SHUTDOWN), "init"] == diary
        with pytest.raises(ChildRunning, match="child 'x' is running; terminate it first"):
            await supervisor.restart_child("x")


async def test_restart_child_fails():
    """A restart that fails is `StartFailed`, one that is declined None; the child stays stopped and known."""
    async with Stage() as supervisor:
        await supervisor.start(Moody, ["good", "fail", "ignore", "good"], id="x")
        await supervisor.terminate_child("x")
        with pytest.raises(StartFailed) as caught:
            await supervisor.restart_child("x")

        assert "x" == caught.value.child_id
        assert "stopped" == (await supervisor.which_children())[0].status
        assert None is await supervisor.restart_child("x")
        assert "stopped" == (await supervisor.which_children())[0].status
        assert (await supervisor.restart_child("x")).alive


async def test_delete_child():
    """A stopped child can be deleted; then its id is free. A running one cannot."""
    async with Stage() as supervisor:
        await supervisor.start(Puppet, id="x")
        with pytest.raises(ChildRunning):
            await supervisor.delete_child("x")
        await supervisor.terminate_child("x")
        await supervisor.delete_child("x")

        assert () == await supervisor.which_children()
        await supervisor.start(Puppet, id="x")


@pytest.mark.parametrize("method", ["restart_child", "delete_child"])
async def test_while_restarting(method):
    """A child whose restart keeps failing can neither be restarted nor deleted, only terminated."""
    async with Stage(max_restarts=math.inf) as supervisor:
        ref = await supervisor.start(Moody, ["good", "fail"], id="x")
        send_exit(ref, "boom")
        await ref.wait()
        with pytest.raises(ChildRestarting) as caught:
            await getattr(supervisor, method)("x")

        assert "child 'x' is being restarted; terminate_child ends that" == str(caught.value)
        assert (ChildInfo("x", None, "restarting", "worker"),) == await supervisor.which_children()
        assert ChildCount(specs=1, active=0, supervisors=0, workers=1) == await supervisor.count_children()
        with pytest.raises(AlreadyPresent):
            await supervisor.start(Puppet, id="x")
        await supervisor.terminate_child("x")
        assert (ChildInfo("x", None, "stopped", "worker"),) == await supervisor.which_children()
        await supervisor.delete_child("x")
