"""Looking at children, and asking supervisors that are gone, are none, or have no ids."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    CallExited,
    ChildCount,
    ChildInfo,
    Failed,
    GenServer,
    InvalidSpec,
    Name,
    NoProcess,
    NotForDynamic,
    Supervisor,
    SupervisorHandle,
    child,
    current_runtime,
    kill,
    open_supervisor,
    spawn,
    whereis,
)
from tests.behaviours.stage import Puppet, Stage, outcome_of


class Team(Supervisor):
    max_restarts = 100


# ------------------------------------------------------------------------------------------- looking


async def test_which_and_count():
    """Children in start order, with what they are; the count tells the living and the kinds."""
    async with Stage() as supervisor:
        b = await supervisor.start(Puppet, id="b")
        a = await supervisor.start(Team, id="a")
        await supervisor.start(Puppet, id="c")
        await supervisor.terminate_child("c")

        assert (
            ChildInfo("b", b, "running", "worker"),
            ChildInfo("a", a, "running", "supervisor"),
            ChildInfo("c", None, "stopped", "worker"),
        ) == await supervisor.which_children()
        assert ChildCount(specs=3, active=2, supervisors=1, workers=2) == await supervisor.count_children()


async def test_get_childspec():
    """The specification is the one that was given, completed by its id."""
    diary = []
    spec = child(Puppet, diary, restart="transient", backoff=None, shutdown="kill")
    async with Stage() as supervisor:
        await supervisor.start_child(spec)
        found = await supervisor.get_childspec("Puppet")

        assert (Puppet, (diary,), "transient", "kill", "Puppet") == (
            found.factory,
            found.args,
            found.restart,
            found.shutdown,
            found.id,
        )


async def test_ref_and_repr():
    """The handle knows its supervisor by any address."""
    async with Stage(name=Name("top")) as supervisor:
        by_name = SupervisorHandle(Name("top"))

        assert supervisor.ref is by_name.ref is whereis(Name("top"))
        assert f"<SupervisorHandle of {supervisor.ref}>" == repr(supervisor)
        assert "<SupervisorHandle of top>" == repr(by_name)
        assert () == await by_name.which_children()


# ------------------------------------------------------------------------------------ asking in vain

REQUESTS = {
    "start": lambda handle: handle.start(Puppet),
    "start_child": lambda handle: handle.start_child(child(Puppet)),
    "terminate_child": lambda handle: handle.terminate_child("x"),
    "restart_child": lambda handle: handle.restart_child("x"),
    "delete_child": lambda handle: handle.delete_child("x"),
    "get_childspec": lambda handle: handle.get_childspec("x"),
    "which_children": lambda handle: handle.which_children(),
    "count_children": lambda handle: handle.count_children(),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_supervisor_gone(name):
    """A request to a supervisor that has ended fails at once; `shutdown` of it does nothing."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Team, restart="temporary")
        team = SupervisorHandle(ref)
        team.shutdown()
        await ref.wait()
        with pytest.raises(NoProcess):
            await REQUESTS[name](team)
        with pytest.raises(NoProcess):
            await REQUESTS[name](SupervisorHandle(Name("nobody")))

        team.shutdown()
        SupervisorHandle(Name("nobody")).shutdown()
        with pytest.raises(NoProcess):
            _ = team.ref


@pytest.mark.parametrize("name", REQUESTS)
async def test_supervisor_ends_before_it_answers(name):
    """A request that a supervisor does not get round to fails with its exit reason."""
    async with Stage() as supervisor, trio.open_nursery() as nursery:
        team = SupervisorHandle(await supervisor.start(Team, restart="temporary"))
        team.shutdown("bye")
        errors = []

        async def ask():
            errors.append(await outcome_of(REQUESTS[name](team)))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()

    assert [(CallExited, Failed("bye"))] == [(type(error), error.reason) for error in errors]


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("what", ["function", "server"])
async def test_not_a_supervisor(name, what):
    """A handle of something that is no supervisor is refused before anything is sent."""
    async with Stage() as supervisor:
        ref = spawn(trio.sleep_forever) if what == "function" else await supervisor.start(Puppet)
        with pytest.raises(InvalidSpec, match="must be the address of a supervisor"):
            await REQUESTS[name](SupervisorHandle(ref))
        with pytest.raises(InvalidSpec, match="must be the address of a supervisor"):
            SupervisorHandle(ref).shutdown()

        assert ref.alive
        assert 0 == current_runtime().ledger().queued


@pytest.mark.parametrize("method", ["restart_child", "delete_child", "terminate_child"])
async def test_dynamic_has_no_ids(method):
    """What is about an id is nothing for a simple_one_for_one supervisor."""
    async with Stage(strategy="simple_one_for_one") as supervisor:
        await supervisor.start(Puppet)
        with pytest.raises(NotForDynamic, match=f"{method}: .*have no ids; use their refs"):
            await getattr(supervisor, method)("Puppet")


async def test_killed_supervisor_fails_its_callers():
    """Callers whose request is under way when a supervisor is killed learn that; no child survives."""
    diary = []

    class Hanging(GenServer):
        async def init(self):
            await trio.sleep_forever()

    async with open_supervisor() as supervisor, trio.open_nursery() as nursery:
        team = SupervisorHandle(await supervisor.start(Team, restart="temporary"))
        sibling = await team.start(Puppet)

        async def ask():
            diary.append(await outcome_of(team.start(Hanging)))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        kill(team.ref)
        await sibling.wait()
        await trio.testing.wait_all_tasks_blocked()

        assert (supervisor.ref,) == current_runtime().processes()
        supervisor.shutdown()
    assert ["CallExited"] == [type(error).__name__ for error in diary]
