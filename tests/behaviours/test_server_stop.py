"""`Stop` from every callback; and stop, drain and kill."""

import logging

import pytest
import trio
import trio.testing

from nursery_otp import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    CallExited,
    Crashed,
    Failed,
    Later,
    MailboxOptions,
    Shutdown,
    Stop,
    StopTimeout,
    answer,
    current_ref,
    current_runtime,
    kill,
    process_info,
    send_nowait,
    spawn,
    start,
    stop,
    stop_nowait,
    suspend,
)
from tests.behaviours.origins import ORIGINS, Server, started
from tests.behaviours.stage import Puppet, Stage, Trapper, crash, error_in, note_outcome, outcome_of, pause

MANY = 10_000


def raise_stop(reason):
    def act(_server):
        raise Stop(reason)

    return act


def return_stop(reason):
    return lambda _server: Stop(reason)


# ------------------------------------------------------------------------------- Stop, from anywhere


@pytest.mark.parametrize("make", [raise_stop, return_stop])
@pytest.mark.parametrize("origin", ORIGINS[1:])
async def test_stop_instruction(origin, make):
    """`Stop(reason)`, raised or returned by any callback, ends the server with that reason after `terminate`."""
    diary = []
    async with Stage():
        ref = await started(origin, make("enough"), diary)
        reason = await ref.wait()

    assert Failed("enough") == reason
    assert ["init", ("terminate", Failed("enough"))] == diary


@pytest.mark.parametrize(
    ("given", "expected"),
    [((), NORMAL), ((SHUTDOWN,), SHUTDOWN), ((Shutdown("x"),), Shutdown("x")), ((5,), Failed(5)), ((KILLED,), KILLED)],
)
async def test_stop_reasons(given, expected):
    """Exit reasons are taken as they are, any other object is wrapped in `Failed`."""
    diary = []
    async with Stage():
        ref = await started("cast", lambda _server: Stop(*given), diary)

        assert expected == await ref.wait()
    assert ("terminate", expected) == diary[-1]


async def test_stop_with_an_exception():
    """An exception as reason counts as a crash with it."""
    error = ValueError("on purpose")
    async with Stage():
        ref = await started("cast", lambda _server: Stop(error), [])

        assert Crashed(error) == await ref.wait()


@pytest.mark.parametrize("origin", ORIGINS[1:])
async def test_crash(origin):
    """An exception in any callback ends the server with `Crashed`, after `terminate(Crashed)`."""
    diary = []
    async with Stage():
        ref = await started(origin, crash, diary)
        reason = await ref.wait()

    assert "ValueError: boom" == error_in(reason)
    assert ["init", ("terminate", reason)] == diary


async def test_stop_in_own_nursery():
    """A `Stop` raised in a nursery of the handler's own counts as raised by the handler."""

    async def split(_server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise Stop("inside")

    async with Stage():
        ref = await started("async cast", split, [])

        assert Failed("inside") == await ref.wait()


async def test_stop_fails_the_caller():
    """A call whose handler raises `Stop` gets no reply: `CallExited` with the reason, once the server has ended."""
    async with Stage():
        ref = await started("init", None, [])
        with pytest.raises(CallExited) as caught:
            await Server.ask(ref, raise_stop("enough"))

        assert Failed("enough") == caught.value.reason == ref.exit_reason


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, Failed("x")])
async def test_stop_while_a_reply_is_owed(reason):
    """Whoever waits for a put-off reply learns of the end at once, also of a normal one."""
    diary = []
    async with Stage(), trio.open_nursery() as nursery:
        ref = await started("init", None, [])
        nursery.start_soon(note_outcome, diary, "owed", Server.ask(ref, lambda _server: Later().pending()))
        nursery.start_soon(note_outcome, diary, "owed too", Server.ask(ref, lambda _server: Later().pending()))
        await trio.testing.wait_all_tasks_blocked()
        await stop(ref, reason)

    assert {("owed", CallExited, reason), ("owed too", CallExited, reason)} == {
        (entry, type(error), error.reason) for entry, error in diary
    }


async def test_answer_then_stop():
    """`answer(value, then=Stop())`: terminate runs first, the reply comes after it and is the value."""
    diary = []
    async with Stage():
        ref = await started("init", None, diary, terminate=lambda _server: trio.testing.wait_all_tasks_blocked())
        reply = await Server.ask(ref, lambda _server: answer("bye", then=Stop("x")))
        diary.append(reply)

        assert Failed("x") == await ref.wait()
    assert ["init", ("terminate", Failed("x")), "bye"] == diary


async def test_answer_then_stop_with_failing_terminate():
    """The reply that goes with a stop is sent even if terminate crashes."""
    async with Stage():
        ref = await started("init", None, [], terminate=crash)

        assert "bye" == await Server.ask(ref, lambda _server: answer("bye", then=Stop()))
        assert "ValueError: boom" == error_in(await ref.wait())


async def test_answer_then_stop_killed_in_terminate():
    """Killed in its terminate, the server owes the reply for good: the caller learns that it was killed."""
    diary = []
    async with Stage(), trio.open_nursery() as nursery:
        ref = await started("init", None, [], terminate=pause())
        call = Server.ask(ref, lambda _server: answer("bye", then=Stop()))
        nursery.start_soon(note_outcome, diary, "caller", call)
        await trio.testing.wait_all_tasks_blocked()
        kill(ref)

    assert [("caller", KILLED)] == [(entry, error.reason) for entry, error in diary]


# ----------------------------------------------------------------------------- stop, drain and kill


async def full(diary):
    """A server with many messages in front of it."""
    ref = await started("init", None, diary)
    for number in range(MANY):
        Server.tell(ref, number)
    return ref


async def test_stop_does_not_queue():
    """A stop comes before the messages that are queued; they become dead letters."""
    diary = []
    async with Stage():
        ref = await full(diary)
        await stop(ref)
        letters = current_runtime().dead_letters

        assert MANY == len(letters)
        assert {(ref, "process ended")} == {(letter.recipient, letter.reason) for letter in letters}
        assert {"process ended": MANY} == current_runtime().ledger().dead_lettered
    assert ["init", ("terminate", NORMAL)] == diary


async def test_drain_works_off():
    """A draining stop takes its place behind what is queued, and in front of what comes later."""
    diary = []
    async with Stage():
        ref = await full(diary)
        stop_nowait(ref, drain=True)
        Server.tell(ref, "too late")
        await ref.wait()

        assert ["too late"] == [letter.message.args[0] for letter in current_runtime().dead_letters]
    assert ["init", *(("tell", number) for number in range(MANY)), ("terminate", NORMAL)] == diary


async def test_kill_drops_everything():
    """A kill neither works off the mailbox nor runs terminate."""
    diary = []
    async with Stage():
        ref = await full(diary)
        kill(ref)
        await ref.wait()

        assert MANY == len(current_runtime().dead_letters)
    assert ["init"] == diary


async def test_stop_waits_for_the_running_handler(autojump_clock):
    """A stop does not interrupt the handler that is running."""
    diary = []

    async def work(server):
        await trio.sleep(7)
        server.note("done")

    async with Stage():
        ref = await started("async cast", work, diary)
        await trio.testing.wait_all_tasks_blocked()
        await stop(ref)

    assert ["init", "done", ("terminate", NORMAL)] == diary


async def test_kill_interrupts_the_running_handler():
    """A kill interrupts the handler at its next checkpoint; its caller learns that the server was killed."""
    diary = []
    async with Stage(), trio.open_nursery() as nursery:
        ref = await started("init", None, [])
        sleep = Server.ask_async(ref, pause())
        nursery.start_soon(note_outcome, diary, "caller", sleep)
        await trio.testing.wait_all_tasks_blocked()
        kill(ref)

    assert KILLED == diary[0][1].reason


async def test_stop_gives_up(autojump_clock):
    """`stop(within=)` gives up waiting; the request stands."""
    diary = []
    async with Stage():
        ref = await started("init", None, diary, terminate=pause(10))
        with pytest.raises(StopTimeout, match="did not stop within 2 s"):
            await stop(ref, within=2)

        assert ref.alive
        assert NORMAL == await ref.wait()


async def test_drain_while_suspended():
    """A suspended server listens to a draining stop at once."""
    diary = []
    async with Stage():
        ref = await started("init", None, diary)
        await suspend(ref)
        Server.tell(ref, "never read")
        await stop(ref, drain=True)

    assert ["init", ("terminate", NORMAL)] == diary


async def test_stop_before_the_first_step(autojump_clock):
    """A server that is asked to stop before its first step does stop, whether it traps exits or not."""
    async with Stage():
        for server in (Puppet, Trapper):
            ref = spawn(server)
            stop_nowait(ref)
            with trio.fail_after(60):
                assert NORMAL == await ref.wait()


async def test_stop_during_init(autojump_clock):
    """A server that is asked to stop during its init finishes it, then stops before it reads a message."""
    diary = []
    async with Stage():
        ref = spawn(Server, diary, pause(5))
        send_nowait(ref, "never read")
        await trio.testing.wait_all_tasks_blocked()
        stop_nowait(ref, "early")

        assert Failed("early") == await ref.wait()
    assert ["init", ("terminate", Failed("early"))] == diary


async def test_oneself():
    """A server may ask itself to stop; the handler goes on to its end, and its caller has its reply."""
    diary = []

    def act(_server):
        stop_nowait(current_ref(), "self")
        return "reply"

    async with Stage():
        ref = await started("init", None, diary)

        assert "reply" == await Server.ask(ref, act)
        assert Failed("self") == await ref.wait()


async def test_terminate_may_use_the_process():
    """In terminate the process is still one: it knows itself, and gets replies to its calls."""
    diary = []
    async with Stage():
        other = await started("init", None, [])

        async def farewell(server):
            server.note(current_ref(), process_info(current_ref()).queue_length, await Server.ask(other, "still there"))

        ref = await started("init", None, diary, terminate=farewell)
        await stop(ref)

    assert (ref, 0, "still there") == diary[-1]


async def test_crash_is_logged_once(caplog):
    """A crash is logged with the process and the error; an end that was asked for is not."""
    async with Stage():
        with caplog.at_level(logging.ERROR):
            ref = await started("cast", crash, [])
            await ref.wait()
            quiet = await started("cast", raise_stop("quiet"), [])
            await quiet.wait()

    assert 1 == caplog.text.count("process_crashed")
    assert "ValueError: boom" in caplog.text


@pytest.mark.parametrize("kind", ["lean", "channel"])
async def test_overflow_crash(kind):
    """A server whose mailbox overflows under the policy "crash" ends for that, without terminate."""
    diary = []
    options = MailboxOptions(capacity=2, overflow="crash", kind=kind)
    async with Stage():
        ref = await start(Puppet, diary, mailbox=options)
        for number in range(3):
            send_nowait(ref, number)
        reason = await ref.wait()

    assert "MailboxOverflow: more than 2 messages in the mailbox" == error_in(reason)
    assert ["init"] == diary


async def test_call_to_stopping_server(autojump_clock):
    """A call to a server that is in its terminate fails when that is over, with the exit reason."""
    async with Stage():
        ref = await started("init", None, [], terminate=pause(2))
        stop_nowait(ref, "bye")
        await trio.sleep(1)
        error = await outcome_of(Server.ask(ref, None))

    assert (CallExited, Failed("bye")) == (type(error), error.reason)
