"""Log lines say which process wrote them, and never which one started it."""

import pytest
import structlog
import trio
from structlog.contextvars import bind_contextvars, clear_contextvars, merge_contextvars
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    GenServer,
    InvalidSpec,
    Name,
    Supervisor,
    call,
    cast,
    child,
    current_ref,
    mailbox,
    open_supervisor,
    process_context,
    send,
    send_after,
    send_nowait,
    spawn,
    start,
)
from nursery_otp.logs import add_process_info, log_events


def line(event, **fields):
    """What the processors make of a line that is logged here."""
    return add_process_info(None, "info", {"event": event, **fields})


async def worker(lines):
    """A process that logs when it begins."""
    lines.append(line("begun"))


class Server(GenServer):
    @call
    def work(self):
        return line("working")

    @cast
    def start_another(self, lines):
        spawn(worker, lines)

    def handle_info(self, lines):
        lines.append(line("info"))


class Team(Supervisor):
    def __init__(self, lines):
        self.lines = lines

    def children(self):
        return [child(Server, name=Name("server")), child(worker, self.lines, restart="temporary")]


@pytest.fixture(autouse=True)
def as_before():
    """`capture_logs` configures structlog, and for the library that makes a difference."""
    yield
    structlog.reset_defaults()


@pytest.fixture
async def tree():
    async with open_supervisor() as supervisor:
        yield supervisor
        supervisor.shutdown()


async def test_server(tree):
    """A handler's line has process, name, incarnation, operation and the path of its supervisor."""
    lines = []
    await tree.start(Team, lines, name=Name("team"), id="team")
    info = await Server.work(Name[Server]("server"))

    assert info == {
        "event": "working",
        "process": info["process"],
        "name": "server",
        "incarnation": 1,
        "operation": "Server.work",
        "supervisor": "root/team",
    }
    assert info["process"].startswith("Server#")
    assert lines[0]["process"].startswith("worker#")
    assert "operation" not in lines[0]
    assert "name" not in lines[0]


async def test_operations(tree):
    """The operation of a plain message is its type, whichever way it came, and none is shown between two messages."""
    ref, lines = await start(Server), []
    send_nowait(ref, lines)
    await send(ref, lines, confirm="handled", metadata={"a": 1})
    send_after(0, ref, lines)
    await wait_all_tasks_blocked()

    assert ["list", "list", "list"] == [info["operation"] for info in lines]


async def test_restarted(tree):
    """A restarted child's line has its own number and incarnation."""
    lines = []

    async def crashing():
        lines.append(line("begun"))
        if len(lines) == 1:
            raise KeyError
        await mailbox().receive()

    await tree.start(crashing, name=Name("crashing"))
    await wait_all_tasks_blocked()

    assert [1, 2] == [info["incarnation"] for info in lines]
    assert lines[0]["process"] != lines[1]["process"]


async def test_child_task(tree):
    """A task of a process writes as the process."""
    lines = []

    async def process():
        async def task():
            lines.append(line("task"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(task)
        lines.append(line("process"))

    await spawn(process).wait()

    assert lines[0]["process"] == lines[1]["process"]


async def test_outside(tree):
    """Outside of a process, and in a task that has outlived its process, nothing is added."""
    ended, lines = trio.Event(), []

    async def straggler():
        await ended.wait()
        lines.append(line("late"))

    async def process(nursery):
        nursery.start_soon(straggler)

    async with trio.open_nursery() as nursery:
        await spawn(process, nursery).wait()
        ended.set()

    assert {"event": "x"} == line("x")
    assert [{"event": "late"}] == lines
    assert {} == process_context()


async def test_what_is_there_already(tree):
    """A field that the line has already is left alone."""
    seen = []

    async def process():
        seen.append(line("x", process="mine"))

    await spawn(process).wait()

    assert "mine" == seen[0]["process"]


def naive(ref):
    """What a first attempt looks like: bind the process once, where it begins to work."""
    bind_contextvars(process=f"{ref.label}#{ref.pid}")


@pytest.mark.parametrize("ours", [True, False])
async def test_trap_started_by_a_handler(tree, ours):
    """TRAP: a process that is started from within a handler logs its own name. Bound context variables say another."""
    said, meant = [], []

    async def started():
        meant.append(f"started#{current_ref().pid}")
        said.append((line("x") if ours else merge_contextvars(None, "info", {"event": "x"}))["process"])

    class Starter(GenServer):
        @call
        def go(self):
            if not ours:
                naive(current_ref())
            spawn(started)

    await Starter.go(await start(Starter))
    await wait_all_tasks_blocked()
    clear_contextvars()

    assert ours == (said == meant)


async def test_with_structlog(tree):
    """It is a processor like any other, and configures nothing."""
    written = []

    def render(_logger, _name, event_dict):
        written.append(event_dict)
        raise structlog.DropEvent

    logger = structlog.wrap_logger(None, processors=[add_process_info, render])

    async def process():
        logger.info("hello", size=3)

    await spawn(process).wait()

    assert not structlog.is_configured()
    assert {"event": "hello", "size": 3} == {key: written[0][key] for key in ("event", "size")}
    assert written[0]["process"].startswith("process#")


async def test_log_events_of_no_name(tree):
    """Nothing to write is a mistake, and not everything."""
    with pytest.raises(InvalidSpec, match=r"names=\(\): must be at least one"):
        log_events()


async def test_log_events(tree):
    """Chosen events become lines, with plain values or their repr, until that is ended."""
    with capture_logs() as lines:
        end = log_events(("nursery_otp", "process", "ended"), level="warning")
        await spawn(worker, []).wait()
        end()
        end()
        await spawn(worker, []).wait()

    assert 1 == len(lines)
    assert ("nursery_otp.process.ended", "warning", 0) == tuple(
        lines[0][key] for key in ("event", "log_level", "handled")
    )
    assert "Normal()" == lines[0]["reason"]


async def test_log_events_is_checked(tree):
    """A level or an event that does not exist is refused, and nothing stays attached."""
    with pytest.raises(InvalidSpec, match="level"):
        log_events(("nursery_otp",), level="loud")
    with capture_logs() as lines:
        with pytest.raises(InvalidSpec, match="no declared event"):
            log_events(("nursery_otp", "process"), ("nursery_otp", "proces"))
        await spawn(worker, []).wait()

    assert lines == []
