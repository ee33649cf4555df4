"""Where the runtime's own lines go: to the application's structlog, or else to logging; never to stdout."""

import ast
import logging
from pathlib import Path

import attrs
import pytest
import structlog
from trio.testing import wait_all_tasks_blocked

import nursery_otp
from nursery_otp import (
    CrashReport,
    GenServer,
    Ignore,
    Name,
    Stop,
    cast,
    kill,
    open_supervisor,
    send_nowait,
    spawn,
    start,
    trace,
)
from nursery_otp._runtime import crash_reports, log
from tests.runtime.helpers import Desk, idle

SOURCES = sorted(
    path for path in Path(nursery_otp.__file__).parent.rglob("*.py") if "log.write(" in path.read_text(encoding="utf-8")
)


async def crash():
    """A process that crashes."""
    raise ValueError("boom")


async def test_crash(tree, caplog, capsys):
    """A crash is one error in the log, with the process and the traceback of the user's code; stdout stays clean."""
    await spawn(crash).wait()
    [record] = caplog.records

    assert ("nursery_otp", logging.ERROR) == (record.name, record.levelno)
    assert (
        """process_crashed ref="<crash#2 ended: crashed(ValueError('boom'))>" incarnation=1 path='crash' """
        """decision='no supervisor'"""
    ) == record.getMessage()
    assert ValueError is record.exc_info[0]
    assert "crash" == record.exc_info[2].tb_frame.f_code.co_name
    assert "" == capsys.readouterr().out


@pytest.mark.parametrize("reason", [Stop(), Stop("boom")])
async def test_what_is_no_crash(tree, caplog, reason):
    """Who ends on purpose, is killed or asked to stop has not crashed: no line."""

    async def ending():
        raise reason

    await spawn(ending).wait()
    ref = spawn(idle)
    kill(ref)
    await ref.wait()
    desk = await tree.start(Desk, restart="temporary")
    desk._process.request_stop(reason.reason)
    await desk.wait()

    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_interrupt(caplog):
    """A KeyboardInterrupt is nobody's crash: it leaves the tree, and is no line."""

    async def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        async with open_supervisor():
            spawn(interrupted)
            await idle()

    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("error", [ValueError("boom"), Ignore()])
async def test_failed_start(tree, caplog, error):
    """A start that fails is told to the one who starts, and need not be in the log."""

    class Failing(Desk):
        def init(self):
            raise error

    with pytest.raises(Exception, match=r"failed to start|declined"):
        await start(Failing)

    assert [] == caplog.records


async def test_unexpected_message(tree, caplog, capsys):
    """A message that a server has no use for is a warning."""

    class Plain(GenServer):
        pass

    send_nowait(await tree.start(Plain), "surprise")
    await wait_all_tasks_blocked()

    assert ["unexpected_message server='Plain' received=\"'surprise'\""] == caplog.messages
    assert "" == capsys.readouterr().out


async def test_quiet_level(tree, caplog):
    """The level of the logger counts."""
    logging.getLogger("nursery_otp").setLevel(logging.CRITICAL)
    try:
        await spawn(crash).wait()
    finally:
        logging.getLogger("nursery_otp").setLevel(logging.NOTSET)

    assert [] == caplog.records


@pytest.fixture
def configured():
    """An application that has configured structlog; what it gets."""
    lines = []

    def keep(_logger, method, fields):
        lines.append((method, fields))
        raise structlog.DropEvent

    structlog.configure(processors=[keep], cache_logger_on_first_use=False)
    yield lines
    structlog.reset_defaults()


async def test_structlog(tree, configured, caplog, capsys):
    """An application that has configured structlog gets the lines there, as fields, and nowhere else."""
    await spawn(crash).wait()
    [(method, fields)] = configured

    assert ("error", "process_crashed") == (method, fields["event"])
    assert "<crash#2 ended: crashed(ValueError('boom'))>" == fields["ref"]
    assert "boom" == str(fields["exc_info"])
    assert [] == caplog.records
    assert ("", "") == capsys.readouterr()


async def test_configured_late(tree, caplog):
    """It may configure structlog at any time: the next line goes there."""
    await spawn(crash).wait()
    assert 1 == len(caplog.records)
    with structlog.testing.capture_logs() as lines:
        structlog.configure(processors=structlog.get_config()["processors"])
        await spawn(crash).wait()
    structlog.reset_defaults()

    assert ["process_crashed"] == [line["event"] for line in lines]
    assert 1 == len(caplog.records)


async def test_broken_logging(tree, monkeypatch):
    """What is wrong with the logging of an application does not reach the processes."""

    def broken(*_args):
        raise OSError("disk full")

    structlog.configure(processors=[broken])
    try:
        reason = await spawn(crash).wait()
        log.write("error", "event")
    finally:
        structlog.reset_defaults()

    assert isinstance(reason.error, ValueError)
    assert tree.ref.alive


async def test_no_handlers(tree, capsys):
    """Without any configuration the lines are on stderr, as logging has it for warnings and worse."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        await spawn(crash).wait()
    finally:
        root.handlers = handlers
    captured = capsys.readouterr()

    assert "" == captured.out
    assert "process_crashed" in captured.err
    assert "ValueError: boom" in captured.err


STDLIB = [structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs]


@pytest.fixture
def to_stdlib():
    """An application whose structlog hands fields on to logging, as structlog documents it for JSON formatters."""
    structlog.configure(
        processors=STDLIB,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    yield
    structlog.reset_defaults()


async def test_fields_of_log_records(tree, to_stdlib, caplog):
    """No field has the name of an attribute of a LogRecord, which logging refuses; so these entries arrive as well."""

    class Plain(GenServer):
        @cast
        def boom(self):
            raise ValueError("boom")

    plain = await tree.start(Plain, name=Name[Plain]("plain"), restart="temporary")

    def broken(_event):
        raise OSError("sink")

    await trace(plain, broken)
    send_nowait(plain, "surprise")
    Plain.boom(plain)
    await plain.wait()
    await wait_all_tasks_blocked()

    entries = {record.getMessage(): record for record in caplog.records if record.levelno >= logging.WARNING}
    assert {"trace_detached", "unexpected_message", "process_crashed"} == entries.keys()
    assert {"nursery_otp"} == {record.name for record in entries.values()}
    assert ("plain", "Message(boom())") == (
        entries["process_crashed"].registered_name,
        entries["process_crashed"].last_message,
    )
    assert ValueError is entries["process_crashed"].exc_info[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_names_of_fields(path):
    """Nowhere does the library log a field that a LogRecord has, or a positional one of a logger."""
    taken = {*vars(logging.makeLogRecord({})), "message", "asctime", "event", "msg", "level"} - {"exc_info"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "log.write":
            assert [] == [word.arg for word in node.keywords if word.arg in taken]


def test_names_of_crash_fields():
    """The fields of a crash report have names in the log that no LogRecord has."""
    assert set() == {*vars(logging.makeLogRecord({})), "message", "asctime"} & set(crash_reports._LOGGED.values())
    assert {field.name for field in attrs.fields(CrashReport)} == crash_reports._LOGGED.keys()


async def test_broken_logging_falls_back(tree, caplog):
    """A line that the logging of an application fails on goes to logging, instead of nowhere."""

    def broken(*_args):
        raise OSError("disk full")

    structlog.configure(processors=[broken])
    try:
        await spawn(crash).wait()
    finally:
        structlog.reset_defaults()

    [record] = caplog.records
    assert "process_crashed" in record.getMessage()
    assert ValueError is record.exc_info[0]
