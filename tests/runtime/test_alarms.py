"""The alarm clock of a runtime: what is due goes off in order, once, and what is disarmed does not."""

import math

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp._runtime.alarms import Alarms


class Waiter:
    """Writes down when it is woken, and may do something then."""

    def __init__(self, log, name, then=None):
        self.log, self.name, self.then = log, name, then
        self.alarm = 0

    def on_alarm(self):
        self.log.append((trio.current_time(), self.name))
        if self.then is not None:
            self.then()


@pytest.fixture
async def alarms(nursery, mock_clock):
    """A running clock; time stands still until the test lets it jump."""
    clock = Alarms(trio.current_time)
    nursery.start_soon(clock.run)
    await wait_all_tasks_blocked()
    return clock


async def jump(mock_clock, *seconds):
    """Let time pass in steps, and everything happen that is due."""
    for step in seconds:
        mock_clock.jump(step)
        await wait_all_tasks_blocked()


async def test_order(alarms, mock_clock):
    """Alarms go off in the order of their times, whatever the order in which they were set."""
    log = []
    for seconds in (3, 1, 2):
        alarms.arm(seconds, Waiter(log, seconds))
    await jump(mock_clock, 1, 1, 1)

    assert [(1, 1), (2, 2), (3, 3)] == log


async def test_same_time(alarms, mock_clock):
    """Alarms for the same moment go off in the order in which they were set."""
    log = []
    for name in "abc":
        alarms.arm(1, Waiter(log, name))
    await jump(mock_clock, 1)

    assert [(1, "a"), (1, "b"), (1, "c")] == log


async def test_missed_moments(alarms, mock_clock):
    """If the loop was blocked, all that was due meanwhile goes off at once, in order."""
    log = []
    for seconds in (2, 1, 9):
        alarms.arm(seconds, Waiter(log, seconds))
    await jump(mock_clock, 5)

    assert [(5, 1), (5, 2)] == log


async def test_earlier_alarm(alarms, mock_clock):
    """An alarm that is set later for an earlier moment is not late."""
    log = []
    alarms.arm(10, Waiter(log, "late"))
    await wait_all_tasks_blocked()
    alarms.arm(1, Waiter(log, "early"))
    await jump(mock_clock, 1)

    assert [(1, "early")] == log


async def test_due_already(alarms, mock_clock):
    """An alarm for a moment that has passed goes off at once, but never while it is being set."""
    await jump(mock_clock, 5)
    log = []
    alarms.arm(5, Waiter(log, "now"))
    alarms.arm(1, Waiter(log, "past"))
    assert [] == log
    await wait_all_tasks_blocked()

    assert [(5, "past"), (5, "now")] == log


async def test_disarm(alarms, mock_clock):
    """A disarmed alarm does not go off, and disarming what is not armed does nothing."""
    log = []
    waiter, other = Waiter(log, "waiter"), Waiter(log, "other")
    alarms.arm(1, waiter)
    alarms.arm(1, other)
    alarms.disarm(waiter)
    alarms.disarm(waiter)
    assert [(1, other)] == alarms.armed()
    await jump(mock_clock, 2)

    assert [(2, "other")] == log


async def test_armed_again(alarms, mock_clock):
    """Only the last alarm of a waiter counts, before the old moment and after it."""
    log = []
    waiter = Waiter(log, "waiter")
    for old, new in ((1, 3), (6, 4)):
        alarms.arm(old, waiter)
        alarms.disarm(waiter)
        alarms.arm(new, waiter)
    await jump(mock_clock, 1, 1, 1, 1, 1, 1)

    assert [(4, "waiter")] == log


async def test_never(alarms, mock_clock):
    """An alarm at infinity is none."""
    waiter = Waiter([], "never")
    alarms.arm(math.inf, waiter)

    assert [] == alarms.armed()
    assert 0 == waiter.alarm


async def test_alarm_sets_and_stops_alarms(alarms, mock_clock):
    """What goes off may set an alarm, for itself or for now, and may disarm one that is due in the same moment."""
    log = []
    victim = Waiter(log, "victim")

    def then():
        alarms.disarm(victim)
        alarms.arm(1, Waiter(log, "now"))
        if len(log) < 3:
            alarms.arm(2, first)

    first = Waiter(log, "first", then)
    alarms.arm(1, first)
    alarms.arm(1, victim)
    await jump(mock_clock, 1, 1)

    assert [(1, "first"), (1, "now"), (2, "first"), (2, "now")] == log


async def test_pruning(alarms, mock_clock):
    """A million alarms that were disarmed (of calls that were answered) do not fill the memory."""
    log = []
    waiter, kept = Waiter(log, "answered"), Waiter(log, "kept")
    alarms.arm(2000, kept)
    most = 0
    for _ in range(20_000):
        alarms.arm(1000, waiter)
        alarms.disarm(waiter)
        most = max(most, len(alarms._heap))
    await jump(mock_clock, 1000, 1000)

    assert most < 2500
    assert [(2000, "kept")] == log


async def test_pruning_while_ringing(alarms, mock_clock):
    """One alarm may disarm thousands of others, so that the heap is rebuilt while it is being worked off."""
    log = []
    others = [Waiter(log, number) for number in range(3000)]

    def then():
        for waiter in others[:-1]:
            alarms.disarm(waiter)

    alarms.arm(1, Waiter(log, "first", then))
    for waiter in others:
        alarms.arm(1, waiter)
    await jump(mock_clock, 1)

    assert [(1, "first"), (1, 2999)] == log
    assert [] == alarms.armed()


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("arm"), st.integers(0, 5), st.integers(0, 8)),
            st.tuples(st.just("disarm"), st.integers(0, 5), st.just(0)),
            st.tuples(st.just("pass"), st.integers(0, 3), st.just(0)),
        ),
        max_size=40,
    )
)
def test_model(steps):
    """Six waiters, armed, disarmed and armed again at random: each goes off exactly when the model says."""
    clock = MockClock()
    trio.run(play, clock, steps, clock=clock)


async def play(clock, steps):
    """The model is a dictionary from waiter to moment."""
    alarms = Alarms(trio.current_time)
    log = []
    waiters = [Waiter(log, index) for index in range(6)]
    expected, armed = [], {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarms.run)
        await wait_all_tasks_blocked()
        for kind, number, delay in steps:
            if kind == "arm":
                alarms.disarm(waiters[number])
                alarms.arm(trio.current_time() + delay, waiters[number])
                armed.pop(number, None)
                armed[number] = trio.current_time() + delay
            elif kind == "disarm":
                alarms.disarm(waiters[number])
                armed.pop(number, None)
            else:
                clock.jump(number)
                await wait_all_tasks_blocked()
                due = sorted((when, order) for order, when in enumerate(armed.values()) if when <= trio.current_time())
                names = list(armed)
                for _, order in due:
                    expected.append((trio.current_time(), names[order]))
                    del armed[names[order]]
            assert expected == log
            assert sorted(armed.values()) == [moment for moment, _ in alarms.armed()]
        nursery.cancel_scope.cancel()
