"""What commands print: lines and tables for people, JSON for programs, one line for an error."""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

GAP = "  "
LEAST = 8  # characters that the last column of a table gets at least


class Failure(Exception):
    """The command cannot do what it was asked to; the text is one line for the user."""

    def __init__(self, text: str, *, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class Unwritable(Failure):
    """What a command prints cannot be written."""

    def __init__(self, why: str) -> None:
        super().__init__(f"cannot write the output: {why}")


def write(text: str) -> None:
    """Print a text as it is."""
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Unwritable(error.strerror or str(error)) from error


class Output:
    """Where a command's results go. `Unwritable` if they cannot go there."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def line(self, text: str = "") -> None:
        """Print a line for people; what the terminal cannot show, or would obey, is escaped."""
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        write(visible(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")

    def json(self, value: Any) -> None:
        """Print a value for programs, on one line of ASCII."""
        write(json.dumps(value) + "\n")

    def text(self, name: str, text: str, value: str | None = None) -> None:
        """Print a text of several lines; as JSON, an object with `value`, or all of the text, under this name."""
        if self.as_json:
            self.json({name: text if value is None else value})
            return
        for line in text.rstrip("\n").split("\n"):
            self.line(line)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table that is no wider than the terminal: the last column is cut to what is left of the line."""
        for line in table_lines(head, rows, terminal_width()):
            self.line(line)

    def error(self, program: str, text: str, status: int) -> None:
        """Print what went wrong on stderr, if there is one: there is nobody else to tell."""
        if sys.stderr is None:
            return
        line = json.dumps({"error": text, "status": status}) if self.as_json else f"{program}: {visible(text)}"
        encoding = sys.stderr.encoding or "utf-8"
        with suppress(OSError):
            sys.stderr.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")

    def check(self) -> None:
        """Before anything is done: whether there is somewhere to print at all."""
        if sys.stdout is None:  # Python's way to say that it was closed from the start
            raise Unwritable("the standard output is closed")

    def flush(self) -> None:
        """Whether everything could be printed shows here."""
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Unwritable(error.strerror or str(error)) from error

    def abandon(self) -> None:
        """What is left cannot be printed: keep Python from complaining about that at its end."""
        if sys.stdout is None:
            return
        with suppress(OSError):  # it is no file
            target = sys.stdout.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, target)
            os.close(nowhere)


def terminal_width() -> float:
    """Characters in a line of the terminal; infinite if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else float("inf")


def table_lines(head: Sequence[str], rows: Sequence[Sequence[str]], width: float) -> list[str]:
    """The lines of a table."""
    shown = [head, *([visible(cell) for cell in row] for row in rows)]
    widths = [max(width_of(row[column]) for row in shown) for column in range(len(head))]
    fixed = sum(widths[:-1]) + len(GAP) * (len(head) - 1)
    # A long name must not push everything else out: columns before the last get at most what is fair.
    fair = max(LEAST, int((width - LEAST) / len(head))) if fixed + LEAST > width else float("inf")
    widths = [int(min(size, fair)) for size in widths[:-1]]
    rest = max(LEAST, width - sum(widths) - len(GAP) * len(widths))
    return [
        "".join(f"{padded(cell, size)}{GAP}" for cell, size in zip(row, widths, strict=False)) + cut(row[-1], rest)
        for row in shown
    ]


def visible(text: str) -> str:
    """The text without what would move the cursor, change colours or end the line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def width_of(text: str) -> int:
    """How many places of a terminal a text takes."""
    return len(text) if text.isascii() else sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: float) -> str:
    """As much of the text as fits."""
    if width_of(text) <= width:
        return text
    kept = text[: int(width) - 1]
    while width_of(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept}…"


def padded(text: str, width: int) -> str:
    """Exactly `width` places."""
    text = cut(text, width)
    return text + " " * (width - width_of(text))
