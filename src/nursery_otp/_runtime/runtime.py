"""The runtime of one supervision tree: its processes, names, alarms and counters, and its seams for tools.

There is one per root supervisor, found through a context variable by whatever runs below it; two trees in one
`trio.run` know nothing of each other. Clock, ids and randomness come from here.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import trio

from nursery_otp._policy.dead_letters import DEFAULT_DEAD_LETTERS, DeadLetterOptions
from nursery_otp._policy.delivery import DEFAULT_DELIVERY, DeliveryOptions
from nursery_otp._policy.exits import ExitReason, safe_repr
from nursery_otp._policy.monitors import MonitorOptions
from nursery_otp._policy.timeouts import Timeouts
from nursery_otp._runtime import log
from nursery_otp._runtime.alarms import Alarms
from nursery_otp._runtime.breakers import Breakers
from nursery_otp._runtime.causes import Causes
from nursery_otp._runtime.dead_letters import DeadLetterQueue
from nursery_otp._runtime.delivery import DeliveryCounts
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.limits import Limits
from nursery_otp._runtime.monitor_manager import MonitorManager
from nursery_otp._runtime.registry import Registry
from nursery_otp._runtime.telemetry import Telemetry
from nursery_otp._runtime.tracing import Tracer, checked_tracer
from nursery_otp.errors import LeakedResources

if TYPE_CHECKING:
    from nursery_otp._runtime.monitors import Monitor
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.refs import Ref
    from nursery_otp._runtime.timer import Timer

EXPIRED = "expired before it was handled"
BY_POLICY = frozenset({"drop_newest", "drop_oldest", EXPIRED})
"""Reasons of dead letters that are so by somebody's choice; the ledger counts them as dropped."""
DEFAULT_MONITORS = MonitorOptions()


@attrs.frozen
class Ledger:
    """What became of all messages of a runtime so far.

    While nothing is being handled, `sent == handled + queued + sum(dead_lettered) + sum(dropped)`. Dead letters are
    counted by reason; dropped is what a policy or its own sender or reader gave up.
    """

    sent: int
    handled: int
    queued: int
    dead_lettered: dict[str, int]
    dropped: dict[str, int]

    @property
    def balanced(self) -> bool:
        """Whether nothing is unaccounted for."""
        gone = sum(self.dead_lettered.values()) + sum(self.dropped.values())
        return self.sent == self.handled + self.queued + gone


@protected
class Runtime:
    """The shared state of one supervision tree; made by `open_supervisor`, found with `current_runtime`."""

    def __init__(
        self,
        timeouts: Timeouts,
        *,
        seed: int | None = None,
        monitors: MonitorOptions = DEFAULT_MONITORS,
        dead_letters: DeadLetterOptions = DEFAULT_DEAD_LETTERS,
        delivery: DeliveryOptions = DEFAULT_DELIVERY,
    ) -> None:
        self.alarms = Alarms(trio.lowlevel.current_clock().current_time)
        self.telemetry = Telemetry(self.alarms.now, self.take_fatal)
        self.registry = Registry()
        self.limits = Limits(timeouts, self.telemetry, self.registry)
        self.causes = Causes(self.alarms.now)
        self.monitor_manager = MonitorManager(self, monitors)
        self.delivery_counts = DeliveryCounts()
        self.direct_sends = True  # a send that finds all well may skip `Process.deliver`, and whoever intercepts that
        self.breakers = Breakers(self, delivery.breaker)
        self.random = random.Random(seed)
        self.table: dict[int, Process] = {}
        self.nursery: trio.Nursery | None = None
        self.closed = False
        self.services: Runtime | None = None  # a tree of its own, for what serves this one without being part of it
        self.fatal: list[BaseException] = []
        self.on_fatal: Callable[[], None] | None = None
        self._hooks: list[Callable[[Ref[Any], ExitReason], None]] = []
        self._last_pid = 0
        self.sent = 0  # to nobody, and to processes that have ended since
        self._handled = 0
        self._dropped: Counter[str] = Counter()
        self.dead_letters = DeadLetterQueue(self, dead_letters)

    def __repr__(self) -> str:
        return f"<Runtime with {len(self.table)} processes>"

    @property
    def timeouts(self) -> Timeouts:
        """The timeout policy in force, overrides included."""
        return self.limits.policy

    # ---------------------------------------------------------------------------- life of processes

    def next_pid(self) -> int:
        """A number for a new process."""
        self._last_pid += 1
        return self._last_pid

    def now(self) -> float:
        """Seconds on the clock of this `trio.run`."""
        return self.alarms.now()

    def on_exit(self, hook: Callable[[Ref[Any], ExitReason], None]) -> Callable[[], None]:
        """Have `hook(ref, reason)` called at the end of every process: it is dead, its supervisor not told yet.

        The hook must not block; one that raises is detached and the error logged. Returns the function that removes it.
        """
        self._hooks.append(hook)

        def detach() -> None:
            if hook in self._hooks:
                self._hooks.remove(hook)

        return detach

    def process_ended(self, process: Process, reason: ExitReason) -> None:
        """Called by the process."""
        for hook in tuple(self._hooks):
            try:
                hook(process.ref, reason)
            except BaseException as error:  # noqa: ASYNC103 - hooks are plain functions; what is fatal ends the tree
                if not isinstance(error, Exception):
                    self.take_fatal(error)
                if hook in self._hooks:
                    self._hooks.remove(hook)
                log.write("error", "exit_hook_detached", hook=safe_repr(hook), exc_info=error)

    def forget(self, process: Process) -> None:
        """The last thing that happens to a process: its counters become part of the whole."""
        self.sent += process.mailbox.sent
        self._handled += process.mailbox.handled
        process.mailbox.sent = process.mailbox.handled = 0
        self.table.pop(process.pid, None)

    def take_fatal(self, error: BaseException) -> None:
        """Keep an exception that is nobody's crash, and stop the tree for it."""
        self.fatal.append(error)
        if self.on_fatal is not None:
            self.on_fatal()

    # -------------------------------------------------------------------------------------- tracing

    @property
    def tracer(self) -> Tracer | None:
        """What takes a context from senders to handlers, if anything does."""
        return self.telemetry.tracer

    def set_tracer(self, tracer: Tracer | None) -> None:
        """Let `tracer` take a context along with every message that it wants to; None ends that.

        A process forgets what it inherited when it begins. So a tracer that is to be sure of that is there before the
        processes: `open_supervisor(tracer=...)`. Contexts of an earlier tracer that are under way are ignored.
        """
        self.telemetry.set_tracer(checked_tracer(tracer))

    # ------------------------------------------------------------------------------------- counters

    def count_dropped(self, reason: str) -> None:
        """A message was given up by policy, or by the one it concerned."""
        self._dropped[reason] += 1

    def lost(self) -> tuple[dict[str, int], dict[str, int]]:
        """How many messages became dead letters, and how many were dropped, by reason. May be read in any thread."""
        dead_lettered, dropped = self.dead_letters.reasons, dict(self._dropped)
        dropped |= {reason: dead_lettered.pop(reason) for reason in BY_POLICY & dead_lettered.keys()}
        return dead_lettered, dropped

    def ledger(self) -> Ledger:
        """What became of all messages so far."""
        sent, handled, queued = self.sent, self._handled, 0
        for process in list(self.table.values()):
            sent += process.mailbox.sent
            handled += process.mailbox.handled
            queued += len(process.mailbox)
        return Ledger(sent, handled, queued, *self.lost())

    # --------------------------------------------------------------------------------------- tables

    def processes(self) -> tuple[Ref[Any], ...]:
        """All living processes, oldest first."""
        return tuple(process.ref for process in self.table.values())

    def names(self) -> dict[str, Ref[Any] | None]:
        """All names; None for one that is kept for a child being restarted."""
        return {text: None if process is None else process.ref for text, process in self.registry.names().items()}

    def monitors(self) -> tuple[Monitor, ...]:
        """All monitors that are on."""
        return tuple(watch for process in self.table.values() for watch in process.monitors or ())

    def links(self) -> tuple[tuple[Ref[Any], Ref[Any]], ...]:
        """All links, each once, the older process first."""
        return tuple(
            (process.ref, peer.ref)
            for process in self.table.values()
            for peer in process.links or ()
            if process.pid < peer.pid
        )

    def timers(self) -> tuple[Timer, ...]:
        """All timers that will still send something, soonest first."""
        from nursery_otp._runtime.timer import Timer

        return tuple(waiter for _, waiter in self.alarms.armed() if isinstance(waiter, Timer))

    def cancel_timers(self) -> None:
        """The tree has ended: nobody is left to send to, and nothing to look after."""
        self.monitor_manager.close()
        for timer in self.timers():
            timer.cancel()

    def check_empty(self) -> None:
        """Raise `LeakedResources` unless no process, name, monitor, link and timer is left."""
        left = {
            "processes": self.processes(),
            "names": tuple(self.names()),
            "monitors": self.monitors(),
            "links": self.links(),
            "timers": self.timers(),
        }
        found = [f"{what}: {', '.join(map(str, things))}" for what, things in left.items() if things]
        if found:
            raise LeakedResources("left behind: " + "; ".join(found))
