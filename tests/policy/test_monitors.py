"""Monitors as policy: from which age one is a leak, and when to look."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nursery_otp import InvalidSpec, MonitorOptions
from nursery_otp._policy.monitors import next_check

LIMITS = st.floats(0.001, 1e6)
TIMES = st.floats(0, 1e6)


def test_defaults():
    """A monitor counts as a leak after five minutes, and keeps no stack."""
    assert MonitorOptions(leak_after=300.0, stacks=False) == MonitorOptions()


@pytest.mark.parametrize("value", [0, -1, math.nan, "300", None, True])
def test_leak_after_is_checked(value):
    """A threshold is a positive number of seconds; infinity is one."""
    assert math.inf == MonitorOptions(leak_after=math.inf).leak_after
    with pytest.raises(InvalidSpec, match=r"leak_after=.*: must be a number of seconds > 0"):
        MonitorOptions(leak_after=value)


def test_stacks_is_checked():
    """A flag is True or False."""
    with pytest.raises(InvalidSpec, match="stacks=1: must be True or False"):
        MonitorOptions(stacks=1)


@given(st.lists(TIMES, min_size=1, max_size=200), LIMITS)
def test_looks(created, limit):
    """Each leak is seen within 1.1 times the threshold, and looks are far apart, none in vain."""
    waiting = sorted(created)
    now, looks = waiting[0] + limit, []
    while waiting:
        looks.append(now)
        assert all(now - one <= 1.1 * limit + 1e-6 for one in waiting if one + limit <= now)
        waiting = [one for one in waiting if one + limit > now]
        if waiting:
            now = next_check(waiting[0], now, limit)
            assert now >= waiting[0] + limit

    assert all(later - earlier >= limit / 10 - 1e-6 for earlier, later in pairwise(looks))
