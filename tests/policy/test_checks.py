"""Validation: what passes, and what the error says of what does not."""

import fractions
import math

import pytest

from nursery_otp._policy import checks
from nursery_otp._policy.errors import InvalidSpec

WORDS = ("red", "green")


@pytest.mark.parametrize(
    ("check", "arguments", "options"),
    [
        (checks.one_of, ("red", WORDS), {}),
        (checks.seconds, (0,), {}),
        (checks.seconds, (0.0,), {}),
        (checks.seconds, (3,), {}),
        (checks.seconds, (math.inf,), {"zero": False}),
        (checks.seconds, (1e-9,), {"zero": False}),
        (checks.number, (1, 1, 2), {}),
        (checks.number, (1.999, 1, 2), {}),
        (checks.number, (1e300, 1, math.inf), {}),
        (checks.count, (0,), {}),
        (checks.count, (10**30,), {}),
        (checks.count, (math.inf,), {}),
        (checks.count, (1,), {"minimum": 1, "infinite": False}),
        (checks.flag, (True,), {}),
        (checks.flag, (False,), {}),
        (checks.function, (print,), {}),
        (checks.function, (int,), {}),
        (checks.instance, (1, int, "must be an int"), {}),
        (checks.instance, ("a", (int, str), "must be an int or a text"), {}),
        (checks.hashable, (("a", 1),), {}),
        (checks.hashable, (None,), {}),
    ],
)
def test_valid(check, arguments, options):
    """What holds passes in silence."""
    assert None is check("field", *arguments, **options)


HUGE = 10**400


@pytest.mark.parametrize(
    ("check", "value", "arguments", "options", "problem"),
    [
        (checks.one_of, "blue", (WORDS,), {}, "must be one of 'red', 'green'"),
        (checks.one_of, 1, (WORDS,), {}, "must be one of 'red', 'green'"),
        (checks.one_of, ["red"], (WORDS,), {}, "must be one of 'red', 'green'"),
        (checks.one_of, None, (WORDS,), {}, "must be one of 'red', 'green'"),
        (checks.seconds, -1, (), {}, "must be a number of seconds >= 0"),
        (checks.seconds, -0.001, (), {}, "must be a number of seconds >= 0"),
        (checks.seconds, 0, (), {"zero": False}, "must be a number of seconds > 0"),
        (checks.seconds, math.nan, (), {}, "must be a number of seconds >= 0"),
        (checks.seconds, -math.inf, (), {}, "must be a number of seconds >= 0"),
        (checks.seconds, "5", (), {}, "must be a number of seconds >= 0"),
        (checks.seconds, None, (), {}, "must be a number of seconds >= 0"),
        (checks.seconds, True, (), {}, "must be a number of seconds >= 0"),
        (checks.seconds, 1j, (), {}, "must be a number of seconds >= 0"),
        (checks.seconds, fractions.Fraction(1, 2), (), {}, "must be a number of seconds >= 0"),
        (checks.seconds, HUGE, (), {}, "must be a number of seconds >= 0"),
        (checks.seconds, "x", (), {"also": " or 'y'"}, "must be a number of seconds >= 0 or 'y'"),
        (checks.number, 2, (1, 2), {}, "must be a number >= 1 and < 2"),
        (checks.number, 0.9, (1, 2), {}, "must be a number >= 1 and < 2"),
        (checks.number, math.inf, (0, math.inf), {}, "must be a number >= 0 and finite"),
        (checks.number, math.nan, (0, math.inf), {}, "must be a number >= 0 and finite"),
        (checks.number, True, (0, 2), {}, "must be a number >= 0 and < 2"),
        (checks.number, "1", (0, 2), {}, "must be a number >= 0 and < 2"),
        (checks.count, -1, (), {}, "must be a whole number >= 0 or math.inf"),
        (checks.count, 1.0, (), {}, "must be a whole number >= 0 or math.inf"),
        (checks.count, 0, (), {"minimum": 1}, "must be a whole number >= 1 or math.inf"),
        (checks.count, math.inf, (), {"infinite": False}, "must be a whole number >= 0"),
        (checks.count, -math.inf, (), {}, "must be a whole number >= 0 or math.inf"),
        (checks.count, math.nan, (), {}, "must be a whole number >= 0 or math.inf"),
        (checks.count, True, (), {}, "must be a whole number >= 0 or math.inf"),
        (checks.count, "3", (), {}, "must be a whole number >= 0 or math.inf"),
        (checks.flag, 1, (), {}, "must be True or False"),
        (checks.flag, None, (), {}, "must be True or False"),
        (checks.function, 5, (), {}, "must be callable (a class or a function, not what it returns)"),
        (checks.function, None, (), {}, "must be callable (a class or a function, not what it returns)"),
        (checks.instance, "1", (int, "must be an int"), {}, "must be an int"),
        (checks.hashable, [], (), {}, "must be hashable"),
        (checks.hashable, ([],), (), {}, "must be hashable"),
    ],
)
def test_invalid(check, value, arguments, options, problem):
    """What does not hold is refused with the field, the value and what would have been right."""
    with pytest.raises(InvalidSpec) as caught:
        check("the_field", value, *arguments, **options)

    error = caught.value
    assert ("the_field", problem) == (error.field, error.problem)
    assert value is error.value
    assert f"the_field={value!r}: {problem}" == str(error)
    assert None is error.__cause__
    assert error.__suppress_context__ or error.__context__ is None
