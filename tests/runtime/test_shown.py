"""Values as texts for people."""

import tracemalloc

import attrs
import pytest

from nursery_otp._runtime.shown import SHOWN, shown


@pytest.mark.parametrize(
    "value", ["x" * 10**6, list(range(10**6)), {number: number for number in range(10**5)}, [[["y" * 10**6]]]]
)
def test_shown_is_short(value):
    """However large a value is, what is shown of it is not, and little is built to be thrown away."""
    tracemalloc.start()
    try:
        text = shown(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(text) < SHOWN + 50
    assert peak < 300_000


def test_shown_in_order():
    """What is small is shown as ever, dicts in their order."""
    value = {"pin": 1, "balance": [{"a": (1, 2)}, {3}], "text": "it's"}
    assert repr(value) == shown(value)


@attrs.define
class Table:
    """Holds more than anybody wants to read."""

    rows: list[int]
    key: str = attrs.field(default="hidden", repr=False)
    word: str = attrs.field(default="hidden", repr=lambda _value: "***")


def test_generated_reprs():
    """Of what an attrs class holds only what is shown is put into words, and what it hides stays hidden."""
    asked = []

    class Row:
        def __repr__(self):
            asked.append(self)
            return "row"

    text = shown({"table": Table([Row() for _ in range(10_000)])})

    assert len(asked) <= 100
    assert "hidden" not in text
    assert "word=***" in text
    assert repr(Table([1])) == shown(Table([1]))
