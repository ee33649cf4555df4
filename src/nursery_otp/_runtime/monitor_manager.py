"""Owns the counters of all monitors of a runtime, the look for leaks among them, and the answers about them.

The monitors themselves stand in the tables of the two processes concerned and nowhere else, so the end of either takes
them out in the moment it happens, and there is no process in the way that could be late, be wrong, or die.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from nursery_otp._policy import checks
from nursery_otp._policy.exits import safe_repr
from nursery_otp._policy.monitors import MonitorOptions, MonitorStatistics, next_check
from nursery_otp._runtime import log
from nursery_otp._runtime.context import runtime_for
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.refs import Address, find

if TYPE_CHECKING:
    from nursery_otp._runtime.monitors import Monitor
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.runtime import Runtime

MOST_LISTED = 20
"""How many tags and call sites one log entry names."""


@protected
class MonitorManager:
    """Counts the monitors of a runtime, looks for leaks, and finds monitors."""

    __slots__ = (
        "_runtime",
        "alarm",
        "armed",
        "cleaned_by_demonitor",
        "cleaned_by_owner",
        "cleaned_by_target",
        "created",
        "leak_after",
        "leaks",
        "now",
        "stacks",
    )

    def __init__(self, runtime: Runtime, options: MonitorOptions) -> None:
        self._runtime = runtime
        self.now = runtime.alarms.now
        self.leak_after = options.leak_after
        self.stacks = options.stacks
        self.created = 0
        self.cleaned_by_demonitor = 0
        self.cleaned_by_target = 0
        self.cleaned_by_owner = 0
        self.leaks = 0
        self.alarm = 0
        # Whether a new monitor need not care: a look is due no later than its own, or none ever is. A look that turns
        # out to be in vain, as all monitors have ended, costs less than to set and remove an alarm with each of them.
        self.armed = options.leak_after == math.inf

    # ------------------------------------------------------------------------------------- counting

    @property
    def active(self) -> int:
        """How many monitors are on."""
        return self.created - self.cleaned_by_demonitor - self.cleaned_by_target - self.cleaned_by_owner

    def statistics(self) -> MonitorStatistics:
        """A snapshot of the counters."""
        return MonitorStatistics(
            created=self.created,
            cleaned_by_demonitor=self.cleaned_by_demonitor,
            cleaned_by_target=self.cleaned_by_target,
            cleaned_by_owner=self.cleaned_by_owner,
            active=self.active,
            leaks=self.leaks,
        )

    def owner_ended(self, owner: Process, monitors: Collection[Monitor]) -> None:
        """A process has ended (called by it): its monitors are not in its own table any more, nor in any other now."""
        for watch in monitors:
            watch.let_go()
        self.cleaned_by_owner += len(monitors)
        cleaned = self._runtime.telemetry.monitor_cleaned
        if cleaned is not None:
            for watch in monitors:
                cleaned({"duration": watch.age}, {"monitor": watch, "cause": "owner"})
        emit = self._runtime.telemetry.owner_cleanup
        if emit is not None:
            emit({"count": len(monitors)}, {"owner": owner.ref})

    # ---------------------------------------------------------------------------------------- leaks

    def arm(self, created_at: float) -> None:
        """There is a monitor to look after, and no look is due."""
        self.armed = True
        self._runtime.alarms.arm(created_at + self.leak_after, self)

    def close(self) -> None:
        """The tree has ended: there is nothing to look after any more."""
        self.armed = True
        self._runtime.alarms.disarm(self)

    def on_alarm(self) -> None:
        """Report what has become a leak, and look again when the next one may. With no monitors there is no next."""
        now = self.now()
        found: list[Monitor] = []
        oldest = math.inf
        for watch in self._living():
            if watch.reported:
                continue
            if watch.created_at + self.leak_after <= now:
                watch.reported = True
                found.append(watch)
            elif watch.created_at < oldest:
                oldest = watch.created_at
        self.armed = oldest < math.inf
        if self.armed:
            self._runtime.alarms.arm(next_check(oldest, now, self.leak_after), self)
        if found:
            self._report(sorted(found, key=_by_age))

    def _report(self, found: list[Monitor]) -> None:
        self.leaks += len(found)
        tags = {safe_repr(watch.tag): watch.tag for watch in found}
        log.write(
            "warning",
            "monitors_leaked",
            count=len(found),
            older_than=self.leak_after,
            tags=_most_frequent(safe_repr(watch.tag) for watch in found),
            call_sites=_most_frequent(watch.call_site for watch in found),
        )
        emit = self._runtime.telemetry.leaks_detected
        if emit is not None:
            emit({"count": len(found)}, {"tags": tuple(tags.values()), "monitors": tuple(found)})

    # -------------------------------------------------------------------------------------- finding

    def _living(self) -> Iterator[Monitor]:
        for process in self._runtime.table.values():
            yield from process.monitors or ()

    def select(
        self,
        *,
        tag: Hashable | AnyTag,
        owner: Address[Any] | None = None,
        target: Address[Any] | None = None,
        older_than: float | None = None,
    ) -> tuple[Monitor, ...]:
        """The monitors that are on and to which all of it applies, in the order in which they were made."""
        watches: Iterable[Monitor]
        if owner is not None:
            process = find(owner)
            watches = () if process is None else process.monitors or ()
        elif target is not None:
            process = find(target)
            watches = () if process is None else process.watchers or ()
        else:
            watches = self._living()
        watched = None if target is None else find(target)
        latest = math.inf if older_than is None else self.now() - older_than
        wanted = None if isinstance(tag, AnyTag) else {tag}
        found = [
            watch
            for watch in watches
            if watch.on_in(self._runtime)
            and (target is None or watch.watches(watched))
            and watch.created_at <= latest
            and (wanted is None or watch.tag in wanted)
        ]
        return tuple(sorted(found, key=_by_age))


def _by_age(watch: Monitor) -> int:
    return watch.number


def _most_frequent(texts: Iterable[str]) -> list[str]:
    """Every text once, the most frequent first, with how often it is there if that is more than once."""
    counts = Counter(texts)
    lines = [text if count == 1 else f"{text} ({count} times)" for text, count in counts.most_common(MOST_LISTED)]
    more = len(counts) - len(lines)
    return [*lines, f"and {more} more"] if more else lines


class AnyTag:
    """The default of a filter by tag: no filter. (None is the tag of a monitor that was given none.)"""

    def __repr__(self) -> str:
        return "any"


_ANY_TAG = AnyTag()


def list_monitors(
    *,
    tag: Hashable | AnyTag = _ANY_TAG,
    owner: Address[Any] | None = None,
    target: Address[Any] | None = None,
    older_than: float | None = None,
) -> tuple[Monitor, ...]:
    """The monitors of this tree that are on, the oldest first; with arguments only those to which all of them apply.

    `tag` is compared for equality (as the keys of a dict are; None finds the monitors without a tag), `owner` and
    `target` are addresses of the two processes, `older_than` is an age in seconds. A monitor on a name belongs to the
    process that held it when the monitor was made.

    >>> async def watch() -> None:
    ...     with monitored(spawn(trio.sleep_forever), tag="worker"):
    ...         print([watch.tag for watch in list_monitors(owner=current_ref())], list_monitors(tag="work"))
    >>> async def main() -> None:
    ...     async with open_supervisor() as supervisor:
    ...         await (await supervisor.start(watch, restart="temporary")).wait()
    ...         supervisor.shutdown()
    >>> trio.run(main)
    ['worker'] ()
    """
    if not isinstance(tag, AnyTag):
        checks.hashable("tag", tag)
    if older_than is not None:
        checks.seconds("older_than", older_than)
    manager = runtime_for("list_monitors()").monitor_manager
    return manager.select(tag=tag, owner=owner, target=target, older_than=older_than)


def monitor_stats() -> MonitorStatistics:
    """How many monitors this tree has had, how they ended, and how many are on.

    >>> async def main() -> None:
    ...     async with open_supervisor() as supervisor:
    ...         print(monitor_stats().active)
    ...         supervisor.shutdown()
    >>> trio.run(main)
    0
    """
    return runtime_for("monitor_stats()").monitor_manager.statistics()


def find_leaks(older_than: float | None = None) -> tuple[Monitor, ...]:
    """The monitors that are on for at least `older_than` seconds, with both processes alive; the oldest first.

    By default that is the `leak_after` of the tree's `MonitorOptions`, or 300 seconds if its own check is off. Looking
    does not count or report anything.
    """
    manager = runtime_for("find_leaks()").monitor_manager
    if older_than is None:
        older_than = manager.leak_after if manager.leak_after < math.inf else MonitorOptions().leak_after
    return list_monitors(older_than=older_than)
