"""The errors of floor 0: what they carry, what they say, and what else they can be caught as."""

import pickle

import pytest

from nursery_otp._policy.errors import Ignore, InvalidSpec, OTPError, RestartLimitReached
from nursery_otp._policy.timeouts import Timeouts


def test_invalid_spec():
    """A wrong option is a ValueError of the family."""
    error = InvalidSpec("period", 0, "must be > 0")

    assert ("period", 0, "must be > 0") == (error.field, error.value, error.problem)
    assert "period=0: must be > 0" == str(error)
    assert isinstance(error, OTPError)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("limit", "period", "text"),
    [
        (3, 5.0, "child 'a' ended once too often: more than 3 restarts within 5 s"),
        (0, 0.25, "child 'a' ended once too often: more than 0 restarts within 0.25 s"),
    ],
)
def test_restart_limit(limit, period, text):
    """Giving up names the child and the numbers, and says what could be done about it."""
    error = RestartLimitReached("a", limit, period)

    assert f"{text} (change max_restarts or period, or give the child a backoff)" == str(error)
    assert ("a", limit, period) == (error.child_id, error.max_restarts, error.period)
    assert isinstance(error, OTPError)


def test_restart_limit_in_peace():
    """A child that came to its end again and again, without a crash, wants another restart type."""
    text = str(RestartLimitReached("a", 1, 5.0, in_peace=True))

    assert "child 'a' ended once too often though it did not crash: more than 1 restart within 5 s" in text
    assert '(restart="transient" for a child that may come to an end)' in text


@pytest.mark.parametrize("error", [InvalidSpec("a", 1, "no"), RestartLimitReached("a", 1, 5.0, in_peace=True)], ids=str)
def test_pickle(error):
    """They survive being sent to another interpreter."""
    copy = pickle.loads(pickle.dumps(error))

    assert (type(error), str(error), vars(error)) == (type(copy), str(copy), vars(copy))


def test_ignore_is_no_failure():
    """Ignore is an instruction, not an error of the family: `except OTPError` does not swallow it."""
    assert not issubclass(Ignore, OTPError)


class Nasty:
    """Its repr raises."""

    def __repr__(self):
        raise RuntimeError("nasty")


def test_value_without_repr():
    """The text of an error does not depend on the manners of the value that it is about."""
    assert "a=<Nasty whose repr raised RuntimeError>: no" == str(InvalidSpec("a", Nasty(), "no"))
    with pytest.raises(InvalidSpec, match=r"^default=<Nasty whose repr raised RuntimeError>: must be a number"):
        Timeouts(default=Nasty())
    with pytest.raises(InvalidSpec, match=r"ANY, not <Nasty whose repr raised RuntimeError>"):
        Timeouts(rules={("a", Nasty()): 1})
