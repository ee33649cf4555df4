"""How long calls, handlers and sends really take, while somebody wants to know.

It listens to the spans that the runtime emits; while nobody observes, nobody listens, and nothing is measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import trio

from nursery_otp._policy.events import ROOT, EventName
from nursery_otp._policy.timeout_keys import Operation
from nursery_otp._runtime.limits import OTHERS, TABLE_SIZE, FiredKind, Limits
from nursery_otp.errors import CallTimeout, HandlerTimeout, MissingExtra, OTPError

LONGEST = 7 * 86_400.0
"""Seconds; what takes longer is counted as this."""
UNITS = 1_000_000  # of a histogram, in a second
DIGITS = 2  # of precision: values within 1 %, in about 30 kB for each operation
_KINDS: dict[str, FiredKind] = {"call": "call", "handle": "handler", "send": "send"}


class Histogram(Protocol):
    """What is used of `hdrh.histogram.HdrHistogram`."""

    def record_value(self, value: int) -> bool:
        """Count one value."""

    def get_total_count(self) -> int:
        """How many there are."""

    def get_value_at_percentile(self, percentile: float) -> int:
        """The value below which that share of them lies."""


def histogram_class() -> Any:
    """The class of histograms, or an error that says what to install."""
    try:
        from hdrh.histogram import HdrHistogram
    except ImportError as error:
        raise MissingExtra("observe_timeouts()", "hdrhistogram", "observe") from error
    return HdrHistogram


class Observation:
    """The durations seen so far, per operation and kind. Any number of observers share it."""

    __slots__ = ("_detach", "_histograms", "_limits", "_make", "_observers")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._make = histogram_class()
        self._histograms: dict[tuple[str, FiredKind], Histogram] = {}
        self._observers = 0
        self._detach: list[Any] = []

    def begin(self) -> None:
        """Somebody wants to know."""
        self._observers += 1
        if self._observers == 1:
            self._detach = [
                self._limits.telemetry.attach((ROOT, span, part), self._record)
                for span in _KINDS
                for part in ("stop", "exception")
            ]

    def end(self) -> None:
        """One less."""
        self._observers -= 1
        if self._observers == 0:
            for detach in self._detach:
                detach()

    def _record(self, name: EventName, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        kind, error = _KINDS[name[1]], metadata.get("error")
        if error is not None and not _tells(kind, error):
            return
        operation = metadata["operation"] if "operation" in metadata else self._limits.send_label(metadata["recipient"])
        key = (operation, kind)
        histogram = self._histograms.get(key)
        if histogram is None:
            if len(self._histograms) >= TABLE_SIZE:
                key = (OTHERS, kind)
            else:
                self._know(operation, kind, metadata)
            histogram = self._histograms.setdefault(key, self._make(1, round(LONGEST * UNITS), DIGITS))
        histogram.record_value(round(min(measurements["duration"], LONGEST) * UNITS))

    def _know(self, label: str, kind: FiredKind, metadata: Mapping[str, Any]) -> None:
        """Which class the label means: nobody need have asked for the limit (calls always do)."""
        service = self._limits.service_at(metadata["recipient"] if kind == "send" else metadata.get("ref"))
        if kind != "call" and service is not None and label.startswith(f"{service.__name__}."):
            self._limits.remember(label, kind, Operation(service, label.removeprefix(f"{service.__name__}.")))

    def operations(self) -> list[tuple[str, FiredKind]]:
        """What has been observed."""
        return list(self._histograms)

    def count(self, operation: str, kind: FiredKind) -> int:
        """How often."""
        histogram = self._histograms.get((operation, kind))
        return 0 if histogram is None else histogram.get_total_count()

    def percentile(self, operation: str, kind: FiredKind, percentile: float) -> float | None:
        """The seconds within which that share of them was done; None if there are none."""
        histogram = self._histograms.get((operation, kind))
        return None if histogram is None else histogram.get_value_at_percentile(percentile) / UNITS


def _tells(kind: FiredKind, error: BaseException) -> bool:
    """Whether a failure says how long the work takes: a limit that passed does, and an error that is the answer."""
    if kind == "handler":
        return isinstance(error, HandlerTimeout)
    if isinstance(error, trio.TooSlowError):
        return not (isinstance(error, CallTimeout) and error.limit == 0)
    return kind == "call" and isinstance(error, Exception) and not isinstance(error, OTPError)


def headroom(limit: float, p99: float | None) -> float | None:
    """How many times the limit is what 99 of 100 need."""
    if p99 is None:
        return None
    return math.inf if p99 == 0 or limit == math.inf else limit / p99
