"""Guesses at what was meant: in files, where the name in the file is the wrong one, and none that are far-fetched."""

import pytest

from nursery_otp import InvalidSpec, Timeouts
from nursery_otp._policy.suggestions import nearest
from nursery_otp._policy.timeout_sources import find_table


@pytest.mark.parametrize(
    ("document", "of_project", "text"),
    [
        ({"timeout": {}}, False, "has no table [timeouts]; the table [timeout] must be called so"),
        ({"Timeouts": {}}, False, "has no table [timeouts]; the table [Timeouts] must be called so"),
        ({"default": 1, "factor": 2}, False, "has no table [timeouts]; put 'default', 'factor' below [timeouts]"),
        ({"other": 1}, False, "has no table [timeouts]"),
        (
            {"tool": {"nursery_otp": {"timeout": {}}}},
            True,
            "has no table [tool.nursery_otp.timeouts]; the table [tool.nursery_otp.timeout] must be called so",
        ),
        (
            {"tool": {"nursery_otp": {"default": 1}}},
            True,
            "has no table [tool.nursery_otp.timeouts]; put 'default' below [tool.nursery_otp.timeouts]",
        ),
        ({"timeouts": {}}, True, "has no table [tool.nursery_otp.timeouts]"),
        ({"tool": {"nursery_otp": 5}}, True, "has no table [tool.nursery_otp.timeouts]"),
    ],
)
def test_no_table(document, of_project, text):
    """A file without the table says what to change in it, if it has something like it."""
    with pytest.raises(InvalidSpec) as caught:
        find_table(document, "x.toml", of_project=of_project)
    assert f"file='x.toml': {text}" == str(caught.value)


@pytest.mark.parametrize("word", ["slow", "fast", "much", "lost"])
def test_far_fetched(word):
    """A word of which half the letters are others is not taken for a known one."""
    assert None is nearest(word, ["default", "long", "critical"])
    with pytest.raises(InvalidSpec) as caught:
        Timeouts(rules={"C.add": word})
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "meant"), [("lnog", "long"), ("lon", "long"), ("critcal", "critical"), ("DEFUALT", "default")]
)
def test_slips(word, meant):
    """Slips of the finger are."""
    assert meant == nearest(word, ["default", "long", "critical"])
