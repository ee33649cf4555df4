"""What is counted in one Python file. Standard library only: it runs in bare interpreters that must start fast.

Nothing is caught here. A file that cannot be decoded or does not parse is an exception, and stays one until it has
crashed the worker that held it.
"""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Definitions and imports are statements, and statements are found only in these fields. Looking nowhere else skips
# all expressions, and so does most of a tree in a fraction of the time of `ast.walk`.
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


class Measurement(NamedTuple):
    """The numbers of one file. A named tuple, because it is sent between processes thousands of times."""

    encoding: str
    lines: int
    code_lines: int
    functions: int
    classes: int
    imports: int
    imported: tuple[str, ...]

    @property
    def definitions(self) -> int:
        """Functions, methods and classes."""
        return self.functions + self.classes


def measure(path: str) -> Measurement:
    """Parse the file at `path` and count what is in it."""
    encoding, text = decode(Path(path).read_bytes())
    statements = list(_statements(ast.parse(text, filename=Path(path).name)))
    imports = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    return Measurement(
        encoding=encoding,
        lines=text.count("\n") + (not text.endswith("\n") and text != ""),
        code_lines=sum(map(_is_code, text.split("\n"))),
        functions=sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in statements),
        classes=sum(isinstance(node, ast.ClassDef) for node in statements),
        imports=len(imports),
        imported=tuple(sorted({name for node in imports for name in _imported(node)})),
    )


def decode(data: bytes) -> tuple[str, str]:
    """The encoding and the text of a source file, by the rules of `tokenize.open`: BOM, coding comment, else UTF-8.

    Not `tokenize.open` itself, whose errors contain the full path: a report should not depend on where a tree lies.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return encoding, io.TextIOWrapper(io.BytesIO(data), encoding).read()


def _is_code(line: str) -> bool:
    # Neither blank nor a comment. A docstring counts: it is part of the program, which can print it.
    stripped = line.lstrip()
    return stripped != "" and not stripped.startswith("#")


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for block in BLOCKS:
            todo += getattr(node, block, ())


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    # Top-level names only; a relative import names no module of its own.
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    return [] if node.level or node.module is None else [node.module.partition(".")[0]]
