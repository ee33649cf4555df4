"""A call that would close a cycle of waiting processes is refused at once; one that only might is not."""

from contextlib import suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Backoff,
    CallExited,
    CallTimeout,
    Deadlock,
    GenServer,
    Later,
    Name,
    StartFailed,
    Supervisor,
    SupervisorHandle,
    call,
    child,
    kill,
    open_supervisor,
    process_info,
    start_link,
    trap_exits,
)
from tests.runtime.helpers import Desk, as_task, idle


class Node(GenServer):
    """A server that calls along a path of names."""

    def __init__(self):
        self.laters = []

    @call
    async def visit(self, *path):
        """Go on to the rest of the path; where it ends there is the answer, or the error that came up there."""
        if not path:
            return "arrived"
        try:
            return await Node.visit(path[0], *path[1:])
        except Deadlock as error:
            return error

    @call
    def deferred(self):
        self.laters.append(Later())
        return self.laters[-1].pending()

    @call
    async def visit_from_a_task(self, address):
        """The same call from a task of this server, while the server waits for it."""
        answers = []

        async def visiting():
            try:
                answers.append(await Node.visit.within(2)(address))
            except CallTimeout as error:
                answers.append(error)

        await as_task(visiting)
        return answers[0]

    @call
    async def put_off_to(self, address):
        return await Node.deferred(address)


@pytest.fixture
async def nodes(tree):
    """Servers a, b, c."""
    return [await tree.start(Node, name=Name(label)) for label in "abc"]


A, B, C = map(Name, "abc")


@pytest.mark.parametrize(
    ("path", "cycle"),
    [((A, A), [0, 0]), ((A, B, A), [1, 0, 1]), ((A, B, C, A), [2, 0, 1, 2]), ((A, B, C, B), [2, 1, 2])],
    ids=["oneself", "two", "three", "tail"],
)
async def test_cycle(nodes, path, cycle, autojump_clock):
    """Cycles of one, two and three, by themselves or at the end of a chain, are found at once, by who closes them."""
    error = await Node.visit(*path)

    assert isinstance(error, Deadlock)
    assert tuple(nodes[index] for index in cycle) == error.cycle
    chain = " -> ".join(str(nodes[index]) for index in cycle)
    assert str(error).startswith(f"Node.visit: would wait for ever: {chain}")
    assert ("use the methods of self" in str(error)) == (len(set(cycle)) == 1)
    assert 0 == trio.current_time()


async def test_by_ref(nodes):
    """Refs and names are the same here."""
    error = await Node.visit(nodes[0], nodes[1], A)

    assert isinstance(error, Deadlock)


async def test_servers_live_on(nodes):
    """A refused call harms nobody, and the cycle is forgotten."""
    await Node.visit(A, B, A)

    assert "arrived" == await Node.visit(A, B, C)
    assert "arrived" == await Node.visit(B, A)


async def test_unhandled(tree):
    """Who does not handle it crashes with it, as with any other error of a call."""
    desk = await tree.start(Desk, restart="temporary")
    with pytest.raises(CallExited) as caught:
        await Desk.run(desk, lambda: Desk.echo(desk, 1))

    assert isinstance(caught.value.__cause__, Deadlock)


async def test_no_cycle(nodes, autojump_clock):
    """Chains and meeting paths are no cycles."""
    requests = [Node.visit.request(*path) for path in [(A, B, C), (B, C), (A, C), (A, B)]]

    assert ["arrived"] * 4 == [await request.receive() for request in requests]


async def test_deferred_answer_breaks_the_cycle(nodes, autojump_clock):
    """Who has put an answer off is free: a call back to the waiting process is answered when that gets its answer."""
    waiting = Node.put_off_to.request(A, B)  # A waits for B, who has put it off
    await wait_all_tasks_blocked()
    visit = Node.visit.request(B, A)  # B waits for A: closes no cycle, as anybody may answer A
    await wait_all_tasks_blocked()
    assert not visit.done
    [later] = nodes[1]._process.behaviour.server.laters
    later.reply("from outside")

    assert "from outside" == await waiting.receive()
    assert "arrived" == await visit.receive()


async def test_task_of_a_process_is_not_the_process(nodes, autojump_clock):
    """A call from a task that a process has started does not count as its own wait: it may hang, within its limit."""
    answer = await Node.visit_from_a_task(A, A)

    assert isinstance(answer, CallTimeout)
    assert 2 == trio.current_time()


async def test_task_beside_a_free_server(nodes):
    """Such a call is put through where there is no cycle."""
    assert "arrived" == await Node.visit_from_a_task(A, B)


async def test_request_is_no_wait(tree):
    """A request that is sent without waiting closes no cycle: a server may even send one to itself."""
    desk = await tree.start(Desk)
    requests = []

    async def to_itself():
        requests.append(Desk.echo.request(desk, "later"))
        return "now"

    assert "now" == await Desk.run(desk, to_itself)
    assert "later" == await requests[0].receive()


async def test_own_supervisor(tree, autojump_clock):
    """A child whose `init` calls its own supervisor would wait for ever: `Deadlock`, and the start fails with it."""

    class Child(Desk):
        async def init(self):
            await tree.which_children()

    with pytest.raises(StartFailed) as caught:
        await tree.start(Child)

    assert isinstance(caught.value.__cause__, Deadlock)
    assert "which_children" in str(caught.value.__cause__)
    assert 0 == trio.current_time()


async def test_grandparent(tree, autojump_clock):
    """The same through two supervisors, of which the upper one waits for the lower one, which waits for the child."""

    class Child(Desk):
        async def init(self):
            await tree.count_children()

    class Team(Supervisor):
        def children(self):
            return [child(Child)]

    with pytest.raises(StartFailed) as caught:
        await tree.start(Team)

    assert isinstance(caught.value.reason.detail.reason.error, Deadlock)
    assert 0 == trio.current_time()


async def test_supervisor_after_the_start(tree):
    """After its start a child may call its supervisor like anybody else."""
    desk = await tree.start(Desk)

    assert 1 == len(await Desk.run(desk, tree.which_children))


async def test_starter(tree, autojump_clock):
    """A server whose `init` calls the process that starts it would wait for ever as well."""
    desk = await tree.start(Desk, restart="temporary")

    class Child(Desk):
        async def init(self):
            await Desk.echo(desk, 1)

    async def starting():
        trap_exits()
        try:
            await start_link(Child)
        except StartFailed as error:
            return error

    error = await Desk.run(desk, starting)

    assert isinstance(error.__cause__, Deadlock)
    assert 0 == trio.current_time()


async def test_waiting_for_a_restart(autojump_clock):
    """A server whose `init` calls a process that waits for its name to be held again would wait for ever."""
    errors = []

    class Restarting(Desk):
        async def init(self):
            if started:
                try:
                    await Desk.echo(Name("caller"), 1)
                except Deadlock as error:
                    errors.append(error)
            started.append(True)

    started = []
    async with open_supervisor() as other:
        caller = await other.start(Desk, name=Name("caller"))
        name = Name("restarting")
        ref = await other.start(Restarting, name=name, backoff=Backoff(initial=1.0, jitter=0.0))
        kill(ref)
        await ref.wait()
        assert 1 == await Desk.run(caller, lambda: Desk.echo(name, 1))
        other.shutdown()

    assert 1 == len(errors)
    assert caller in errors[0].cycle


async def test_after_a_wait_that_ended(tree, nodes, autojump_clock):
    """A wait that ended by its limit or by cancellation is no part of later cycles."""
    hanging, desk = await tree.start(Desk, shutdown="kill"), await tree.start(Desk)

    async def give_up():
        with trio.move_on_after(1):
            await Desk.run(hanging, idle)
        with suppress(CallTimeout):
            await Desk.run.within(1)(hanging, idle)
        waits.append(process_info(desk).waits_for)
        return await Node.visit(A)

    waits = []
    assert "arrived" == await Desk.run(desk, give_up)
    assert [None] == waits


async def test_handle_of_a_supervisor_in_its_own_child(tree):
    """A handle is no way around it."""

    class Child(Desk):
        async def init(self):
            await SupervisorHandle(tree.ref).start(Desk)

    with pytest.raises(StartFailed) as caught:
        await tree.start(Child)
    assert isinstance(caught.value.__cause__, Deadlock)
