"""The report of a crash: made where a process ends, written once when it is known what its supervisor does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from nursery_otp._policy.exits import Crashed, safe_str
from nursery_otp._runtime import log
from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.messages import Envelope, Tick
from nursery_otp._runtime.refs import text_of
from nursery_otp._runtime.shown import SHOWN, cut, replaced
from nursery_otp.errors import HiddenError

if TYPE_CHECKING:
    from nursery_otp._runtime.process import Process


@attrs.frozen(kw_only=True)
class CrashReport:
    """What is known of a crash: one log entry `process_crashed`, and the metadata of the event of that name.

    `path` names the process by the ids of the supervisors above it and its own. `message` is what it was handling and
    `state` what it was, both as `GenServer.format_status` shows them; None where there is none. So is the `error`, a
    `HiddenError` where it is not shown as it is. `decision` is what the supervisor does about it; `restarts` of
    `allowed` have happened within the supervisor's period. OTP: the error report of a `gen_server` with the supervisor
    report that follows it.
    """

    process: str
    name: str | None
    incarnation: int
    path: str
    message: str | None
    state: str | None
    error: BaseException
    decision: str = ""
    restarts: int | None = None
    allowed: float | None = None


_LOGGED = {
    **{field.name: field.name for field in attrs.fields(CrashReport)},
    # Records of the standard library have attributes of these names, which some formatters would overwrite.
    "process": "ref",
    "name": "registered_name",
    "message": "last_message",
}


def payload(item: object) -> object:
    """The message that a user sees of what lies in a mailbox."""
    return item.message if isinstance(item, Call | Tick | Envelope) else item


def crash_report(process: Process, error: BaseException) -> CrashReport:
    """The report of a process that is just ending. It is text, so that it shows the state of now."""
    message, state, error = _status(process, error)
    return CrashReport(
        process=cut(text_of(process, Crashed(error)), SHOWN),  # the error as it may be shown, here too
        name=None if process.name is None else process.name.text,
        incarnation=process.incarnation,
        path=path_of(process),
        message=message,
        state=state,
        error=error,
    )


def _status(process: Process, error: BaseException) -> tuple[str | None, str | None, BaseException]:
    handling = process.handling
    status: dict[str, Any] = {"reason": error} if handling is None else {"reason": error, "message": payload(handling)}
    given = status
    describe = getattr(process.behaviour, "crash_status", None)
    if describe is not None:
        try:
            status = dict(describe(dict(given)))  # a dict of our own, that does nothing when it is read
        except BaseException as problem:  # noqa: ASYNC103 - it is a plain function; what is fatal ends the tree
            if not isinstance(problem, Exception):
                process.runtime.take_fatal(problem)
            # What was to be hidden is not known, so nothing is shown; the text of the problem may contain it as well.
            hidden = f"(not shown: format_status raised {type(problem).__name__})"
            return None if handling is None else hidden, hidden, _instead(error, hidden)  # noqa: ASYNC104
    message = replaced(status["message"], given.get("message")) if "message" in status else None
    state = replaced(status["state"], None) if "state" in status else None  # the state itself is no text
    return message, state, _presentable(error, status)


def _presentable(error: BaseException, status: dict[str, Any]) -> BaseException:
    if "reason" not in status:
        return _instead(error, "(not shown)")
    reason = status["reason"]
    return reason if isinstance(reason, BaseException) else _instead(error, replaced(reason, None))


def _instead(error: BaseException, text: str) -> HiddenError:
    """Where it happened is no secret."""
    return HiddenError(f"{type(error).__name__}: {text}").with_traceback(error.__traceback__)


def path_of(process: Process) -> str:
    """The ids from the root down to this process; a process without a supervisor is its own root."""
    parts: list[str] = []
    above: Process | None = process
    while above is not None:
        parts.append(_part(above))
        above = above.supervisor
    return "/".join(reversed(parts))


def _part(process: Process) -> str:
    key = process.child_key
    if process.supervisor is None or key is None:
        return process.label
    return f"{process.label}-{key}" if isinstance(key, int) else cut(safe_str(key))


def write(process: Process, report: CrashReport) -> None:
    """Tell the log and whoever listens, once."""
    runtime = process.runtime
    emit = runtime.telemetry.process_crashed
    if emit is not None:
        emit({}, {"report": report})
    fields = attrs.asdict(report, filter=lambda field, _value: field.name != "error", recurse=False)
    log.write(
        "error",
        "process_crashed",
        **{_LOGGED[field]: value for field, value in fields.items() if value is not None},
        exc_info=report.error,
    )
