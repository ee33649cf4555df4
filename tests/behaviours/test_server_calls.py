"""Replies given at once or refused; calls of all kinds, to all kinds of processes."""

import math

import pytest
import trio
import trio.testing

from nursery_otp import (
    NORMAL,
    CallExited,
    CallTimeout,
    Deadlock,
    Name,
    NoProcess,
    Refuse,
    SupervisorHandle,
    Timeouts,
    UnknownOperation,
    current_ref,
    current_runtime,
    get_state,
    kill,
    send,
    spawn,
    start,
    stop,
)
from tests.behaviours.origins import Server, started
from tests.behaviours.stage import Puppet, Stage, error_in, note_outcome, outcome_of, pause


async def server():
    return await started("init", None, [])


# ------------------------------------------------------------------------------------------ refusing


def refuse_inside(depth, *, beside=()):
    """Raise `Refuse` inside of nested nurseries, with other errors beside it."""

    async def act(_server):
        if depth == 0:
            raise Refuse(KeyError("refused"))
        async with trio.open_nursery() as nursery:
            for error in beside:
                nursery.start_soon(fail, error)
            nursery.start_soon(refuse_inside(depth - 1), _server)

    return act


async def fail(error):
    raise error


@pytest.mark.parametrize("depth", [0, 1, 3])
async def test_refuse(depth):
    """`Refuse(error)` gives the caller the error, also from inside the handler's own nurseries; the server lives."""
    async with Stage():
        ref = await server()
        with pytest.raises(KeyError) as caught:
            await Server.ask_async(ref, refuse_inside(depth))

        assert "'refused'" == str(caught.value)
        assert "alive" == await Server.ask(ref, lambda _server: "alive")
        assert ref.alive


async def test_refuse_beside_a_crash():
    """A refusal together with another error is a crash with both."""
    async with Stage():
        ref = await server()
        with pytest.raises(CallExited) as caught:
            await Server.ask_async(ref, refuse_inside(1, beside=[ValueError("real")]))

        group = caught.value.__cause__
        assert isinstance(group, ExceptionGroup)
        assert {"ValueError", "Refuse"} == {type(error).__name__ for error in group.exceptions}
        assert NORMAL != await ref.wait()


async def test_refuse_gives_the_very_exception():
    """The caller gets the very exception object that was refused with, without a misleading context."""
    error = KeyError("mine")

    def act(_server):
        raise Refuse(error)

    async with Stage():
        ref = await server()
        with pytest.raises(KeyError) as caught:
            await Server.ask(ref, act)

    assert error is caught.value
    assert None is error.__cause__


@pytest.mark.parametrize("origin", ["cast", "info", "continue"])
async def test_refuse_where_nobody_asked(origin):
    """In any other callback a refusal is an exception like others: a crash."""

    def act(_server):
        raise Refuse(KeyError("x"))

    async with Stage():
        ref = await started(origin, act, [])

        assert "Refuse: 'x'" == error_in(await ref.wait())


async def test_refuse_without_an_exception():
    """Refusing with something that is no exception is the handler's mistake: it crashes, and says why."""

    def act(_server):
        raise Refuse("no")

    async with Stage():
        ref = await server()
        with pytest.raises(CallExited) as caught:
            await Server.ask(ref, act)

    assert "error='no': must be an exception, which the caller gets" == str(caught.value.__cause__)


# -------------------------------------------------------------------------- who may call, and how long


async def test_order_of_service():
    """Requests are served in the order in which they were sent, calls and casts alike."""
    diary = []
    async with Stage():
        ref = await started("init", None, diary)
        requests = []
        for number in range(3):
            requests.append(Server.ask.request(ref, lambda server, number=number: server.note("ask", number)))
            Server.tell(ref, number)
        for request in reversed(requests):
            await request.receive()
        await stop(ref, drain=True)

    expected = [entry for number in range(3) for entry in (("ask", number), ("tell", number))]
    assert ["init", *expected] == diary[:-1]


async def test_a_busy_server_lets_others_run():
    """A server that works off a full mailbox of plain handlers lets other tasks run in between."""
    diary = []
    async with Stage():
        ref = await started("init", None, diary)
        for number in range(1000):
            Server.tell(ref, number)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        handled = len(diary)
        await stop(ref)

    assert 0 < handled < 900


async def test_default_limit(autojump_clock):
    """A call waits as long as the `Timeouts` of the tree say, 5 seconds unless told otherwise."""
    for options, expected in (({}, 5), ({"timeouts": Timeouts(default=2)}, 2)):
        async with Stage(**options):
            ref = await start(Puppet)
            begun = trio.current_time()
            with pytest.raises(CallTimeout, match=f"Puppet.ask_async: no answer from {ref} within {expected} s"):
                await Puppet.ask_async(ref, pause())

            assert expected == trio.current_time() - begun


@pytest.mark.parametrize("limit", [0, 0.5, 7])
async def test_explicit_limit(autojump_clock, limit):
    """`within` sets the limit of one call; past it the server still does the work."""
    diary = []
    async with Stage():
        ref = await started("init", None, diary)
        begun = trio.current_time()

        async def work(server):
            await trio.sleep(10)
            server.note("worked")

        with pytest.raises(CallTimeout):
            await Server.ask_async.within(limit)(ref, work)
        assert limit == trio.current_time() - begun
        await trio.sleep(20)

    assert ["init", "worked"] == diary[:2]


async def test_no_limit(autojump_clock):
    """`within(math.inf)` waits for ever."""
    async with Stage():
        ref = await server()

        assert None is await Server.ask_async.within(math.inf)(ref, pause(10**6))


async def test_calling_oneself():
    """A handler that calls its own server is told at once that this would wait for ever."""
    async with Stage():
        ref = await started("init", None, [])
        error = await outcome_of(Server.ask_async(ref, lambda _server: Server.ask(current_ref(), None)))

        assert isinstance(error, CallExited)
        assert isinstance(error.__cause__, Deadlock)
        assert [ref, ref] == list(error.__cause__.cycle)


async def test_calling_a_supervisor():
    """A request to a supervisor, which has no handlers, is refused like by any other wrong server."""
    async with Stage() as supervisor:
        with pytest.raises(UnknownOperation, match=r"root#1> has no handler for Puppet\.ask"):
            await Puppet.ask(supervisor.ref, None)

        assert supervisor.ref.alive


async def test_calling_the_dead():
    """A call to a process that has ended fails at once."""
    async with Stage():
        ref = await server()
        kill(ref)
        await ref.wait()
        with pytest.raises(NoProcess) as caught:
            await Server.ask(ref, None)

        assert str(caught.value).startswith("Server.ask: no process at <Server#2")


FAILING = {
    "call": lambda ref, name: Puppet.ask(ref, None),
    "call by name": lambda ref, name: Puppet.ask(name, None),
    "get_state": lambda ref, name: get_state(ref),
    "handle": lambda ref, name: SupervisorHandle(name).which_children(),
    "stop": lambda ref, name: stop(ref),
    "send": lambda ref, name: send(name, "hello"),
}


@pytest.mark.parametrize("way", FAILING)
async def test_failing_at_once_is_a_checkpoint(way):
    """Who tries again and again what fails at once lets others run in between."""
    async with Stage():
        ref = await server()
        await stop(ref)
        with trio.testing.assert_checkpoints(), pytest.raises(NoProcess):
            await FAILING[way](ref, Name("nobody"))


async def test_callers_of_all_kinds():
    """A call can be made by a server, by a plain process, by a task of one, and by a task that is no process."""
    diary = []

    async def plain(target):
        diary.append(await Server.ask(target, lambda _server: "process"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note_outcome, diary, "task", Server.ask(target, lambda _server: "of process"))
            await trio.testing.wait_all_tasks_blocked()

    async with Stage():
        ref = await server()
        other = await server()
        diary.append(await Server.ask_async(other, lambda _server: Server.ask(ref, lambda _server: "server")))
        await spawn(plain, ref).wait()
        diary.append(await Server.ask(ref, lambda _server: "task"))

    assert ["server", "process", ("task", "of process"), "task"] == diary


async def test_no_trace_of_a_late_reply(autojump_clock):
    """A reply that comes too late disappears: no message, no dead letter, balanced books."""
    async with Stage():
        ref = await server()
        with pytest.raises(CallTimeout):
            await Server.ask_async.within(1)(ref, pause(2))
        await trio.sleep(5)
        ledger = current_runtime().ledger()

        assert ledger.balanced
        assert {} == ledger.dead_lettered == ledger.dropped
        assert [] == list(current_runtime().dead_letters)
