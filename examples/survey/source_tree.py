"""Which files there are to survey: every Python file under a folder, or one file.

Links to folders are not followed, so a loop of links ends nothing and hangs nothing. Links to files are: two names,
two files. What cannot be looked into is not passed over in silence, it becomes a refusal with its reason.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from pathlib import Path

import attrs

from examples.survey.fault import fault_text

SUFFIXES = (".py", ".pyw")
# Not written by whoever wrote the tree: other people's packages, and what the compiler left.
SKIPPED = frozenset({"__pycache__", "site-packages", "dist-packages"})


class BadPath(Exception):
    """There is nothing at this path that could be surveyed; the text says why."""


@attrs.frozen
class SourceFile:
    """One file: its printable name relative to the tree, which is how reports call it, and where it really is."""

    name: str
    path: Path


@attrs.frozen
class SourceTree:
    """The files of a tree in the order of their names, and the folders that could not be read."""

    path: Path
    files: tuple[SourceFile, ...]
    refused: tuple[tuple[SourceFile, str], ...] = ()


def find_files(path: Path) -> SourceTree:
    """Look at `path` and everything under it."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _bad_path(path, error) from error
    if stat.S_ISREG(mode):
        return SourceTree(path, (SourceFile(printable(path.name), path),))
    if not stat.S_ISDIR(mode):
        raise BadPath(f"cannot survey {printable(path)}: neither a file nor a folder")
    return _walk(path)


def printable(path: str | Path) -> str:
    """The path as text that any terminal and any JSON reader takes: bytes that are no UTF-8 are shown as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def in_order(files: Iterable[SourceFile]) -> tuple[SourceFile, ...]:
    """The files in the order in which everything here names files."""
    return tuple(sorted(files, key=attrgetter("name")))


def _bad_path(path: Path, error: OSError) -> BadPath:
    return BadPath(f"cannot survey {printable(path)}: {error.strerror}")


def _walk(top: Path) -> SourceTree:
    refused: list[tuple[SourceFile, str]] = []

    def refuse(error: OSError) -> None:
        folder = Path(error.filename)
        if folder == top:
            raise _bad_path(top, error) from error
        refused.append((_named(top, folder), fault_text(error)))

    files = in_order(_named(top, path) for path in _python_files(top, refuse))
    return SourceTree(top, files, tuple(refused))


def _python_files(top: Path, refuse: Callable[[OSError], None]) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(top, onerror=refuse):
        subfolders[:] = [name for name in subfolders if name not in SKIPPED]
        for name in names:
            path = Path(folder, name)
            if path.suffix in SUFFIXES and _is_readable_kind(path):
                yield path


def _is_readable_kind(path: Path) -> bool:
    # Reading a pipe or a device may never end. A dangling link is no kind at all: its worker will say what is wrong.
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def _named(top: Path, path: Path) -> SourceFile:
    return SourceFile(printable(path.relative_to(top).as_posix()), path)
