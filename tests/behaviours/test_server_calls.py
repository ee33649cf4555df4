"""Replies: given at once, put off, refused; and what a server owes when it ends."""

import math

import pytest
import trio
import trio.testing

from nursery_otp import (
    NORMAL,
    CallExited,
    CallTimeout,
    Deadlock,
    Later,
    Name,
    NoProcess,
    Refuse,
    Stop,
    SupervisorHandle,
    Timeouts,
    UnknownOperation,
    answer,
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
from tests.behaviours.stage import Puppet, Stage, crash, error_in, note_outcome, outcome_of, pause


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


# ---------------------------------------------------------------------------------------- put-off replies


class Gate(Puppet):
    """Puts off every reply, and keeps them."""

    def __init__(self, diary=None):
        super().__init__(diary)
        self.laters = []

    def put_off(self, _server=None):
        later = Later()
        self.laters.append(later)
        return later.pending()


def open_gate(value):
    return lambda gate: [later.reply(value) for later in gate.laters]


async def test_later_reply():
    """A put-off reply is given later, from another handler; True tells that somebody was waiting."""
    diary = []
    async with Stage(), trio.open_nursery() as nursery:
        ref = await start(Gate)
        for name in ("a", "b"):
            nursery.start_soon(note_outcome, diary, name, Puppet.ask(ref, Gate.put_off))
        await trio.testing.wait_all_tasks_blocked()

        assert [] == diary
        assert [True, True] == await Puppet.ask(ref, open_gate("open"))
        assert [False, False] == await Puppet.ask(ref, open_gate("again"))
        await trio.testing.wait_all_tasks_blocked()
    assert {("a", "open"), ("b", "open")} == set(diary)


async def test_later_before_the_handler_returns():
    """The reply may come before the handler returns, which then goes on."""
    diary = []

    async def act(server):
        later = Later()
        later.reply("early")
        await trio.testing.wait_all_tasks_blocked()
        server.note("handler ends")
        return later.pending()

    async with Stage(), trio.open_nursery() as nursery:
        ref = await start(Puppet, diary)
        nursery.start_soon(note_outcome, diary, "caller", Puppet.ask_async(ref, act))
        await trio.testing.wait_all_tasks_blocked(0.01)

    assert ["init", ("caller", "early"), "handler ends"] == diary[:3]


async def test_later_from_another_task():
    """Any task may reply: one that the server has started, or one outside of it."""
    async with Stage(), trio.open_nursery() as nursery:
        ref = await start(Gate)
        replies = []
        nursery.start_soon(note_outcome, replies, "caller", Puppet.ask(ref, Gate.put_off))
        await trio.testing.wait_all_tasks_blocked()
        (later,) = await Puppet.ask(ref, lambda gate: gate.laters)
        assert later.waiting
        assert later.reply("from outside")
        assert not later.waiting
        await trio.testing.wait_all_tasks_blocked()

    assert [("caller", "from outside")] == replies


async def test_later_refuse():
    """A put-off call can be refused; the server lives."""
    async with Stage(), trio.open_nursery() as nursery:
        ref = await start(Gate)
        replies = []
        nursery.start_soon(note_outcome, replies, "caller", Puppet.ask(ref, Gate.put_off))
        await trio.testing.wait_all_tasks_blocked()
        error = KeyError("not today")

        assert [True] == await Puppet.ask(ref, lambda gate: [later.refuse(error) for later in gate.laters])
        await trio.testing.wait_all_tasks_blocked()
        assert [("caller", error)] == replies
        assert ref.alive


async def test_later_nobody_waits(autojump_clock):
    """A reply to a caller who has gone is dropped, and the one who gives it can tell."""
    async with Stage():
        ref = await start(Gate)
        with pytest.raises(CallTimeout):
            await Puppet.ask.within(1)(ref, Gate.put_off)

        assert [False] == await Puppet.ask(ref, lambda gate: [later.waiting for later in gate.laters])
        assert [False] == await Puppet.ask(ref, open_gate("too late"))
        assert not ref._process.owed


async def test_owed_replies_are_not_kept(autojump_clock):
    """Neither an answered nor an abandoned call stays in the memory of the server."""
    async with Stage():
        ref = await start(Gate)
        for _ in range(100):
            with trio.move_on_after(0.1):
                await Puppet.ask(ref, Gate.put_off)

        assert not ref._process.owed
        assert None is ref._process.current_call


@pytest.mark.parametrize("way", ["crash", "kill", "stop"])
async def test_owed_at_the_end(way):
    """Who waits for a put-off reply learns at once how the server ended."""
    diary = []
    async with Stage(), trio.open_nursery() as nursery:
        ref = await start(Gate)
        nursery.start_soon(note_outcome, diary, "caller", Puppet.ask(ref, Gate.put_off))
        await trio.testing.wait_all_tasks_blocked()
        match way:
            case "crash":
                Puppet.tell(ref, crash)
            case "kill":
                kill(ref)
            case "stop":
                await stop(ref)
        await ref.wait()

    ((_, error),) = diary
    assert isinstance(error, CallExited)
    assert ref.exit_reason == error.reason


async def test_pending_then_stop():
    """`pending(then=Stop())` leaves nobody waiting: the caller gets `CallExited`."""
    async with Stage():
        ref = await server()
        error = await outcome_of(Server.ask(ref, lambda _server: Later().pending(then=Stop("x"))))

    assert isinstance(error, CallExited)
    assert Stop("x").reason == error.reason


async def test_later_repr():
    """A `Later` shows which call it is for."""
    async with Stage():
        ref = await start(Gate)
        request = Puppet.ask.request(ref, Gate.put_off)
        await trio.testing.wait_all_tasks_blocked()
        (later,) = await Puppet.ask(ref, lambda gate: gate.laters)

        assert "Puppet.ask" in repr(later)
        assert not request.done


async def test_answer_none():
    """`answer(value, then=None)` is a plain reply."""
    async with Stage():
        ref = await server()

        assert 5 == await Server.ask(ref, lambda _server: answer(5, then=None))


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
            ref = await start(Gate)
            begun = trio.current_time()
            with pytest.raises(CallTimeout, match=f"Puppet.ask: no answer from {ref} within {expected} s"):
                await Puppet.ask(ref, Gate.put_off)

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
