"""What became of the timeouts of a tree: how often each has passed, and how near the others come to it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import TracebackType

import attrs

from nursery_otp._policy.timeout_explained import TimeoutKind
from nursery_otp._policy.timeout_keys import Operation, Subject
from nursery_otp._runtime.context import runtime_for
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.limits import FiredKind, Limits, subject_of_label
from nursery_otp._runtime.timeout_observation import Observation, headroom

_COLUMNS = ("operation", "kind", "limit", "fired", "observed", "p50", "p99", "headroom")


@attrs.frozen(kw_only=True)
class OperationTimeouts:
    """One line of a `TimeoutReport`.

    `kind` is "call" (the wait of a caller), "handler" (the run of a handler) or "send". `limit` is what the policy says
    now, in seconds, and `fired` how often a limit has passed, explicit ones (`within`) included. `observed` counts
    durations measured under `observe_timeouts`; half of them took at most `p50` seconds, 99 of 100 at most `p99`.
    `headroom` is `limit / p99`: near 1 the limit is about to hit what is in order, a large one hides what hangs. None
    where nothing was observed.
    """

    operation: str
    kind: FiredKind
    limit: float
    fired: int
    observed: int = 0
    p50: float | None = None
    p99: float | None = None
    headroom: float | None = None

    def cells(self) -> tuple[str, ...]:
        """The line as texts."""
        counts = f"{self.fired}", f"{self.observed}"
        times = [_seconds(self.limit), *counts, _seconds(_rounded(self.p50)), _seconds(_rounded(self.p99))]
        return (self.operation, self.kind, *times, "-" if self.headroom is None else f"{_rounded(self.headroom):g}")


def _rounded(value: float | None) -> float | None:
    """Two digits: what was measured is not more exact."""
    return None if value is None else float(f"{value:.2g}")


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return "no limit" if value == math.inf else f"{value:.3g} s"


@attrs.frozen
class TimeoutReport:
    """What `timeout_report` gives: a line for each operation, by name. `str()` of it is a table.

    `unused` are the rules of the policy that have held for none of them: what they are about has not been used yet, or
    is misspelt.
    """

    lines: tuple[OperationTimeouts, ...]
    unused: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[OperationTimeouts]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def line(self, operation: str, kind: FiredKind = "call") -> OperationTimeouts:
        """The line of one operation; `LookupError` if there is none."""
        for line in self.lines:
            if (line.operation, line.kind) == (operation, kind):
                return line
        raise LookupError(f"nothing is known about the {kind} of {operation!r}")

    def __str__(self) -> str:
        rows = [_COLUMNS, *(line.cells() for line in self.lines)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
        left = 2  # the first columns are words, the others numbers
        lines = []
        for row in rows:
            cells = [
                cell.ljust(width) if index < left else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        lines += [f"not used so far: {rule}" for rule in self.unused]
        return "\n".join(lines)


def timeout_report() -> TimeoutReport:
    """How the timeouts of this tree fare, per operation: limits, how often they passed, and what was observed.

    It lists the operations that have been called, whose handlers have run under a limit of the policy, whose limit has
    passed, or which have been observed; and the rules that have held for none of those, as a misspelt one would. Raises
    `NoRuntime` outside of a tree.

    >>> async def main() -> None:
    ...     async with open_supervisor() as supervisor:
    ...         counter = await supervisor.start(Counter, 10)
    ...         await Counter.add(counter, 5)
    ...         print(timeout_report())
    ...         supervisor.shutdown()
    >>> trio.run(main)
    operation    kind  limit  fired  observed  p50  p99  headroom
    Counter.add  call    5 s      0         0    -    -         -
    """
    limits = runtime_for("timeout_report()").limits
    keys = set(limits.known) | set(limits.fired)
    keys |= set(limits.observation.operations()) if limits.observation is not None else set()
    lines = tuple(_line(limits, operation, kind) for operation, kind in sorted(keys))
    asked = [(_asked(limits, operation, kind), _policy_kind(kind)) for operation, kind in keys]
    return TimeoutReport(lines, limits.policy.unused_rules(asked))


def _line(limits: Limits, operation: str, kind: FiredKind) -> OperationTimeouts:
    limit = _limit(limits, operation, kind)
    fired = limits.fired.get((operation, kind), 0)
    seen = limits.observation
    if seen is None:
        return OperationTimeouts(operation=operation, kind=kind, limit=limit, fired=fired)
    p50, p99 = (seen.percentile(operation, kind, share) for share in (50, 99))
    return OperationTimeouts(
        operation=operation,
        kind=kind,
        limit=limit,
        fired=fired,
        observed=seen.count(operation, kind),
        p50=p50,
        p99=p99,
        headroom=headroom(limit, p99),
    )


def _limit(limits: Limits, operation: str, kind: FiredKind) -> float:
    return limits.policy.limit(_asked(limits, operation, kind), _policy_kind(kind))


def _asked(limits: Limits, operation: str, kind: FiredKind) -> Operation | Subject:
    return limits.known.get((operation, kind)) or subject_of_label(operation)


def _policy_kind(kind: FiredKind) -> TimeoutKind:
    return "handler" if kind == "handler" else "call"


@protected
class observe_timeouts:  # noqa: N801 - used like a function
    """Measure how long calls, handlers and supervised sends of this tree take, for the length of a `with` block.

    `timeout_report` then shows how many were measured, and within how many seconds half of them and 99 of 100 were
    done. A call counts when it is answered or when its limit passes, not when it fails otherwise. Durations are those
    on the clock of `trio.run`, exact to 1 %. What was measured stays in the report after the block; blocks may overlap.
    While no block is entered, nothing is measured and nothing costs anything.

    Raises `MissingExtra` without the package hdrhistogram (`pip install 'nursery_otp[observe]'`), `NoRuntime` outside
    of a tree.
    """

    def __init__(self) -> None:
        self._observation: Observation | None = None

    def __enter__(self) -> None:
        if self._observation is not None:
            raise RuntimeError("this observe_timeouts() is in use already; make another one")
        runtime = runtime_for("observe_timeouts()")
        if runtime.limits.observation is None:
            runtime.limits.observation = Observation(runtime.limits)
        runtime.limits.observation.begin()
        self._observation = runtime.limits.observation

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        observation, self._observation = self._observation, None
        if observation is not None:
            observation.end()
