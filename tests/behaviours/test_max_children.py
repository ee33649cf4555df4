"""A limited number of dynamic children, and those who wait for a place."""

import math

import pytest
import trio
import trio.testing

from nursery_otp import (
    KILLED,
    Backoff,
    CallExited,
    Failed,
    GenServer,
    InvalidSpec,
    MaxChildrenReached,
    Name,
    StartFailed,
    Stop,
    Supervisor,
    SupervisorHandle,
    child,
    current_runtime,
    kill,
    open_supervisor,
    stop,
)
from tests.behaviours.dynamic import DYNAMIC, Worker
from tests.behaviours.stage import Puppet, Stage, note_outcome, outcome_of

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
            await trio.testing.wait_all_tasks_blocked()
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
