"""Who waits for room in a mailbox is let in in turn: nobody overtakes, and nobody is forgotten."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CircuitBreaker,
    MailboxFull,
    MailboxOptions,
    Name,
    broadcast,
    current_runtime,
    mailbox,
    open_supervisor,
    send,
    send_after,
    send_nowait,
    set_breaker,
    spawn,
)
from tests.runtime.boxes import OURS
from tests.runtime.helpers import idle


async def test_full_mailbox_in_order(tree, nursery):
    """Senders that wait for room are served in their order, and one that comes when there is room is behind them."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1))
    await wait_all_tasks_blocked()
    for number in range(5):
        nursery.start_soon(send, ref, number)
        await wait_all_tasks_blocked()
    box, got = ref._process.mailbox, []
    while len(box):
        got += [box.receive_nowait()]
        with pytest.raises(MailboxFull) if box.statistics().queued else pytest.raises(trio.WouldBlock):
            send_nowait(ref, "pushy") if len(box) else box.receive_nowait()
        await wait_all_tasks_blocked()
    assert list(range(5)) == got


@pytest.mark.parametrize("kind", OURS)
async def test_no_overtaking(tree, autojump_clock, kind):
    """Who comes while others wait for room stands behind them, though there may be a place for one."""
    ref = spawn(idle, mailbox=MailboxOptions(kind=kind, capacity=2))
    box = ref._process.mailbox
    send_nowait(ref, 0)
    send_nowait(ref, 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: broadcast([ref, ref], "both", strategy="all_or_nothing"))
        await wait_all_tasks_blocked()
        nursery.start_soon(send, ref, "polite")
        await wait_all_tasks_blocked()
        assert 0 == box.take()
        with pytest.raises(MailboxFull):
            send_nowait(ref, "newcomer")
        assert 1 == box.take()
        await wait_all_tasks_blocked()
        assert ["both", "both"] == box.items()
        assert "both" == box.take()
    assert ["both", "polite"] == box.items()
    assert not box.unusual


@pytest.mark.parametrize("kind", OURS)
async def test_room_made_by_a_handler(tree, mock_clock, kind):
    """A handler of the overflow that makes room lets in whoever it was about."""
    ref = spawn(idle, mailbox=MailboxOptions(kind=kind, capacity=1))
    timer = send_after(1, ref, "tick")
    await wait_all_tasks_blocked()
    mock_clock.jump(1)
    await wait_all_tasks_blocked()
    current_runtime().telemetry.attach(("nursery_otp", "mailbox", "overflowed"), lambda *_: timer.cancel())

    assert await send(ref, "hello", within=100)
    assert ["hello"] == ref._process.mailbox.items()


async def test_nobody_is_lost_in_the_line(autojump_clock):
    """A handler that makes room while somebody is let in may let in others, who may queue up again: nobody is lost."""
    async with open_supervisor() as tree:
        set_breaker(Name("r"), CircuitBreaker(failures=1, cool_down=5, buffer=10))
        await send(Name("r"), 0, on_error="ignore")
        go, got = trio.Event(), []

        async def reader():
            await go.wait()
            while True:
                got.append(await mailbox().receive())
                await trio.sleep(100)

        ref = spawn(reader, name=Name("r"), mailbox=MailboxOptions(capacity=2))
        await wait_all_tasks_blocked()
        send_nowait(ref, "first")
        timer = send_after(0, ref, "tick")
        await trio.sleep(1)
        current_runtime().telemetry.attach(("nursery_otp", "send", "stop"), lambda *_: timer.cancel())
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(lambda number=number: send(Name("r"), number, within=1000))
                await wait_all_tasks_blocked()
            await trio.sleep(10)
            go.set()
        await trio.sleep(500)
        assert ["first", 0, 1, 2, 3] == got
        tree.shutdown()
