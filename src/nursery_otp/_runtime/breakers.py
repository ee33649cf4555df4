"""Circuit breakers at work: one gate per recipient, and the sends that wait in front of it in line.

A gate exists only while it has something to remember. Nothing runs for it: an open one is asked when the next send
comes, and only while somebody waits in line it has an alarm for the end of its cool-down.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, get_args

from nursery_otp._policy import breaker as machine
from nursery_otp._policy import checks
from nursery_otp._policy.breaker import CLOSED, BreakerState, CircuitBreaker
from nursery_otp._runtime import log
from nursery_otp._runtime.calls import runtime_of
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import recipient_of
from nursery_otp._runtime.refs import Address, Ref, check_address, referred
from nursery_otp.errors import CircuitOpen, DeliveryTimeout, MailboxFull, NoProcess, ProcessDown

if TYPE_CHECKING:
    from nursery_otp._runtime.parcels import Parcel
    from nursery_otp._runtime.runtime import Runtime

COUNTED = (NoProcess, ProcessDown, MailboxFull, DeliveryTimeout)
"""Failures that say something about the recipient."""
MANY = 1000
"""From so many gates on it is worth while to look for those that nobody has come to for long."""
FORGET_AFTER = 10
"""Cool-downs after which an open breaker that nobody came to is forgotten, if there are many."""


def logical(recipient: Any) -> Any:
    """Whom a recipient stands for: a name rather than one of its holders, who come and go."""
    process = referred(recipient)
    return recipient if process is None else recipient_of(process)


@protected
class Breakers:
    """All gates of a runtime. `in_use` is False as long as no recipient has a breaker."""

    __slots__ = ("_check_at", "_default", "_gates", "_own", "_prune_at", "in_use", "runtime", "waited")

    def __init__(self, runtime: Runtime, default: CircuitBreaker | None) -> None:
        self.runtime = runtime
        self.in_use = default is not None
        runtime.direct_sends = not self.in_use
        self.waited = 0
        self._default = default
        self._own: dict[Any, CircuitBreaker | None] = {}
        self._gates: dict[Any, Gate] = {}
        self._check_at = self._prune_at = MANY

    def set(self, recipient: Any, policy: CircuitBreaker | None) -> None:
        """Give a recipient a breaker of its own, or none; who waits in line sets out."""
        key = _key(recipient)
        if len(self._own) >= self._prune_at:
            self._own = {whom: kept for whom, kept in self._own.items() if not isinstance(whom, Ref) or whom.alive}
            self._prune_at = max(MANY, 2 * len(self._own))
        self._own[key] = policy
        self.in_use = True
        self.runtime.direct_sends = False
        gate = self._gates.pop(key, None)
        if gate is not None:
            gate.dissolve()

    def send_off(self, parcel: Parcel) -> None:
        """Let a parcel set out, if and when the breaker of its recipient permits."""
        gate = self._gate(parcel.address)
        if gate is None:
            parcel.set_out()
        else:
            gate.send_off(parcel)

    def _gate(self, recipient: Any) -> Gate | None:
        key = _key(recipient)
        gate = self._gates.get(key)
        if gate is None:
            policy = self._own.get(key, self._default)
            if policy is None:
                return None
            if len(self._gates) >= self._check_at:
                self._forget_old()
            gate = self._gates[key] = Gate(self, key, logical(recipient), policy)
        return gate

    def _forget_old(self) -> None:
        now = self.runtime.now()
        for gate in [gate for gate in self._gates.values() if gate.forgotten(now)]:
            del self._gates[gate.key]
        self._check_at = max(MANY, 2 * len(self._gates))

    def release(self, gate: Gate) -> None:
        """A gate that remembers nothing is made anew when it is needed."""
        if self._gates.get(gate.key) is gate:
            del self._gates[gate.key]

    def not_closed(self) -> dict[Any, machine.Position]:
        """The recipients whose breakers are open or half-open."""
        return {gate.recipient: gate.state.position for gate in self._gates.values() if gate.state.position != "closed"}

    def positions(self) -> dict[str, int]:
        """How many breakers are in which position; closed ones that had no trouble lately are none. For any thread."""
        found = Counter(gate.state.position for gate in list(self._gates.values()))
        return {position: found[position] for position in get_args(machine.Position)}

    @property
    def waiting(self) -> int:
        """How many sends are in line now."""
        return sum(len(gate.line) for gate in self._gates.values())

    def close(self) -> None:
        """The tree has ended: there is no time any more that anybody could wait for."""
        for gate in list(self._gates.values()):
            gate.close()
        self._gates.clear()


def _key(recipient: Any) -> Any:
    stands_for = logical(recipient)
    try:
        hash(stands_for)
    except TypeError:
        return id(stands_for)  # the gate keeps it, so that the number is not used again
    return stands_for


@protected
class Gate:
    """The breaker of one recipient."""

    __slots__ = (
        "_breakers",
        "_policy",
        "_under_way",
        "_walking",
        "alarm",
        "key",
        "line",
        "recipient",
        "state",
        "touched",
    )

    def __init__(self, breakers: Breakers, key: Any, recipient: Any, policy: CircuitBreaker) -> None:
        self._breakers = breakers
        self._policy = policy
        self._under_way = 0
        self._walking = False
        self.alarm = 0
        self.key = key
        self.line: deque[Parcel] = deque()
        self.recipient = recipient
        self.state: BreakerState = CLOSED
        self.touched = breakers.runtime.now()

    def __repr__(self) -> str:
        return f"<breaker of {self.recipient}: {self.state.position}, {len(self.line)} waiting>"

    # ------------------------------------------------------------------------------------- way in

    def send_off(self, parcel: Parcel) -> None:
        """Let it set out now, or in its turn, or fail it."""
        self.touched = self._breakers.runtime.now()
        parcel.passage = Passage(self)
        self.line.append(parcel)
        self._walk()
        if parcel.done or parcel.passage is None or parcel.passage.ticket is not None:
            return
        if len(self.line) > self._policy.buffer or self._breakers.runtime.closed:
            self.line.remove(parcel)
            parcel.passage = None
            parcel.fail(CircuitOpen(self.recipient, self._rest()))
            self._tidy()
        else:
            self._breakers.waited += 1

    def _rest(self) -> float:
        return max(0.0, self.state.until - self._breakers.runtime.now())

    def _walk(self) -> None:
        """Whoever may sets out, first come first served, and in the mailbox before the next one is asked."""
        if self._walking:
            return
        self._walking = True
        while self.line:
            state, ticket = machine.ask(self.state, self._breakers.runtime.now())
            self._move(state)
            if ticket is None:
                break
            parcel = self.line.popleft()
            if parcel.passage is not None:
                parcel.passage.ticket = ticket
            self._under_way += 1
            parcel.set_out()
        self._walking = False
        self._set_alarm()

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
        self.line.remove(parcel)
        self._set_alarm()
        self._tidy()

    # ---------------------------------------------------------------------------------- what comes of it

    def over(self, ticket: int, error: Exception | None) -> None:
        """An attempt is over."""
        self._under_way -= 1
        if error is None:
            self._move(machine.succeeded(self.state, ticket))
        elif isinstance(error, COUNTED):
            self._move(machine.failed(self._policy, self.state, ticket, self._breakers.runtime.now()))
        else:
            self._move(machine.given_up(self.state, ticket))
        self._walk()
        self._tidy()

    def given_up(self, ticket: int) -> None:
        """An attempt was cancelled."""
        self._under_way -= 1
        self._move(machine.given_up(self.state, ticket))
        self._walk()
        self._tidy()

    def _move(self, state: BreakerState) -> None:
        before, self.state = self.state.position, state
        if state.position == before:
            return
        log.write(
            "warning" if state.position == "open" else "info",
            "circuit_breaker_changed",
            recipient=repr(self.recipient),
            before=before,
            after=state.position,
        )
        emit = self._breakers.runtime.telemetry.breaker_changed
        if emit is not None:
            emit({}, {"recipient": self.recipient, "before": before, "after": state.position})

    def _tidy(self) -> None:
        state = self.state
        if state.position == "closed" and state.failures == 0 and not self.line and not self._under_way:
            self._breakers.release(self)

    def forgotten(self, now: float) -> bool:
        """Whether nobody has come for so long that it need not be kept."""
        late = now > self.touched + FORGET_AFTER * self._policy.cool_down
        return late and not self.line and not self._under_way

    # ----------------------------------------------------------------------------------------- its end

    def dissolve(self) -> None:
        """There is no such breaker any more: everybody sets out."""
        self._breakers.runtime.alarms.disarm(self)
        while self.line:
            parcel = self.line.popleft()
            parcel.passage = None
            parcel.set_out()

    def close(self) -> None:
        """Nothing will change any more: everybody fails."""
        self._breakers.runtime.alarms.disarm(self)
        while self.line:
            parcel = self.line.popleft()
            parcel.passage = None
            parcel.fail(CircuitOpen(self.recipient, self._rest()))


@protected
class Passage:
    """A parcel's leave to set out; without a ticket it still stands in line."""

    __slots__ = ("_gate", "ticket")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
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


def set_breaker(recipient: Address[Any], breaker: CircuitBreaker | None) -> None:
    """Give a recipient a circuit breaker of its own, closed; None: none, whatever `DeliveryOptions` say.

    It is for whoever holds a name, or for one process if that has no name. Sends that wait in line set out.
    """
    check_address(recipient)
    checks.instance("breaker", breaker, (CircuitBreaker, type(None)), "must be a CircuitBreaker")
    runtime_of(recipient, "set_breaker").breakers.set(recipient, breaker)
