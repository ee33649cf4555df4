"""What is counted in a file, and what is not a Python file at all."""

import ast
import sysconfig
from pathlib import Path

import pytest

from examples.survey.fault import fault_text
from examples.survey.measurement import decode, measure

SOURCE = '''\
"""A docstring."""
import os.path, sys
from collections import abc
from . import sibling
from .sub import thing

# a comment
class Outer:
    def method(self):
        try:
            import json
        except ImportError:
            async def fallback(): ...
        else:
            pass
        finally:
            import json

    if sys:
        class Inner: pass

match sys:
    case _:
        def in_case(): return lambda: 0
'''


def write(folder: Path, data: bytes) -> str:
    path = folder / "file.py"
    path.write_bytes(data)
    return str(path)


def test_counts(tmp_path):
    """Definitions and imports are found wherever statements can be, lambdas are none, comments are no code."""
    found = measure(write(tmp_path, SOURCE.encode()))

    assert ("utf-8", 24, 20) == (found.encoding, found.lines, found.code_lines)
    assert (3, 2, 5) == (found.functions, found.classes, found.definitions)
    assert 6 == found.imports
    assert ("collections", "json", "os", "sys") == found.imported


def test_statements_are_all_found():
    """The short way through the tree finds what `ast.walk` finds, in a module that has everything."""
    path = Path(sysconfig.get_path("stdlib"), "typing.py")
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    found = measure(str(path))

    assert sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes) == found.functions
    assert sum(isinstance(node, ast.ClassDef) for node in nodes) == found.classes
    assert sum(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes) == found.imports


@pytest.mark.parametrize(
    ("data", "lines", "code_lines"),
    [
        (b"", 0, 0),
        (b"\n", 1, 0),
        (b"x = 1", 1, 1),
        (b"x = 1\n", 1, 1),
        (b"x = 1\r\ny = 2\r\n", 2, 2),
        (b"x = 1\ry = 2\r", 2, 2),
        (b"x = 1\n\x0c\n  # only this\n", 3, 1),
    ],
)
def test_lines(tmp_path, data, lines, code_lines):
    """Lines end as Python says; a last line needs no end."""
    found = measure(write(tmp_path, data))

    assert (lines, code_lines) == (found.lines, found.code_lines)


@pytest.mark.parametrize(
    ("data", "encoding", "text"),
    [
        (b"x\n", "utf-8", "x\n"),
        (b"\xef\xbb\xbfx\n", "utf-8-sig", "x\n"),
        (b"# coding: latin-1\n\xe9\n", "iso-8859-1", "# coding: latin-1\n\xe9\n"),
        ("# -*- coding: cp1251 -*-\nж\n".encode("cp1251"), "cp1251", "# -*- coding: cp1251 -*-\nж\n"),
    ],
)
def test_decode(data, encoding, text):
    """The encoding is found by the rules of the language: a mark, a comment in the first two lines, else UTF-8."""
    assert (encoding, text) == decode(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"def f(:\n", "SyntaxError: invalid syntax (file.py, line 1)"),
        (b"# coding: uft-8\n", "SyntaxError: unknown encoding: uft-8"),
        (b"x = '\xff'\n", "SyntaxError: invalid or missing encoding declaration"),
        (
            b"\n\n\nx = '\xff'\n",
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 8: invalid start byte",
        ),
    ],
)
def test_broken(tmp_path, data, reason):
    """What is wrong with a file leaves `measure` as the exception that it is."""
    with pytest.raises((SyntaxError, UnicodeDecodeError)) as caught:
        measure(write(tmp_path, data))

    assert reason == fault_text(caught.value)


def test_nul_bytes(tmp_path):
    """A NUL byte is an error, though not the same one in each Python."""
    with pytest.raises((SyntaxError, ValueError), match="null bytes"):
        measure(write(tmp_path, b"x = 1\0\n"))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\nlines"), "ValueError: two lines"),
        (ValueError(), "ValueError"),
        (PermissionError(13, "Permission denied", "/a/file.py"), "PermissionError: Permission denied"),
        (OSError("no number"), "OSError: no number"),
    ],
)
def test_fault_text(error, text):
    """A fault is told in one line, without the place where the tree lies."""
    assert text == fault_text(error)
