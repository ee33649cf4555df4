"""The other end of an interpreter's pipes: answers each path with its measurement, until the pipe is closed.

Standard library only, see `measurement`. Frames are a length and a pickle, in both directions; both ends are this
package on this machine, so a pickle is as safe as a function call.
"""

import pickle
import struct
import sys
from contextlib import suppress
from typing import Any, BinaryIO

from examples.survey.measurement import Measurement, measure

HEADER = struct.Struct("<I")
READY = "ready"


def pack(value: object) -> bytes:
    """One frame."""
    body = pickle.dumps(value)
    return HEADER.pack(len(body)) + body


def unpack(body: bytes) -> Any:
    """The value in a frame's body."""
    return pickle.loads(body)  # noqa: S301 - from our own process, see above


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer request after request; the end of the requests is the end of the process."""
    while header := requests.read(HEADER.size):
        path: str = unpack(requests.read(*HEADER.unpack(header)))
        replies.write(pack(answer(path)))
        replies.flush()


def answer(path: str) -> Measurement | Exception:
    """The measurement, or the exception as a value: it is raised again where the pipe ends, in the worker."""
    try:
        return measure(path)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is for the worker to crash with
        return error


def main() -> None:
    """Serve on the standard streams. Whoever asked may be gone before the answer; that is no error here."""
    with suppress(BrokenPipeError):
        sys.stdout.buffer.write(pack(READY))
        sys.stdout.buffer.flush()
        serve(sys.stdin.buffer, sys.stdout.buffer)
