"""Who is told what happens to dead letters: processes that subscribed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from nursery_otp._policy.dead_letters import DeadLetter
from nursery_otp._policy.exits import ExitReason
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Notice

if TYPE_CHECKING:
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.refs import Ref
    from nursery_otp._runtime.runtime import Runtime

LetterEventKind: TypeAlias = Literal["added", "retried", "exhausted", "delivered", "purged", "expired", "evicted"]


class LetterEvent(Notice):
    """Something has happened to a dead letter; for those who called `subscribe`.

    `kind` is "added", "retried" (it was sent again, and failed), "exhausted", or why it is gone: "delivered", "purged",
    "expired", "evicted". `letter` is how it stood then.
    """

    __slots__ = ("kind", "letter")
    __match_args__ = ("kind", "letter")

    def __init__(self, kind: LetterEventKind, letter: DeadLetter) -> None:
        self.kind = kind
        self.letter = letter

    def __repr__(self) -> str:
        return f"LetterEvent({self.kind!r}, {self.letter!r})"


@protected
class Subscriptions:
    """The processes that want to hear of dead letters; their end is the end of the subscription."""

    __slots__ = ("_detach", "_processes", "_runtime")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._processes: dict[Process, None] = {}
        self._detach: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._processes)

    def add(self, process: Process) -> None:
        """From now on."""
        self._processes[process] = None
        if self._detach is None:
            self._detach = self._runtime.on_exit(self._ended)
            self._runtime.dead_letters.follow()

    def remove(self, process: Process) -> bool:
        """No more; True if it was subscribed."""
        if process not in self._processes:
            return False
        del self._processes[process]
        if not self._processes and self._detach is not None:
            self._detach()
            self._detach = None
            self._runtime.dead_letters.follow()
        return True

    def _ended(self, ref: Ref[Any], _reason: ExitReason) -> None:
        self.remove(ref._process)

    def tell(self, kind: LetterEventKind, letter: DeadLetter) -> None:
        """Tell everybody."""
        event = LetterEvent(kind, letter)
        for process in tuple(self._processes):
            process.deliver(event)
