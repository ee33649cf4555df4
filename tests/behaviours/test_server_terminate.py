"""Which ends run `terminate`, and what can go wrong in it."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    CallExited,
    Crashed,
    Exit,
    Failed,
    Ignore,
    Later,
    Stop,
    current_ref,
    current_runtime,
    kill,
    send_exit,
    spawn,
    start,
    start_link,
    stop,
    stop_nowait,
)
from tests.behaviours.origins import Server, started
from tests.behaviours.stage import Puppet, Stage, Trapper, crash, error_in, note_outcome, pause


def raise_stop(reason):
    def act(_server):
        raise Stop(reason)

    return act


# ------------------------------------------------------------------------ when terminate runs or not


async def test_terminate_after_polite_stop():
    """`stop` runs terminate with the reason asked for."""
    diary = []
    async with Stage():
        ref = await started("init", None, diary)
        await stop(ref, "please")

    assert ["init", ("terminate", Failed("please"))] == diary


async def test_terminate_by_supervisor():
    """A supervisor's stop runs terminate, though the server does not trap exits."""
    diary = []
    async with Stage() as supervisor:
        await supervisor.start(Puppet, diary)

    assert ["init", ("terminate", SHUTDOWN)] == diary


async def test_no_terminate_when_killed():
    """`kill` ends a server without terminate, also one that traps exits."""
    diary = []
    async with Stage():
        ref = await start(Trapper, diary)
        kill(ref)

        assert KILLED == await ref.wait()
    assert ["init"] == diary


async def test_no_terminate_after_exit_signal():
    """An exit signal ends a server that does not trap exits without terminate, as in OTP."""
    diary = []
    async with Stage():
        ref = await start(Puppet, diary)
        send_exit(ref, "gone")

        assert Failed("gone") == await ref.wait()
    assert ["init"] == diary


async def test_trapped_exit_is_a_message():
    """An exit signal of somebody who is not the parent is a message for a server that traps exits."""
    diary = []

    async def stranger(target):
        diary.append(current_ref())
        send_exit(target, "gone")

    async with Stage():
        ref = await start(Trapper, diary)
        await spawn(stranger, ref).wait()
        await stop(ref, drain=True)

    assert ["init", diary[1], ("info", Exit(diary[1], Failed("gone"))), ("terminate", NORMAL)] == diary


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, Failed("x"), Crashed(ValueError())])
async def test_parents_end(reason):
    """A trapping server terminates with its parent's exit reason."""
    diary = []

    async def parent():
        diary.append(await start_link(Trapper, diary))
        raise Stop(reason)

    async with Stage():
        ended = await spawn(parent).wait()
        ref = diary[1]

        assert reason == ended == await ref.wait()
    assert ["init", ref, ("terminate", reason)] == diary


async def test_parents_crash_without_trapping():
    """A server that does not trap exits ends with its parent, without terminate."""
    diary = []

    async def parent():
        await start_link(Puppet, diary)
        raise Stop("x")

    async with Stage():
        await spawn(parent).wait()
        await trio.testing.wait_all_tasks_blocked()

        assert 1 == len(current_runtime().processes())
    assert ["init"] == diary


@pytest.mark.parametrize("way", ["stop", "crash"])
async def test_crash_in_terminate(way):
    """An exception in terminate is the exit reason, whatever brought the end; a crash before it is its context."""

    def spoil(_server):
        raise KeyError("in terminate")

    async with Stage():
        ref = await started("init", None, [], terminate=spoil)
        if way == "stop":
            with pytest.raises(CallExited) as caught:
                await stop(ref)
            reason = caught.value.reason
        else:
            Server.tell(ref, crash)
            reason = await ref.wait()

    assert "KeyError: 'in terminate'" == error_in(reason)
    assert ("ValueError" if way == "crash" else "NoneType") == type(reason.error.__context__).__name__


async def test_stop_in_terminate():
    """A `Stop` raised in terminate sets the exit reason."""
    async with Stage():
        ref = await started("init", None, [], terminate=raise_stop("changed my mind"))
        with pytest.raises(CallExited) as caught:
            await stop(ref)

    assert Failed("changed my mind") == caught.value.reason


async def test_terminate_too_slow(autojump_clock):
    """A supervisor kills a child that is still in terminate when its limit has passed."""
    diary = []

    async def slow(server):
        try:
            await trio.sleep(60)
        finally:
            server.note("interrupted", trio.current_time() - begun)

    async with Stage() as supervisor:
        ref = await supervisor.start(Server, diary, None, slow, shutdown=3)
        begun = trio.current_time()

    assert KILLED == ref.exit_reason
    assert ["init", ("terminate", SHUTDOWN), ("interrupted", 3)] == diary


async def test_exit_signal_during_terminate(autojump_clock):
    """An exit signal interrupts a terminate of a server that does not trap exits."""
    async with Stage():
        ref = await started("init", None, [], terminate=pause(60))
        stop_nowait(ref)
        await trio.sleep(1)
        send_exit(ref, "now")

        assert Failed("now") == await ref.wait()
        assert 1 == trio.current_time() % 60


async def test_second_stop_is_no_second_terminate():
    """Asked twice, a server stops once, for the first reason."""
    diary = []
    async with Stage():
        ref = await started("init", None, diary)
        stop_nowait(ref, "first")
        stop_nowait(ref, "second")

        assert Failed("first") == await ref.wait()
    assert 1 == diary.count(("terminate", Failed("first")))


async def test_last_replies():
    """In its terminate a server may still answer those whom it owes a reply; the others learn of the end."""
    diary = []

    def put_off(server):
        server.laters = [*getattr(server, "laters", []), Later()]
        return server.laters[-1].pending()

    def say_goodbye(server):
        server.note("waited", server.laters[0].reply("goodbye"))

    async with Stage(), trio.open_nursery() as nursery:
        ref = await started("init", None, diary, terminate=say_goodbye)
        for name in ("first", "second"):
            nursery.start_soon(note_outcome, diary, name, Server.ask(ref, put_off))
            await trio.testing.wait_all_tasks_blocked()
        await stop(ref, "end")

    assert ["init", ("terminate", Failed("end")), ("waited", True)] == diary[:3]
    replies = dict(diary[3:])
    assert "goodbye" == replies["first"]
    assert Failed("end") == replies["second"].reason


async def test_ignore_after_the_start():
    """`Ignore` only has a meaning while a server starts; later it is a crash."""

    def act(_server):
        raise Ignore

    async with Stage():
        ref = await started("cast", act, [])

        assert "Ignore: " == error_in(await ref.wait())


async def test_trapping_by_specification():
    """A child specification can make a server trap exits that does not do so by itself."""
    diary = []
    async with Stage() as supervisor:
        ref = await supervisor.start(Puppet, diary, trap_exits=True)
        send_exit(ref, "gone")
        await stop(ref, drain=True)

    assert ["init", ("info", Exit(None, Failed("gone"))), ("terminate", NORMAL)] == diary[:3]
