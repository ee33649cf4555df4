"""`follow_caller`: work that ends when its caller's time is up or its caller has gone, and a server that lives on."""

import math

import pytest
import trio
import trio.testing

from nursery_otp import (
    CallExited,
    CallTimeout,
    Later,
    Refuse,
    Stop,
    answer,
    caller_gone,
    current_runtime,
    kill,
    spawn,
    start,
    stop,
)
from tests.behaviours.stage import Follower, Puppet, Stage, endless, error_in, note_outcome, outcome_of, pause


async def test_deadline(autojump_clock):
    """The handler ends with its caller's time, can tell why, and the server serves the next."""
    diary = []
    async with Stage():
        ref = await start(Follower, diary)
        with pytest.raises(CallTimeout):
            await Follower.ask_async.within(3)(ref, endless)

        assert "next" == await Follower.ask(ref, lambda _server: "next")
    assert ["init", ("cancelled", 3, True)] == diary[:2]


async def test_without_following(autojump_clock):
    """A server that does not follow its callers finishes the work, as in OTP."""
    diary = []

    async def work(server):
        await trio.sleep(9)
        server.note("finished", caller_gone())

    async with Stage():
        ref = await start(Puppet, diary)
        with pytest.raises(CallTimeout):
            await Puppet.ask_async.within(3)(ref, work)
        await stop(ref)

    assert "finished" == diary[1][0]


async def test_caller_cancelled():
    """When the caller is cancelled, so is the handler; the server lives."""
    diary = []
    async with Stage():
        ref = await start(Follower, diary)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Follower.ask_async, ref, endless)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

        assert "alive" == await Follower.ask(ref, lambda _server: "alive")
    assert ["init", ("cancelled", 0, True)] == [diary[0], ("cancelled", 0, diary[1][2])]


async def test_caller_dies():
    """When the calling process is killed, its work ends."""
    diary = []
    async with Stage():
        ref = await start(Follower, diary)

        async def caller():
            await Follower.ask_async(ref, endless)

        process = spawn(caller)
        await trio.testing.wait_all_tasks_blocked()
        kill(process)
        await process.wait()

        assert "alive" == await Follower.ask(ref, lambda _server: "alive")
    assert ("cancelled", True) == (diary[1][0], diary[1][2])


async def test_request_given_up(autojump_clock):
    """An asynchronous request that is given up ends its work; one that is only waited for does not."""
    diary = []
    async with Stage():
        ref = await start(Follower, diary)
        request = Follower.ask_async.request(ref, endless)
        with pytest.raises(CallTimeout):
            await request.wait(within=2)
        assert ["init"] == diary
        with pytest.raises(CallTimeout):
            await request.receive(within=3)
        await trio.testing.wait_all_tasks_blocked()

        assert request.done
        assert ["init", ("cancelled", 5, True)] == diary


async def test_outer_scope_of_the_caller_counts(autojump_clock):
    """The deadline that the message carries is the nearest one: the caller's own cancel scope may tighten it."""
    diary = []
    async with Stage():
        ref = await start(Follower, diary)
        with trio.move_on_after(2):
            await Follower.ask_async.within(100)(ref, endless)
        await trio.testing.wait_all_tasks_blocked()

    assert ("cancelled", 2, True) == diary[1]


async def test_nested_calls_shrink(autojump_clock):
    """A handler that calls on does so under what remains of its caller's time."""
    diary = []

    async def look(server):
        server.note("left", trio.current_effective_deadline() - trio.current_time())
        await endless(server)

    async def hand_on(_server):
        await trio.sleep(2)
        await Follower.ask_async.within(100)(inner, look)

    async with Stage():
        inner = await start(Follower, diary)
        outer = await start(Follower)
        with pytest.raises(CallTimeout):
            await Follower.ask_async.within(5)(outer, hand_on)
        await trio.testing.wait_all_tasks_blocked()

        assert "alive" == await Follower.ask(outer, lambda _server: "alive")
    assert ["init", ("left", 3), ("cancelled", 3, True)] == diary[:3]


async def test_nested_error_is_the_inner_ones(autojump_clock):
    """If the inner call times out by its own limit, that is an error of the handler like any other."""
    diary = []
    async with Stage():
        inner = await start(Follower, diary)
        outer = await start(Follower)
        error = await outcome_of(
            Follower.ask_async.within(50)(outer, lambda _server: Follower.ask_async.within(1)(inner, endless))
        )

    assert isinstance(error, CallExited)
    assert isinstance(error.__cause__, CallTimeout)
    assert 1 == error.__cause__.limit


async def test_expired_request_is_dropped(autojump_clock):
    """A request whose caller has gone before it was started is not started, but counted."""
    diary = []
    async with Stage():
        ref = await start(Follower, diary)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note_outcome, diary, "busy", Follower.ask_async(ref, pause(4)))
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(CallTimeout):
                await Follower.ask_async.within(2)(ref, endless)
        ledger = current_runtime().ledger()

        assert {"expired before it was handled": 1} == ledger.dropped
        assert ledger.balanced
        await stop(ref)
    assert ["init", ("busy", None)] == diary[:2]


async def test_expired_in_the_very_moment(autojump_clock):
    """A request that is read in the moment in which its time is over is dropped as well."""
    diary = []
    async with Stage():
        ref = await start(Follower, diary)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note_outcome, diary, "busy", Follower.ask_async(ref, pause(4)))
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(CallTimeout):
                await Follower.ask_async.within(4)(ref, lambda server: server.note("started"))

        assert "started" not in diary


async def test_several_messages(autojump_clock):
    """Behind a request that is given up the others are served, in order."""
    diary = []
    async with Stage():
        ref = await start(Follower, diary)
        given_up = Follower.ask_async.request(ref, endless)
        others = []
        for number in range(2):
            Follower.tell(ref, number)
            others.append(Follower.ask.request(ref, lambda server, number=number: server.note("ask", number)))
        with pytest.raises(CallTimeout):
            await given_up.receive(within=1)
        for request in others:
            await request.receive()

    expected = ["init", ("cancelled", 1, True), ("tell", 0), ("ask", 0), ("tell", 1), ("ask", 1)]
    assert expected == diary[: len(expected)]


async def test_cast_has_no_caller(autojump_clock):
    """Casts have no caller to follow: they run to their end, and `caller_gone` is False in them."""
    diary = []

    async def work(server):
        await trio.sleep(100)
        server.note("done", caller_gone())

    async with Stage():
        ref = await start(Follower, diary)
        Follower.tell_async(ref, work)
        await stop(ref, drain=True)

    assert ("done", False) == diary[1]


async def test_kill_is_not_the_callers_end():
    """A handler that ends because its server does can tell that its caller is still there."""
    diary = []
    async with Stage(), trio.open_nursery() as nursery:
        ref = await start(Follower, diary)
        nursery.start_soon(note_outcome, diary, "caller", Follower.ask_async.within(math.inf)(ref, endless))
        await trio.testing.wait_all_tasks_blocked()
        kill(ref)

    assert ("cancelled", False) == (diary[1][0], diary[1][2])
    assert isinstance(dict([diary[2]])["caller"], CallExited)


async def test_work_that_survives(autojump_clock):
    """A handler that catches the cancellation and returns keeps its server; the reply is for nobody."""
    diary = []

    async def stubborn(server):
        try:
            await trio.sleep_forever()
        except trio.Cancelled:  # noqa: ASYNC103 - against the rules, to see what happens
            server.note("caught")
        return "nobody wants it"

    async with Stage():
        ref = await start(Follower, diary)
        with pytest.raises(CallTimeout):
            await Follower.ask_async.within(1)(ref, stubborn)

        assert "alive" == await Follower.ask(ref, lambda _server: "alive")
    assert "caught" == diary[1]


async def test_crash_while_cleaning_up(autojump_clock):
    """An exception raised in the clean-up after the caller's end is a crash like any other."""

    async def spoil(_server):
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("clean-up")

    async with Stage():
        ref = await start(Follower)
        error = await outcome_of(Follower.ask_async.within(1)(ref, spoil))
        reason = await ref.wait()

    assert isinstance(error, CallTimeout | CallExited)  # both are true at that moment

    assert "KeyError: 'clean-up'" == error_in(reason)


async def test_all_ways_to_answer():
    """Under `follow_caller` replies, refusals, put-off replies and instructions work as everywhere."""
    diary = []

    def refuse(_server):
        raise Refuse(KeyError("no"))

    def put_off(server):
        server.later = Later()
        return server.later.pending()

    async with Stage(), trio.open_nursery() as nursery:
        ref = await start(Follower, diary)

        assert 1 == await Follower.ask(ref, lambda _server: 1)
        assert isinstance(await outcome_of(Follower.ask(ref, refuse)), KeyError)
        nursery.start_soon(note_outcome, diary, "put off", Follower.ask(ref, put_off))
        await trio.testing.wait_all_tasks_blocked()
        assert await Follower.ask(ref, lambda server: server.later.reply(2))
        assert 3 == await Follower.ask(ref, lambda _server: answer(3, then=Stop("bye")))
        assert Stop("bye").reason == await ref.wait()
    assert ("put off", 2) in diary
