"""Durations and numbers on the command line."""

import argparse

import pytest

from nursery_otp.cli.parsing import age_text, duration, positive


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("7d", 604_800),
        ("1w", 604_800),
        ("1h30m", 5400),
        ("0.5h", 1800),
    ],
)
def test_durations(text, seconds):
    """A number is seconds, a letter is a unit, and parts add up."""
    assert seconds == duration(text)


@pytest.mark.parametrize("text", ["", "h", "2x", "-1", "-1h", "nan", "inf", "1e999", "9" * 400 + "d", "2 h", "h2"])
def test_no_durations(text):
    """Everything else is refused with examples of what would be right."""
    with pytest.raises(argparse.ArgumentTypeError, match="no duration; write 90s, 15m, 2h"):
        duration(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "x", "²", "9" * 20, str(2**63)])
def test_no_numbers(text):
    """A limit is a whole number from 1 on."""
    assert 3 == positive("3")
    with pytest.raises(argparse.ArgumentTypeError, match="whole number"):
        positive(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m"),
        (3661, "1h1m"),
        (86400 * 9 + 5, "9d5s"),
        (-5, "0s"),
    ],
)
def test_ages(seconds, text):
    """An age has at most two units."""
    assert text == age_text(seconds)
