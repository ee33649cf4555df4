"""A runtime's numbers for Prometheus. Needs the extra `prometheus`.

A collector adds the numbers up when it is scraped, by groups of processes: those of one server class or function. There
is never a label per process. The scrape runs in a thread of its own, and neither waits for the event loop nor stops it.

    collector = RuntimeCollector()
    prometheus_client.REGISTRY.register(collector)
    async with open_supervisor() as supervisor:
        collector.watch()
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nursery_otp import Census, GroupCounts, Runtime, RuntimeCounts, current_runtime
from nursery_otp.errors import InvalidSpec, MissingExtra, NoRuntime

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as missing:
    raise MissingExtra("nursery_otp.prometheus", "prometheus-client", "prometheus") from missing

__all__ = ["RuntimeCollector"]


class _Watched:
    """One runtime: its census, and what its events say."""

    def __init__(self, runtime: Runtime) -> None:
        self.census = Census(runtime)
        self.restarts: Counter[str] = Counter()
        self.limits: Counter[str] = Counter()
        self._detach = [
            self.census.close,
            runtime.telemetry.attach(("nursery_otp", "child", "restarted"), self._on_restart),
            runtime.telemetry.attach(("nursery_otp", "restart_limit", "reached"), self._on_limit),
        ]

    def close(self) -> None:
        for detach in self._detach:
            detach()

    def _on_restart(self, _name: tuple[str, ...], _measured: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        self.restarts[about["supervisor"].label] += 1

    def _on_limit(self, _name: tuple[str, ...], _measured: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        self.limits[about["supervisor"].label] += 1


class _Families:
    """The metrics of one scrape."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.all: dict[str, Metric] = {}

    def gauge(self, name: str, text: str, value: float, **labels: str) -> None:
        self._family(GaugeMetricFamily, name, text, labels).add_metric(list(labels.values()), value)

    def counter(self, name: str, text: str, value: float, **labels: str) -> None:
        self._family(CounterMetricFamily, name, text, labels).add_metric(list(labels.values()), value)

    def _family(self, kind: Any, name: str, text: str, labels: Mapping[str, str]) -> Any:
        if name not in self.all:
            self.all[name] = kind(f"{self._prefix}_{name}", text, labels=list(labels))
        return self.all[name]


class RuntimeCollector(Collector):
    """A `prometheus_client` collector over one runtime or several; register it once, and `watch` each of them.

    `prefix` begins the name of every metric. All have the label `tree`, and those about processes have `group`.
    """

    def __init__(self, prefix: str = "nursery_otp") -> None:
        if not isinstance(prefix, str) or not prefix.isidentifier():
            raise InvalidSpec("prefix", prefix, "must be a text that a metric's name can begin with")
        self._prefix = prefix
        self._watched: dict[str, _Watched] = {}

    def watch(self, runtime: Runtime | None = None, *, tree: str = "main") -> Callable[[], None]:
        """Collect the numbers of a runtime (the current one) from now on; returns the function that ends that.

        `tree` tells it from other runtimes. Counters count from here; who wants all of it does this first.
        """
        if not isinstance(tree, str) or not tree:
            raise InvalidSpec("tree", tree, "must be a text that is not empty")
        if tree in self._watched:
            raise InvalidSpec("tree", tree, "is the label of a runtime that is watched already")
        try:
            watched = self._watched[tree] = _Watched(current_runtime() if runtime is None else runtime)
        except NoRuntime:
            raise NoRuntime("watch(), if it is not told which runtime,") from None

        def end() -> None:
            if self._watched.get(tree) is watched:
                del self._watched[tree]
                watched.close()

        return end

    def describe(self) -> Iterator[Metric]:
        """Nothing: the names are known when there are processes."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The numbers now; called by `prometheus_client`, in whatever thread."""
        families = _Families(self._prefix)
        for tree in list(self._watched):
            watched = self._watched.get(tree)
            if watched is not None:
                _add(families, tree, watched)
        return iter(families.all.values())


def _add(families: _Families, tree: str, watched: _Watched) -> None:
    counts = watched.census.read()
    for group, count in counts.groups.items():
        _add_group(families, count, tree=tree, group=group)
    _add_messages(families, counts, tree)
    gauge, counter = families.gauge, families.counter
    for (operation, kind), number in counts.timeouts.items():
        counter("timeouts_fired", "Limits that have passed.", number, tree=tree, operation=operation, kind=kind)
    for supervisor, number in dict(watched.restarts).items():
        counter("restarts", "Children restarted, by kind of supervisor.", number, tree=tree, supervisor=supervisor)
    for supervisor, number in dict(watched.limits).items():
        counter("restart_limits", "Supervisors that gave up, by kind.", number, tree=tree, supervisor=supervisor)
    monitors = counts.monitors
    gauge("monitors", "Monitors that are on.", monitors.active, tree=tree)
    counter("monitors_created", "Monitors that were created.", monitors.created, tree=tree)
    counter("monitor_leaks", "Monitors that got older than they should.", monitors.leaks, tree=tree)


def _add_group(families: _Families, count: GroupCounts, **group: str) -> None:
    gauge, counter = families.gauge, families.counter
    gauge("processes", "Processes that are alive.", count.alive, **group)
    gauge("mailbox_messages", "Messages in the mailboxes of the group.", count.queued, **group)
    gauge("mailbox_longest", "Messages in the fullest mailbox of the group.", count.longest, **group)
    counter("processes_started", "Processes that were started.", count.started, **group)
    for reason, number in count.ended.items():
        counter("processes_ended", "Processes that have ended, by kind of reason.", number, **group, reason=reason)
    counter("messages_sent", "Messages that were sent to the group.", count.sent, **group)
    counter("messages_handled", "Messages that the group has read.", count.handled, **group)


def _add_messages(families: _Families, counts: RuntimeCounts, tree: str) -> None:
    gauge, counter = families.gauge, families.counter
    for reason, number in counts.dead_lettered.items():
        counter("dead_letters", "Messages that nobody handled, by reason.", number, tree=tree, reason=reason)
    for reason, number in counts.dropped.items():
        counter("dropped_messages", "Messages given up by a policy or their sender.", number, tree=tree, reason=reason)
    gauge("letters", "Dead letters in the queue.", counts.letters, tree=tree)
    for outcome, number in counts.sends.items():
        counter("sends", "Supervised sends, by what became of them.", number, tree=tree, outcome=outcome)
    counter("send_retries", "Attempts of supervised sends after the first.", counts.retried, tree=tree)
    for position, number in counts.breakers.items():
        gauge("circuit_breakers", "Circuit breakers, by position.", number, tree=tree, position=position)
