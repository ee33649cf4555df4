"""Children that wait for the supervisor that waits for them: nobody is left to wait until a limit ends it."""

import math

import pytest
import trio
import trio.testing

from nursery_otp import (
    SHUTDOWN,
    CallExited,
    Deadlock,
    Name,
    Supervisor,
    SupervisorHandle,
    child,
    kill,
)
from tests.behaviours.stage import Puppet, Stage, outcome_of


class Asking(Puppet):
    """Writes down what a question in its init or its terminate gives, and when."""

    def __init__(self, diary, *, init=None, terminate=None):
        super().__init__(diary)
        self.questions = {"init": init, "terminate": terminate}

    async def _ask(self, when):
        question = self.questions[when]
        if question is not None:
            begun = trio.current_time()
            result = await outcome_of(question())
            self.note(when, type(result).__name__, trio.current_time() - begun)

    async def init(self):
        await self._ask("init")

    async def terminate(self, reason):
        await self._ask("terminate")


class InInit(Asking):
    def __init__(self, diary, question):
        super().__init__(diary, init=question)


class InTerminate(Asking):
    def __init__(self, diary, question):
        super().__init__(diary, terminate=question)


async def test_asking_the_supervisor_in_init(autojump_clock):
    """A child cannot ask its supervisor in its init, during which that does nothing else."""
    diary = []
    async with Stage() as supervisor:
        await supervisor.start(InInit, diary, supervisor.which_children)

    assert [("init", "Deadlock", 0)] == diary


async def test_asking_the_supervisor_in_terminate(autojump_clock):
    """Nor in its terminate, when that waits for its end."""
    diary = []
    async with Stage() as supervisor:
        await supervisor.start(InTerminate, diary, supervisor.which_children, id="x", shutdown=30)
        await supervisor.terminate_child("x")

    assert [("terminate", "Deadlock", 0)] == diary


@pytest.mark.parametrize("what", ["terminate_child", "shutdown and ask"])
async def test_being_stopped_while_asking(autojump_clock, what):
    """A handler that has its own server stopped by its supervisor, and waits for that, is told; the stop goes on."""
    diary = []

    async def act(_server):
        if what == "terminate_child":
            await supervisor.terminate_child("x")
        else:
            supervisor.shutdown()
            await supervisor.which_children()

    async with Stage() as supervisor:
        begun = trio.current_time()
        ref = await supervisor.start(Puppet, diary, id="x", shutdown=30)
        request = Puppet.ask_async.within(math.inf).request(ref, act)
        await ref.wait()

        assert 0 == trio.current_time() - begun
        with (
            pytest.raises(CallExited) as caught,
            trio.CancelScope(shield=True),
        ):  # the tree, and so this body, may be over
            await request.receive()
    assert isinstance(caught.value.__cause__, Deadlock)
    assert ("terminate", ref.exit_reason) == diary[-1]


async def test_stopping_oneself_without_waiting(autojump_clock):
    """Asking the supervisor from another task of the process is no cycle: the handler can end meanwhile."""
    diary = []

    async def act(server):
        nursery.start_soon(supervisor.terminate_child, "x")
        server.note("handled")

    async with Stage() as supervisor, trio.open_nursery() as nursery:
        ref = await supervisor.start(Puppet, diary, id="x", shutdown=30)
        await Puppet.ask_async(ref, act)
        await ref.wait()

    assert ["init", "handled", ("terminate", SHUTDOWN)] == diary


async def test_waiting_for_a_name_that_the_supervisor_keeps(autojump_clock):
    """During a group restart a child cannot wait for a sibling that only comes back after it."""
    diary = []

    class Team(Supervisor):
        strategy = "one_for_all"
        max_restarts = 9

        def children(self):
            return [
                child(Asking1, diary, ask_sibling, id="first", shutdown=30),
                child(Puppet, name=Name("sibling")),
            ]

    class Asking1(Asking):
        def __init__(self, diary, question):
            super().__init__(diary, init=question, terminate=question)

    async def ask_sibling():
        return await Puppet.ask(Name[Puppet]("sibling"), "there")

    async with Stage() as supervisor:
        team = SupervisorHandle(await supervisor.start(Team))
        kill((await team.which_children())[1].ref)
        await trio.sleep(100)

        assert ["running", "running"] == [info.status for info in await team.which_children()]
    assert [("init", "NoProcess", 0), ("terminate", "Deadlock", 0), ("init", "Deadlock", 0)] == diary[:3]


async def test_earlier_siblings_may_be_asked(autojump_clock):
    """What was started before is there in init and in terminate: that is what the order is for."""
    diary = []

    async def ask_sibling():
        return await Puppet.ask(Name[Puppet]("sibling"), "there")

    async with Stage(max_restarts=9) as supervisor:
        await supervisor.start(Puppet, name=Name("sibling"))
        await supervisor.start(InInit, diary, ask_sibling)
        await supervisor.start(InTerminate, diary, ask_sibling)

    assert [("init", "str", 0), ("terminate", "str", 0)] == diary


async def test_cycle_over_two_supervisors(autojump_clock):
    """A start that a child asks of another team, whose new member asks the child's own supervisor, is no cycle."""
    diary = []

    class Team(Supervisor):
        pass

    async with Stage() as supervisor:
        team = SupervisorHandle(await supervisor.start(Team))
        ref = await supervisor.start(Puppet, diary, id="x")

        async def act(_server):
            await team.start(InInit, diary, supervisor.which_children)

        await Puppet.ask_async(ref, act)

    assert ("init", "tuple", 0) in diary
