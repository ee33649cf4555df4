"""simple_one_for_one: children that come and go without ids, with and without a template."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    KILLED,
    SHUTDOWN,
    ChildCount,
    ChildInfo,
    ChildNotFound,
    GenServer,
    Ignore,
    InvalidSpec,
    RestartLimitReached,
    StartFailed,
    StartIgnored,
    Stop,
    Supervisor,
    SupervisorHandle,
    child,
    kill,
    open_supervisor,
    send_exit,
    spawn,
    start,
    stop,
)
from tests.behaviours.dynamic import DYNAMIC, Worker
from tests.behaviours.stage import Puppet, Stage

# --------------------------------------------------------------------------------- without a template


async def test_any_child():
    """Without a template any specification may be started, the same factory many times."""
    async with Stage(**DYNAMIC) as supervisor:
        diary = []
        first = await supervisor.start(Worker, diary, "a")
        second = await supervisor.start(Worker, diary, "b", restart="temporary")
        third = await supervisor.start_child(child(trio.sleep_forever, id="ignored", kind="worker"))

        assert tuple(ChildInfo(None, ref, "running", "worker") for ref in (first, second, third)) == (
            await supervisor.which_children()
        )
        assert ChildCount(specs=3, active=3, supervisors=0, workers=3) == await supervisor.count_children()


async def test_extra_arguments_without_a_template():
    """Arguments alone are nothing without a template."""
    async with Stage(**DYNAMIC) as supervisor:
        with pytest.raises(InvalidSpec, match="must be a ChildSpec; only a simple_one_for_one template takes"):
            await supervisor.start_child(1, 2)


# ------------------------------------------------------------------------------------ with a template


async def test_template():
    """With a template `start_child` takes the arguments that come after those of the template."""
    diary = []
    async with Stage([child(Worker, diary, id="pattern")], **DYNAMIC) as supervisor:
        assert () == await supervisor.which_children()
        assert ChildCount(specs=1, active=0, supervisors=0, workers=0) == await supervisor.count_children()
        first = await supervisor.start_child("a")
        second = await supervisor.start_child("b", 1, 2)

        assert (1, 2) == await Puppet.ask(second, lambda server: server.more)
        assert [first, second] == [info.ref for info in await supervisor.which_children()]
        assert [("a", "init"), ("b", "init")] == diary
        assert ChildCount(specs=1, active=2, supervisors=0, workers=2) == await supervisor.count_children()


async def test_template_in_a_class():
    """A class-based supervisor gives its template from `children`."""
    diary = []

    class Pool(Supervisor):
        strategy = "simple_one_for_one"

        def children(self):
            return [child(Worker, diary, restart="temporary")]

    async with Stage() as supervisor:
        pool = SupervisorHandle(await supervisor.start(Pool))
        ref = await pool.start_child("x")
        await stop(ref)

        assert () == await pool.which_children()
    assert [("x", "init"), ("x", "terminate", Stop().reason)] == diary


async def test_template_takes_no_spec():
    """A supervisor with a template starts nothing else."""
    async with Stage([child(Worker, [])], **DYNAMIC) as supervisor:
        with pytest.raises(InvalidSpec, match="this supervisor has a template: give start_child its extra arguments"):
            await supervisor.start_child(child(Puppet))
        with pytest.raises(InvalidSpec, match="this supervisor has a template"):
            await supervisor.start(Puppet)


async def test_template_with_wrong_arguments():
    """Arguments that the factory does not take fail the start, nothing else."""
    async with Stage([child(Worker, [])], **DYNAMIC) as supervisor:
        with pytest.raises(StartFailed) as caught:
            await supervisor.start_child()

        assert isinstance(caught.value.__cause__, TypeError)
        assert () == await supervisor.which_children()


async def test_get_childspec():
    """The template is found by its id, a child's specification (with all its arguments) by its ref."""
    diary = []
    template = child(Worker, diary, id="pattern")
    async with Stage([template], **DYNAMIC) as supervisor:
        ref = await supervisor.start_child("a")

        assert template is await supervisor.get_childspec("pattern")
        assert (diary, "a") == (await supervisor.get_childspec(ref)).args
        with pytest.raises(ChildNotFound):
            await supervisor.get_childspec("other")


# ------------------------------------------------------------------------------------ ends, restarts


async def test_terminate_by_ref():
    """A dynamic child is terminated by its ref, and forgotten; again is no error, as in OTP."""
    diary = []
    async with Stage(**DYNAMIC) as supervisor:
        ref = await supervisor.start(Worker, diary, "a")
        await supervisor.terminate_child(ref)

        assert SHUTDOWN == ref.exit_reason
        assert () == await supervisor.which_children()
        await supervisor.terminate_child(ref)


async def test_terminate_strangers():
    """A living process that is no child cannot be terminated through the supervisor."""
    async with Stage(**DYNAMIC) as supervisor:
        stranger = spawn(trio.sleep_forever)
        for target in (stranger, supervisor.ref):
            with pytest.raises(ChildNotFound):
                await supervisor.terminate_child(target)

        assert stranger.alive


async def test_terminate_child_of_another_supervisor():
    """The child of another dynamic supervisor with the same number is not mistaken for one's own."""

    class Pool(Supervisor):
        strategy = "simple_one_for_one"

    async with Stage(**DYNAMIC) as supervisor:
        mine = await supervisor.start(Puppet)
        pool = SupervisorHandle(await start(Pool))
        other = await pool.start(Puppet)
        with pytest.raises(ChildNotFound):
            await pool.terminate_child(mine)
        with pytest.raises(ChildNotFound):
            await supervisor.terminate_child(other)

        assert mine.alive
        assert other.alive


async def test_restart():
    """A permanent dynamic child comes back with the same arguments, at the same place."""
    diary = []
    async with Stage(**DYNAMIC, max_restarts=5) as supervisor:
        first = await supervisor.start(Worker, diary, "a")
        second = await supervisor.start(Worker, diary, "b")
        send_exit(first, "boom")
        await first.wait()
        infos = await supervisor.which_children()

        assert 2 == len(infos)
        assert second is infos[1].ref
        assert first is not infos[0].ref
    assert 2 == diary.count(("a", "init"))


async def test_limit_names_the_factory():
    """A dynamic supervisor that gives up names the kind of child, as it has no id."""
    with pytest.raises(RestartLimitReached, match="child 'Puppet' ended once too often"):
        async with open_supervisor(**DYNAMIC, max_restarts=0) as supervisor:
            kill(await supervisor.start(Puppet))
            await trio.sleep_forever()


async def test_ignore_and_fail():
    """A dynamic child that declines or fails to start is forgotten."""

    class Moody(GenServer):
        def __init__(self, mood):
            if mood == "ignore":
                raise Ignore
            raise ValueError(mood)

    async with Stage([child(Moody)], **DYNAMIC) as supervisor:
        assert None is await supervisor.start_child("ignore")
        with pytest.raises(StartFailed, match="Moody failed to start"):
            await supervisor.start_child("bad")

        assert () == await supervisor.which_children()
    async with Stage(**DYNAMIC) as supervisor:
        with pytest.raises(StartIgnored):
            await supervisor.start(Moody, "ignore")


async def test_stop_at_once(autojump_clock):
    """Dynamic children are stopped all at the same time, each within its limit."""
    diary = []

    class Slow(Worker):
        async def terminate(self, reason):
            await super().terminate(reason)
            await trio.sleep(self.more[0])

    async with Stage(**DYNAMIC) as supervisor:
        refs = [await supervisor.start(Slow, diary, n, n, shutdown=limit) for n, limit in ((3, 10), (4, 2), (5, 10))]
    assert 5 == trio.current_time()
    assert [SHUTDOWN, KILLED, SHUTDOWN] == [ref.exit_reason for ref in refs]


async def test_spec_of_an_ended_child():
    """The ref of a child that is gone leads to the template that it was made from, as in OTP."""
    template = child(Worker, [], id="pattern", restart="temporary")
    async with Stage([template], **DYNAMIC) as supervisor:
        ref = await supervisor.start_child("a")
        await supervisor.terminate_child(ref)

        assert template is await supervisor.get_childspec(ref)
