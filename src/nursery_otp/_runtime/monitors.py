"""Monitors: `Down` exactly once when the watched process ends, to the mailbox of the one who asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nursery_otp._policy import checks
from nursery_otp._policy.exits import NOPROC, ExitReason
from nursery_otp._runtime.context import process_for
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Down
from nursery_otp._runtime.refs import Address, Ref, find

if TYPE_CHECKING:
    from nursery_otp._runtime.process import Process


@protected
class Monitor:
    """A watch that one process keeps on another; made by `monitor`, ended by `demonitor` or by `Down`."""

    __slots__ = ("_owner", "_watched", "target")

    def __init__(self, owner: Process, target: Any, watched: Process | None) -> None:
        self._owner = owner
        self._watched = watched
        self.target = target

    @property
    def ref(self) -> Ref[Any] | None:
        """The process that is watched; None if there was none, or if the watch is over."""
        return None if self._watched is None else self._watched.ref

    @property
    def owner(self) -> Ref[Any]:
        """The process that gets the `Down`."""
        return self._owner.ref

    @property
    def active(self) -> bool:
        """Whether the `Down` is still to come."""
        return self._watched is not None

    def fire(self, reason: ExitReason) -> None:
        """The watched process has ended (called by it; the monitor is out of its table already)."""
        self._watched = None
        owner = self._owner
        if owner.monitors is not None:
            owner.monitors.pop(self, None)
        owner.deliver(Down(self, self.target, reason))

    def detach(self) -> None:
        """Take the monitor out of both tables."""
        watched, self._watched = self._watched, None
        if watched is not None and watched.watchers is not None:
            watched.watchers.pop(self, None)
        if self._owner.monitors is not None:
            self._owner.monitors.pop(self, None)

    def __repr__(self) -> str:
        return f"<Monitor of {self.target} by {self._owner.ref}{'' if self.active else ', over'}>"


@protected
def monitor(target: Address[Any]) -> Monitor:
    """Watch a process: when it ends, `Down(monitor, target, reason)` arrives in the caller's mailbox, once.

    If there is no such process, the `Down` with reason `NOPROC` is there at once. Every call makes a monitor of its
    own; watching oneself does nothing. A monitor by name stays with the process found. OTP: `monitor(process, _)`.
    """
    owner = process_for("monitor")
    watched = find(target)
    if watched is None or watched.reason is not None:
        watch = Monitor(owner, target, None)
        owner.deliver(Down(watch, target, NOPROC))
        return watch
    if watched is owner:
        return Monitor(owner, target, None)
    return attach(owner, target, watched)


@protected
def attach(owner: Process, target: Any, watched: Process) -> Monitor:
    """A monitor on a living process."""
    watch = Monitor(owner, target, watched)
    if watched.watchers is None:
        watched.watchers = {}
    watched.watchers[watch] = None
    if owner.monitors is None:
        owner.monitors = {}
    owner.monitors[watch] = None
    return watch


@protected
def demonitor(watch: Monitor, *, flush: bool = True) -> bool:
    """End a watch; with `flush` a `Down` of it that is queued already is removed.

    True if the watch was on until now, False if its `Down` had been sent or it was ended before. Only the owner can
    end it. OTP: `demonitor(Monitor, [flush, info])`.
    """
    owner = process_for("demonitor")
    checks.instance("monitor", watch, Monitor, "must be a Monitor")
    if watch._owner is not owner:
        raise ValueError(f"{watch} belongs to {watch.owner}, not to {owner.ref}")
    was_active = watch.active
    watch.detach()
    if flush and not was_active:
        owner.mailbox.remove(lambda item: type(item) is Down and item.monitor is watch, "flushed")
    return was_active
