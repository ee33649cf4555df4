"""The limits in force in a runtime: the policy, what lies over it for a while, and the table that calls look into.

A call finds its limit with one look into a dict, by the identity of its operation. What is not there yet is asked of
the policy once; a change of the policy empties the tables, and so reaches every client function that exists.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from weakref import WeakKeyDictionary

from nursery_otp._policy import checks
from nursery_otp._policy.timeout_keys import Operation, Subject
from nursery_otp._policy.timeout_rules import Origin
from nursery_otp._policy.timeout_sources import Change, apply_changes, check_tiers_exist, from_arguments, stamped
from nursery_otp._policy.timeouts import Timeouts
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.refs import Name, referred
from nursery_otp._runtime.registry import Registry

if TYPE_CHECKING:
    from nursery_otp._runtime.telemetry import Telemetry
    from nursery_otp._runtime.timeout_observation import Observation

FiredKind: TypeAlias = Literal["call", "handler", "send"]

TABLE_SIZE = 10_000
"""How many operations a table holds. Classes and names that are made while a program runs must not fill the memory."""
OTHERS = "(others)"


class CallLimits(dict[Operation, float]):
    """The limits of the calls that have been made, in seconds."""

    __slots__ = ("_limits",)

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __missing__(self, operation: Operation) -> float:
        seconds = self._limits.policy.limit(operation)
        if len(self) >= TABLE_SIZE:
            self.clear()
        self[operation] = seconds
        self._limits.remember(str(operation), "call", operation)
        return seconds


class HandlerLimits(dict[str, float]):
    """The limits of the handlers of one class that have run, in seconds, by name."""

    __slots__ = ("_limits", "_service")

    def __init__(self, limits: Limits, service: type[Any]) -> None:
        self._limits = limits
        self._service = weakref.ref(service)  # whoever looks into this table has the class

    def __missing__(self, name: str) -> float:
        service = self._service()
        if service is None:
            return math.inf
        operation = Operation(service, name)
        seconds = self[name] = self._limits.policy.limit(operation, "handler")
        self._limits.remember(str(operation), "handler", operation)
        return seconds


class SendLimits(dict["str | type[Any]", float]):
    """The limits of sends, in seconds, by the class of the recipient, or by its label if that is no server."""

    __slots__ = ("_limits",)

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __missing__(self, recipient: str | type[Any]) -> float:
        asked: Any = subject_of_label(recipient) if isinstance(recipient, str) else Operation(recipient, "send")
        seconds = self._limits.policy.limit(asked)
        if len(self) >= TABLE_SIZE:
            self.clear()
        self[recipient] = seconds
        self._limits.remember(recipient if isinstance(recipient, str) else str(asked), "send", asked)
        return seconds


class Layer:
    """One override: its changes, as long as it is on."""

    __slots__ = ("changes", "origin")

    def __init__(self, changes: list[Change], origin: Origin) -> None:
        self.changes = changes
        self.origin = origin


@protected
class Limits:
    """The limits of one runtime, and how often each has passed: `runtime.limits`."""

    __slots__ = (
        "_base",
        "_known",
        "_layers",
        "_registry",
        "calls",
        "fired",
        "handlers",
        "observation",
        "policy",
        "sends",
        "telemetry",
        "wait_for_restart",
    )

    def __init__(self, policy: Timeouts, telemetry: Telemetry, registry: Registry) -> None:
        self._base = policy
        self._layers: list[Layer] = []
        self._known: dict[tuple[str, FiredKind], Operation | Subject] = {}
        self._registry = registry
        self.telemetry = telemetry
        self.calls = CallLimits(self)
        self.handlers: WeakKeyDictionary[type[Any], HandlerLimits] = WeakKeyDictionary()
        self.sends = SendLimits(self)
        self.fired: dict[tuple[str, FiredKind], int] = {}
        self.observation: Observation | None = None
        self._put_in_force(policy)

    def __repr__(self) -> str:
        return f"<Limits: {self.policy}, {len(self._layers)} overrides, {sum(self.fired.values())} fired>"

    # ------------------------------------------------------------------------------------- changing

    def replace(self, policy: Timeouts, origin: Origin) -> Timeouts:
        """Another policy below the overrides; the one that was there. Nothing changes if they do not go together."""
        before, base = self._base, stamped(policy, origin)
        for layer in self._layers:
            check_tiers_exist(layer.changes, base, source=layer.origin.text)
        self._install(base, self._layers)
        return before

    def push(self, arguments: Mapping[str, Any], origin: Origin) -> Layer:
        """Lay changes over everything that is there. Nothing changes if they do not hold."""
        layer = Layer(from_arguments(arguments, self.policy, origin, "override_timeouts"), origin)
        self._install(self._base, [*self._layers, layer])
        return layer

    def remove(self, layer: Layer) -> None:
        """Take one layer away, wherever it lies."""
        # Without it the others still hold: fewer rules contradict each other less, and no layer has invented a tier
        # that another one needs (`replace` sees to that as well).
        self._install(self._base, [other for other in self._layers if other is not layer])

    def _install(self, base: Timeouts, layers: list[Layer]) -> None:
        policy, before = base, self.policy
        for layer in layers:
            policy = apply_changes(policy, layer.changes, source=layer.origin.text)
        self._base, self._layers = base, layers
        self._put_in_force(policy)
        if policy != before:
            emit = self.telemetry.timeouts_changed
            if emit is not None:
                emit({}, {"before": before, "after": policy})

    def _put_in_force(self, policy: Timeouts) -> None:
        self.policy = policy
        self.wait_for_restart = policy.while_restarting == "wait"
        self.calls.clear()
        self.sends.clear()
        for table in self.handlers.values():
            table.clear()

    # --------------------------------------------------------------------------------------- asking

    def of_handlers(self, service: type[Any]) -> HandlerLimits:
        """The table of the handlers of a class; it stays the same one when the policy changes."""
        table = self.handlers.get(service)
        if table is None:
            table = self.handlers[service] = HandlerLimits(self, service)
        return table

    def of_system_call(self, service: type[Any] | None, operation: str) -> float:
        """The limit of `get_state` and the like, which wait their turn like calls."""
        asked = subject_of_label(operation) if service is None else Operation(service, operation)
        self.remember(str(operation if service is None else asked), "call", asked)
        return self.policy.limit(asked)

    def remember(self, label: str, kind: FiredKind, asked: Operation | Subject) -> None:
        """Know that there is such an operation, for the report."""
        if len(self._known) < TABLE_SIZE:
            self._known[label, kind] = asked

    @property
    def known(self) -> Mapping[tuple[str, FiredKind], Operation | Subject]:
        """The operations whose limits have been asked for, by label and kind."""
        return self._known

    def of_send(self, recipient: Any) -> float:
        """The limit of a supervised send: `send_label` says under which name rules are about it."""
        return self.sends[self.service_at(recipient) or label_of(recipient)]

    def send_label(self, recipient: Any) -> str:
        """What a send to this recipient is called: the class of the server, or else `label_of` it, and ".send"."""
        service = self.service_at(recipient)
        return label_of(recipient) if service is None else f"{service.__name__}.send"

    def service_at(self, address: Any) -> type[Any] | None:
        """The class of the server that an address leads to; of one that is being restarted, that it had before."""
        if type(address) is Name:
            return self._registry.service_of(address.text)
        process = referred(address)
        return None if process is None else process.service

    # ------------------------------------------------------------------------------------- counting

    def send_fired(self, recipient: Any, limit: float) -> None:
        """The limit of a send has passed."""
        self.count_fired(self.send_label(recipient), "send", limit)

    def count_fired(self, operation: str, kind: FiredKind, limit: float) -> None:
        """A limit has passed: of a call, of a handler's run or of a send (`operation`: see `send_label`)."""
        key = (operation, kind)
        if key not in self.fired and len(self.fired) >= TABLE_SIZE:
            key = (OTHERS, kind)
        self.fired[key] = self.fired.get(key, 0) + 1
        emit = self.telemetry.timeout_fired
        if emit is not None:
            emit({"limit": limit}, {"operation": operation, "kind": kind})


def subject_of_label(label: str) -> Subject:
    """What a label stands for, whatever characters are in it."""
    parts = tuple(label.split("."))
    return Subject(label, parts if all(parts) else (label,), strict=False)


def label_of(recipient: Any) -> str:
    """What a send is called if nothing is known of the recipient but its address: its name or kind, and ".send"."""
    process = referred(recipient)
    label = recipient.text if isinstance(recipient, Name) else None if process is None else process.label
    return f"{label or type(recipient).__name__}.send"


def checked_policy(policy: object) -> Timeouts:
    """A policy, or an error that says so."""
    checks.instance("policy", policy, Timeouts, "must be a Timeouts")
    return policy  # type: ignore[return-value]
