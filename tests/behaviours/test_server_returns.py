"""What callbacks may not return, and handlers that exceed their limit."""

import math

import pytest
import trio
import trio.testing

from nursery_otp import (
    BadReturn,
    CallExited,
    Continue,
    Crashed,
    HandlerTimeout,
    Idle,
    InvalidSpec,
    Later,
    Refuse,
    StartFailed,
    Stop,
    Timeouts,
    answer,
    kill,
    start,
    stop,
)
from tests.behaviours.origins import CALLBACKS, ORIGINS, Server, started
from tests.behaviours.stage import Follower, Puppet, Stage, error_in, note_outcome, outcome_of, pause

NEXT = "None, Continue, Idle or Stop"
BAD = [0, False, "", "noreply", (), Stop, ValueError("returned, not raised"), Later]


# ---------------------------------------------------------------------------------------- bad returns


@pytest.mark.parametrize("value", BAD, ids=repr)
@pytest.mark.parametrize("origin", [o for o in ORIGINS[1:] if "call" not in o])
async def test_bad_return(origin, value):
    """Anything but an instruction is a crash that names the callback, the value and what is allowed."""
    diary = []
    async with Stage():
        ref = await started(origin, lambda _server: value, diary)
        reason = await ref.wait()

    assert isinstance(reason.error, BadReturn)
    assert f"Server: {CALLBACKS[origin]} returned {value!r}; allowed: {NEXT}" == str(reason.error)
    assert ("terminate", reason) == diary[-1]


@pytest.mark.parametrize("value", BAD, ids=repr)
async def test_bad_init(value):
    """A bad return value of `init` is a failed start."""
    async with Stage():
        with pytest.raises(StartFailed) as caught:
            await start(Server, [], lambda _server: value)

    assert isinstance(caught.value.__cause__, BadReturn)
    assert f"Server.init returned {value!r}; allowed: {NEXT}" == str(caught.value.__cause__)


@pytest.mark.parametrize("value", [0, "x", Stop, ValueError])
@pytest.mark.parametrize("make", [lambda v: answer(1, then=v), lambda v: Later().pending(then=v)])
async def test_bad_instruction_of_an_answer(make, value):
    """A wrong `then` is found when the answer is made: nothing is replied, the server crashes."""
    diary = []
    async with Stage():
        ref = await started("init", None, diary)
        with pytest.raises(CallExited) as caught:
            await Server.ask(ref, lambda _server: make(value))

    assert isinstance(caught.value.__cause__, (InvalidSpec, BadReturn))
    assert repr(value) in str(caught.value.__cause__)
    assert 1 == sum(entry[0] == "terminate" for entry in diary[1:])


@pytest.mark.parametrize("value", [answer(1, then=None), Later().pending()])
@pytest.mark.parametrize("origin", ["cast", "info", "continue"])
async def test_reply_from_where_nobody_waits(origin, value):
    """`answer` and `pending` only have a meaning in a call handler."""
    async with Stage():
        ref = await started(origin, lambda _server: value, [])

        assert isinstance((await ref.wait()).error, BadReturn)


async def test_terminate_may_return_anything():
    """What terminate returns does not matter."""
    async with Stage():
        ref = await started("init", None, [], terminate=lambda _server: "anything")
        await stop(ref)

        assert Stop().reason == ref.exit_reason


@pytest.mark.parametrize("value", [Stop(), Continue(1), Idle(1), Refuse(KeyError()), Later()], ids=repr)
async def test_instruction_instead_of_a_reply(value):
    """An instruction is no reply: what looks like one is a mistake that would be hard to find at the caller."""
    for ask in (Server.ask, Server.ask_async):
        async with Stage():
            ref = await started("init", None, [])
            with pytest.raises(CallExited) as caught:
                await ask(ref, lambda _server: value)

        assert isinstance(caught.value.__cause__, BadReturn)
        assert str(caught.value.__cause__).startswith(
            f"{ask} returned {value!r}; allowed: a reply; to stop: raise Stop"
        )


@pytest.mark.parametrize("value", [None, 0, Stop, ValueError("a value"), [1]], ids=repr)
async def test_any_reply(value):
    """Otherwise the reply of a call may be anything."""
    async with Stage():
        ref = await started("init", None, [])

        assert value is await Server.ask(ref, lambda _server: value)
        assert value is await Server.ask_async(ref, lambda _server: value)
        kill(ref)


async def test_plain_handler_that_returns_a_coroutine():
    """A plain handler may hand on to an async method: what it returns is awaited in the server."""
    diary = []

    async def fetch(server):
        await trio.lowlevel.checkpoint()
        server.note("fetched")
        return 5

    async with Stage():
        ref = await started("init", None, diary)

        assert 5 == await Server.ask(ref, fetch)
        Server.tell(ref, lambda server: nothing(fetch(server)))
        await stop(ref, drain=True)

    assert ["init", "fetched", "fetched", ("terminate", Stop().reason)] == diary


async def nothing(awaitable):
    await awaitable


# ---------------------------------------------------------------------------------------- own limits


@pytest.mark.parametrize("origin", [o for o in ORIGINS if "async" in o])
async def test_handler_limit(autojump_clock, origin):
    """A callback that runs longer than the limit from `Timeouts` crashes the server, and terminate runs."""
    diary = []

    async def endless(server):
        await trio.sleep_forever()

    async with Stage(timeouts=Timeouts(handler=2)):
        begun = trio.current_time()
        ref = await started(origin, endless, diary)
        reason = await ref.wait()

        assert 2 == trio.current_time() - begun
    assert isinstance(reason.error, HandlerTimeout)
    assert isinstance(reason.error, trio.TooSlowError)
    operation = f"Server.{CALLBACKS[origin].removeprefix('Server.')}"
    assert f"{operation}: the handler ran longer than its limit of 2 s" == str(reason.error)
    assert ["init", ("terminate", reason)] == diary


async def test_limit_fails_the_caller(autojump_clock):
    """The caller learns of the crash at once, not after its own limit."""
    async with Stage(timeouts=Timeouts(handler=2, default=math.inf)):
        ref = await started("init", None, [])
        error = await outcome_of(Server.ask_async(ref, pause()))

    assert isinstance(error, CallExited)
    assert isinstance(error.__cause__, HandlerTimeout)


async def test_fast_enough(autojump_clock):
    """A handler within its limit notices nothing, nor does the next one inherit a used-up limit."""
    async with Stage(timeouts=Timeouts(handler=2)):
        ref = await started("init", None, [])
        for _ in range(5):
            assert None is await Server.ask_async(ref, pause(1.9))


async def test_limit_does_not_hold_for_init_and_terminate(autojump_clock):
    """The limit is one for handlers: init and terminate have those of the start and the shutdown."""
    diary = []
    async with Stage(timeouts=Timeouts(handler=2)):
        ref = await start(Server, diary, pause(10), pause(10))
        await stop(ref)

        assert 20 == trio.current_time()
    assert ["init", ("terminate", Stop().reason)] == diary


async def test_swallowed_limit(autojump_clock):
    """A handler that survives its limit by catching the cancellation still crashes the server."""

    async def stubborn(server):
        try:
            await trio.sleep(60)
        except trio.Cancelled:
            server.note("caught")
            raise

    diary = []
    async with Stage(timeouts=Timeouts(handler=2)):
        ref = await started("async cast", stubborn, diary)
        reason = await ref.wait()

    assert "HandlerTimeout: Server.tell_async: the handler ran longer than its limit of 2 s" == error_in(reason)
    assert ["init", "caught", ("terminate", reason)] == diary


@pytest.mark.parametrize(("mine", "callers", "ends"), [(2, 10, True), (10, 2, False)])
async def test_own_limit_and_callers(autojump_clock, mine, callers, ends):
    """Under `follow_caller` the shorter limit counts: the caller's only ends the work, the own one the server."""
    diary = []
    async with Stage(timeouts=Timeouts(handler=mine)), trio.open_nursery() as nursery:
        ref = await start(Follower, diary)
        work = Follower.ask_async.within(callers)(ref, pause())
        nursery.start_soon(note_outcome, diary, "caller", work)
        await trio.sleep(5)

        assert ends is not ref.alive
        assert not ends or isinstance(ref.exit_reason, Crashed)
        if not ends:
            await stop(ref)

    assert isinstance(dict(e for e in diary if e[0] == "caller")["caller"], CallExited if ends else trio.TooSlowError)


async def test_handler_limit_spares_plain_handlers(autojump_clock):
    """A plain handler cannot be interrupted and has no limit (nothing in it can wait)."""
    async with Stage(timeouts=Timeouts(handler=1)) as supervisor:
        ref = await supervisor.start(Puppet)

        assert "ok" == await Puppet.ask(ref, lambda _server: "ok")
