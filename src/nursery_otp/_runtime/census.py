"""How many processes of which kind there are, and what they have done so far: numbers for dashboards.

They are read where they are, without asking the processes or the event loop, so that they can be had from any thread
and even while the loop is stuck. That needs care in three places. Copying the values of a dict to a list is one step
for other threads. A process that ends between two looks is seen by one of them or by none, never by both: what has
ended is read first. And as what is seen by none for a moment must not make a counter go back, the highest count so far
is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nursery_otp._policy.exits import ExitReason
from nursery_otp._policy.monitors import MonitorStatistics
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.limits import FiredKind

if TYPE_CHECKING:
    from nursery_otp._runtime.refs import Ref
    from nursery_otp._runtime.runtime import Runtime


@attrs.frozen
class GroupCounts:
    """The processes with one label: those of a server class, or of a function.

    `alive` are running now, `queued` messages are in all of their mailboxes and `longest` in the fullest. The others
    only grow: how many have `started` and `ended` (by the kind of reason, such as "crashed"), how many messages were
    `sent` to them and `handled` by them.
    """

    alive: int = 0
    queued: int = 0
    longest: int = 0
    started: int = 0
    ended: Mapping[str, int] = attrs.Factory(dict)
    sent: int = 0
    handled: int = 0


@attrs.frozen(kw_only=True)
class RuntimeCounts:
    """All groups by their labels, and the counters of the runtime as a whole.

    `dead_lettered` and `dropped` are messages that nobody handled, by reason, `letters` those that are in the queue of
    dead letters now. `sends` are supervised sends by outcome ("delivered", "cancelled", or the name of the error), and
    `retried` attempts after the first. `timeouts` have passed, by operation and kind. `breakers` are circuit breakers
    by position, of those recipients that had trouble lately.
    """

    groups: Mapping[str, GroupCounts]
    dead_lettered: Mapping[str, int]
    dropped: Mapping[str, int]
    letters: int
    sends: Mapping[str, int]
    retried: int
    timeouts: Mapping[tuple[str, FiredKind], int]
    monitors: MonitorStatistics
    breakers: Mapping[str, int]


class _Ended:
    """What the processes of a group that are gone have done."""

    __slots__ = ("handled", "reasons", "sent")

    def __init__(self) -> None:
        self.reasons: dict[str, int] = {}
        self.sent = 0
        self.handled = 0


class _Sum:
    """A group while it is being added up."""

    __slots__ = ("alive", "ended", "handled", "longest", "queued", "sent")

    def __init__(self, ended: _Ended | None) -> None:
        self.alive = self.queued = self.longest = 0
        self.ended = {} if ended is None else ended.reasons.copy()
        self.sent = 0 if ended is None else ended.sent
        self.handled = 0 if ended is None else ended.handled

    def counts(self, before: GroupCounts) -> GroupCounts:
        """The result; nothing that only grows is less than it was before."""
        ended = {kind: max(number, before.ended.get(kind, 0)) for kind, number in self.ended.items()}
        return GroupCounts(
            alive=self.alive,
            queued=self.queued,
            longest=self.longest,
            started=max(before.started, self.alive + sum(ended.values())),
            ended=ended,
            sent=max(before.sent, self.sent),
            handled=max(before.handled, self.handled),
        )


@protected
class Census:
    """The counts of a runtime from now on; `read` may be called in any thread.

    What ended before a census began is not in it. `close` ends it.

    >>> async def main() -> None:
    ...     async with open_supervisor([child(Counter, 1), child(Counter, 2, id="other")]) as supervisor:
    ...         print(Census(current_runtime()).read().groups["Counter"].alive)
    ...         supervisor.shutdown()
    >>> trio.run(main)
    2
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._ended: dict[str, _Ended] = {}
        self._before: dict[str, GroupCounts] = {}
        self._lock = threading.Lock()  # between readers; the runtime never waits for one
        self._detach = runtime.on_exit(self._note_end)

    def close(self) -> None:
        """Count no more ends."""
        self._detach()

    def _note_end(self, ref: Ref[Any], reason: ExitReason) -> None:
        process = ref._process
        ended = self._ended.get(process.label)
        if ended is None:
            ended = self._ended[process.label] = _Ended()
        ended.sent += process.mailbox.sent
        ended.handled += process.mailbox.handled
        kind = type(reason).__name__.lower()
        ended.reasons[kind] = ended.reasons.get(kind, 0) + 1

    def read(self) -> RuntimeCounts:
        """The counts now."""
        runtime = self._runtime
        dead_lettered, dropped = runtime.lost()
        sends = runtime.delivery_counts
        return RuntimeCounts(
            groups=self.groups(),
            dead_lettered=dead_lettered,
            dropped=dropped,
            letters=len(runtime.dead_letters.letters),
            sends={"delivered": sends.delivered, "cancelled": sends.cancelled, **dict(sends.failed)},
            retried=sends.retried,
            timeouts=dict(runtime.limits.fired),
            monitors=runtime.monitor_manager.statistics(),
            breakers=runtime.breakers.positions(),
        )

    def groups(self) -> dict[str, GroupCounts]:
        """Only those of the groups."""
        with self._lock:
            sums = {label: _Sum(self._ended.get(label)) for label in (*self._before, *list(self._ended))}
            self._add_living(sums)
            for label, group in sums.items():
                self._before[label] = group.counts(self._before.get(label, GroupCounts()))
            return dict(self._before)

    def _add_living(self, sums: dict[str, _Sum]) -> None:
        for process in list(self._runtime.table.values()):
            sent, handled, queued = process.mailbox.sent, process.mailbox.handled, process.mailbox.roughly()
            if process.reason is not None:
                continue  # ended meanwhile: it may have been counted among those, and its own counters are void
            group = sums.get(process.label)
            if group is None:
                group = sums[process.label] = _Sum(None)
            group.alive += 1
            group.sent += sent
            group.handled += handled
            group.queued += queued
            group.longest = max(group.longest, queued)

    def __repr__(self) -> str:
        return f"<Census of {self._runtime}>"
