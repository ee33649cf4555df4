"""simple_one_for_one: children that come and go without ids, with and without a template, up to a number."""

import math

import pytest
import trio
import trio.testing

from nursery_otp import (
    KILLED,
    SHUTDOWN,
    Backoff,
    CallExited,
    ChildCount,
    ChildInfo,
    ChildNotFound,
    Failed,
    GenServer,
    Ignore,
    InvalidSpec,
    MaxChildrenReached,
    Name,
    RestartLimitReached,
    StartFailed,
    StartIgnored,
    Stop,
    Supervisor,
    SupervisorHandle,
    child,
    current_runtime,
    kill,
    open_supervisor,
    send_exit,
    spawn,
    start,
    stop,
)
from tests.behaviours.stage import Puppet, Stage, note_outcome, outcome_of

DYNAMIC = {"strategy": "simple_one_for_one"}


class Worker(Puppet):
    """Writes down under its label."""

    def __init__(self, diary, label, *more):
        super().__init__(diary, label=label)
        self.more = more


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


# ------------------------------------------------------------------------------------- max_children


async def test_full():
    """At the limit a start fails at once; a place that is free again can be taken."""
    async with Stage(**DYNAMIC, max_children=2) as supervisor:
        first = await supervisor.start(Puppet)
        await supervisor.start(Puppet)
        with pytest.raises(MaxChildrenReached) as caught:
            await supervisor.start(Puppet)

        assert 2 == caught.value.limit
        assert "the supervisor has all the children it may have: max_children=2" == str(caught.value)
        await supervisor.terminate_child(first)
        await supervisor.start(Puppet)
        assert 2 == (await supervisor.count_children()).active


async def test_full_with_template():
    """The limit holds for children from a template, too, and `start_child` can wait as well."""
    diary = []
    async with Stage([child(Worker, diary)], **DYNAMIC, max_children=1) as supervisor, trio.open_nursery() as nursery:
        first = await supervisor.start_child("a")
        with pytest.raises(MaxChildrenReached):
            await supervisor.start_child("b")

        async def wait():
            await supervisor.start_child("c", when_full="wait")

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await supervisor.terminate_child(first)
    assert ("c", "init") in diary
    assert ("b", "init") not in diary


async def test_a_restarting_child_keeps_its_place(autojump_clock):
    """A child that is being restarted still counts."""
    async with Stage(**DYNAMIC, max_children=1, max_restarts=5) as supervisor:
        ref = await supervisor.start(Puppet, backoff=Backoff(initial=10, jitter=0))
        kill(ref)
        await ref.wait()
        with pytest.raises(MaxChildrenReached):
            await supervisor.start(Puppet)
        await trio.sleep(11)
        assert 1 == (await supervisor.count_children()).active


async def waiting_starts(supervisor, nursery, diary, labels):
    """Starts that wait for a place, one after the other; a cancel scope for each."""
    scopes = {}
    for label in labels:
        scope = scopes[label] = trio.CancelScope()

        async def wait(label=label, scope=scope):
            with scope:
                await note_outcome(diary, label, supervisor.start(Puppet, when_full="wait", restart="temporary"))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
    return scopes


async def test_waiting_in_order():
    """Those who wait for a place get it in the order of their coming."""
    diary = []
    async with Stage(**DYNAMIC, max_children=1) as supervisor, trio.open_nursery() as nursery:
        ref = await supervisor.start(Puppet, restart="temporary")
        await waiting_starts(supervisor, nursery, diary, "abc")
        for expected in (1, 2, 3):
            assert [] == diary[expected - 1 :]
            await supervisor.terminate_child(ref)
            await trio.testing.wait_all_tasks_blocked()
            _, ref = diary[-1]

    assert ["a", "b", "c"] == [label for label, _ in diary]


async def test_waiting_is_served_after_an_end():
    """A place is free whatever way a child leaves it."""
    diary = []
    async with Stage(**DYNAMIC, max_children=1) as supervisor, trio.open_nursery() as nursery:
        ref = await supervisor.start(Puppet, restart="temporary")
        await waiting_starts(supervisor, nursery, diary, "abc")
        kill(ref)
        await trio.testing.wait_all_tasks_blocked()
        await stop(diary[0][1])
        await trio.testing.wait_all_tasks_blocked()
        Puppet.tell(diary[1][1], lambda _server: Stop("x"))

    assert ["a", "b", "c"] == [label for label, _ in diary]


async def test_waiter_cancelled():
    """Who is cancelled while waiting gets no child; the next in line does."""
    diary = []
    async with Stage(**DYNAMIC, max_children=1) as supervisor, trio.open_nursery() as nursery:
        ref = await supervisor.start(Puppet, restart="temporary")
        scopes = await waiting_starts(supervisor, nursery, diary, "abc")
        scopes["a"].cancel()
        scopes["b"].cancel()
        await trio.testing.wait_all_tasks_blocked()
        await supervisor.terminate_child(ref)
        await trio.testing.wait_all_tasks_blocked()

        assert ["c"] == [label for label, _ in diary]
        assert 1 == (await supervisor.count_children()).active
        assert 2 == len(current_runtime().processes())


async def test_only_waiter_cancelled():
    """A place for which nobody waits any more stays free."""
    diary = []
    async with Stage(**DYNAMIC, max_children=1) as supervisor, trio.open_nursery() as nursery:
        ref = await supervisor.start(Puppet, restart="temporary")
        (await waiting_starts(supervisor, nursery, diary, "a"))["a"].cancel()
        await trio.testing.wait_all_tasks_blocked()
        await supervisor.terminate_child(ref)
        await trio.testing.wait_all_tasks_blocked()

        assert () == await supervisor.which_children()
        await supervisor.start(Puppet)
    assert [] == diary


@pytest.mark.parametrize("way", ["shutdown", "kill"])
async def test_supervisor_ends_while_somebody_waits(way):
    """If the supervisor ends, who waits for a place learns its reason."""
    diary = []

    class Pool(Supervisor):
        strategy = "simple_one_for_one"
        max_children = 1

    async with Stage() as supervisor, trio.open_nursery() as nursery:
        pool = SupervisorHandle(await supervisor.start(Pool, restart="temporary"))
        ref = pool.ref
        await pool.start(Puppet)
        await waiting_starts(pool, nursery, diary, "ab")
        kill(ref) if way == "kill" else pool.shutdown("closed")

    reason = KILLED if way == "kill" else Failed("closed")
    assert [("a", CallExited, reason), ("b", CallExited, reason)] == sorted(
        (label, type(error), error.reason) for label, error in diary
    )


async def test_waiting_start_fails():
    """A start that had to wait and then fails gives its place to the next."""
    diary = []

    class Bad(GenServer):
        def __init__(self):
            raise ValueError("bad")

    async with Stage(**DYNAMIC, max_children=1) as supervisor, trio.open_nursery() as nursery:
        ref = await supervisor.start(Puppet, restart="temporary")
        nursery.start_soon(note_outcome, diary, "bad", supervisor.start(Bad, when_full="wait"))
        await trio.testing.wait_all_tasks_blocked()
        await waiting_starts(supervisor, nursery, diary, "a")
        await supervisor.terminate_child(ref)

    assert {"bad", "a"} == {label for label, _ in diary}
    assert isinstance(dict(diary)["bad"], StartFailed)
    assert "alive" == ("alive" if not isinstance(dict(diary)["a"], Exception) else dict(diary)["a"])


async def test_block_waits_for_those_who_wait():
    """The block of the tree does not end while somebody waits for a place in it."""
    diary = []

    async def short():
        await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        async with open_supervisor(**DYNAMIC, max_children=1) as supervisor:
            await supervisor.start(short, restart="temporary")

            async def wait(label):
                await note_outcome(diary, label, supervisor.start(short, when_full="wait", restart="temporary"))

            nursery.start_soon(wait, "a")
            nursery.start_soon(wait, "b")
            await trio.testing.wait_all_tasks_blocked(0.001)
        diary.append("left")

    assert "left" == diary[-1]
    assert 3 == len(diary)


async def test_nobody_may_be_child():
    """max_children=0: nobody fits, ever."""
    async with Stage(**DYNAMIC, max_children=0) as supervisor:
        assert isinstance(await outcome_of(supervisor.start(Puppet)), MaxChildrenReached)


@pytest.mark.parametrize("choice", ["maybe", None, True])
async def test_when_full_is_checked(choice):
    """What to do when it is full is one of two words."""
    async with Stage(**DYNAMIC, max_children=math.inf) as supervisor:
        with pytest.raises(InvalidSpec, match=r"when_full=.*must be one of 'fail', 'wait'"):
            await supervisor.start(Puppet, when_full=choice)
        with pytest.raises(InvalidSpec, match="when_full="):
            await supervisor.start_child(child(Puppet), when_full=choice)


async def test_names_of_dynamic_children():
    """Dynamic children may have names."""
    async with Stage(**DYNAMIC, max_restarts=3) as supervisor:
        name = Name[Puppet]("only")
        ref = await supervisor.start(Puppet, name=name)
        assert isinstance(await outcome_of(supervisor.start(Puppet, name=name)), StartFailed)
        kill(ref)
        await ref.wait()

        assert "back" == await Puppet.ask(name, "back")
