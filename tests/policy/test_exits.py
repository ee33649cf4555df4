"""Exit reasons: which ends are normal, and how any ending becomes a reason."""

import pickle

import attrs
import pytest

from nursery_otp._policy.exits import (
    KILLED,
    NOPROC,
    NORMAL,
    REASONS,
    SHUTDOWN,
    Crashed,
    Failed,
    Killed,
    NoProc,
    Normal,
    Shutdown,
    Stop,
    as_reason,
    error_of,
    is_normal,
    safe_repr,
)

ERROR = ValueError("bad")


class Hostile:
    """Cannot be shown."""

    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("reason", "normal"),
    [
        (NORMAL, True),
        (SHUTDOWN, True),
        (Shutdown("moved"), True),
        (Shutdown(ERROR), True),
        (KILLED, False),
        (NOPROC, False),
        (Crashed(ERROR), False),
        (Failed("normal"), False),
        (Failed(("shutdown", 1, 2)), False),
    ],
    ids=str,
)
def test_is_normal(reason, normal):
    """Exactly normal, shutdown and shutdown(detail) are ends that a transient child is not restarted for."""
    assert normal == is_normal(reason)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (NORMAL, "normal"),
        (SHUTDOWN, "shutdown"),
        (Shutdown("moved"), "shutdown('moved')"),
        (Shutdown(0), "shutdown(0)"),
        (KILLED, "killed"),
        (NOPROC, "noproc"),
        (Crashed(ERROR), "crashed(ValueError('bad'))"),
        (Failed("boom"), "failed('boom')"),
        (Failed(None), "failed(None)"),
        (Failed(Hostile()), "failed(<Hostile whose repr raised RuntimeError>)"),
        (Shutdown(Hostile()), "shutdown(<Hostile whose repr raised RuntimeError>)"),
    ],
)
def test_text(reason, text):
    """The text of a reason is what OTP calls it, whatever the detail is."""
    assert text == str(reason)


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, KILLED, NOPROC, Crashed(ERROR), Failed(1), Shutdown(2)], ids=str)
def test_as_reason_of_a_reason(reason):
    """A reason is taken as it is."""
    assert reason is as_reason(reason)


@pytest.mark.parametrize("value", ["boom", 7, None, ("shutdown", "x"), Normal, Failed])
def test_as_reason_of_anything_else(value):
    """Any other object is a reason of the process's own."""
    assert Failed(value) == as_reason(value)


@pytest.mark.parametrize("error", [ERROR, KeyboardInterrupt(), BaseExceptionGroup("two", [ERROR, SystemExit()])])
def test_as_reason_of_an_exception(error):
    """An exception is a crash."""
    assert Crashed(error) == as_reason(error)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (Crashed(ERROR), ERROR),
        (Shutdown(ERROR), ERROR),
        (Failed(ERROR), ERROR),
        (Failed("boom"), None),
        (SHUTDOWN, None),
        (NORMAL, None),
        (KILLED, None),
        (NOPROC, None),
    ],
    ids=str,
)
def test_error_of(reason, error):
    """The exception that a reason carries, wherever it carries one."""
    assert error is error_of(reason)


def test_values():
    """Reasons are values: equal when they say the same, usable as keys, frozen, and matched by their content."""
    assert Shutdown("x") == Shutdown("x")
    assert Shutdown("x") != Failed("x")
    assert Normal() == NORMAL
    assert Killed() == KILLED
    assert NoProc() == NOPROC
    assert 1 == len({Failed("a"), Failed("a")})
    assert Crashed(ValueError("bad")) != Crashed(ValueError("bad")), "two crashes are two crashes"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        SHUTDOWN.detail = "x"
    match Failed(("shutdown", 1)):
        case Failed(("shutdown", number)):
            assert 1 == number


def test_six_reasons():
    """There are six."""
    assert 6 == len(REASONS)


@pytest.mark.parametrize("reason", [NORMAL, Shutdown("x"), KILLED, NOPROC, Failed(("a", 1))], ids=str)
def test_pickle(reason):
    """Reasons can be sent to another interpreter."""
    assert reason == pickle.loads(pickle.dumps(reason))


@pytest.mark.parametrize(
    ("given", "reason"),
    [((), NORMAL), (("boom",), Failed("boom")), ((SHUTDOWN,), SHUTDOWN), ((ERROR,), Crashed(ERROR))],
)
def test_stop(given, reason):
    """Stop carries a reason, normal unless told otherwise, and is an exception to raise."""
    with pytest.raises(Stop) as caught:
        raise Stop(*given)

    assert reason == caught.value.reason


def test_stop_is_shown():
    """A Stop that nobody caught says what it was about, also in another interpreter."""
    copy = pickle.loads(pickle.dumps(Stop("boom")))

    assert ("boom", Failed("boom")) == (str(copy), copy.reason)


def test_safe_repr():
    """An ordinary repr is left alone."""
    assert "[1]" == safe_repr([1])
    assert "<Hostile whose repr raised RuntimeError>" == safe_repr(Hostile())
