"""The sliding window of restarts, and the waits before them."""

import math

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.restarts import Backoff, RestartWindow

QUICK = settings(max_examples=200, deadline=None, derandomize=True)


def recorded(window, *times):
    """The window after restarts at these times."""
    for time in times:
        window = window.record(time)
    return window


# ---------------------------------------------------------------------------------------------- window


@pytest.mark.parametrize(
    ("limit", "times", "exceeded"),
    [
        (0, [], False),
        (0, [0.0], True),
        (1, [0.0], False),
        (1, [0.0, 0.0], True),
        (1, [0.0, 5.0], True),  # the edge belongs to the period
        (1, [0.0, math.nextafter(5.0, 6.0)], False),
        (1, [0.0, 5.25], False),
        (2, [0.0, 4.0, 5.0], True),
        (2, [0.0, 4.0, 5.5, 8.5], True),  # 4.0, 5.5 and 8.5: no tumbling window
        (2, [0.0, 4.0, 5.5, 9.5], False),
        (2, [0.0, 4.0, 5.5, 9.25, 10.25], True),
        (3, [1.0, 1.0, 1.0], False),
        (3, [1.0, 1.0, 1.0, 1.0], True),
        (math.inf, [0.0] * 1000, False),
    ],
)
def test_exceeded(limit, times, exceeded):
    """More than `max_restarts` restarts within `period` = 5 seconds, both ends included, are too many."""
    assert exceeded == recorded(RestartWindow(limit, 5.0), *times).exceeded


@QUICK
@given(
    st.integers(0, 4), st.integers(1, 20), st.lists(st.integers(0, 12), min_size=1, max_size=15)
)  # quarters of a second: exact
def test_window_is_exact(limit, quarters, pauses):
    """After every restart: exceeded if and only if too many of all restarts ever lie within the last period."""
    period, now = quarters / 4, 0.0
    window, times = RestartWindow(limit, period), []
    for pause in pauses:
        now += pause / 4
        times.append(now)
        window = window.record(now)

        assert (sum(now - time <= period for time in times) > limit) == window.exceeded
        assert len(window.times) <= len([time for time in times if now - time <= period])


def test_record_keeps_the_old_window():
    """Recording makes a new window."""
    window = RestartWindow(1, 5.0)
    window.record(0.0)

    assert RestartWindow(1, 5.0) == window


def test_old_restarts_are_dropped():
    """Restarts that left the period take no room."""
    assert (20.0, 21.0) == recorded(RestartWindow(9, 5.0), 0.0, 1.0, 2.0, 20.0, 21.0).times


def test_no_limit_takes_no_room():
    """Without a limit nothing is remembered, so that a million restarts cost nothing."""
    assert () == recorded(RestartWindow(math.inf, 5.0), 0.0, 1.0).times


def test_endless_period():
    """In an endless period every restart counts."""
    assert recorded(RestartWindow(2, math.inf), 0.0, 1e9, 1e12).exceeded


# --------------------------------------------------------------------------------------------- backoff


def test_defaults():
    """A tenth of a second, doubled up to half a minute, varied by ten percent, forgotten after a minute."""
    assert Backoff(initial=0.1, factor=2.0, maximum=30.0, jitter=0.1, stable_after=60.0) == Backoff()


def test_growth_and_cap():
    """The waits grow by the factor, from `initial` up to `maximum`."""
    backoff = Backoff(initial=0.5, factor=3.0, maximum=10.0, jitter=0)

    assert [0.5, 1.5, 4.5, 10.0, 10.0] == [backoff.delay(attempt, 0.5) for attempt in range(1, 6)]


def test_constant():
    """A factor of one means always the same wait."""
    assert {2.0} == {Backoff(initial=2.0, factor=1, jitter=0).delay(attempt, 0.0) for attempt in range(1, 100)}


def test_initial_above_maximum():
    """The maximum holds for the first wait too."""
    assert 1.0 == Backoff(initial=5.0, maximum=1.0, jitter=0).delay(1, 0.5)


@pytest.mark.parametrize(("chance", "delay"), [(0.0, 8.0), (0.25, 9.0), (0.5, 10.0), (0.75, 11.0)])
def test_jitter(chance, delay):
    """The chance places the wait between minus and plus `jitter`."""
    assert delay == Backoff(initial=10.0, jitter=0.2).delay(1, chance)


@pytest.mark.parametrize("factor", [1e5, 100_000, 65536.0, 1e300, 10**400])
@pytest.mark.parametrize("attempt", [70, 10_000, 10**9])
def test_large_factor(factor, attempt):
    """However fast it grows and however often it is tried: the wait is at most the maximum."""
    assert 30.0 == Backoff(factor=factor, jitter=0).delay(attempt, 0.5)


def test_endless_waits():
    """A wait may be endless."""
    assert math.inf == Backoff(initial=1.0, factor=2.0, maximum=math.inf, jitter=0.5).delay(5000, 0.5)


durations = st.floats(0.001, 1000)


@QUICK
@given(
    st.builds(
        Backoff,
        initial=durations,
        maximum=durations,
        factor=st.floats(1, 1e6),
        jitter=st.floats(0, 1, exclude_max=True),
    ),
    st.integers(1, 10_000),
    st.floats(0, 1, exclude_max=True),
)
def test_delay_is_within_its_bounds(backoff, attempt, chance):
    """Every wait is positive and within the jitter around the plain one, which never shrinks with the attempts."""
    delay = backoff.delay(attempt, chance)
    plain = attrs.evolve(backoff, jitter=0).delay(attempt, chance)

    assert 0 < delay
    assert plain * (1 - backoff.jitter) <= delay * (1 + 1e-9)
    assert delay <= plain * (1 + backoff.jitter) * (1 + 1e-9)
    assert min(backoff.initial, backoff.maximum) <= plain <= backoff.maximum
    assert plain <= attrs.evolve(backoff, jitter=0).delay(attempt + 1, chance)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("initial", 0, "must be a number of seconds > 0"),
        ("initial", -1.0, "must be a number of seconds > 0"),
        ("initial", "1", "must be a number of seconds > 0"),
        ("initial", math.nan, "must be a number of seconds > 0"),
        ("maximum", 0.0, "must be a number of seconds > 0"),
        ("maximum", None, "must be a number of seconds > 0"),
        ("stable_after", -0.5, "must be a number of seconds >= 0"),
        ("stable_after", True, "must be a number of seconds >= 0"),
        ("factor", 0.5, "must be a number >= 1 and finite"),
        ("factor", math.inf, "must be a number >= 1 and finite"),
        ("factor", math.nan, "must be a number >= 1 and finite"),
        ("factor", "2", "must be a number >= 1 and finite"),
        ("jitter", 1, "must be a number >= 0 and < 1"),
        ("jitter", -0.1, "must be a number >= 0 and < 1"),
        ("jitter", False, "must be a number >= 0 and < 1"),
    ],
)
def test_invalid_backoff(field, value, problem):
    """A backoff that does not hold names the field, the value and what would be right."""
    with pytest.raises(InvalidSpec) as caught:
        Backoff(**{field: value})

    assert f"{field}={value!r}: {problem}" == str(caught.value)


def test_backoff_is_frozen():
    """A backoff is a value."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Backoff().initial = 2.0
    with pytest.raises(TypeError):
        Backoff(0.1)
