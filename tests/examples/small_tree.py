"""A small tree of files, good and broken, and a survey of it that needs no real interpreters."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import trio

from examples.survey.book import Book, Quarantine
from examples.survey.display import Standing
from examples.survey.measurement import Measurement, measure
from examples.survey.options import Options
from examples.survey.report import Rejected, Report, make_report
from examples.survey.source_tree import find_files
from examples.survey.survey import Survey

BROKEN = {
    "bad_coding.py": b"# coding: uft-8\n",
    "bad_syntax.py": b"def f(:\n",
    "bad_text.py": b"\n\n\nx = '\xff'\n",
}
REASONS = [
    Rejected("bad_coding.py", "SyntaxError: unknown encoding: uft-8"),
    Rejected("bad_syntax.py", "SyntaxError: invalid syntax (bad_syntax.py, line 1)"),
    Rejected(
        "bad_text.py", "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 8: invalid start byte"
    ),
    Rejected("gone.py", "FileNotFoundError: No such file or directory"),
]
GOOD = 12


class Silent:
    """A display that remembers."""

    period = math.inf

    def __init__(self) -> None:
        self.shown: list[Standing] = []
        self.closed = False

    def show(self, standing: Standing) -> None:
        self.shown.append(standing)

    def close(self) -> None:
        self.closed = True


class Direct:
    """Measures in this very process."""

    async def measure(self, path: Path) -> Measurement:
        await trio.lowlevel.checkpoint()
        return measure(str(path))


def opener_of(kind: type[Direct]) -> Callable[[], AbstractAsyncContextManager[Direct]]:
    """What opens an interpreter of this kind."""

    @asynccontextmanager
    async def opener() -> AsyncIterator[Direct]:
        yield kind()

    return opener


def make_folder(top: Path) -> Path:
    """A small tree: good files, files that do not parse, and one that cannot be read."""
    for number in range(GOOD):
        (top / f"good_{number:02}.py").write_text("import os\n\n\ndef f(): ...\n")
    for name, data in BROKEN.items():
        (top / name).write_bytes(data)
    (top / "gone.py").symlink_to(top / "nowhere.py")
    return top


def new_survey(folder: Path, **options: object) -> Survey:
    """A survey of the folder by three workers that need no processes of the operating system."""
    return Survey(
        Book(find_files(folder)), Options(**({"workers": 3, "open_interpreter": opener_of(Direct)} | options)), Silent()
    )


def expected_report(folder: Path) -> Report:
    """The report of a tree, made without any process."""
    book = Book(find_files(folder))
    reasons = {rejected.file: rejected.reason for rejected in REASONS}
    for file in book.tree.files:
        known = reasons.get(file.name)
        book.settle(file, measure(str(file.path)) if known is None else Quarantine(known))
    return make_report(book)
