"""Nearest known words."""

import pytest

from nursery_otp._policy.suggestions import did_you_mean, nearest

KNOWN = ["default", "handler", "while_restarting", "Night"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [("defualt", "default"), ("HANDLERS", "handler"), ("night", "Night"), ("restarting", "while_restarting")],
)
def test_nearest(word, meant):
    """A word that is like a known one is taken for it, whatever its case."""
    assert meant == nearest(word, KNOWN)
    assert f"; did you mean {meant!r}?" == did_you_mean(word, KNOWN)


@pytest.mark.parametrize("word", ["", "xyz", "5"])
def test_nothing_near(word):
    """Nothing is suggested that is not like it."""
    assert None is nearest(word, KNOWN)
    assert "" == did_you_mean(word, KNOWN)
    assert "" == did_you_mean("default", [])
