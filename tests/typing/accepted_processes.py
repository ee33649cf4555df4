"""What processes and tools may do, with the types that a checker has to find. Nobody runs this file."""

import math
from typing import Any, Literal, assert_never, assert_type

import trio

from nursery_otp import (
    KILLED,
    CallExited,
    Crashed,
    ExitReason,
    Failed,
    Killed,
    Ledger,
    Mailbox,
    MailboxStatistics,
    Monitor,
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
    current_ref,
    current_runtime,
    demonitor,
    get_state,
    get_status,
    is_normal,
    kill,
    link,
    mailbox,
    monitor,
    process_info,
    register,
    replace_state,
    resume,
    send,
    send_after,
    send_exit,
    send_interval,
    send_nowait,
    shutdown_scope,
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
    assert_type(trap_exits(), bool)
    link(ref)
    unlink(ref)
    assert_type(process_info(ref), ProcessInfo)
    with shutdown_scope() as scope:
        assert_type(scope, trio.CancelScope)
    await send(COUNTER, "x")
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
