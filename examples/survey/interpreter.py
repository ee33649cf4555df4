"""An interpreter of one's own: a Python process at the end of two pipes, like a port in Erlang.

Parsing is pure CPU work and holds the interpreter lock, so threads do not make it faster: two of them need 6.1 s for a
standard library that takes one process 5.6 s and two processes 3.1 s (2 cores). Each worker owns its process. What a
file does to it, be it an endless parse or a dead process, happens to this worker and to nobody else; and when the
worker ends, for whatever reason, its process ends with it.
"""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from examples.survey import port
from examples.survey.measurement import Measurement

ROOT = Path(__file__).parents[2]
# -I -S: the standard library is all it needs, and without site it starts in half the time. -W ignore: what Python
# thinks of the surveyed files' escape sequences is not our subject.
PROGRAM = f"import sys; sys.path.insert(0, {os.fspath(ROOT)!r}); from examples.survey.port import main; main()"
COMMAND = (sys.executable, "-I", "-S", "-W", "ignore", "-c", PROGRAM)
# A group of its own: a Ctrl-C at the terminal is sent to the whole foreground group, and is ours alone to answer.
OWN_GROUP = None if sys.platform == "win32" else 0
SECONDS_PER_FILE = 60.0  # the longest real file takes one; past this it is a fault of the file like any other


@attrs.frozen
class Interpreter:
    """Measures files, one at a time."""

    requests: trio.abc.SendStream
    replies: trio.abc.ReceiveStream
    buffer: bytearray = attrs.field(factory=bytearray)

    async def measure(self, path: Path) -> Measurement:
        """Measure the file, or raise what it made of the attempt."""
        with trio.move_on_after(SECONDS_PER_FILE):
            await self.requests.send_all(port.pack(os.fspath(path)))
            reply: Measurement | Exception = await self._receive()
            if isinstance(reply, Exception):
                raise reply
            return reply
        raise TimeoutError(f"not parsed within {SECONDS_PER_FILE:g} s")

    async def wait_ready(self) -> None:
        """Wait until it can serve. One that cannot start is then nobody's fault but its own."""
        greeting = await self._receive()
        assert greeting == port.READY

    async def _receive(self) -> Any:
        (length,) = port.HEADER.unpack(await self._read(port.HEADER.size))
        return port.unpack(await self._read(length))

    async def _read(self, size: int) -> bytes:
        while len(self.buffer) < size:
            chunk = await self.replies.receive_some()
            if not chunk:
                raise EOFError("the interpreter ended before it answered")
            self.buffer.extend(chunk)
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data


@asynccontextmanager
async def open_interpreter() -> AsyncGenerator[Interpreter]:
    """Start an interpreter; it is gone when the block is left, in whatever way."""
    process = await trio.lowlevel.open_process(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=OWN_GROUP
    )
    try:
        assert process.stdin is not None  # so that the type checker sees what was asked for
        assert process.stdout is not None
        interpreter = Interpreter(process.stdin, process.stdout)
        await interpreter.wait_ready()
        yield interpreter
    finally:
        process.kill()
        with trio.CancelScope(shield=True):  # after a kill this is a matter of a millisecond
            await process.wait()
