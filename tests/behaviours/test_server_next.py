"""Continue and Idle, from every callback that may return them."""

import math

import pytest
import trio
import trio.testing

from nursery_otp import (
    Continue,
    Idle,
    IdleTimeout,
    Name,
    Stop,
    answer,
    current_ref,
    get_state,
    kill,
    register,
    resume,
    send_after,
    send_nowait,
    start,
    stop,
    suspend,
)
from tests.behaviours.origins import ORIGINS, Server, started
from tests.behaviours.stage import Stage


class Clocked(list):
    """A diary with the time of each entry."""

    def append(self, entry):
        super().append((trio.current_time(), entry))


def after_mail(instruction):
    """Put a message into the server's own mailbox, then say what to do next."""

    def act(_server):
        send_nowait(current_ref(), "mail")
        return instruction

    return act


# ---------------------------------------------------------------------------------------- continuing


@pytest.mark.parametrize("origin", ORIGINS)
async def test_continue_goes_first(origin):
    """`Continue(x)` runs `handle_continue(x)` before a message that is in the mailbox already."""
    diary = []
    async with Stage():
        ref = await started(origin, after_mail(Continue("x")), diary)
        await trio.testing.wait_all_tasks_blocked()
        kill(ref)

    assert ["init", ("continue", "x"), ("info", "mail")] == diary


@pytest.mark.parametrize("origin", ORIGINS)
async def test_continue_chain(origin):
    """`handle_continue` may continue; the whole chain goes before any message, and ends as its last link says."""
    diary = []

    def third(server):
        server.note("third")
        return Stop("done")

    def second(server):
        server.note("second")
        return Continue(third)

    async with Stage():
        ref = await started(origin, after_mail(Continue(second)), diary)
        reason = await ref.wait()

    assert Stop("done").reason == reason
    assert ["init", "second", "third", ("terminate", reason)] == diary


async def test_long_chain_is_no_recursion():
    """A hundred thousand continues in a row need no stack."""
    diary = []

    def step(server):
        server.count = getattr(server, "count", 0) + 1
        return Continue(step) if server.count < 100_000 else Stop()

    async with Stage():
        ref = await started("cast", step, diary)
        await ref.wait()

    assert ["init", ("terminate", Stop().reason)] == diary


async def test_reply_goes_before_continue():
    """`answer(value, then=Continue(x))`: the caller has its reply while `handle_continue` still works."""
    diary = []

    async def slow(_server):
        await trio.sleep(5)
        diary.append("continued")

    async with Stage():
        ref = await started("init", None, diary)
        diary.append(await Server.ask(ref, lambda _server: answer("reply", then=Continue(slow))))
        await trio.testing.wait_all_tasks_blocked()
        kill(ref)

    assert ["init", "reply"] == diary


# --------------------------------------------------------------------------------------- being idle


@pytest.mark.parametrize("origin", ORIGINS)
async def test_idle_timeout(autojump_clock, origin):
    """`Idle(3)` brings an `IdleTimeout` after three seconds without a message, once."""
    diary = Clocked()
    async with Stage():
        begun = trio.current_time()
        ref = await started(origin, Idle(3) if origin == "init" else lambda _server: Idle(3), diary)
        await trio.sleep(20)
        kill(ref)

    assert [(begun, "init"), (begun + 3, ("info", IdleTimeout()))] == diary


@pytest.mark.parametrize("origin", ORIGINS)
async def test_idle_zero(autojump_clock, origin):
    """`Idle(0)` lets queued messages go first, and they end it."""
    diary = []
    async with Stage():
        ref = await started(origin, after_mail(Idle(0)), diary)
        await trio.sleep(1)
        kill(ref)

    assert ["init", ("info", "mail")] == diary


@pytest.mark.parametrize("origin", ORIGINS)
async def test_idle_zero_alone(autojump_clock, origin):
    """`Idle(0)` with an empty mailbox is an `IdleTimeout` at once."""
    diary = Clocked()
    async with Stage():
        begun = trio.current_time()
        ref = await started(origin, lambda _server: Idle(0), diary)
        await trio.sleep(1)
        kill(ref)

    assert [(begun, "init"), (begun, ("info", IdleTimeout()))] == diary


@pytest.mark.parametrize("origin", ORIGINS)
async def test_idle_for_ever(autojump_clock, origin):
    """`Idle(math.inf)` is no timeout at all."""
    diary = []
    async with Stage():
        ref = await started(origin, lambda _server: Idle(math.inf), diary)
        await trio.sleep(10**9)
        kill(ref)

    assert ["init"] == diary


async def _by_send(ref):
    send_nowait(ref, "hello")


async def _by_timer(ref):
    send_after(0, ref, "hello")


async def _by_cast(ref):
    Server.tell(ref, "hello")


async def _by_call(ref):
    await Server.ask(ref, None)


@pytest.mark.parametrize("message", [_by_send, _by_timer, _by_cast, _by_call])
async def test_message_ends_idling(autojump_clock, message):
    """Any message ends the idle wait for good."""
    diary = []
    async with Stage():
        ref = await started("cast", lambda _server: Idle(3), diary)
        await trio.sleep(2)
        await message(ref)
        await trio.sleep(10)
        kill(ref)

    assert ("info", IdleTimeout()) not in diary


async def test_system_request_restarts_idling(autojump_clock):
    """A system request neither ends the idle wait nor counts against it: the time starts again."""
    diary = Clocked()
    async with Stage():
        ref = await started("cast", lambda _server: Idle(3), diary)
        await trio.sleep(2)
        begun = trio.current_time()
        await get_state(ref)
        await trio.sleep(10)
        kill(ref)

    assert (begun + 3, ("info", IdleTimeout())) == diary[-1]
    assert 2 == len(diary)


async def test_suspended_server_does_not_idle(autojump_clock):
    """No `IdleTimeout` while the server is suspended; resumed, it waits from the start."""
    diary = Clocked()
    async with Stage():
        ref = await started("cast", lambda _server: Idle(3), diary)
        await suspend(ref)
        await trio.sleep(100)
        begun = trio.current_time()
        await resume(ref)
        await trio.sleep(10)
        kill(ref)

    assert (begun + 3, ("info", IdleTimeout())) == diary[-1]
    assert 2 == len(diary)


async def test_idling_again(autojump_clock):
    """`handle_info(IdleTimeout())` may ask for the next one: a heartbeat."""
    beats = []

    class Heart(Server):
        def handle_info(self, message):
            beats.append((trio.current_time(), message))
            return Idle(2) if len(beats) < 3 else None

    async with Stage():
        begun = trio.current_time()
        ref = await start(Heart, [], Idle(1))
        await trio.sleep(100)
        kill(ref)

    assert [(begun + 1, IdleTimeout()), (begun + 3, IdleTimeout()), (begun + 5, IdleTimeout())] == beats


async def test_latest_instruction_counts(autojump_clock):
    """An `Idle` replaces the one before."""
    diary = Clocked()
    async with Stage():
        ref = await started("cast", lambda _server: Idle(1), diary)
        begun = trio.current_time()
        Server.tell(ref, lambda _server: Idle(5))
        await trio.sleep(20)
        kill(ref)

    assert [(begun + 5, ("info", IdleTimeout()))] == diary[1:]


async def test_continue_then_idle(autojump_clock):
    """The end of a chain of continues may be an idle wait."""
    diary = Clocked()
    async with Stage():
        begun = trio.current_time()
        ref = await started("init", Continue(lambda _server: Idle(4)), diary)
        await trio.sleep(20)
        kill(ref)

    assert [(begun, "init"), (begun + 4, ("info", IdleTimeout()))] == diary


async def test_idling_is_free_of_stop(autojump_clock):
    """A stop while the server idles comes first, even in the moment in which the time is over."""
    diary = []
    async with Stage():
        ref = await started("init", Idle(2), diary)
        await trio.sleep(2)
        await stop(ref)

    assert 1 == diary.count(("terminate", Stop().reason))
    assert ("info", IdleTimeout()) not in diary[diary.index(("terminate", Stop().reason)) :]


async def test_message_at_the_very_moment(autojump_clock):
    """A message that comes in the moment in which the idle time ends is handled once, and nothing is lost."""
    diary = []
    async with Stage():
        ref = await started("init", Idle(2), diary)
        register(Name("idler"), ref)
        send_after(2, Name("idler"), "just in time")
        await trio.sleep(10)
        kill(ref)

    assert 1 == diary.count(("info", "just in time"))
    assert len(diary) <= 3
