"""What processes and tools may do, with the types that a checker has to find. Nobody runs this file."""

import math
from collections.abc import Mapping
from typing import Any, Literal, assert_never, assert_type

import trio

from nursery_otp import (
    KILLED,
    Backoff,
    BroadcastResult,
    CallExited,
    CircuitBreaker,
    Crashed,
    DeadLetter,
    Delivery,
    DeliveryOptions,
    ExitReason,
    Failed,
    Killed,
    Ledger,
    Mailbox,
    MailboxStatistics,
    MessageInfo,
    Monitor,
    MonitorOptions,
    MonitorStatistics,
    Name,
    NoProc,
    Normal,
    ProcessInfo,
    Ref,
    Runtime,
    Shutdown,
    StartFailed,
    Status,
    Timer,
    TraceEvent,
    broadcast,
    current_message,
    current_ref,
    current_runtime,
    delivery_statistics,
    demonitor,
    find_leaks,
    get_state,
    get_status,
    is_normal,
    kill,
    link,
    list_monitors,
    mailbox,
    monitor,
    monitor_stats,
    monitored,
    open_supervisor,
    process_info,
    register,
    replace_state,
    resume,
    send,
    send_after,
    send_exit,
    send_interval,
    send_nowait,
    set_breaker,
    shutdown_scope,
    spawn_monitor,
    start_monitor,
    stop,
    stop_nowait,
    suspend,
    trace,
    trap_exits,
    unlink,
    unregister,
    whereis,
)
from tests.typing.accepted import COUNTER, Counter


async def system(ref: Ref[Counter]) -> None:
    """System requests know the server's class."""
    assert_type(await get_state(ref), Counter)
    assert_type(await get_state(COUNTER, within=1), Counter)
    assert_type(await replace_state(ref, lambda counter: Counter(counter.value)), Counter)
    assert_type(await get_status(ref), Status)
    await suspend(ref)
    await resume(ref, within=math.inf)

    def sink(event: TraceEvent) -> None:
        print(event.kind)

    await trace(ref, sink)
    await trace(ref, None)


def watched(ref: Ref[Counter]) -> int:
    """A block that watches does not swallow exceptions: nothing is missing after it."""
    with monitored(ref, tag=("any", 1)) as watch:
        assert_type(watch, Monitor)
        return 1


async def watching(ref: Ref[Counter]) -> None:
    """Options and tags, wherever there is a monitor."""
    open_supervisor(monitors=MonitorOptions(leak_after=math.inf, stacks=True))
    assert_type(await start_monitor(Counter, 1, tag="x"), tuple[Ref[Counter], Monitor])
    assert_type(spawn_monitor(trio.sleep, 1, tag=None), tuple[Ref[Any], Monitor])
    with monitored(COUNTER):
        pass


async def delivering(ref: Ref[Counter]) -> None:
    """Supervised sends, and what they tell."""
    assert_type(await send(COUNTER, "x"), Delivery)
    delivery = await send(
        ref,
        Counter.add.message(1),
        retries=3,
        backoff=Backoff(initial=1.0),
        on_error="dead_letter",
        confirm="handled",
        metadata={"order": 7},
        within=2.5,
        correlation_id="c",
        idempotency_key="k",
    )
    assert_type(delivery.error, Exception | None)
    assert_type(delivery.letter, DeadLetter | None)
    result = await broadcast([ref, COUNTER], "x", strategy="all_or_nothing")
    assert_type(result, BroadcastResult)
    assert_type(result.failures, tuple[tuple[Any, Exception], ...])
    assert_type(current_message(), MessageInfo | None)
    assert_type(delivery_statistics().failed, Mapping[str, int])
    set_breaker(COUNTER, CircuitBreaker(failures=3, buffer=math.inf))
    set_breaker(ref, None)
    open_supervisor(delivery=DeliveryOptions(breaker=CircuitBreaker()))


async def processes(ref: Ref[Counter]) -> None:
    """What a process can do."""
    assert_type(current_ref(), Ref[Any])
    assert_type(mailbox(), Mailbox)
    assert_type(mailbox().statistics(), MailboxStatistics)
    async for message in mailbox():
        send_nowait(ref, message)
    watch = monitor(ref)
    assert_type(watch, Monitor)
    assert_type(demonitor(watch), bool)
    assert_type(monitor(ref, tag=("any", "hashable")).age, float)
    assert_type((watch.call_site, watch.created_at, watch.active), tuple[str, float, bool])
    assert_type(watch.stack, tuple[str, ...] | None)
    assert_type(list_monitors(tag="db", owner=ref, target=Name[Any]("x"), older_than=5), tuple[Monitor, ...])
    assert_type(list_monitors(tag=None), tuple[Monitor, ...])
    assert_type(find_leaks(), tuple[Monitor, ...])
    assert_type(find_leaks(older_than=300), tuple[Monitor, ...])
    assert_type(monitor_stats(), MonitorStatistics)
    assert_type(monitor_stats().leaks, int)
    assert_type(trap_exits(), bool)
    link(ref)
    unlink(ref)
    assert_type(process_info(ref), ProcessInfo)
    with shutdown_scope() as scope:
        assert_type(scope, trio.CancelScope)
    await delivering(ref)
    assert_type(send_after(1, ref, "x"), Timer)
    assert_type(send_interval(1, COUNTER, "x").cancel(), bool)
    send_exit(ref, "reason")
    kill(COUNTER)
    await stop(ref, drain=True)
    stop_nowait(ref, KILLED)
    assert_type(await ref.wait(), ExitReason)
    assert_type(ref.exit_reason, ExitReason | None)
    assert_type(whereis(COUNTER), Ref[Counter] | None)
    register(COUNTER, ref)
    unregister(COUNTER)
    assert_type(current_runtime(), Runtime)
    assert_type(current_runtime().ledger(), Ledger)


def reasons(reason: ExitReason, error: CallExited | StartFailed) -> Literal["done"]:
    """A match over the reasons is complete."""
    assert_type(error.reason, ExitReason)
    assert_type(is_normal(reason), bool)
    match reason:
        case Normal() | Killed() | NoProc():
            pass
        case Shutdown(detail):
            assert_type(detail, object)
        case Crashed(cause):
            assert_type(cause, BaseException)
        case Failed(detail):
            assert_type(detail, object)
        case _:
            assert_never(reason)
    return "done"
