"""Monitors: `Down` exactly once when the watched process ends, to the mailbox of the one who asked."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from types import CodeType
from typing import TYPE_CHECKING, Any

from nursery_otp._policy import checks
from nursery_otp._policy.exits import NOPROC, ExitReason, safe_repr
from nursery_otp._runtime.call_sites import describe, stack_of_caller
from nursery_otp._runtime.context import process_for
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Down
from nursery_otp._runtime.refs import Address, Ref, find

if TYPE_CHECKING:
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.runtime import Runtime


@protected
class Monitor:
    """A watch that one process keeps on another; made by `monitor`, ended by `demonitor` or by `Down`.

    `target` is what was monitored, `tag` what its owner called it, `created_at` when that was, in seconds on the
    runtime's clock. With the option `stacks` of `MonitorOptions`, `stack` is the text of all calls that led there, the
    outermost first; else None.
    """

    __slots__ = (
        "_code",
        "_owner",
        "_position",
        "_watched",
        "created_at",
        "number",
        "reported",
        "stack",
        "tag",
        "target",
    )

    def __init__(
        self,
        owner: Process,
        target: Any,
        watched: Process | None,
        tag: Hashable,
        code: CodeType,
        position: int,
        created_at: float,
        number: int,
    ) -> None:
        self._owner = owner
        self._watched = watched
        self._code = code
        self._position = position
        self.target = target
        self.tag = tag
        self.created_at = created_at
        self.number = number  # in the order of their making
        self.reported = False  # as a leak
        self.stack: tuple[str, ...] | None = None

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

    @property
    def age(self) -> float:
        """How long ago it was made, in seconds."""
        return self._owner.runtime.now() - self.created_at

    @property
    def call_site(self) -> str:
        """Where it was made: file and line of the code that called `monitor` (or a function that does it as well)."""
        return describe(self._code, self._position)

    def on_in(self, runtime: Runtime) -> bool:
        """Whether the watch is on, both processes live, and the one who asked for it belongs to this runtime."""
        owner, watched = self._owner, self._watched
        return watched is not None and watched.reason is None and owner.reason is None and owner.runtime is runtime

    def watches(self, process: Process | None) -> bool:
        """Whether this is the process that is watched."""
        return self._watched is process

    def fire(self, reason: ExitReason) -> None:
        """The watched process has ended (called by it; the monitor is out of its table already)."""
        self._watched = None
        owner = self._owner
        if owner.monitors is not None:
            owner.monitors.pop(self, None)
        runtime = owner.runtime
        runtime.monitor_manager.cleaned_by_target += 1
        emit = runtime.telemetry.monitor_cleaned
        if emit is not None:
            emit({"duration": self.age}, {"monitor": self, "cause": "target"})
        owner.deliver(Down(self, self.target, reason))

    def let_go(self) -> None:
        """Take the monitor out of the table of the watched process."""
        watched, self._watched = self._watched, None
        if watched is not None and watched.watchers is not None:
            watched.watchers.pop(self, None)

    def end(self, *, flush: bool) -> bool:
        """What `demonitor` does; also right when the owner has ended."""
        owner = self._owner
        if self._watched is None:
            if flush:
                owner.mailbox.remove(lambda item: type(item) is Down and item.monitor is self, "flushed")
            return False
        self.let_go()
        if owner.monitors is not None:
            owner.monitors.pop(self, None)
        runtime = owner.runtime
        runtime.monitor_manager.cleaned_by_demonitor += 1
        emit = runtime.telemetry.monitor_cleaned
        if emit is not None:
            emit({"duration": self.age}, {"monitor": self, "cause": "demonitor"})
        return True

    def __repr__(self) -> str:
        tag = "" if self.tag is None else f" {safe_repr(self.tag)}"
        return f"<Monitor{tag} of {self.target} by {self._owner.ref}{'' if self.active else ', over'}>"


@protected
def monitor(target: Address[Any], *, tag: Hashable = None) -> Monitor:
    """Watch a process: when it ends, `Down(monitor, target, reason)` arrives in the caller's mailbox, once.

    If there is no such process, the `Down` with reason `NOPROC` is there at once. Every call makes a monitor of its
    own; watching oneself does nothing. A monitor by name stays with the process found. `tag` is anything hashable that
    `list_monitors` shall find it by. Raises `NotInProcess` outside of a process, `InvalidSpec` for a tag that is not
    hashable. OTP: `monitor(process, _)`.
    """
    owner = process_for("monitor")
    if tag is not None:
        checks.hashable("tag", tag)
    frame = sys._getframe(1)
    watched = target._process if type(target) is Ref else find(target)
    return attach(owner, target, watched, tag, frame.f_code, frame.f_lasti)


def check_tag(tag: object) -> None:
    """A tag is compared and found, so it has to be hashable."""
    if tag is not None:
        checks.hashable("tag", tag)


@protected
def attach(
    owner: Process, target: Any, watched: Process | None, tag: Hashable, code: CodeType, position: int
) -> Monitor:
    """A monitor on a process that was found, or was not, for a call from that position in the code."""
    runtime = owner.runtime
    manager = runtime.monitor_manager
    if watched is owner:
        return Monitor(owner, target, None, tag, code, position, manager.now(), manager.created)
    if watched is not None and watched.reason is not None:
        watched = None
    manager.created = number = manager.created + 1
    watch = Monitor(owner, target, watched, tag, code, position, manager.now(), number)
    if manager.stacks:
        watch.stack = stack_of_caller()
    if watched is not None:
        if watched.watchers is None:
            watched.watchers = {}
        watched.watchers[watch] = None
        if owner.monitors is None:
            owner.monitors = {}
        owner.monitors[watch] = None
        if not manager.armed:
            manager.arm(watch.created_at)
    emit = runtime.telemetry.monitor_created
    if emit is not None:
        emit({}, {"monitor": watch})
    if watched is None:
        watch.fire(NOPROC)
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
    return watch.end(flush=flush)


@protected
class MonitoredBlock:
    """The block of `monitored`; enter it with `with`, once."""

    __slots__ = ("_code", "_position", "_tag", "_target", "_watch")

    def __init__(self, target: Any, tag: Hashable, code: CodeType, position: int) -> None:
        self._target = target
        self._tag = tag
        self._code = code
        self._position = position
        self._watch: Monitor | None = None

    def __enter__(self) -> Monitor:
        if self._watch is not None:
            raise RuntimeError("a monitored block is entered once; call monitored() again")
        owner = process_for("monitored")
        self._watch = attach(owner, self._target, find(self._target), self._tag, self._code, self._position)
        return self._watch

    def __exit__(self, *_error: object) -> None:
        if self._watch is not None:
            self._watch.end(flush=True)


@protected
def monitored(target: Address[Any], *, tag: Hashable = None) -> MonitoredBlock:
    """`monitor` for the length of a `with` block, which gets the `Monitor`.

    On every way out, be it by an exception or a cancellation, the watch is ended, and a `Down` that is queued but not
    read yet is removed; one that was read in the block is fine. Raises what `monitor` raises.

    >>> async def watch() -> None:
    ...     with monitored(spawn(trio.sleep_forever), tag="worker") as watch:
    ...         print(watch.active)
    ...     print(watch.active)
    >>> async def main() -> None:
    ...     async with open_supervisor() as supervisor:
    ...         await (await supervisor.start(watch, restart="temporary")).wait()
    ...         supervisor.shutdown()
    >>> trio.run(main)
    True
    False
    """
    process_for("monitored")
    check_tag(tag)
    find(target)  # so that what is no address is an error here
    frame = sys._getframe(1)
    return MonitoredBlock(target, tag, frame.f_code, frame.f_lasti)
