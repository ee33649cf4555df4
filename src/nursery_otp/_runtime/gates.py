"""A circuit breaker at work: the gate in front of one recipient, and the sends that wait there in line.

Nothing runs for it: an open one is asked when the next send comes, and only while somebody waits in line it has an
alarm for the end of its cool-down.

Whoever hears of a change, and every sender that is let go, may come back here at once: with another breaker, or because
a send is given up. So a gate has done its own part before it tells anybody anything, nobody sets out but from
`Gate._walk`, and whoever comes while that runs leaves the walking to it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from nursery_otp._policy import breaker as machine
from nursery_otp._policy.breaker import CLOSED, BreakerState, CircuitBreaker
from nursery_otp._policy.exits import safe_repr
from nursery_otp._runtime import log
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.refs import Ref
from nursery_otp.errors import CircuitOpen, DeliveryTimeout, MailboxFull, NoProcess, ProcessDown

if TYPE_CHECKING:
    from nursery_otp._runtime.breakers import Breakers
    from nursery_otp._runtime.parcels import Parcel

COUNTED = (NoProcess, ProcessDown, MailboxFull, DeliveryTimeout)
"""Failures that say something about the recipient."""
FORGET_AFTER = 10
"""Cool-downs after which an open breaker that nobody came to is forgotten, if there are many."""


def is_dead(recipient: Any) -> bool:
    """Whether it is one process that has ended: how a send to it ends is certain, and says nothing about its name."""
    return isinstance(recipient, Ref) and not recipient.alive


@protected
class Gate:
    """The breaker of one recipient. Another breaker for the same one takes its place in the same gate."""

    __slots__ = (
        "_breakers",
        "_policy",
        "_under_way",
        "_walking",
        "alarm",
        "key",
        "line",
        "number",
        "recipient",
        "state",
        "taken_away",
        "touched",
    )

    def __init__(self, breakers: Breakers, key: Any, recipient: Any, policy: CircuitBreaker, number: int) -> None:
        self._breakers = breakers
        self._policy = policy
        self._under_way = 0  # attempts, and whoever else counts on it
        self._walking = False
        self.alarm = 0
        self.key = key
        self.line: OrderedDict[Parcel, Passage] = OrderedDict()
        self.number = number
        self.recipient = recipient
        self.state: BreakerState = CLOSED
        self.taken_away = False
        self.touched = breakers.runtime.now()

    def __repr__(self) -> str:
        return f"<breaker of {safe_repr(self.recipient)}: {self.state.position}, {len(self.line)} waiting>"

    # ------------------------------------------------------------------------------------- way in

    def send_off(self, parcel: Parcel) -> None:
        """Let it set out now, or in its turn, or fail it."""
        if self.taken_away:
            parcel.set_out()
            return
        self.touched = self._breakers.runtime.now()
        passage = parcel.passage = Passage(self)
        if self.is_open_to_all:  # as nearly always
            passage.ticket = self.state.period
            self._under_way += 1
            parcel.set_out()
            self._tidy()
            return
        self.line[parcel] = passage
        self._walk()
        if parcel not in self.line:
            return
        if len(self.line) > self._policy.buffer or self._breakers.runtime.closed:
            del self.line[parcel]
            parcel.passage = None
            parcel.fail(self._refused())
            self._walk()
        else:
            self._breakers.waited += 1

    def refusal(self) -> CircuitOpen | None:
        """The error of a send that came now, if it could neither set out nor wait in line."""
        self._walk()  # the cool-down may be over, and those in line have not been told yet
        may_set_out = not self.line and machine.ask(self.state, self._breakers.runtime.now())[1] is not None
        if self.taken_away or may_set_out or len(self.line) < self._policy.buffer:
            return None
        return self._refused()

    def _refused(self) -> CircuitOpen:
        return CircuitOpen(self.recipient, max(0.0, self.state.until - self._breakers.runtime.now()))

    @property
    def is_open_to_all(self) -> bool:
        """Whether a send would set out at once, and keep nobody else from it."""
        return self.taken_away or (self.state.position == "closed" and not self.line)

    def keep(self) -> None:
        """Somebody counts on it to stay the gate of its recipient, with its number."""
        self._under_way += 1

    def let_go(self) -> None:
        """He does not any more."""
        self._under_way -= 1
        self._tidy()

    def _walk(self) -> None:
        """Whoever may sets out, first come first served, and in the mailbox before the next one is asked."""
        if self._walking:
            return
        self._walking = True
        try:
            while self.line and self._let_first_go():
                pass
        finally:
            self._walking = False
        self._set_alarm()
        self._tidy()

    def _let_first_go(self) -> bool:
        parcel, passage = next(iter(self.line.items()))
        if passage.free or is_dead(parcel.address):
            del self.line[parcel]
            parcel.passage = None
            parcel.set_out()
            return True
        state, ticket = machine.ask(self.state, self._breakers.runtime.now())
        if ticket is None:
            return False
        del self.line[parcel]
        passage.ticket = ticket
        self._under_way += 1
        self._move(state)
        if not parcel.done:  # who hears of the change may have cancelled the sender
            parcel.set_out()
        return True

    def _set_alarm(self) -> None:
        alarms = self._breakers.runtime.alarms
        if self.line and self.state.position == "open":
            alarms.arm(self.state.until, self)
        else:
            alarms.disarm(self)

    def on_alarm(self) -> None:
        """The cool-down is over."""
        self._walk()

    def leave(self, parcel: Parcel) -> None:
        """A parcel in the line has been given up."""
        del self.line[parcel]
        if not self.line:
            self._walk()

    # ---------------------------------------------------------------------------------- what comes of it

    def over(self, ticket: int, error: Exception | None) -> None:
        """An attempt is over."""
        self._under_way -= 1
        if error is None:
            self._move(machine.succeeded(self.state, ticket))
        elif isinstance(error, COUNTED) and not is_dead(self.recipient):
            self._move(machine.failed(self._policy, self.state, ticket, self._breakers.runtime.now()))
        else:
            self._move(machine.given_up(self.state, ticket))
        self._walk()

    def given_up(self, ticket: int) -> None:
        """An attempt was cancelled."""
        self._under_way -= 1
        self._move(machine.given_up(self.state, ticket))
        self._walk()

    def _move(self, state: BreakerState) -> None:
        before, self.state = self.state.position, state
        if state.position == before:
            return
        log.write(
            "warning" if state.position == "open" else "info",
            "circuit_breaker_changed",
            recipient=safe_repr(self.recipient),
            before=before,
            after=state.position,
        )
        emit = self._breakers.runtime.telemetry.breaker_changed
        if emit is not None:
            emit({}, {"recipient": self.recipient, "before": before, "after": state.position})

    def _tidy(self) -> None:
        state = self.state
        nothing_known = state.position == "closed" and state.failures == 0
        if (nothing_known or is_dead(self.recipient)) and not self.line and not self._under_way:
            self._breakers.release(self)

    def forgotten(self, now: float) -> bool:
        """Whether nobody has come for so long, or can come, that it need not be kept."""
        late = now > self.touched + FORGET_AFTER * self._policy.cool_down or is_dead(self.recipient)
        return late and not self.line and not self._under_way

    # ----------------------------------------------------------------------------------------- its end

    def replace(self, policy: CircuitBreaker | None) -> None:
        """Another breaker, closed, or none: everybody sets out, and what is under way is no news any more."""
        self.taken_away = policy is None
        self._policy = policy or self._policy
        self.state = machine.replaced(self.state)
        for passage in self.line.values():
            passage.free = True
        self._walk()

    def close(self) -> None:
        """Nothing will change any more: everybody fails."""
        self._breakers.runtime.alarms.disarm(self)
        while self.line:
            parcel, _ = self.line.popitem(last=False)
            parcel.passage = None
            parcel.fail(self._refused())


@protected
class Passage:
    """A parcel's leave to set out; without a ticket it still stands in line, and `free` needs none."""

    __slots__ = ("_gate", "free", "ticket")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.free = False
        self.ticket: int | None = None

    def over(self, error: Exception | None) -> None:
        """The attempt arrived, or failed."""
        if self.ticket is not None:
            self._gate.over(self.ticket, error)

    def given_up(self) -> None:
        """The sender was cancelled."""
        if self.ticket is not None:
            self._gate.given_up(self.ticket)

    def leave(self, parcel: Parcel) -> bool:
        """Leave the line; False if the parcel is on its way already."""
        if self.ticket is not None:
            return False
        self._gate.leave(parcel)
        return True
