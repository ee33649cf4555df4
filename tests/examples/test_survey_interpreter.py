"""An interpreter of one's own, and what becomes of it."""

import io
import pickle
import sys

import pytest
import trio

from examples.survey import interpreter, port
from examples.survey.interpreter import open_interpreter
from examples.survey.measurement import measure


@pytest.fixture
def processes(monkeypatch):
    """The processes of the operating system that have been started."""
    started = []
    open_process = trio.lowlevel.open_process

    async def spy(*args, **options):
        started.append(await open_process(*args, **options))
        return started[-1]

    monkeypatch.setattr(trio.lowlevel, "open_process", spy)
    return started


def replace_program(monkeypatch, program):
    """Start something else than a port: it says that it is ready, but then runs `program`."""
    greeting = f"import sys; sys.stdout.buffer.write({port.pack(port.READY)!r}); sys.stdout.flush(); {program}"
    monkeypatch.setattr(interpreter, "COMMAND", (sys.executable, "-I", "-S", "-c", greeting))


async def test_measures_like_a_function(tmp_path, processes):
    """The numbers are those of `measure`; afterwards the process has ended."""
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("import os\n" * len(name))
    async with open_interpreter() as mine:
        for name in ("a.py", "b.py"):
            assert measure(str(tmp_path / name)) == await mine.measure(tmp_path / name)

    assert processes[0].returncode is not None


async def test_exceptions_come_through(tmp_path, processes):
    """A broken file raises its own exception here, and the interpreter takes the next one."""
    (tmp_path / "bad.py").write_text("def f(:\n")
    (tmp_path / "good.py").write_text("x = '\\d'\n")
    async with open_interpreter() as mine:
        with pytest.raises(SyntaxError, match=r"invalid syntax \(bad\.py, line 1\)"):
            await mine.measure(tmp_path / "bad.py")
        with pytest.raises(FileNotFoundError):
            await mine.measure(tmp_path / "nowhere.py")
        assert 1 == (await mine.measure(tmp_path / "good.py")).lines

    assert 1 == len(processes)


async def test_death_of_the_process(tmp_path, monkeypatch):
    """A file that ends the process is an error, not a wait for ever."""
    replace_program(monkeypatch, "sys.stdin.buffer.read(5)")
    async with open_interpreter() as mine:
        with pytest.raises(EOFError, match="the interpreter ended before it answered"):
            await mine.measure(tmp_path / "a.py")


async def test_no_start(monkeypatch):
    """An interpreter that cannot start is an error before any file is given to it."""
    monkeypatch.setattr(interpreter, "COMMAND", (sys.executable, "-I", "-S", "-c", ""))
    with pytest.raises(EOFError, match="the interpreter ended before it answered"):
        async with open_interpreter():
            pass


async def test_endless_parse(tmp_path, monkeypatch, processes, autojump_clock):
    """A parse without end is given up, and its process ended."""
    replace_program(monkeypatch, "sys.stdin.buffer.read()")
    async with open_interpreter() as mine:
        with pytest.raises(TimeoutError, match="not parsed within 60 s"):
            await mine.measure(tmp_path / "a.py")

    assert processes[0].returncode is not None


async def test_cancelled_in_mid_parse(tmp_path, monkeypatch, processes):
    """Whoever is cancelled while he waits takes the process with him."""
    replace_program(monkeypatch, "sys.stdin.buffer.read()")
    async with trio.open_nursery() as nursery:

        async def measure_for_ever():
            async with open_interpreter() as mine:
                await mine.measure(tmp_path / "a.py")

        nursery.start_soon(measure_for_ever)
        while not processes:
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert processes[0].returncode is not None


def test_port(tmp_path):
    """The other end answers frame by frame, exceptions too, and ends with its input."""
    (tmp_path / "good.py").write_text("x = 1\n")
    requests = io.BytesIO(b"".join(port.pack(str(tmp_path / name)) for name in ("good.py", "bad.py")))
    replies = io.BytesIO()
    port.serve(requests, replies)
    data = io.BytesIO(replies.getvalue())
    first, second = (pickle.loads(data.read(*port.HEADER.unpack(data.read(port.HEADER.size)))) for _ in range(2))

    assert measure(str(tmp_path / "good.py")) == first
    assert FileNotFoundError is type(second)
    assert b"" == data.read()
