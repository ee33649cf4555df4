"""Calls: an answer, or at once the reason why there will be none; and no harm to anybody by a caller who has gone."""

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    NORMAL,
    CallExited,
    CallTimeout,
    Crashed,
    Failed,
    Later,
    MailboxOptions,
    Name,
    NoProcess,
    Stop,
    UnknownOperation,
    call,
    current_ref,
    kill,
    mailbox,
    spawn,
    stop_nowait,
)
from tests.runtime.boxes import drain
from tests.runtime.helpers import Desk, as_process, as_task, cancelled, idle, nothing_left_of_calls


@pytest.fixture
async def desk(tree):
    """A server that is not restarted."""
    return await tree.start(Desk, name=Name("desk"), restart="temporary")


# ------------------------------------------------------------------------------------------- answers


async def test_answer(desk):
    """A call is a checkpoint and gives the answer, the object itself."""
    value = object()
    with assert_checkpoints():
        assert value is await Desk.echo(desk, value)
    assert value is await Desk.echo(Name("desk"), value)


@as_process
async def test_answer_is_no_message(tree):
    """An answer does not come through the mailbox, whether the caller is a process or a task of one."""
    desk = await tree.start(Desk)
    await Desk.echo(desk, 1)
    await as_task(Desk.echo, desk, 2)

    assert [] == drain(mailbox())
    assert 0 == current_ref()._process.mailbox.sent


async def test_calls_are_served_in_order(desk, nursery):
    """Calls are served in the order in which they were sent, whoever sent them."""
    for number in range(10):
        nursery.start_soon(Desk.echo, desk, number)
        await trio.testing.wait_all_tasks_blocked()
    requests = [Desk.echo.request(desk, number) for number in range(10, 20)]
    for request in requests:
        await request.receive()

    assert list(range(20)) == await Desk.history(desk)


@pytest.mark.parametrize("kind", ["lean", "channel"])
async def test_many_callers(tree, kind):
    """A hundred callers get a hundred different answers, through a mailbox with room for three."""
    desk = await tree.start(Desk, mailbox=MailboxOptions(capacity=3, kind=kind))
    answers = {}

    async def caller(number):
        answers[number] = await Desk.echo(desk, number)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(caller, number)

    assert {number: number for number in range(100)} == answers
    nothing_left_of_calls(desk)


# --------------------------------------------------------------- 9. the end of the callee is told at once


@pytest.mark.parametrize("target", ["ref", "name"])
async def test_nobody_there(desk, target, autojump_clock):
    """A call to nobody fails at once, and names what was called and where."""
    kill(desk)
    await desk.wait()
    address = desk if target == "ref" else Name("desk")
    with pytest.raises(NoProcess, match=r"Desk\.echo: no process at") as caught:
        await Desk.echo(address, 1)

    assert (address, "Desk.echo") == (caught.value.address, caught.value.operation)
    assert 0 == trio.current_time()


@pytest.mark.parametrize("operation", ["handled", "queued", "put off"])
@pytest.mark.parametrize("reason", [KILLED, NORMAL, Failed("boom")])
async def test_end_of_the_callee(desk, operation, reason, autojump_clock):
    """A server that ends before it answered fails its callers at once, with its reason, even if that is normal."""
    if operation == "queued":
        Desk.run.request(desk, idle)
    request = Desk.put_off.request(desk, "key") if operation == "put off" else Desk.run.request(desk, idle)
    await wait_all_tasks_blocked()
    if reason == KILLED:
        kill(desk)
    else:
        desk._process.interrupt(reason)
    with pytest.raises(CallExited, match="the process ended before it answered") as caught:
        await request.receive()

    assert reason == caught.value.reason
    assert 0 == trio.current_time()


async def test_callee_that_is_as_good_as_dead(desk):
    """A process that has been killed, but has not had its turn since, is not called any more."""
    kill(desk)
    assert desk.alive
    with pytest.raises(NoProcess):
        await Desk.echo(desk, 1)


async def test_callee_that_stops(desk):
    """A server that has been asked to stop, and has not yet, is called; the call is failed when it ends."""
    stop_nowait(desk)
    with pytest.raises(CallExited) as caught:
        await Desk.echo(desk, 1)

    assert NORMAL == caught.value.reason


async def test_crash_of_the_callee(desk, autojump_clock):
    """A handler that crashes fails its caller at once; the cause of the error is the crash."""
    error = ValueError("boom")

    async def crash():
        raise error

    with pytest.raises(CallExited) as caught:
        await Desk.run(desk, crash)

    assert Crashed(error) == caught.value.reason
    assert error is caught.value.__cause__
    assert 0 == trio.current_time()


async def test_stop_of_the_callee(desk):
    """A handler that stops its server without an answer fails its caller."""

    async def stop():
        raise Stop("enough")

    with pytest.raises(CallExited) as caught:
        await Desk.run(desk, stop)
    assert Failed("enough") == caught.value.reason


async def test_polite_stop_while_a_reply_is_owed(desk):
    """A "normal" stop while an answer is owed fails the caller: there will be none."""
    request = Desk.put_off.request(desk, "key")
    await wait_all_tasks_blocked()
    stop_nowait(desk)

    with pytest.raises(CallExited) as caught:
        await request.receive()
    assert NORMAL == caught.value.reason


async def test_end_of_a_reading_function(tree, autojump_clock):
    """A plain function that has read a call and ends without an answer fails the caller, too."""

    async def reading():
        await mailbox().receive()

    with pytest.raises(CallExited):
        await Desk.echo(spawn(reading), 1)
    assert 0 == trio.current_time()


async def test_answer_of_a_plain_function(tree):
    """A plain function may answer the calls that it reads, at once or later."""

    async def serving():
        box = mailbox()
        first, second = await box.receive(), await box.receive()
        second.reply((second.message.operation, *second.message.args))
        first.fail(KeyError("refused"))
        await idle()

    ref = spawn(serving)
    requests = Desk.echo.request(ref, 1), Desk.echo.request(ref, 2)

    assert ("echo", 2) == await requests[1].receive()
    with pytest.raises(KeyError):
        await requests[0].receive()
    nothing_left_of_calls(ref)


async def test_closed_mailbox(tree):
    """A process that reads no more messages is not there for calls."""

    async def closing():
        await mailbox().aclose()
        await idle()

    ref = spawn(closing)
    await wait_all_tasks_blocked()
    with pytest.raises(NoProcess):
        await Desk.echo(ref, 1)


async def test_mailbox_closes_with_a_call_in_it(tree):
    """The same for the calls that are in the mailbox when it is closed."""

    async def closing():
        await mailbox().aclose()
        await idle()

    ref = spawn(closing)
    request = Desk.echo.request(ref, 1)
    with pytest.raises(NoProcess):
        await request.receive()


async def test_unknown_operation(desk):
    """A call that the server has no handler for is an error of its sender; the server lives."""

    class Newer(Desk):
        @call
        def added(self):
            return 1

    with pytest.raises(UnknownOperation, match=r"has no handler for Newer\.added"):
        await Newer.added(desk)

    assert 1 == await Desk.echo(desk, 1)


# -------------------------------------------------------------- 10. a caller who has gone does no harm


async def test_timeout(desk, autojump_clock):
    """Past its limit a call raises `CallTimeout`; the server finishes, and the late answer leaves no trace."""
    with pytest.raises(CallTimeout, match=r"Desk\.slow: no answer from .* within 1 s") as caught:
        await Desk.slow.within(1)(desk, 3)

    assert isinstance(caught.value, trio.TooSlowError)
    assert (1, "Desk.slow", desk) == (caught.value.limit, caught.value.operation, caught.value.target)
    assert 1 == trio.current_time()
    assert ["begun", "done"] == await Desk.history(desk)
    assert 3 == trio.current_time()
    nothing_left_of_calls(desk)


async def test_cancelled(desk, autojump_clock):
    """A caller that is cancelled leaves as little behind."""
    with trio.move_on_after(1) as scope:
        await Desk.slow(desk, 3)

    assert scope.cancelled_caught
    assert 1 == trio.current_time()
    assert ["begun", "done"] == await Desk.history(desk)
    nothing_left_of_calls(desk)


async def test_cancelled_before(desk):
    """A call in a cancelled scope has been sent, or not; it hurts nobody."""
    with cancelled() as scope:
        await Desk.echo(desk, 1)

    assert scope.cancelled_caught
    assert await Desk.history(desk) in ([], [1])
    nothing_left_of_calls(desk)


async def test_gone_before_it_is_served(desk, autojump_clock):
    """A request is not skipped because its caller has gone: it is handled in its turn, as in OTP."""
    Desk.slow.request(desk, 3)
    with pytest.raises(CallTimeout):
        await Desk.echo.within(1)(desk, "late")

    assert ["begun", "done", "late"] == await Desk.history(desk)


async def test_late_answer_of_a_put_off_call(desk, autojump_clock):
    """Who answers a caller that has gone is told so, and the debt is forgotten at once."""
    laters = []

    async def put_off():
        laters.append(Later())
        return laters[0].pending()

    with pytest.raises(CallTimeout):
        await Desk.run.within(1)(desk, put_off)
    assert not laters[0].waiting
    nothing_left_of_calls(desk)
    assert laters[0].reply("too late") is False

    assert 1 == await Desk.echo(desk, 1)


async def test_first_answer_counts(desk):
    """A second answer finds nobody."""

    async def twice():
        later = Later()
        assert later.reply("first") is True
        assert later.reply("second") is False
        assert later.refuse(ValueError()) is False
        return "third"

    assert "first" == await Desk.run(desk, twice)
    assert 1 == await Desk.echo(desk, 1)


async def test_answer_and_limit_in_the_same_moment(desk, autojump_clock):
    """Whatever wins, answer or limit: the call ends once, and nothing is left."""
    for seconds in (1, 2):
        try:
            assert "slow" == await Desk.slow.within(1)(desk, seconds)
        except CallTimeout:
            assert trio.current_time() == int(trio.current_time())
    await trio.sleep(5)
    nothing_left_of_calls(desk)


async def test_end_of_the_caller(desk, autojump_clock):
    """A caller that ends while it waits hurts nobody."""

    async def calling():
        await Desk.slow(desk, 3)

    ref = spawn(calling)
    await wait_all_tasks_blocked()
    kill(ref)
    await ref.wait()

    assert ["begun", "done"] == await Desk.history(desk)
    nothing_left_of_calls(desk)
