"""What log lines say about processes: a processor for structlog, and telemetry events as log lines.

Nothing here configures logging. Put `add_process_info` among the processors of your own `structlog.configure`, before
the one that renders:

    structlog.configure(processors=[add_process_info, structlog.processors.JSONRenderer()])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from nursery_otp import Runtime, current_runtime, process_context
from nursery_otp.errors import InvalidSpec

__all__ = ["add_process_info", "log_events"]

_PLAIN = (str, int, float, bool, type(None))
_PARAMETERS = ("self", "event", "method_name")
"""What the methods of structlog's loggers call their own parameters."""
_LEVELS = ("debug", "info", "warning", "error", "critical")


def add_process_info(
    logger: Any, method_name: str, event_dict: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A structlog processor: the fields of `process_context`, unless the line has them already.

    They are looked up when the line is written, in the process that writes it. Values that are bound to context
    variables would be inherited by every process that is started, and claim that it is another one.
    """
    for key, value in process_context().items():
        event_dict.setdefault(key, value)
    return event_dict


def log_events(
    *names: tuple[str, ...], level: str = "info", logger: Any = None, runtime: Runtime | None = None
) -> Callable[[], None]:
    """Write a log line for every event with one of these names, or whose name begins with it; returns what ends that.

    The line's event is the name with dots; measurements and metadata are its fields, as plain values or their `repr`.
    A field of an event of your own that is called "event" is `event_` in the line. `logger` is structlog's unless
    given, `runtime` the current one. Raises `InvalidSpec` for a name that no event has, and for none at all.
    """
    if not names:
        raise InvalidSpec("names", names, "must be at least one, such as ('nursery_otp', 'process')")
    if level not in _LEVELS:
        raise InvalidSpec("level", level, f"must be one of {', '.join(map(repr, _LEVELS))}")
    write = getattr(structlog.get_logger("nursery_otp") if logger is None else logger, level)
    bus = (current_runtime() if runtime is None else runtime).telemetry

    def handler(name: tuple[str, ...], measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        fields = {**measurements, **metadata}
        write(".".join(name), **{_key(key): _shown(value) for key, value in fields.items()})

    detach: list[Callable[[], None]] = []
    try:
        detach.extend(bus.attach(name, handler) for name in names)
    except InvalidSpec:
        for undo in detach:
            undo()
        raise

    def end() -> None:
        for undo in detach:
            undo()

    return end


def _key(key: str) -> str:
    return f"{key}_" if key in _PARAMETERS else key


def _shown(value: object) -> object:
    """A plain value, or the repr; one that fails must not cost the lines of all events that come later."""
    if isinstance(value, _PLAIN):
        return value
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
