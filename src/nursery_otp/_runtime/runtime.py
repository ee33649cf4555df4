"""The runtime of one supervision tree: its processes, names, alarms and counters, and its seams for tools.

There is one per root supervisor, found through a context variable by whatever runs below it; two trees in one
`trio.run` know nothing of each other. Clock, ids and randomness come from here.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import trio

from nursery_otp._policy.exits import ExitReason
from nursery_otp._policy.monitors import MonitorOptions
from nursery_otp._policy.timeouts import Timeouts
from nursery_otp._runtime import log
from nursery_otp._runtime.alarms import Alarms
from nursery_otp._runtime.causes import Causes
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.limits import Limits
from nursery_otp._runtime.messages import DeadLetter
from nursery_otp._runtime.monitor_manager import MonitorManager
from nursery_otp._runtime.registry import Registry
from nursery_otp._runtime.telemetry import Telemetry
from nursery_otp.errors import LeakedResources

if TYPE_CHECKING:
    from nursery_otp._runtime.monitors import Monitor
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.refs import Ref
    from nursery_otp._runtime.timer import Timer

DEAD_LETTERS_KEPT = 10_000
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
        self, timeouts: Timeouts, *, seed: int | None = None, monitors: MonitorOptions = DEFAULT_MONITORS
    ) -> None:
        self.alarms = Alarms(trio.lowlevel.current_clock().current_time)
        self.telemetry = Telemetry(self.alarms.now)
        self.limits = Limits(timeouts, self.telemetry)
        self.causes = Causes(self.alarms.now)
        self.monitor_manager = MonitorManager(self, monitors)
        self.registry = Registry()
        self.random = random.Random(seed)
        self.table: dict[int, Process] = {}
        self.nursery: trio.Nursery | None = None
        self.closed = False
        self.dead_letters: deque[DeadLetter] = deque(maxlen=DEAD_LETTERS_KEPT)
        self.fatal: list[BaseException] = []
        self.on_fatal: Callable[[], None] | None = None
        self._hooks: list[Callable[[Ref[Any], ExitReason], None]] = []
        self._last_pid = 0
        self._sent = 0
        self._handled = 0
        self._dead_lettered: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

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
            except Exception as error:
                if hook in self._hooks:
                    self._hooks.remove(hook)
                log.write("error", "exit_hook_detached", hook=repr(hook), exc_info=error)

    def forget(self, process: Process) -> None:
        """The last thing that happens to a process: its counters become part of the whole."""
        self._sent += process.mailbox.sent
        self._handled += process.mailbox.handled
        process.mailbox.sent = process.mailbox.handled = 0
        self.table.pop(process.pid, None)

    def take_fatal(self, error: BaseException) -> None:
        """Keep an exception that is nobody's crash, and stop the tree for it."""
        self.fatal.append(error)
        if self.on_fatal is not None:
            self.on_fatal()

    # ------------------------------------------------------------------------------------- counters

    def count_sent_to_nobody(self) -> None:
        """A message was sent to an address where nobody is."""
        self._sent += 1

    def count_dropped(self, reason: str) -> None:
        """A message was given up by policy, or by the one it concerned."""
        self._dropped[reason] += 1

    def bury(self, recipient: object, message: object, reason: str, *, by_policy: bool = False) -> None:
        """Keep a message that nobody will handle, and count it."""
        (self._dropped if by_policy else self._dead_lettered)[reason] += 1
        self.dead_letters.append(DeadLetter(recipient, message, reason, self.now()))

    def ledger(self) -> Ledger:
        """What became of all messages so far."""
        sent, handled, queued = self._sent, self._handled, 0
        for process in self.table.values():
            sent += process.mailbox.sent
            handled += process.mailbox.handled
            queued += len(process.mailbox)
        return Ledger(sent, handled, queued, dict(self._dead_lettered), dict(self._dropped))

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
