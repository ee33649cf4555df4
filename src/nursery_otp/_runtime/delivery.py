"""Supervised delivery: attempts, retries, and what becomes of a message that could not be delivered.

`sending.send` does itself what needs none of this; everything else is an `Errand`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import trio

from nursery_otp._policy.delivery import (
    DELIVERED,
    HANDLED,
    Delivery,
    DeliveryStatistics,
    SendOptions,
    checked_metadata,
    checked_word,
)
from nursery_otp._policy.exits import safe_repr
from nursery_otp._runtime import log
from nursery_otp._runtime.breakers import Breakers, logical
from nursery_otp._runtime.calls import runtime_of
from nursery_otp._runtime.context import runtime_for
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Envelope, Message, MessageInfo
from nursery_otp._runtime.parcels import SEND, Parcel
from nursery_otp._runtime.refs import Name, Ref, check_address, find, referred
from nursery_otp._runtime.tracing import Producing, TraceContext
from nursery_otp.errors import CircuitOpen, Deadlock, DeliveryTimeout, MailboxFull, NoProcess, ProcessDown

if TYPE_CHECKING:
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.runtime import Runtime
    from nursery_otp._runtime.telemetry import SpanEmitter, Telemetry

FAILURES = (NoProcess, ProcessDown, MailboxFull, DeliveryTimeout, CircuitOpen, Deadlock)
"""What a send can fail with. Any other error is one of the program, and is raised whatever `on_error` says."""


class DeliveryCounts:
    """What has become of the sends of a runtime."""

    __slots__ = ("cancelled", "dead_lettered", "delivered", "failed", "ignored", "logged", "reported", "retried")

    def __init__(self) -> None:
        self.delivered = self.cancelled = self.retried = 0
        self.reported = self.dead_lettered = self.logged = self.ignored = 0
        self.failed: Counter[str] = Counter()

    def failure(self, error: Exception) -> None:
        """A send has failed with this error."""
        self.failed[type(error).__name__] += 1

    def told(self, error: Exception | None) -> None:
        """A send is over, and its sender knows how it went."""
        if error is None:
            self.delivered += 1
        else:
            self.failure(error)
            self.reported += 1

    def statistics(self, breakers: Breakers) -> DeliveryStatistics:
        """A snapshot."""
        return DeliveryStatistics(
            delivered=self.delivered,
            cancelled=self.cancelled,
            failed=dict(self.failed),
            reported=self.reported,
            dead_lettered=self.dead_lettered,
            logged=self.logged,
            ignored=self.ignored,
            retried=self.retried,
            buffered=breakers.waited,
            waiting=breakers.waiting,
            breakers=breakers.not_closed(),
        )


def may_pass(error: Exception, recipient: object) -> bool:
    """Whether another attempt might go better, and would not do the work twice."""
    if isinstance(error, DeliveryTimeout):
        return not error.handling
    if isinstance(error, NoProcess | ProcessDown):
        return not isinstance(recipient, Ref)  # one incarnation, which will not come back
    return isinstance(error, MailboxFull | CircuitOpen)


def type_of(message: object) -> str:
    """What kind of message it is, for people: the operation, or the type."""
    return message.operation if isinstance(message, Message) else type(message).__name__


def end_span(span: SendSpan | None, error: BaseException | None) -> None:
    """The end of what `begin_span` began."""
    if span is not None:
        span.end(error)


def if_any(info: MessageInfo) -> MessageInfo | None:
    """What the sender says about a message, if he says anything."""
    return info if info.metadata or info.correlation_id or info.idempotency_key else None


@protected
class SendSpan:
    """The telemetry of one send that somebody listens to, and its part in a trace."""

    __slots__ = ("_began", "_emitter", "_metadata", "_producing")

    def __init__(
        self,
        emitter: SpanEmitter,
        telemetry: Telemetry,
        recipient: object,
        message: object,
        correlation_id: str | None,
    ) -> None:
        self._emitter = emitter
        process = find(recipient) if isinstance(recipient, Ref | Name) else None
        self._producing = Producing(telemetry, "send", recipient, message, process, correlation_id=correlation_id)
        self._metadata = {"recipient": recipient, "message_type": type_of(message)}
        self._began = emitter.start(self._metadata)

    @property
    def context(self) -> TraceContext | None:
        """What the message carries."""
        return self._producing.carried

    def end(self, error: BaseException | None) -> None:
        """It is over, one way or the other."""
        self._producing.over(error)
        if error is None:
            self._emitter.stop(self._began, self._metadata, "delivered")
        else:
            result = "cancelled" if isinstance(error, trio.Cancelled) else "error"
            self._emitter.exception(self._began, self._metadata, error, result)


@protected
def begin_span(
    runtime: Runtime, recipient: object, message: object, correlation_id: str | None = None
) -> SendSpan | None:
    """A span for a send, if anybody listens or traces."""
    span = runtime.telemetry.send
    if span is not None:
        return SendSpan(span, runtime.telemetry, recipient, message, correlation_id)
    return None


def context_of(span: SendSpan | None) -> TraceContext | None:
    """What a message carries that is sent under this span."""
    return None if span is None else span.context


@protected
class Errand:
    """One supervised send, from the first attempt to whatever it comes to."""

    __slots__ = ("_context", "_found", "_handled", "_info", "_message", "_options", "_recipient", "_runtime")

    def __init__(
        self,
        recipient: Any,
        message: object,
        options: SendOptions,
        *,
        metadata: object = None,
        correlation_id: str | None = None,
        idempotency_key: str | None = None,
        found: Process | None = None,
    ) -> None:
        check_address(recipient)
        checked_word("correlation_id", correlation_id)
        checked_word("idempotency_key", idempotency_key)
        self._recipient = recipient
        self._message = message
        self._options = options
        if found is None and not isinstance(recipient, Name):
            found = find(recipient)
        self._found = found  # what there is to look up is looked up once for each attempt
        self._runtime = runtime_of(recipient, SEND) if found is None else found.runtime
        self._info = MessageInfo(checked_metadata(metadata), correlation_id, idempotency_key)
        self._context: TraceContext | None = None
        self._handled: Parcel | None = None  # though nobody waits for that any more

    async def run(self) -> Delivery:
        """Deliver the message; raises only what `on_error` lets through."""
        await trio.lowlevel.checkpoint_if_cancelled()  # then it has not begun, and nobody has to be told
        span = begin_span(self._runtime, self._recipient, self._message, self._info.correlation_id)
        if span is None:
            return await self._run()
        self._context = span.context
        try:
            delivery = await self._run()
        except BaseException as error:
            span.end(error)
            raise
        span.end(delivery.error)
        return delivery

    async def _run(self) -> Delivery:
        try:
            return await self._attempts()
        except trio.Cancelled:
            self._runtime.delivery_counts.cancelled += 1
            raise

    async def _attempts(self) -> Delivery:
        runtime, options = self._runtime, self._options
        attempt = 1
        while True:
            error = await self._attempt(attempt)
            if error is None:
                runtime.delivery_counts.delivered += 1
                return DELIVERED if attempt == 1 else Delivery(True, attempt)
            delay = options.delay(attempt, may_pass=may_pass(error, self._recipient), chance=runtime.random.random())
            if delay is None:
                try:
                    return await self._failed(error, attempt)
                finally:
                    del error  # its traceback refers to this frame, and only the collector undoes a cycle
            emit = runtime.telemetry.send_retried
            if emit is not None:
                emit({"attempt": attempt + 1, "delay": delay}, {"recipient": self._recipient, "error": error})
            await trio.sleep(delay)
            runtime.delivery_counts.retried += 1
            attempt += 1

    async def _attempt(self, attempt: int) -> Exception | None:
        info = self._info_for(attempt)
        confirmed = self._options.confirm == HANDLED
        if not confirmed and not self._runtime.breakers.in_use and isinstance(self._recipient, Ref | Name):
            await trio.lowlevel.checkpoint_if_cancelled()
            process = find(self._recipient)
            bare = info is None and self._context is None
            item = self._message if bare else Envelope(self._message, self._context, info)
            if process is not None and process.mailbox.direct and process.offer(item):
                await trio.lowlevel.cancel_shielded_checkpoint()
                return None
        limit, found, self._found = self._options.within, self._found, None
        if limit is None:
            limit = self._runtime.limits.of_send(self._recipient)
        parcel = Parcel(self._recipient, self._message, info, confirmed=confirmed, context=self._context, hint=found)
        error = await parcel.deliver(limit)
        if isinstance(error, DeliveryTimeout) and error.handling:
            self._handled = parcel
        return error

    def _info_for(self, attempt: int) -> MessageInfo | None:
        """What the handler shall see, if there is anything to see."""
        info = self._info
        if attempt > 1:
            return MessageInfo(info.metadata, info.correlation_id, info.idempotency_key, attempt)
        return if_any(info)

    # ---------------------------------------------------------------------------- it could not be done

    async def _failed(self, error: Exception, attempts: int) -> Delivery:
        counts, on_error = self._runtime.delivery_counts, self._options.on_error
        if on_error == "raise" or not isinstance(error, FAILURES):
            counts.told(error)
            if attempts > 1:
                error.add_note(f"after {attempts} attempts")
            try:
                raise error
            finally:
                del error
        if on_error == "dead_letter":
            return await self._bury(error, attempts)
        counts.failure(error)
        if on_error == "log":
            counts.logged += 1
            self._log("send_failed", error, attempts)
        else:
            counts.ignored += 1
        self._runtime.sent += 1
        self._runtime.count_dropped("send: given up")
        return Delivery(False, attempts, error)

    async def _bury(self, error: Exception, attempts: int) -> Delivery:
        runtime, said = self._runtime, self._info
        queue, counts = runtime.dead_letters, runtime.delivery_counts
        parcel = self._handled
        if parcel is not None and parcel.done and parcel.failure() is None:
            counts.delivered += 1  # it was handled while this task was waking up
            return Delivery(True, attempts)
        info = MessageInfo(said.metadata, said.correlation_id, said.idempotency_key, attempts)
        recipient, reason = logical(self._recipient), f"send: {type(error).__name__}"
        ended = referred(error.ref) if isinstance(error, ProcessDown) else None
        number = queue.put(ended, recipient, self._message, reason, info, str(error), self._context)
        if parcel is not None:
            queue.retrying.hold(number, parcel)
        letter = await queue.kept(number)
        counts.failure(error)
        counts.dead_lettered += 1
        self._log("send_dead_lettered", error, attempts, letter=letter.id)
        return Delivery(False, attempts, error, letter)

    def _log(self, event: str, error: Exception, attempts: int, **more: Any) -> None:
        recipient, kind = safe_repr(self._recipient), type_of(self._message)
        log.write("warning", event, recipient=recipient, message_type=kind, error=str(error), attempts=attempts, **more)


def delivery_statistics() -> DeliveryStatistics:
    """What has become of all supervised sends in the tree that this code runs in; `NoRuntime` outside of one.

    >>> async def main() -> None:
    ...     async with open_supervisor() as supervisor:
    ...         counter = await supervisor.start(Counter, 10)
    ...         await send(counter, "hello")
    ...         await send(Name("nobody"), "hello", on_error="ignore")
    ...         print(delivery_statistics().delivered, delivery_statistics().failed)
    ...         supervisor.shutdown()
    >>> trio.run(main)
    1 {'NoProcess': 1}
    """
    runtime = runtime_for("delivery_statistics()")
    return runtime.delivery_counts.statistics(runtime.breakers)


# ---------------------------------------------------------------------------------------- once more


@protected
async def redeliver(parcel: Parcel, *, original: TraceContext | None = None) -> None:
    """Send a letter once more: returns when it has been handled, else raises why not. Nothing else comes of it.

    The failures are those of `send`; the limit is that of the recipient's sends. `original` is the context that the
    message carried the first time.
    """
    recipient, info = parcel.address, parcel.info
    limit, telemetry = parcel.runtime.limits.of_send(recipient), parcel.runtime.telemetry
    with Producing(
        telemetry,
        "retry",
        recipient,
        parcel.message,
        parcel.receiver,
        original=original,
        correlation_id=None if info is None else info.correlation_id,
    ) as producing:
        parcel.context = producing.carried
        error = await parcel.deliver(limit)
        if error is not None:
            raise error
