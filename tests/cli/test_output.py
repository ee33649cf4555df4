"""What commands print fits the terminal, and cannot play tricks with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nursery_otp.cli.output import cut, padded, table_lines, visible, width_of

HEAD = ("ID", "RECIPIENT", "MESSAGE")


def test_table():
    """Columns are as wide as they have to be; the last one is cut to what is left."""
    rows = [("1-1", "worker", "a message that is long"), ("1-10", "w", "short")]

    assert [
        "ID    RECIPIENT  MESSAGE",
        "1-1   worker     a message…",
        "1-10  w          short",
    ] == table_lines(HEAD, rows, 27)


def test_no_terminal():
    """Without a terminal nothing is cut."""
    assert "1-1  w          " + "x" * 1000 == table_lines(HEAD, [("1-1", "w", "x" * 1000)], float("inf"))[1]


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=5), st.integers(50, 120))
def test_table_fits(rows, width):
    """No line is wider than the terminal, or can end early, whatever the cells hold."""
    for line in table_lines(HEAD, rows, width):
        assert width_of(line) <= width
        assert line.isprintable()


@given(st.text(), st.integers(1, 20))
def test_padded(text, width):
    """A cell takes exactly its width, also with characters that take two places."""
    text = visible(text)

    assert width == width_of(padded(text, width))
    assert width_of(cut(text, width)) <= width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ö 日本", "plain ö 日本"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udc80", "\\udc80"),
    ],
)
def test_visible(text, shown):
    """What would move the cursor, clear the screen or turn the direction of writing is shown, not done."""
    assert shown == visible(text)
