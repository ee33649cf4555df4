"""The options of a send, when it is tried again, and its result."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp._policy.delivery import (
    DEFAULT_BACKOFF,
    DELIVERED,
    BroadcastResult,
    Delivery,
    DeliveryOptions,
    SendOptions,
    checked_metadata,
    checked_word,
)
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.restarts import Backoff


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"retries": -1}, "retries"),
        ({"retries": 1.5}, "retries"),
        ({"retries": True}, "retries"),
        ({"backoff": 1.0}, "backoff"),
        ({"on_error": "explode"}, "on_error"),
        ({"on_error": None}, "on_error"),
        ({"confirm": "maybe"}, "confirm"),
        ({"within": 0}, "within"),
        ({"within": -1.0}, "within"),
        ({"within": math.nan}, "within"),
    ],
)
def test_invalid(options, field):
    """An option that does not hold is refused, by name."""
    with pytest.raises(InvalidSpec) as caught:
        SendOptions(**options)
    assert field == caught.value.field


def test_other_invalid():
    """So are metadata that are no mapping, ids that are no text, and a breaker that is none."""
    with pytest.raises(InvalidSpec, match="metadata"):
        checked_metadata([1])
    with pytest.raises(InvalidSpec, match="idempotency_key"):
        checked_word("idempotency_key", 1)
    with pytest.raises(InvalidSpec, match="breaker"):
        DeliveryOptions(breaker=5)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.one_of(st.integers(0, 6), st.just(math.inf)),
    st.floats(1, 3),
    st.floats(0, 0.9),
    st.floats(0, 1, exclude_max=True),
)
def test_waits(retries, factor, jitter, chance):
    """There are as many waits as retries; each is the one before times the factor, up to the cap, within the jitter."""
    backoff = Backoff(initial=0.5, factor=factor, maximum=4.0, jitter=jitter)
    options = SendOptions(retries=retries, backoff=backoff)
    for attempt in range(1, 10):
        delay = options.delay(attempt, may_pass=True, chance=chance)
        assert (delay is None) == (attempt > retries)
        assert options.delay(attempt, may_pass=False, chance=chance) is None
        if delay is not None:
            plain = min(4.0, 0.5 * factor ** (attempt - 1))
            assert plain * (1 - jitter) <= delay * (1 + 1e-9)
            assert delay <= plain * (1 + jitter) * (1 + 1e-9)


def test_default_backoff():
    """Without further options the waits grow, vary, and stay below a cap."""
    waits = [DEFAULT_BACKOFF.delay(attempt, chance) for attempt in range(1, 20) for chance in (0.0, 0.999)]
    assert waits[0] < waits[1]
    assert waits[1] < waits[5]
    assert max(waits) <= 15


def test_results():
    """A delivery is true if it was one; the result of a broadcast if everybody has the message."""
    error = ValueError()
    failed = Delivery(False, error=error)
    assert DELIVERED
    assert not failed
    assert BroadcastResult("best_effort", ("a",), (DELIVERED,))
    mixed = BroadcastResult("best_effort", ("a", "b"), (DELIVERED, failed))
    assert not mixed
    assert (("a",), (("b", error),)) == (mixed.delivered, mixed.failures)
