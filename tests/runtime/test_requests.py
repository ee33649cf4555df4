"""Requests that are sent now and awaited later, alone or as a collection."""

import pytest
import trio
from trio.testing import assert_checkpoints, assert_no_checkpoints, wait_all_tasks_blocked

from nursery_otp import (
    CallExited,
    CallTimeout,
    InvalidSpec,
    Name,
    NoProcess,
    Refuse,
    RequestCollection,
    current_runtime,
    kill,
)
from tests.runtime.helpers import Desk, idle


@pytest.fixture
async def desk(tree):
    """A server that is not restarted."""
    return await tree.start(Desk, restart="temporary")


@pytest.fixture
def put_off(desk):
    """Make a request that is answered when the test says so: with `Desk.settle(desk, key, value)`."""
    return lambda key: Desk.put_off.request(desk, key)


async def settle(desk, key, value):
    """Answer a request."""
    Desk.settle(desk, key, value)
    await wait_all_tasks_blocked()


# --------------------------------------------------------------------------------------- one request


async def test_request(desk):
    """A request is sent at once, without a checkpoint; the answer is awaited later."""
    with assert_no_checkpoints():
        request = Desk.echo.request(desk, 1)
    assert not request.done
    assert [1] == await Desk.history(desk)
    assert request.done
    with assert_checkpoints():
        assert 1 == await request.receive()


@pytest.mark.parametrize("early", [True, False], ids=["answer is there", "answer is awaited"])
async def test_answer_stays(desk, early):
    """An answer can be asked for again and again, whether somebody waited when it came or not."""
    request = Desk.echo.request(desk, 1)
    if early:
        await wait_all_tasks_blocked()

    assert [1, 1, 1] == [await request.receive(), await request.wait(within=1), await request.receive(within=0)]


@pytest.mark.parametrize("early", [True, False], ids=["answer is there", "answer is awaited"])
async def test_error_stays(desk, early):
    """So can an error."""

    async def refuse():
        raise Refuse(KeyError("refused"))

    request = Desk.run.request(desk, refuse)
    if early:
        await wait_all_tasks_blocked()
    for _ in range(3):
        with pytest.raises(KeyError, match="refused"):
            await request.receive()


async def test_nobody_there(tree):
    """A request to nobody fails when the answer is asked for, not when it is sent."""
    request = Desk.echo.request(Name("nobody"), 1)

    assert request.done
    with pytest.raises(NoProcess):
        await request.receive()


async def test_wrong_arguments(desk):
    """Wrong arguments are an error of the one who sends."""
    with pytest.raises(TypeError, match=r"Desk\.echo\(\): missing a required argument"):
        Desk.echo.request(desk)


async def test_receive_gives_up(put_off, desk, autojump_clock):
    """Past its limit `receive` gives the request up: the answer is dropped, and asking again is the same error."""
    request = put_off(1)
    with pytest.raises(CallTimeout, match="within 2 s"):
        await request.receive(within=2)
    assert request.done
    await settle(desk, 1, "late")
    with pytest.raises(CallTimeout):
        await request.receive()

    assert 2 == trio.current_time()
    assert not desk._process.owed


async def test_wait_keeps(put_off, desk, autojump_clock):
    """Past its limit `wait` keeps the request: the answer can still come."""
    request = put_off(1)
    for _ in range(2):
        with pytest.raises(CallTimeout):
            await request.wait(within=2)
    assert 4 == trio.current_time()
    assert not request.done
    await settle(desk, 1, "late")

    assert "late" == await request.wait()
    assert [] == current_runtime().alarms.armed()


async def test_no_limit(put_off, desk, autojump_clock):
    """Without a limit of its own a request has none; the default of calls is not meant."""
    request = put_off(1)
    await trio.sleep(50)
    await settle(desk, 1, "value")

    assert "value" == await request.receive()


async def test_cancelled(put_off, desk):
    """Who is cancelled in `receive` gives the request up; in `wait` he does not."""
    given_up, kept = put_off(1), put_off(2)
    for waiting in (given_up.receive, kept.wait):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(waiting)
                await wait_all_tasks_blocked()
                scope.cancel()
    await settle(desk, 1, "dropped")
    await settle(desk, 2, "kept")

    with pytest.raises(CallTimeout):
        await given_up.receive()
    assert "kept" == await kept.receive()


async def test_one_waiter(put_off, nursery):
    """One task waits for a request."""
    request = put_off(1)
    nursery.start_soon(request.wait)
    await wait_all_tasks_blocked()
    with pytest.raises(trio.BusyResourceError):
        await request.wait()


async def test_any_task(put_off, desk):
    """It need not be the task that sent the request."""
    request, answers = put_off(1), []

    async def waiting():
        answers.append(await request.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiting)
        await settle(desk, 1, "value")

    assert ["value"] == answers


async def test_end_of_the_server(put_off, desk):
    """The end of the server fails all requests at once, waited for or not."""
    requests = [put_off(1), Desk.run.request(desk, idle), Desk.echo.request(desk, 1)]
    await wait_all_tasks_blocked()
    kill(desk)
    await desk.wait()

    for request in requests:
        assert request.done
        with pytest.raises(CallExited):
            await request.receive()


async def test_repr(desk):
    """A request shows what was asked for and where, and whether there is an answer."""
    request = Desk.echo.request(desk, 1)
    assert f"<Request Desk.echo to {desk}>" == repr(request)
    await request.receive()

    assert f"<Request Desk.echo to {desk}, done>" == repr(request)


@pytest.mark.parametrize("within", [-1, "5", None])
async def test_wrong_limit(put_off, within):
    """What is no number of seconds is refused, and the request is still under way."""
    request = put_off(1)
    for waiting in (request.receive, request.wait):
        with pytest.raises(InvalidSpec, match="within="):
            await waiting(within=within)

    assert not request.done


# ------------------------------------------------------------------------------------- collections


@pytest.fixture
def collection(put_off):
    """Three requests under way, with keys and labels."""
    requests = RequestCollection()
    for number, label in enumerate("abc"):
        requests.add(put_off(number), label)
    return requests


async def test_order_of_answers(collection, desk):
    """Answers come out in the order in which they came in, not in that of the requests."""
    for number in (2, 0):
        await settle(desk, number, number)
    assert 3 == len(collection)
    assert [(2, "c"), (0, "a")] == [await collection.receive(), await collection.receive()]
    assert 1 == len(collection)
    await settle(desk, 1, 1)
    with assert_checkpoints():
        assert (1, "b") == await collection.receive()

    assert "<RequestCollection of 0>" == repr(collection)


async def test_collection_waits(collection, desk, nursery):
    """`receive` waits for the first answer."""
    answers = []

    async def waiting():
        while len(collection):
            answers.append(await collection.receive())

    nursery.start_soon(waiting)
    for number in (1, 2, 0):
        await wait_all_tasks_blocked()
        await settle(desk, number, number)

    assert [(1, "b"), (2, "c"), (0, "a")] == answers


async def test_answers_that_were_there(collection, desk):
    """A request whose answer is there when it is added comes out like the others."""
    request = Desk.echo.request(desk, "early")
    await wait_all_tasks_blocked()
    collection.add(request, "early")

    assert ("early", "early") == await collection.receive()


async def test_failed_requests(collection, desk):
    """A failed request raises its error, with its label as a note, and leaves the collection."""
    kill(desk)
    await desk.wait()
    for label in "abc":
        with pytest.raises(CallExited) as caught:
            await collection.receive()
        assert [f"answer to the request {label!r}"] == caught.value.__notes__

    assert 0 == len(collection)


async def test_limit_of_a_collection(collection, desk, autojump_clock):
    """Past its limit `receive` raises `CallTimeout`; the requests stay, and may be answered later."""
    with pytest.raises(CallTimeout, match="within 2 s"):
        await collection.receive(within=2)
    assert (2, 3) == (trio.current_time(), len(collection))
    with pytest.raises(CallTimeout):
        await collection.receive(within=0)
    await settle(desk, 0, "late")

    assert ("late", "a") == await collection.receive(within=0)


async def test_cancelled_collection(collection, desk):
    """The same for who is cancelled."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collection.receive)
            await wait_all_tasks_blocked()
            scope.cancel()
    assert 3 == len(collection)
    await settle(desk, 0, "late")

    assert ("late", "a") == await collection.receive()


async def test_empty_collection(tree):
    """Waiting for nothing would be waiting for ever: `LookupError`."""
    with pytest.raises(LookupError, match="no request is left in the collection"):
        await RequestCollection().receive()


async def test_one_waiter_of_a_collection(collection, desk, nursery):
    """One task waits for a collection; it is not disturbed by a second one."""
    answers = []

    async def waiting():
        answers.append(await collection.receive())

    nursery.start_soon(waiting)
    await wait_all_tasks_blocked()
    with pytest.raises(trio.BusyResourceError):
        await collection.receive()
    await settle(desk, 0, 0)

    assert [(0, "a")] == answers


async def test_answer_is_taken_before_the_waiter_wakes(collection, desk, nursery):
    """Two tasks in a row: who comes between an answer and the task that it wakes takes nothing away from that."""
    answers = []

    async def waiting():
        answers.append(await collection.receive())

    nursery.start_soon(waiting)
    await wait_all_tasks_blocked()
    desk._process.behaviour.server.pending.pop(0).reply(0)  # the sleeping task is woken, but has not run
    nursery.start_soon(settle, desk, 1, 1)
    try:
        answers.append(await collection.receive())
    except trio.BusyResourceError:
        answers.append(await collection.receive())
    await wait_all_tasks_blocked()

    assert [(0, "a"), (1, "b")] == sorted(answers)


async def test_request_that_is_given_up_elsewhere(put_off, autojump_clock):
    """A request that somebody gives up outside of the collection fails in it, too; nobody waits for it for ever."""
    collection, request = RequestCollection(), put_off(1)
    collection.add(request, "label")
    with pytest.raises(CallTimeout):
        await request.receive(within=1)
    with pytest.raises(CallTimeout):
        await collection.receive()

    assert 0 == len(collection)


async def test_request_that_is_awaited_elsewhere(put_off, desk, nursery, autojump_clock):
    """A request that somebody else has received is answered in the collection as well."""
    collection, request = RequestCollection(), put_off(1)
    collection.add(request, "label")
    nursery.start_soon(request.receive)
    await wait_all_tasks_blocked()
    await settle(desk, 1, "value")

    assert ("value", "label") == await collection.receive()


async def test_added_twice(collection, desk, autojump_clock):
    """Adding a request again gives it another label."""
    request = Desk.echo.request(desk, 1)
    await wait_all_tasks_blocked()
    for label in "xy":
        collection.add(request, label)

    assert 4 == len(collection)
    assert (1, "y") == await collection.receive()
    assert 3 == len(collection)
    with pytest.raises(CallTimeout):
        await collection.receive(within=1)


async def test_wrong_kind(tree):
    """Only requests can be added; a coroutine, the usual mistake, is refused by name."""
    with pytest.raises(InvalidSpec, match="request=5: must be a Request"):
        RequestCollection().add(5, "label")
