"""The values that callbacks return, taken by themselves."""

import math

import pytest

from nursery_otp import Continue, Idle, IdleTimeout, InvalidSpec, Later, Refuse, Stop, answer, caller_gone


def test_values():
    """Instructions are values: equal when they say the same."""
    assert Continue("x") == Continue("x")
    assert None is Continue().argument
    assert Idle(1) == Idle(1.0)
    assert IdleTimeout() == IdleTimeout()
    assert Continue(1) != Continue(2)


@pytest.mark.parametrize("value", [Continue(1), Idle(1), IdleTimeout()])
def test_frozen(value):
    """Instructions cannot be changed."""
    with pytest.raises(AttributeError):
        value.seconds = 5


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, True, None, "1", -math.inf])
def test_bad_idle(seconds):
    """An idle time is a number of seconds, also infinity."""
    with pytest.raises(InvalidSpec, match="seconds="):
        Idle(seconds)


@pytest.mark.parametrize("seconds", [0, 1, 0.5, math.inf])
def test_good_idle(seconds):
    """Zero and infinity are idle times, too."""
    assert seconds == Idle(seconds).seconds


@pytest.mark.parametrize("then", [5, "Stop", Stop, Continue, ValueError()])
def test_bad_then(then):
    """What comes after an answer is an instruction; anything else is refused when the answer is made."""
    with pytest.raises(InvalidSpec, match="then="):
        answer(1, then=then)
    with pytest.raises(InvalidSpec, match="then="):
        Later().pending(then=then)


def test_refuse_keeps_the_error():
    """A refusal holds the exception that the caller will get."""
    error = KeyError("x")

    assert error is Refuse(error).error
    with pytest.raises(InvalidSpec, match="must be an exception, which the caller gets"):
        Refuse(KeyError)


def test_later_outside_of_a_server():
    """Detached, a `Later` keeps the first answer, so that a handler that uses it can be unit-tested."""
    later = Later()

    assert later.waiting
    assert None is later.value
    assert later.reply(1)
    assert not later.waiting
    assert not later.reply(2)
    assert not later.refuse(KeyError())
    assert 1 == later.value


def test_later_refused_outside_of_a_server():
    """Detached, a refusal is kept as the value."""
    later = Later()
    error = KeyError()

    assert later.refuse(error)
    assert error is later.value
    assert not later.reply(1)


def test_caller_gone_outside_of_a_server():
    """Where there is no caller, none has gone."""
    assert not caller_gone()
