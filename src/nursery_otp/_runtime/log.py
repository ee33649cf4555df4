"""Where the runtime's own log lines go: structlog as the application configured it, else stdlib logging."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import structlog


def _as_stdlib_call(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> tuple[tuple[str], dict[str, Any]]:
    """One readable line, and the traceback below it as logging prints it."""
    error = fields.pop("exc_info", None)
    text = " ".join([str(fields.pop("event")), *(f"{key}={value!r}" for key, value in fields.items())])
    return (text,), {"exc_info": error}


_fallback = structlog.wrap_logger(
    logging.getLogger("nursery_otp"),
    processors=[structlog.stdlib.filter_by_level, _as_stdlib_call],
    wrapper_class=structlog.stdlib.BoundLogger,
)


def _logger() -> Any:
    # Unconfigured structlog would print to stdout, which belongs to the application.
    return structlog.get_logger("nursery_otp") if structlog.is_configured() else _fallback


def write(level: str, event: str, **fields: Any) -> None:
    """Write a line. If the logging of an application fails, processes do not notice, and the line goes to the other."""
    logger = _logger()
    try:
        getattr(logger, level)(event, **fields)
    except Exception:
        if logger is not _fallback:
            with suppress(Exception):
                getattr(_fallback, level)(event, **fields)
