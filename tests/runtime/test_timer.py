"""Messages on a clock: when they come, and what stops them."""

import math

import pytest
import trio
from trio.testing import assert_no_checkpoints, wait_all_tasks_blocked

from nursery_otp import (
    InvalidSpec,
    MailboxOptions,
    Message,
    Name,
    NoRuntime,
    current_runtime,
    kill,
    mailbox,
    open_supervisor,
    register,
    send,
    send_after,
    send_interval,
    send_nowait,
    spawn,
    unregister,
)
from tests.runtime.boxes import drain
from tests.runtime.helpers import Desk, idle


@pytest.fixture
def log():
    """Moments and messages."""
    return []


@pytest.fixture
async def reader(tree, log):
    """A process that writes down when it gets what."""
    return spawn(write_down, log, name=Name("reader"))


async def write_down(log):
    """Read for ever."""
    while True:
        message = await mailbox().receive()
        log.append((trio.current_time(), message))


async def jump(clock, *seconds):
    """Let time pass in steps."""
    await wait_all_tasks_blocked()
    for step in seconds:
        clock.jump(step)
        await wait_all_tasks_blocked()


# ----------------------------------------------------------------------------------------- send_after


async def test_send_after(reader, log, autojump_clock):
    """The message comes after the delay, once."""
    with assert_no_checkpoints():
        timer = send_after(3, reader, "message")
    assert (True, 3) == (timer.active, timer.due)
    await trio.sleep(10)

    assert [(3, "message")] == log
    assert not timer.active


async def test_no_delay(reader, log, autojump_clock):
    """A delay of 0 is at once, but not within the call."""
    send_after(0, reader, "message")
    assert [] == log
    await wait_all_tasks_blocked()

    assert [(0, "message")] == log


async def test_infinite_delay(reader, log, autojump_clock):
    """A timer that is never due is none."""
    timer = send_after(math.inf, reader, "message")

    assert not timer.active
    assert () == current_runtime().timers()
    assert timer.cancel() is False


async def test_by_name(reader, log, autojump_clock):
    """The holder of a name is looked up when the message is due, not before."""
    send_after(1, Name("late"), "nobody yet")
    send_after(3, Name("late"), "message")
    await trio.sleep(2)
    unregister(Name("reader"))
    register(Name("late"), reader)
    await trio.sleep(2)

    assert [(3, "message")] == log


async def test_restarted_target(tree, autojump_clock):
    """A timer by name reaches the next incarnation; one by ref does not."""
    desk = await tree.start(Desk, name=Name("desk"))
    send_after(1, desk, "by ref")
    send_after(1, Name("desk"), "by name")
    kill(desk)
    await trio.sleep(2)

    assert ["by name"] == await Desk.history(Name("desk"))


async def test_cast_by_timer(tree, autojump_clock):
    """A `Message` that comes by timer is the cast."""
    desk = await tree.start(Desk)
    send_after(1, desk, Desk.note.message("value"))
    send_after(2, desk, Message("note", ("other",)))
    await trio.sleep(3)

    assert ["value", "other"] == await Desk.history(desk)


async def test_dead_target(reader, log, autojump_clock):
    """A timer for a process that has ended sends nothing; it hurts nobody."""
    timers = send_after(1, reader, "message"), send_interval(1, reader, "message")
    kill(reader)
    await trio.sleep(2)

    assert [] == log
    assert [False, False] == [timer.active for timer in timers]
    assert () == current_runtime().timers()
    assert current_runtime().ledger().balanced


async def test_failing_via(tree, reader, log, autojump_clock, caplog):
    """An address that cannot be looked up when the message is due is reported; other timers are not affected."""

    class Via:
        broken = False

        def whereis(self):
            if self.broken:
                raise ValueError("broken")

    send_after(1, Via(), "message")
    Via.broken = True
    send_after(2, reader, "message")
    await trio.sleep(3)

    assert [(2, "message")] == log
    assert "timer_target_lookup_failed" in caplog.text


# -------------------------------------------------------------------------------------- send_interval


async def test_send_interval(reader, log, autojump_clock):
    """The message comes at each multiple of the period, the first one after one period."""
    timer = send_interval(2, reader, "tick")
    await trio.sleep(7)
    assert timer.cancel() is True
    await trio.sleep(7)

    assert [(2, "tick"), (4, "tick"), (6, "tick")] == log


async def test_no_drift(reader, log, autojump_clock):
    """A tick that is a little late does not make the next one late; an inexact period does not add up."""
    autojump_clock.autojump_threshold = math.inf
    send_interval(1, reader, "tick")
    await jump(autojump_clock, 1.25, 0.75, 1.5, 0.5)
    assert [1.25, 2, 3.5, 4] == [time for time, _ in log]

    log.clear()
    timer = send_interval(0.1, reader, "small")
    autojump_clock.autojump_threshold = 0
    await trio.sleep(40.05)
    timer.cancel()
    assert 400 == sum(message == "small" for _, message in log)


async def test_missed_ticks(reader, log, mock_clock):
    """Ticks that were missed because the loop was blocked are left out: one late tick, then on time again."""
    send_interval(1, reader, "tick")
    await jump(mock_clock, 3.5, 0.5, 1, 10, 1)

    assert [3.5, 4, 5, 15, 16] == [time for time, _ in log]


async def test_period_counts_from_the_call(reader, log, autojump_clock):
    """The multiples of the period are counted from the call."""
    await trio.sleep(0.5)
    send_interval(1, reader, "tick")
    await trio.sleep(2.75)

    assert [1.5, 2.5] == [time for time, _ in log]


async def test_interval_by_name(reader, log, autojump_clock):
    """An interval by name goes on while nobody holds the name."""
    send_interval(1, Name("reader"), "tick")
    await trio.sleep(1.5)
    unregister(Name("reader"))
    await trio.sleep(2)
    register(Name("reader"), reader)
    await trio.sleep(1)

    assert [1, 4] == [time for time, _ in log]


# --------------------------------------------------------------------------------------------- cancel


async def test_cancel(reader, log, autojump_clock):
    """A cancelled timer sends nothing; cancelling again prevents nothing."""
    timer = send_after(3, reader, "message")
    assert timer.cancel() is True
    assert timer.cancel() is False
    await trio.sleep(5)

    assert [] == log
    assert () == current_runtime().timers()


async def test_cancel_after_delivery(reader, log, autojump_clock):
    """When the message has been read there is nothing left to prevent."""
    timer = send_after(1, reader, "message")
    await trio.sleep(2)

    assert timer.cancel() is False
    assert [(1, "message")] == log


async def test_cancel_takes_back_what_is_queued(tree, autojump_clock):
    """A message of this timer that is queued but not read is removed, and no other."""
    ref = spawn(idle)
    timer, other = send_interval(1, ref, "tick"), send_after(1, ref, "tick")
    send_nowait(ref, "tick")
    await trio.sleep(2.5)
    assert 4 == ref._process.mailbox.statistics().queued
    assert timer.cancel() is True
    assert timer.cancel() is False
    assert other.cancel() is True

    assert ["tick"] == drain(ref._process.mailbox)
    assert {"timer cancelled": 3} == current_runtime().ledger().dropped
    assert current_runtime().ledger().balanced


async def test_cancel_after_the_name_went_on(tree, autojump_clock):
    """The same if the name has gone on to another process meanwhile."""
    first, second = spawn(idle, name=Name("idle")), spawn(idle)
    timer = send_interval(1, Name("idle"), "tick")
    await trio.sleep(1.5)
    unregister(Name("idle"))
    register(Name("idle"), second)
    await trio.sleep(1)
    timer.cancel()

    assert [] == drain(first._process.mailbox) + drain(second._process.mailbox)


async def test_cancel_after_the_end_of_the_target(tree, autojump_clock):
    """A timer whose target has ended can be cancelled; a tick that was queued there is a dead letter."""
    ref = spawn(idle)
    timer = send_interval(1, ref, "tick")
    await trio.sleep(1.5)
    kill(ref)
    await ref.wait()
    timer.cancel()

    assert not timer.active
    assert ["tick"] == [letter.message for letter in current_runtime().dead_letters]


async def test_room_for_others(tree, nursery, autojump_clock):
    """A tick that is taken back makes room for a sender who waits."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1))
    timer = send_after(1, ref, "tick")
    await trio.sleep(2)
    nursery.start_soon(send, ref, "message")
    await wait_all_tasks_blocked()
    timer.cancel()
    await wait_all_tasks_blocked()

    assert ["message"] == drain(ref._process.mailbox)


# --------------------------------------------------------------------------------- tables, wrong uses


async def test_timers(reader, autojump_clock):
    """All timers that will still send something are in the table of the runtime, soonest first."""
    timers = [send_after(3, reader, 1), send_interval(1, reader, 2), send_after(2, Name("nobody"), 3)]

    assert (timers[1], timers[2], timers[0]) == current_runtime().timers()
    assert f"<Timer to {reader}, due at 3>" == repr(timers[0])
    timers[0].cancel()
    assert f"<Timer to {reader}, over>" == repr(timers[0])


async def test_end_of_the_tree(autojump_clock):
    """The end of a tree ends all of its timers."""
    async with open_supervisor() as tree:
        runtime = current_runtime()
        timer = send_interval(1, Name("nobody"), 1)
        tree.shutdown()

    assert not timer.active
    runtime.check_empty()


@pytest.mark.parametrize("seconds", [-1, math.nan, "1", None, True])
async def test_wrong_seconds(reader, seconds):
    """What is no number of seconds is refused; a period must be more than 0."""
    with pytest.raises(InvalidSpec, match="delay="):
        send_after(seconds, reader, 1)
    with pytest.raises(InvalidSpec, match="period="):
        send_interval(seconds, reader, 1)
    with pytest.raises(InvalidSpec, match="period=0"):
        send_interval(0, reader, 1)

    assert () == current_runtime().timers()


async def test_without_a_tree():
    """A name without a tree leads nowhere: `NoRuntime`, at once."""
    with pytest.raises(NoRuntime):
        send_after(1, Name("reader"), 1)


async def test_after_the_tree(autojump_clock):
    """A timer that is set for a process of a tree that has ended sends nothing, and is not active."""
    async with open_supervisor() as tree:
        runtime, ref = current_runtime(), spawn(idle)
        tree.shutdown()
    timer = send_after(1, ref, "late")

    assert not timer.active
    runtime.check_empty()
