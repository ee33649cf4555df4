"""The circuit breakers of a runtime: who has which, and the gates of those that have something to remember."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

from nursery_otp._policy import breaker as machine
from nursery_otp._policy import checks
from nursery_otp._policy.breaker import CircuitBreaker
from nursery_otp._policy.exits import safe_repr
from nursery_otp._runtime.calls import runtime_of
from nursery_otp._runtime.gates import Gate, is_dead
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import recipient_of
from nursery_otp._runtime.refs import Address, Ref, check_address

if TYPE_CHECKING:
    from nursery_otp._runtime.parcels import Parcel
    from nursery_otp._runtime.runtime import Runtime

MANY = 1000
"""From so many gates on it is worth while to look for those that nobody has come to for long."""


def logical(recipient: Any) -> Any:
    """Whom a recipient stands for: a name rather than one of its holders, who come and go."""
    return recipient_of(recipient._process) if isinstance(recipient, Ref) else recipient


@protected
class Itself:
    """An address that cannot be the key of a table, as a key: it is equal to nothing else, even when it is gone."""

    __slots__ = ("_number", "_whom")

    def __init__(self, whom: object) -> None:
        self._number = id(whom)
        try:
            self._whom: Callable[[], object] = weakref.ref(whom)
        except TypeError:
            self._whom = lambda: whom

    @property
    def gone(self) -> bool:
        """Whether nobody can send to it any more."""
        return self._whom() is None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and not self.gone and self._whom() is other._whom()

    def __hash__(self) -> int:
        return self._number


def _key(recipient: Any) -> Any:
    stands_for = logical(recipient)
    try:
        hash(stands_for)
    except Exception:  # whatever a Via of the user's says
        return Itself(stands_for)
    return stands_for


@protected
class Breakers:
    """All gates of a runtime. `in_use` is False as long as no recipient has a breaker."""

    __slots__ = ("_check_at", "_default", "_gates", "_last_number", "_own", "_prune_at", "in_use", "runtime", "waited")

    def __init__(self, runtime: Runtime, default: CircuitBreaker | None) -> None:
        self.runtime = runtime
        self.in_use = default is not None
        runtime.direct_sends = not self.in_use
        self.waited = 0
        self._default = default
        self._own: dict[Any, CircuitBreaker | None] = {}
        self._gates: dict[Any, Gate] = {}
        self._check_at = self._prune_at = MANY
        self._last_number = 0

    def set(self, recipient: Any, policy: CircuitBreaker | None) -> None:
        """Give a recipient a breaker of its own, or none; who waits in line sets out."""
        if is_dead(recipient):
            return  # it will never get a message again
        key = _key(recipient)
        if len(self._own) >= self._prune_at:
            self._own = {whom: kept for whom, kept in self._own.items() if not _useless(whom)}
            self._prune_at = max(MANY, 2 * len(self._own))
        self._own[key] = policy
        self.in_use = True
        self.runtime.direct_sends = False
        gate = self._gates.get(key)
        if gate is not None:
            gate.replace(policy)

    def send_off(self, parcel: Parcel) -> None:
        """Let a parcel set out, if and when the breaker of its recipient permits."""
        gate = self.gate_at(parcel.address)
        if gate is None:
            parcel.set_out()
        else:
            gate.send_off(parcel)

    def gate_at(self, recipient: Any) -> Gate | None:
        """The gate that sends to this recipient pass; None if it has no breaker, or is dead for ever."""
        if not self.in_use or is_dead(recipient):
            return None
        key = _key(recipient)
        gate = self._gates.get(key)
        if gate is None:
            policy = self._own.get(key, self._default)
            if policy is None:
                return None
            if len(self._gates) >= self._check_at:
                self._forget_old()
            self._last_number += 1
            gate = self._gates[key] = Gate(self, key, logical(recipient), policy, self._last_number)
        return None if gate.taken_away else gate

    def _forget_old(self) -> None:
        now = self.runtime.now()
        self._gates = {gate.key: gate for gate in self._gates.values() if not gate.forgotten(now)}
        self._check_at = max(MANY, 2 * len(self._gates))

    def release(self, gate: Gate) -> None:
        """A gate that remembers nothing is made anew when it is needed."""
        if self._gates.get(gate.key) is gate:
            del self._gates[gate.key]

    def not_closed(self) -> dict[Any, machine.Position]:
        """The recipients whose breakers are open or half-open."""
        return {_shown(gate): gate.state.position for gate in self._in_force() if gate.state.position != "closed"}

    def positions(self) -> dict[str, int]:
        """How many breakers are in which position; closed ones that had no trouble lately are none. For any thread."""
        found = Counter(gate.state.position for gate in self._in_force())
        return {position: found[position] for position in get_args(machine.Position)}

    def _in_force(self) -> list[Gate]:
        return [gate for gate in list(self._gates.values()) if not (gate.taken_away or is_dead(gate.recipient))]

    @property
    def waiting(self) -> int:
        """How many sends are in line now."""
        return sum(len(gate.line) for gate in self._gates.values())

    def close(self) -> None:
        """The tree has ended: there is no time any more that anybody could wait for."""
        for gate in list(self._gates.values()):
            gate.close()
        self._gates.clear()


def _shown(gate: Gate) -> Any:
    return safe_repr(gate.recipient) if isinstance(gate.key, Itself) else gate.recipient


def _useless(key: object) -> bool:
    return key.gone if isinstance(key, Itself) else is_dead(key)


def set_breaker(recipient: Address[Any], breaker: CircuitBreaker | None) -> None:
    """Give a recipient a circuit breaker of its own, closed; None: none, whatever `DeliveryOptions` say.

    It is for whoever holds a name, or for one process if that has no name; a process that has ended needs none. Sends
    that wait in line set out, and what becomes of those under way does not count any more.
    """
    check_address(recipient)
    checks.instance("breaker", breaker, (CircuitBreaker, type(None)), "must be a CircuitBreaker")
    runtime_of(recipient, "set_breaker").breakers.set(recipient, breaker)
