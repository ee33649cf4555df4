"""The exception in the report of a crash is shown as `format_status` says, and nowhere is more of it."""

import traceback

import pytest
import structlog
from trio.testing import wait_all_tasks_blocked

from nursery_otp import GenServer, Name, cast, current_runtime, open_supervisor
from nursery_otp.errors import HiddenError

SECRET = "hunter2"  # noqa: S105 - a made-up one


@pytest.fixture(autouse=True)
def plain_logging():
    """Lines go to the standard library's logging, whatever another test has configured."""
    structlog.reset_defaults()


def log_in(password):
    """Where it happens."""
    raise LookupError(f"wrong password {password}")


class Guard(GenServer):
    """A crash of its tells a secret."""

    @cast
    def check(self, password):
        try:
            log_in(password)
        except LookupError as error:
            raise RuntimeError(f"cannot log in with {password}") from error


def by_text(_status):
    return {"reason": "a wrong password"}


def left_out(_status):
    return {}


def by_error(status):
    return {"reason": PermissionError("somebody").with_traceback(status["reason"].__traceback__)}


def fails(_status):
    raise ValueError(f"cannot hide {SECRET}")


def returns_no_dict(_status):
    return SECRET


HIDDEN = [
    (by_text, "RuntimeError: a wrong password"),
    (left_out, "RuntimeError: (not shown)"),
    (fails, "RuntimeError: (not shown: format_status raised ValueError)"),
    (returns_no_dict, "RuntimeError: (not shown: format_status raised BadReturn)"),
]


@pytest.fixture
def reports():
    return []


async def crash(reports, format_status):
    """A guard that shows itself in this way crashes; its reason as others get it."""
    kind = type("Guard", (Guard,), {"format_status": lambda _self, status: format_status(status)})
    async with open_supervisor() as tree:
        current_runtime().telemetry.attach(
            ("nursery_otp", "process", "crashed"), lambda _name, _measured, about: reports.append(about["report"])
        )
        ref = await tree.start(kind, restart="temporary", name=Name("guard"))
        kind.check(ref, SECRET)
        reason = await ref.wait()
        await wait_all_tasks_blocked()
        tree.shutdown()
    return reason


def whole(record):
    """All that a handler could write of a log record."""
    trace = "".join(traceback.format_exception(record.exc_info[1]))  # with the lines of code, but not their values
    return f"{record.getMessage()} {record.__dict__} {record.exc_info} {trace}"


@pytest.mark.parametrize(("format_status", "text"), HIDDEN)
async def test_hidden(reports, caplog, format_status, text):
    """Replaced by a text, left out, or not to be had: only where it happened is shown, and of which type it was."""
    reason = await crash(reports, format_status)
    [report] = reports
    assert isinstance(report.error, HiddenError)
    assert text == str(report.error)
    assert (None, None, None) == (
        report.error.__cause__,
        report.error.__context__,
        getattr(report.error, "__notes__", None),
    )
    [record] = [record for record in caplog.records if record.getMessage().startswith("process_crashed")]
    assert "in check" in whole(record)
    assert SECRET not in whole(record)
    assert "HiddenError" in record.getMessage()
    assert "cannot log in with hunter2" == str(reason.error)


async def test_another_error(reports, caplog):
    """Another exception in its place is shown as it is."""
    await crash(reports, by_error)
    [report] = reports
    assert isinstance(report.error, PermissionError)
    [record] = [record for record in caplog.records if record.getMessage().startswith("process_crashed")]
    assert report.error is record.exc_info[1]
    assert SECRET not in whole(record)


async def test_as_it_is(reports):
    """A `format_status` that says nothing about it shows it."""
    reason = await crash(reports, lambda status: status)
    [report] = reports
    assert report.error is reason.error


async def test_incarnation_of_a_start():
    """The event of a start tells which incarnation it is."""
    seen = []
    async with open_supervisor() as tree:
        current_runtime().telemetry.attach(
            ("nursery_otp", "process", "started"), lambda _name, _measured, about: seen.append(about["incarnation"])
        )
        ref = await tree.start(Guard, name=Name("guard"))
        Guard.check(ref, SECRET)
        await ref.wait()
        await wait_all_tasks_blocked()
        tree.shutdown()

    assert [1, 2] == seen
