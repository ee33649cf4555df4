"""Who waits for whom, and whether one more wait would be one for ever.

A process waits for another in a call, while it starts or stops it, or while it waits for a name: then for the
incarnation that is starting, or for the supervisor that is to start one. Only waits of main tasks count, and of a plain
function only if it has no other task that might read its mailbox, so that every cycle found is a certain deadlock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nursery_otp._runtime.refs import Name
from nursery_otp.errors import Deadlock

if TYPE_CHECKING:
    from nursery_otp._runtime.process import Process


def deadlock(operation: str, caller: Process | None, link: Process | None) -> Deadlock | None:
    """The error of a wait of `caller` for `link` that would never end: `link` is, or waits for, the caller."""
    if caller is None:
        return None
    chain = [caller.ref]
    seen: set[Process] = set()  # others may wait in a circle through a name that a supervisor keeps
    while link is not None and link not in seen and not _may_read_elsewhere(link):
        seen.add(link)
        chain.append(link.ref)
        if link is caller:
            return Deadlock(operation, tuple(chain))
        link = _next_link(link)
    return None


def _may_read_elsewhere(process: Process) -> bool:
    """Whether a task other than its main one may read the mailbox of this process: never of a server or supervisor."""
    return process.on_stop is None and process.task is not None and bool(process.task.child_nurseries)


def keeper_of(registry: Any, address: object) -> Process | None:
    """Whom one waits for who waits for a name."""
    if not isinstance(address, Name):
        return None
    found: Process | None = registry.find(address.text) or registry.keeper(address.text)
    return found


def _next_link(link: Process) -> Process | None:
    waits = link.waits_for
    if waits is None or not waits.certain:
        return None
    return waits.process or keeper_of(link.runtime.registry, getattr(waits, "address", None))
