"""The circuit breaker as a state machine: who may try while it is open, and what decides when it closes."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp._policy.breaker import CLOSED, BreakerState, CircuitBreaker, ask, failed, given_up, succeeded
from nursery_otp._policy.errors import InvalidSpec

POLICY = CircuitBreaker(failures=2, cool_down=10.0)
OPEN = BreakerState("open", until=10.0, period=1)
PROBING = BreakerState("half-open", period=2, probing=True)


def test_opens():
    """So many failures in a row open it, and a success in between starts the count again."""
    once = failed(POLICY, CLOSED, 0, now=0.0)
    assert ("closed", 1) == (once.position, once.failures)
    assert 0 == succeeded(once, 0).failures
    assert OPEN == failed(POLICY, once, 0, now=0.0)


def test_open():
    """Nothing is tried before the cool-down is over; then one attempt is, and no other."""
    assert (OPEN, None) == ask(OPEN, 9.75)
    state, ticket = ask(OPEN, 10.0)
    assert (PROBING, 2) == (state, ticket)
    assert (PROBING, None) == ask(PROBING, 1e9)


def test_probe():
    """The outcome of the probe closes or opens it; a probe without an outcome lets another one through."""
    assert BreakerState(period=3) == succeeded(PROBING, 2)
    assert BreakerState("open", until=30.0, period=3) == failed(POLICY, PROBING, 2, now=20.0)
    state, ticket = ask(given_up(PROBING, 2), 20.0)
    assert ("half-open", True, 3) == (state.position, state.probing, ticket)


@pytest.mark.parametrize("state", [OPEN, PROBING, BreakerState(period=7, failures=1)])
def test_late(state):
    """What an attempt of an earlier period comes to changes nothing."""
    assert state is succeeded(state, 0) is failed(POLICY, state, 0, now=5.0) is given_up(state, 0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.just(0)),
        st.tuples(st.just("pass"), st.sampled_from([1, 4, 10])),
        st.tuples(st.sampled_from(["succeeded", "failed", "given_up"]), st.integers(0, 10)),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.integers(1, 3), STEPS)
def test_any_history(failures, steps):
    """In any history: who may try follows from the failures in a row, the time, and the one probe that is under way."""
    policy = CircuitBreaker(failures=failures, cool_down=10.0)
    state, now, under_way = CLOSED, 0.0, []
    in_a_row, opened_at, probe = 0, None, None  # the model
    for kind, number in steps:
        if kind == "pass":
            now += number
        elif kind == "ask":
            state, ticket = ask(state, now)
            may = opened_at is None or (probe is None and now >= opened_at + 10.0)
            assert may == (ticket is not None)
            if may:
                attempt = object()
                probe = attempt if opened_at is not None else None
                under_way.append((attempt, ticket, opened_at))
        elif under_way:
            attempt, ticket, since = under_way.pop(number % len(under_way))
            before = state
            match kind:
                case "succeeded":
                    state = succeeded(state, ticket)
                case "failed":
                    state = failed(policy, state, ticket, now)
                case _:
                    state = given_up(state, ticket)
            if attempt is probe:
                probe = None
                if kind == "succeeded":
                    in_a_row, opened_at = 0, None
                elif kind == "failed":
                    opened_at = now
            elif opened_at is None and ticket == before.period:
                assert since is None
                in_a_row = {"succeeded": 0, "failed": in_a_row + 1, "given_up": in_a_row}[kind]
                opened_at = now if in_a_row >= failures else None
            else:
                assert state is before
        assert (state.position == "closed") == (opened_at is None)
        assert state.period >= 0


@pytest.mark.parametrize(
    "options",
    [{"failures": 0}, {"failures": math.inf}, {"failures": 1.5}, {"cool_down": 0}, {"cool_down": -1}, {"buffer": -1}],
)
def test_invalid(options):
    """What makes no sense is refused by name and value."""
    (field, value) = next(iter(options.items()))
    with pytest.raises(InvalidSpec) as caught:
        CircuitBreaker(**options)
    assert (field, value) == (caught.value.field, caught.value.value)
