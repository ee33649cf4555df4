"""Messages that are sent later, once or again and again."""

from __future__ import annotations

import math
from typing import Any

from nursery_otp._policy import checks
from nursery_otp._policy.exits import safe_repr
from nursery_otp._runtime import log
from nursery_otp._runtime.context import runtime_for
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Tick
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.refs import Address, find, referred
from nursery_otp._runtime.runtime import Runtime
from nursery_otp._runtime.tracing import MessageKind, TraceContext, context_for


@protected
class Timer:
    """A message that is due; made by `send_after` and `send_interval`."""

    __slots__ = ("_carriers", "_due", "_message", "_runtime", "_target", "alarm", "context", "period")

    def __init__(self, runtime: Runtime, target: Any, message: object, delay: float, period: float) -> None:
        self._runtime = runtime
        self._target = target
        self._message = message
        self.period = period
        self._due = runtime.alarms.now() + delay
        self._carriers: dict[Process, None] = {}
        self.context: TraceContext | None = None
        self.alarm = 0
        tracer = runtime.telemetry.tracer
        if tracer is not None:
            kind: MessageKind = "interval" if period < math.inf else "timer"
            self.context = context_for(runtime.telemetry, kind, target, message, referred(target))
        if not runtime.closed:
            runtime.alarms.arm(self._due, self)

    @property
    def active(self) -> bool:
        """Whether a message is still to be sent."""
        return self.alarm != 0

    @property
    def due(self) -> float:
        """When the next message is sent, in seconds on the runtime's clock."""
        return self._due

    def on_alarm(self) -> None:
        """Send, and for an interval aim at the next multiple of the period, so that it does not drift."""
        process = self._receiver()
        if process is not None:
            self._carriers = {carrier: None for carrier in (*self._carriers, process) if carrier.reason is None}
            process.deliver(Tick(self, self._message))
        else:
            self._runtime.sent += 1
            self._runtime.dead_letters.bury(self._target, self._message, "noproc", context=self.context)
        if self.period < math.inf and not self._is_over():
            now = self._runtime.alarms.now()
            due = self._due + (math.floor(max(0.0, now - self._due) / self.period) + 1) * self.period
            self._due = max(due, math.nextafter(now, math.inf))  # a period may be shorter than the clock can tell
            self._runtime.alarms.arm(self._due, self)

    def _receiver(self) -> Process | None:
        if self._is_over():
            return None
        try:
            return find(self._target)
        except Exception as error:  # a Via of the user's; the clock has others to serve
            log.write("error", "timer_target_lookup_failed", target=safe_repr(self._target), exc_info=error)
            return None

    def _is_over(self) -> bool:
        # An interval ends with the incarnation it was set up for; a name is looked up afresh each time.
        process = referred(self._target)
        return process is not None and process.reason is not None

    def cancel(self) -> bool:
        """Send nothing more, and take back a message that is queued but not read yet.

        True if something was prevented. OTP: `erlang:cancel_timer/1` (which leaves the queued message there).
        """
        was_active = self.active
        self._runtime.alarms.disarm(self)
        # A name may have moved on, and left an unread tick with each of those who held it.
        removed = sum(
            carrier.mailbox.remove(lambda item: type(item) is Tick and item.timer is self, "timer cancelled")
            for carrier in self._carriers
            if carrier.reason is None
        )
        self._carriers = {}
        return was_active or removed > 0

    def __repr__(self) -> str:
        state = f"due at {self._due:g}" if self.active else "over"
        return f"<Timer to {self._target}, {state}>"


def send_after(delay: float, target: Address[Any], message: object) -> Timer:
    """Send `message` to `target` after `delay` seconds; the name of a target is looked up then.

    It is a signal: it never blocks, and the bound of the mailbox does not hold it back. OTP: `erlang:send_after/3`.
    """
    checks.seconds("delay", delay)
    _check_target(target)
    return Timer(_runtime_of(target, "send_after"), target, message, delay, math.inf)


def send_interval(period: float, target: Address[Any], message: object) -> Timer:
    """Send `message` to `target` every `period` seconds until cancelled or until the target (a `Ref`) ends.

    It does not drift; ticks that were missed because the loop was blocked are left out. OTP: `timer:send_interval/3`.
    """
    checks.seconds("period", period, zero=False)
    _check_target(target)
    return Timer(_runtime_of(target, "send_interval"), target, message, period, period)


def _check_target(target: Any) -> None:
    find(target)


def _runtime_of(target: Any, function: str) -> Runtime:
    process = referred(target)
    runtime: Runtime = process.runtime if process is not None else runtime_for(function)
    return runtime
