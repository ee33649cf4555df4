"""The limits of a runtime: defaults and validation."""

import math

import attrs
import pytest

from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.timeouts import Timeouts


def test_defaults():
    """A caller waits five seconds, as in OTP, also for a child that is being restarted; a handler has no limit."""
    assert Timeouts(default=5.0, handler=math.inf, while_restarting="wait") == Timeouts()


@pytest.mark.parametrize("limit", [0.001, 1, 60.0, math.inf])
def test_valid(limit):
    """Any positive time is a limit, and infinity is none."""
    timeouts = Timeouts(default=limit, handler=limit, while_restarting="fail")

    assert (limit, limit, "fail") == (timeouts.default, timeouts.handler, timeouts.while_restarting)


SECONDS = "must be a number of seconds > 0"


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        (field, value, SECONDS)
        for field in ("default", "handler")
        for value in (0, -1, -math.inf, math.nan, "5", None, True, 10**400)
    ]
    + [("while_restarting", value, "must be one of 'wait', 'fail'") for value in ("hang", None, True)],
)
def test_invalid(field, value, problem):
    """Limits that do not hold cannot be made; the error says what would have been right."""
    with pytest.raises(InvalidSpec) as caught:
        Timeouts(**{field: value})

    assert f"{field}={value!r}: {problem}" == str(caught.value)


def test_frozen():
    """Limits are values, given by keyword."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Timeouts().default = 1.0
    with pytest.raises(TypeError):
        Timeouts(1.0)
