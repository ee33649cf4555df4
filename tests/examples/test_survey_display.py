"""How progress is shown."""

import io

from rich.console import Console

from examples.survey import display
from examples.survey.display import Bar, Lines, Standing

BEGIN, MIDDLE = Standing(0, 4, 0, 0), Standing(2, 4, 1, 3)


def test_lines():
    """A line when something has changed, none when nothing has."""
    stream = io.StringIO()
    lines = Lines(stream)
    for standing in (BEGIN, BEGIN, MIDDLE, MIDDLE):
        lines.show(standing)
    lines.close()

    assert [
        "survey: 0 of 4 files, 0 quarantined, 0 restarts",
        "survey: 2 of 4 files, 1 quarantined, 3 restarts",
    ] == stream.getvalue().splitlines()


def test_bar():
    """A bar that is drawn where it stands, and gives the cursor back."""
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=100))
    bar.show(BEGIN)
    bar.show(MIDDLE)
    bar.close()

    assert "2/4" in stream.getvalue()
    assert "1 quarantined, 3 restarts" in stream.getvalue()
    assert "\x1b[?25h" in stream.getvalue()


def test_choice(monkeypatch):
    """A bar on a terminal that can show one, lines anywhere else."""
    for environment, kind in (({"TTY_COMPATIBLE": "0"}, Lines), ({"TTY_COMPATIBLE": "1", "TERM": "xterm"}, Bar)):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert kind is type(display.choose_display())
