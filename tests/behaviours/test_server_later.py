"""Replies that are put off, and what becomes of them when nobody gives or wants them."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    CallExited,
    CallTimeout,
    Later,
    Stop,
    answer,
    kill,
    start,
    stop,
)
from tests.behaviours.origins import Server, started
from tests.behaviours.stage import Puppet, Stage, crash, note_outcome, outcome_of


async def server():
    return await started("init", None, [])


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
        await trio.testing.wait_all_tasks_blocked()

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
