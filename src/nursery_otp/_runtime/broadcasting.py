"""One message for many: a parcel for each of them, all under way at once, without a task for each.

For the strategy that delivers to all or to nobody see `two_phases`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import trio

from nursery_otp._policy import checks
from nursery_otp._policy.delivery import (
    DELIVERED,
    ENQUEUED,
    HANDLED,
    STRATEGIES,
    BroadcastResult,
    Confirm,
    Delivery,
    SendOptions,
    Strategy,
    checked_metadata,
    checked_word,
)
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._runtime.calls import runtime_of
from nursery_otp._runtime.context import process_of_task
from nursery_otp._runtime.delivery import SendSpan, begin_span, context_of, end_span, if_any
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Envelope, MessageInfo
from nursery_otp._runtime.parcels import Parcel
from nursery_otp._runtime.refs import Address, Name, Ref, check_address, find
from nursery_otp._runtime.searching import BATCH, Order
from nursery_otp._runtime.two_phases import all_or_nothing
from nursery_otp.errors import BroadcastFailed


@protected
async def broadcast(
    recipients: Iterable[Address[Any]],
    message: object,
    *,
    strategy: Strategy = "best_effort",
    confirm: Confirm = "enqueued",
    metadata: Mapping[str, Any] | None = None,
    within: float | None = None,
    correlation_id: str | None = None,
    idempotency_key: str | None = None,
) -> BroadcastResult:
    """Deliver a message to several recipients at once, each within the limit of its sends (or `within` seconds).

    `strategy` is what is promised:

    - "best_effort": everybody who can get the message gets it; the result tells who did not, and why.
    - "at_least_one": the same, but `BroadcastFailed` if nobody got it.
    - "all_or_nothing": everybody has the message when this returns. Otherwise nobody ever gets it, and
      `BroadcastFailed` tells who was in the way; whether that is an end, a limit or a cancellation.

    "all_or_nothing" first books room with everybody, and waits for it where the policy of the mailbox is "block". A
    full mailbox with "reject", "drop_newest" or "crash" is in the way; one with "drop_oldest" never is. It can promise
    that all have the message, but not that all handle it, so that it cannot be combined with `confirm="handled"`.

    The other options and failures are those of `send`. An address that is given twice gets the message twice.
    Cancelled: nobody who has not got the message yet gets it.

    >>> async def main() -> None:
    ...     async with open_supervisor() as supervisor:
    ...         counters = [await supervisor.start(Counter, 10) for _ in range(3)]
    ...         result = await broadcast(counters, Counter.add.message(1), strategy="all_or_nothing")
    ...         print(len(result.delivered))
    ...         supervisor.shutdown()
    >>> trio.run(main)
    3
    """
    checks.one_of("strategy", strategy, STRATEGIES)
    options = SendOptions(confirm=confirm, within=within)
    checked_word("correlation_id", correlation_id)
    checked_word("idempotency_key", idempotency_key)
    if strategy == "all_or_nothing" and confirm == HANDLED:
        raise InvalidSpec("confirm", confirm, "must be 'enqueued': nobody can promise that all will handle it")
    info = if_any(MessageInfo(checked_metadata(metadata), correlation_id, idempotency_key))
    order = Order(_checked(recipients, strategy), message, info, strategy, options)
    await trio.lowlevel.checkpoint_if_cancelled()
    return await (all_or_nothing(order) if strategy == "all_or_nothing" else _each_alone(order))


def _checked(recipients: object, strategy: str) -> tuple[Any, ...]:
    checks.instance("recipients", recipients, Iterable, "must be a collection of addresses")
    found = tuple(recipients) if isinstance(recipients, Iterable) else ()
    for recipient in found:
        check_address(recipient)
        runtime_of(recipient, "broadcast")
    if strategy == "at_least_one" and not found:
        raise InvalidSpec("recipients", recipients, "must not be empty, as at least one is to get the message")
    return found


# --------------------------------------------------------------------------------------- each alone


@protected
class Gathering:
    """The parcels of a broadcast, and the task that waits for them. Who can have the message at once needs none."""

    __slots__ = ("_caller", "_left", "_order", "_spans", "_task", "errors")

    def __init__(self, order: Order) -> None:
        self._caller = process_of_task()
        self._left = 0
        self._order = order
        self._spans: dict[Parcel, tuple[int, SendSpan | None]] = {}
        self._task: trio.lowlevel.Task | None = None
        self.errors: list[Exception | None] = [None] * len(order.recipients)

    async def run(self) -> None:
        """Send to all, and wait until all are done. Cancelled: what has not arrived is taken back."""
        try:
            for index, recipient in enumerate(self._order.recipients):
                if index % BATCH == BATCH - 1:
                    await trio.lowlevel.checkpoint()
                self._start(index, recipient)
            if self._left > 0:
                self._task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abort)
            else:
                await trio.lowlevel.cancel_shielded_checkpoint()
        except trio.Cancelled as error:
            self._give_up(error)
            raise

    def _start(self, index: int, recipient: Any) -> None:
        order = self._order
        runtime = runtime_of(recipient, "broadcast")
        span = begin_span(runtime, recipient, order.message, order.correlation_id)
        if span is None and order.options.confirm == ENQUEUED and runtime.direct_sends and self._at_once(recipient):
            runtime.delivery_counts.delivered += 1
            return
        parcel = Parcel(recipient, order.message, order.info, confirmed=order.options.confirm == HANDLED)
        parcel.context = context_of(span)
        parcel.caller = self._caller
        parcel.listener = self._done
        self._left += 1
        self._spans[parcel] = index, span
        parcel.start(order.limit_of(parcel))

    def _at_once(self, recipient: Any) -> bool:
        process = find(recipient) if isinstance(recipient, Ref | Name) else None
        if process is None or not process.mailbox.direct:
            return False
        order = self._order
        item = order.message if order.info is None else Envelope(order.message, None, order.info)
        return process.offer(item)

    def _done(self, parcel: Any) -> None:
        index, span = self._spans[parcel]
        error = self.errors[index] = parcel.failure()
        parcel.listener = None  # or the two would keep each other
        parcel.runtime.delivery_counts.told(error)
        end_span(span, error)
        self._left -= 1
        task = self._task
        if self._left == 0 and task is not None:
            self._task = None
            trio.lowlevel.reschedule(task)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _give_up(self, error: BaseException) -> None:
        given_up = []
        # The last ones first: they may stand in line behind the others, and must not be let through now.
        for parcel, (_, span) in reversed(self._spans.items()):
            if not parcel.done:
                parcel.listener = None
                parcel.abandon()
                parcel.runtime.delivery_counts.cancelled += 1
                given_up.append(span)
        for span in reversed(given_up):
            end_span(span, error)


async def _each_alone(order: Order) -> BroadcastResult:
    gathering = Gathering(order)
    await gathering.run()
    deliveries = tuple(DELIVERED if error is None else Delivery(False, error=error) for error in gathering.errors)
    result = BroadcastResult(order.strategy, order.recipients, deliveries)
    if order.strategy == "at_least_one" and not result.delivered:
        raise BroadcastFailed(order.strategy, len(order.recipients), result.failures)
    return result
