"""Plain messages: no reply, no copy, in the order sent."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from trio.lowlevel import cancel_shielded_checkpoint, checkpoint_if_cancelled

from nursery_otp._policy.delivery import (
    DEFAULT_BACKOFF,
    DELIVERED,
    ENQUEUED,
    ON_ERROR,
    Confirm,
    Delivery,
    OnError,
    SendOptions,
)
from nursery_otp._policy.restarts import Backoff
from nursery_otp._runtime.context import process_var, runtime_for
from nursery_otp._runtime.delivery import Errand
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.refs import Address, Name, Ref, find
from nursery_otp._runtime.runtime import Runtime
from nursery_otp._runtime.tracing import Producing, context_for, stamped
from nursery_otp.errors import NoProcess

_BY_NAME = "a send by name"


@protected
def send_nowait(target: Address[Any], message: object) -> None:
    """Put a message into the mailbox of a process, without waiting.

    A process that has ended makes it a dead letter, which is no error; a name or a `Via` that leads nowhere is one:
    `NoProcess`. `MailboxFull` if the mailbox is at its bound and its policy does not say what to drop. OTP: `!`.
    """
    process = target._process if type(target) is Ref else find(target)
    if process is None:
        raise NoProcess(target, "send_nowait")
    tracer = process.telemetry.tracer
    if tracer is not None:
        _send_traced(process, target, message)
        return
    if not process.offer(message):
        raise process.refused()


class SendKeywords(TypedDict, total=False):
    """The options of `send`."""

    retries: float
    backoff: Backoff
    on_error: OnError
    confirm: Confirm
    metadata: Mapping[str, Any] | None
    within: float | None
    correlation_id: str | None
    idempotency_key: str | None


def _errand(
    found: Process | None,
    /,
    recipient: Address[Any],
    message: object,
    *,
    retries: float = 0,
    backoff: Backoff = DEFAULT_BACKOFF,
    on_error: OnError = "raise",
    confirm: Confirm = ENQUEUED,
    metadata: Mapping[str, Any] | None = None,
    within: float | None = None,
    correlation_id: str | None = None,
    idempotency_key: str | None = None,
) -> Errand:
    options = SendOptions(retries=retries, backoff=backoff, on_error=on_error, confirm=confirm, within=within)
    return Errand(
        recipient,
        message,
        options,
        metadata=metadata,
        correlation_id=correlation_id,
        idempotency_key=idempotency_key,
        found=found,
    )


_errand.__qualname__ = "send"  # for the error of an option that does not exist


def _matter_later(options: SendKeywords) -> bool:
    """Whether these options are valid, and do not matter before something goes wrong or has to wait."""
    for name, value in options.items():
        kind = type(value)
        if name == "retries":
            harmless = kind is int and value >= 0  # type: ignore[operator]
        elif name == "on_error":
            harmless = kind is str and value in ON_ERROR
        elif name == "within":
            harmless = kind is float and value > 0  # type: ignore[operator]
        elif name == "backoff":
            harmless = kind is Backoff
        else:
            harmless = name == "confirm" and kind is str and value == ENQUEUED
        if not harmless:
            return False
    return True


@protected
def _send_traced(process: Process, target: Any, message: object) -> None:
    with Producing(process.telemetry, "send", target, message, process) as producing:
        if not process.offer(producing.wrap(message)):
            raise process.refused()


@protected
async def send(recipient: Address[Any], message: object, **options: Unpack[SendKeywords]) -> Delivery:
    """Deliver a message, and know whether that worked.

    With `confirm="enqueued"` it is delivered when the mailbox has accepted it, which under the policy "block" may mean
    to wait for room; with "handled" when the handler has returned (or raised `Stop` with a normal reason), and for a
    plain function when it asks for its next message or ends by itself. A name that a supervisor keeps for a child being
    restarted is waited for. All this within a limit in seconds, for each attempt: that of the timeout policy for
    "Counter.send" (the recipient's class, or else its name), or `within`.

    An attempt fails with `NoProcess` (nobody there), `ProcessDown` (it has ended, or ended before it had handled the
    message), `MailboxFull` (under the policies "reject" and "drop_newest"), `DeliveryTimeout`, `CircuitOpen` (see
    `CircuitBreaker`) or `Deadlock`. What failed was not handled and will not be; only a `DeliveryTimeout` may find the
    message being handled, and says so. Failures that may pass are tried again up to `retries` times, after the waits
    that `backoff` gives; the recipient is looked up anew each time.

    In the end `on_error` decides: "raise" the error; "log" it; put the message into the "dead_letter" queue, before
    this returns; or "ignore" it. The last three return a `Delivery` that is false. Cancelled: nothing was sent, unless
    it was being handled.

    `metadata`, `correlation_id` and `idempotency_key` go with the message and are what `current_message` shows. Raises
    `InvalidSpec` for an option that does not hold, `TypeError` for what is no address. OTP: `!` and a monitor.

    >>> async def main() -> None:
    ...     async with open_supervisor() as supervisor:
    ...         counter = await supervisor.start(Counter, 10)
    ...         print(bool(await send(counter, Counter.add.message(1), confirm="handled")))
    ...         supervisor.shutdown()
    >>> trio.run(main)
    True
    """
    # Named options with defaults cost more than the rest of this function; so they are only looked at if there are any.
    process = None
    if not options or _matter_later(options):
        await checkpoint_if_cancelled()
        kind = type(recipient)
        if kind is Ref:
            process = recipient._process  # type: ignore[union-attr]
        elif kind is Name:
            entry = runtime_for(_BY_NAME).registry.entries.get(recipient.text)  # type: ignore[union-attr]
            process = None if entry is None else entry.process
        else:
            process = find(recipient)
        if process is not None:
            runtime, mailbox = process.runtime, process.mailbox
            span = runtime.telemetry.send
            if span is None and runtime.direct_sends and mailbox.direct and mailbox.offer(message):
                runtime.delivery_counts.delivered += 1
                await cancel_shielded_checkpoint()
                return DELIVERED
    return await _errand(process, recipient, message, **options).run()


_options = list(inspect.signature(_errand).parameters.values())[1:]
send.__signature__ = inspect.Signature(_options, return_annotation="Delivery")  # type: ignore[attr-defined]


@protected
def cast_message(target: Any, message: object) -> None:
    """Never blocks and never raises for want of a receiver: what finds none, or no room, is a dead letter."""
    process = target._process if type(target) is Ref else find(target)
    if process is not None:
        tracer = process.telemetry.tracer
        if tracer is not None:
            message = stamped(process.telemetry, "cast", target, message, process)
        if not process.offer(message):
            process.drop(message)
        return
    runtime = _runtime_near()
    runtime.sent += 1
    context = None
    tracer = runtime.telemetry.tracer
    if tracer is not None:
        context = context_for(runtime.telemetry, "cast", target, message, None)
    runtime.dead_letters.bury(target, message, "noproc", None, None, context)


def _runtime_near() -> Runtime:
    inside: Process | None = process_var.get()
    if inside is not None:
        return inside.runtime
    return runtime_for("a cast")
