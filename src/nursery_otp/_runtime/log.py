"""Where the runtime's own log lines go: structlog as the application configured it, else stdlib logging."""

from __future__ import annotations

import logging
from typing import Any

import structlog

_fallback = structlog.wrap_logger(
    logging.getLogger("nursery_otp"),
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
)


def logger() -> Any:
    """The logger to use now. Unconfigured structlog would print to stdout, which belongs to the application."""
    return structlog.get_logger("nursery_otp") if structlog.is_configured() else _fallback
