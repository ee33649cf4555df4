"""Which code is the library's own, and which line of the user's has called it.

A monitor notes a line in almost no time, to be put into words only when somebody asks: as a code object and a position
in it (the `f_code` and `f_lasti` of the caller), never as the frame, which would keep alive all local variables of
everybody who was waiting for the call.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path, PurePath
from types import CodeType, FrameType

import trio

PACKAGE = f"{Path(__file__).parent.parent}{os.sep}"
"""What the file names of the library's own code begin with."""
LIBRARIES = (PACKAGE, f"{Path(trio.__file__).parent}{os.sep}")
"""The same for all code that stands between one function of the user's and another."""


def frame_of_caller() -> FrameType:
    """Where the user's code is that called the library; the outermost frame if there is none."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(LIBRARIES) and frame.f_back is not None:
        frame = frame.f_back
    return frame


def line_of_caller() -> tuple[str, int]:
    """Which line of the user's is running: its file and number."""
    frame = frame_of_caller()
    return frame.f_code.co_filename, frame.f_lineno


def stack_of_caller() -> tuple[str, ...]:
    """The stack as a traceback prints it, the outermost call first, down to that line."""
    return tuple(traceback.format_stack(frame_of_caller()))


def place(line: tuple[str, int] | None = None, *, folders: int = 0) -> str:
    """That line, or another one, as "file:line", with so many of the folders that the file is in."""
    file, number = line_of_caller() if line is None else line
    return f"{PurePath(*PurePath(file).parts[-1 - folders :])}:{number}"


def describe(code: CodeType, position: int) -> str:
    """A position in the code as "file:line"."""
    lines = (line for start, end, line in code.co_lines() if start <= position < end)
    return f"{code.co_filename}:{next(lines, None) or code.co_firstlineno}"
