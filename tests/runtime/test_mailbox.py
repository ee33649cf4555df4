"""Both mailboxes behave as Trio's memory channel does."""

import pytest
import trio
from trio.testing import assert_checkpoints, assert_no_checkpoints, wait_all_tasks_blocked

from tests.runtime.boxes import ALL, GONE, OURS, drain, open_box
from tests.runtime.helpers import cancelled


@pytest.fixture(params=ALL)
async def box(request, tree):
    """A box without a bound."""
    return open_box(request.param)


@pytest.fixture(params=ALL)
async def small(request, tree):
    """A box with room for two."""
    return open_box(request.param, 2)


# -------------------------------------------------------------------------------------------- order


async def test_order(box):
    """Messages are read in the order in which they were sent."""
    for number in range(5):
        box.send_nowait(number)

    assert [0, 1, 2, 3, 4] == [await box.receive() for _ in range(5)]


async def test_order_for_a_sleeping_reader(box, nursery):
    """The order is the same if a reader sleeps while many messages come in one go."""
    got = []

    async def read():
        async for message in box:
            got.insert(len(got), message)

    nursery.start_soon(read)
    for first in (0, 4):
        await wait_all_tasks_blocked()
        for number in range(first, first + 4):
            box.send_nowait(number)
    await wait_all_tasks_blocked()

    assert list(range(8)) == got


async def test_order_over_many_messages(box):
    """Nothing is lost or swapped when reading and writing go on and on and the backlog grows and shrinks."""
    sent = read = 0
    for burst in (1, 200, 3, 1000, 64, 65, 2, 500):
        for _ in range(burst):
            box.send_nowait(sent)
            sent += 1
        for _ in range(burst * 2 // 3):
            assert read == box.receive_nowait()
            read += 1
        assert (sent - read, 0) == box.counts()

    assert list(range(read, sent)) == drain(box)


# ---------------------------------------------------------------------------------------- receiving


async def test_receive_waits(box, nursery):
    """A reader of an empty mailbox sleeps until there is a message."""
    got = []

    async def read():
        got.append(await box.receive())

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    assert [] == got

    box.send_nowait("late")
    await wait_all_tasks_blocked()
    assert ["late"] == got


async def test_receive_nowait_of_nothing(box):
    """`receive_nowait` of an empty mailbox raises `WouldBlock`."""
    with pytest.raises(trio.WouldBlock):
        box.receive_nowait()


async def test_cancelled_receiver_loses_nothing(box, nursery):
    """A reader that is cancelled in its sleep takes no message with it."""
    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_when_blocked, scope)
        await box.receive()
    box.send_nowait(1)

    assert scope.cancelled_caught
    assert 1 == await box.receive()


@pytest.mark.parametrize("first", ["send", "cancel"])
async def test_receiver_is_cancelled_while_a_message_comes(box, nursery, first):
    """If message and cancellation come in the same moment, the message has been received, or it is still there."""
    got = []
    scope = trio.CancelScope()

    async def read():
        with scope:
            got.append(await box.receive())

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    if first == "send":
        box.send_nowait("message")
        scope.cancel()
    else:
        scope.cancel()
        box.send_nowait("message")
    await wait_all_tasks_blocked()

    assert ["message"] == got + drain(box)
    assert (0, 0) == box.counts()


async def test_counts_while_the_reader_wakes(box, nursery):
    """Between the arrival of messages and the reader's turn none of them is invisible."""
    got = []

    async def read():
        got.append(await box.receive())

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    box.send_nowait(1)
    box.send_nowait(2)
    if not hasattr(box, "sender"):  # Trio's own hands the first one over at once
        assert (2, 0) == box.counts()
    await wait_all_tasks_blocked()

    assert [1] == got
    assert (1, 0) == box.counts()


async def test_receive_in_a_cancelled_scope(box):
    """A `receive` that is cancelled before it begins leaves a message that is there alone."""
    box.send_nowait(1)
    with cancelled() as scope:
        await box.receive()

    assert scope.cancelled_caught
    assert (1, 0) == box.counts()


@pytest.mark.parametrize("kind", OURS)
async def test_one_reader(tree, nursery, kind):
    """A mailbox has one reader: a second one gets `BusyResourceError`, and the first is not disturbed."""
    box = open_box(kind)
    got = []

    async def read():
        got.append(await box.receive())

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    with pytest.raises(trio.BusyResourceError):
        await box.receive()
    box.send_nowait(1)
    await wait_all_tasks_blocked()

    assert [1] == got


# ------------------------------------------------------------------------------------------ sending


async def test_send_waits_for_room(small, nursery):
    """A sender sleeps in front of a full mailbox; those who wait get in in the order in which they came."""
    sent = []

    async def sending(number):
        await small.send(number)
        sent.append(number)

    for number in range(5):
        nursery.start_soon(sending, number)
        await wait_all_tasks_blocked()
    assert [0, 1] == sent
    assert (2, 3) == small.counts()

    assert 0 == await small.receive()
    await wait_all_tasks_blocked()
    assert [0, 1, 2] == sent
    assert (2, 2) == small.counts()

    assert [1, 2, 3, 4] == drain(small)


async def test_send_nowait_to_a_full_mailbox(small):
    """`send_nowait` to a full mailbox raises `WouldBlock`, and nothing has been sent."""
    small.send_nowait(1)
    small.send_nowait(2)
    with pytest.raises(trio.WouldBlock):
        small.send_nowait(3)

    assert [1, 2] == drain(small)


async def test_nobody_jumps_the_queue(small, nursery):
    """Room that becomes free goes to those who wait, not to whoever comes next."""
    small.send_nowait(1)
    small.send_nowait(2)
    nursery.start_soon(small.send, 3)
    await wait_all_tasks_blocked()
    assert 1 == small.receive_nowait()
    with pytest.raises(trio.WouldBlock):
        small.send_nowait(4)

    assert [2, 3] == drain(small)


async def test_cancelled_sender_has_sent_nothing(small, nursery):
    """A sender that is cancelled in its sleep has not sent; the others have, in their order."""
    scopes = {number: trio.CancelScope() for number in range(5)}
    await blocked_senders(small, nursery, scopes, messages=range(5))
    scopes[3].cancel()
    await wait_all_tasks_blocked()
    assert (2, 2) == small.counts()

    assert [0, 1, 2, 4] == drain(small)


async def test_cancelled_sender_of_the_same_object(small, nursery):
    """Cancelling one of two senders of the same object cancels that one, not the other."""
    small.send_nowait(1)
    small.send_nowait(2)
    scopes = {"first": trio.CancelScope(), "second": trio.CancelScope()}
    sent = await blocked_senders(small, nursery, scopes, messages=[None, None])
    scopes["second"].cancel()
    await wait_all_tasks_blocked()

    assert [1, 2, None] == drain(small)
    await wait_all_tasks_blocked()
    assert ["first"] == sent


async def test_sender_is_cancelled_while_room_comes(small, nursery):
    """If room and cancellation come in the same moment, the message has been sent; nothing hangs."""
    scope = trio.CancelScope()
    sent = await blocked_senders(small, nursery, {"a": trio.CancelScope(), "b": trio.CancelScope()}, messages="ab")
    assert ["a", "b"] == sent
    sent = await blocked_senders(small, nursery, {"c": scope}, messages="c")
    small.receive_nowait()
    scope.cancel()
    await wait_all_tasks_blocked()

    assert ["c"] == sent
    assert ["b", "c"] == drain(small)


async def test_send_in_a_cancelled_scope(box):
    """A `send` that is cancelled before it begins sends nothing."""
    with cancelled() as scope:
        await box.send(1)

    assert scope.cancelled_caught
    assert (0, 0) == box.counts()


# ------------------------------------------------------------------------- closing, checkpoints, type


async def test_closed_for_the_reader(box):
    """Who closed the mailbox cannot read it any more."""
    box.send_nowait(1)
    await box.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await box.receive()
    with pytest.raises(trio.ClosedResourceError):
        box.receive_nowait()


async def test_closed_while_the_reader_sleeps(box, nursery):
    """A reader that sleeps when another task closes the mailbox is woken with `ClosedResourceError`."""
    errors = []

    async def read():
        try:
            await box.receive()
        except trio.ClosedResourceError as error:
            errors.append(error)

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    await box.aclose()
    await wait_all_tasks_blocked()

    assert 1 == len(errors)


async def test_closed_while_senders_wait(small, nursery):
    """Who waits for room when the mailbox is closed is told that the receiver has gone."""
    small.send_nowait(1)
    small.send_nowait(2)
    errors = []

    async def sending():
        try:
            await small.send(3)
        except GONE as error:
            errors.append(error)

    nursery.start_soon(sending)
    nursery.start_soon(sending)
    await wait_all_tasks_blocked()
    await small.aclose()
    await wait_all_tasks_blocked()

    assert 2 == len(errors)


async def test_checkpoints(small, nursery):
    """What is awaited is a checkpoint even if it need not wait, and what is called is none."""
    with assert_checkpoints():
        await small.send(1)
    with assert_no_checkpoints():
        small.send_nowait(2)
    with assert_checkpoints():
        await small.receive()
    with assert_no_checkpoints():
        small.receive_nowait()
    nursery.start_soon(small.send, 3)
    with assert_checkpoints():
        await small.receive()
    with assert_checkpoints():
        await small.aclose()


@pytest.mark.parametrize("kind", OURS)
async def test_receive_channel(tree, kind):
    """A mailbox is a `trio.abc.ReceiveChannel`, whose `async with` closes it."""
    box = open_box(kind)
    assert isinstance(box.mailbox, trio.abc.ReceiveChannel)
    async with box.mailbox:
        assert not box.mailbox.closed
    assert box.mailbox.closed


async def cancel_when_blocked(scope):
    """Cancel when nothing else happens."""
    await wait_all_tasks_blocked()
    scope.cancel()


async def blocked_senders(box, nursery, scopes, messages):
    """Tasks that send, one after the other, each in a scope; the keys of those that have sent."""
    sent = []

    async def sending(key, message):
        with scopes[key]:
            await box.send(message)
            sent.append(key)

    for key, message in zip(scopes, messages, strict=True):
        nursery.start_soon(sending, key, message)
        await wait_all_tasks_blocked()
    return sent
