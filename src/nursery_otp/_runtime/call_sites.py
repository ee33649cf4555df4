"""Where a function was called from: noted in almost no time, put into words only when somebody asks.

What is kept is a code object and a position in it (the `f_code` and `f_lasti` of the caller), never the frame: a frame
would keep alive all local variables of everybody who was waiting for the call.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from types import CodeType, FrameType

_HERE = f"{Path(__file__).parent}{os.sep}"


def describe(code: CodeType, position: int) -> str:
    """`file:line`."""
    lines = (line for start, end, line in code.co_lines() if start <= position < end)
    return f"{code.co_filename}:{next(lines, None) or code.co_firstlineno}"


def stack_of_caller() -> tuple[str, ...]:
    """The stack as a traceback prints it, the outermost call first, down to the code that called the runtime."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return tuple(traceback.format_stack(frame))
