"""What a process can ask about itself and others."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import attrs
import trio

from nursery_otp._runtime.context import process_for, process_var
from nursery_otp._runtime.crash_reports import path_of
from nursery_otp._runtime.handling import operation_of
from nursery_otp._runtime.mailbox import Mailbox
from nursery_otp._runtime.messages import Envelope, MessageInfo
from nursery_otp._runtime.monitors import Monitor
from nursery_otp._runtime.parcels import Parcel
from nursery_otp._runtime.process import Process, ProcessStatus
from nursery_otp._runtime.refs import Address, Ref, find_alive


@attrs.frozen
class ProcessInfo:
    """A snapshot of a living process. OTP: `process_info/1`.

    `waits_for` is the process that it waits for, in a call or while it starts it.
    """

    ref: Ref[Any]
    status: ProcessStatus
    links: frozenset[Ref[Any]]
    monitors: tuple[Monitor, ...]
    monitored_by: tuple[Ref[Any], ...]
    queue_length: int
    trap_exits: bool
    waits_for: Ref[Any] | None
    incarnation: int


def current_ref() -> Ref[Any]:
    """The current process. OTP: `self/0`."""
    return process_for("current_ref").ref


def mailbox() -> Mailbox:
    """The mailbox of the current process: `await mailbox().receive()`, or `async for message in mailbox()`.

    A server reads its mailbox itself; this is for plain functions, and `RuntimeError` elsewhere. OTP: `receive`.
    """
    process = process_for("mailbox")
    if process.on_stop is not None:
        raise RuntimeError(
            f"mailbox() is for plain functions: what is sent to {process.label} comes to its handlers and handle_info"
        )
    return process.mailbox


def current_message() -> MessageInfo | None:
    """What the sender said about the message that this process is handling; None if nothing was said.

    A server handles a message while its handler runs, a plain function from `receive` until it asks for the next one.
    """
    item = process_for("current_message").handling
    info = item.info if isinstance(item, Envelope | Parcel) else None
    # The metadata is also that of others, who got the same message, and of the next attempt.
    return None if info is None else attrs.evolve(info, metadata=dict(info.metadata))


def process_info(ref: Address[Any]) -> ProcessInfo:
    """What is known of a living process; `NoProcess` if it has ended."""
    process = find_alive(ref, "process_info")
    waits = process.waits_for
    return ProcessInfo(
        ref=process.ref,
        status=_status(process),
        links=frozenset(peer.ref for peer in process.links or ()),
        monitors=tuple(process.monitors or ()),
        monitored_by=tuple(watch.owner for watch in process.watchers or ()),
        queue_length=len(process.mailbox),
        trap_exits=process.trap_exits,
        waits_for=None if waits is None or waits.process is None else waits.process.ref,
        incarnation=process.incarnation,
    )


def process_context() -> dict[str, Any]:
    """What a log line should say about the process that runs this code, as plain values; empty outside of one.

    `process` is its label and number, `name` the name it is registered under, `incarnation` how often its supervisor
    has started it, `operation` what it is handling, and `supervisor` the path from the root to its supervisor; what
    there is none of is left out. All of it is looked up
    now, in the process that asks: nothing is inherited from the one that started it.

    >>> async def main() -> None:
    ...     async def worker() -> None:
    ...         print(process_context())
    ...     async with open_supervisor() as supervisor:
    ...         await supervisor.start(worker, name=Name("printer"), restart="temporary")
    >>> trio.run(main)
    {'process': 'worker#2', 'name': 'printer', 'incarnation': 1, 'supervisor': 'root'}
    """
    process: Process | None = process_var.get()
    if process is None or process.reason is not None:
        return {}
    context: dict[str, Any] = {"process": f"{process.label}#{process.pid}"}
    if process.name is not None:
        context["name"] = process.name.text
    context["incarnation"] = process.incarnation
    if process.handling is not None:
        context["operation"] = operation_of(process, process.handling)
    if process.supervisor is not None:
        context["supervisor"] = path_of(process.supervisor)
    return context


def _status(process: Process) -> ProcessStatus:
    return "waiting" if process.status == "running" and process.waits_for is not None else process.status


class shutdown_scope:  # noqa: N801 - used like trio.CancelScope(), named like a function
    """A block that a polite stop cancels; the code around it then has until its shutdown limit to clean up.

    A plain cancellation leaves no time for that: every await in a `finally` raises again. Once a process has used
    this, a polite stop no longer cancels the process as a whole. `kill` still does.

        async def worker() -> None:
            with shutdown_scope() as scope:
                await serve_forever()
            if scope.cancelled_caught:
                await say_goodbye()  # runs in full
    """

    def __init__(self) -> None:
        self._process = process_for("shutdown_scope")
        self._scope = trio.CancelScope()

    def __enter__(self) -> trio.CancelScope:
        scope = self._scope.__enter__()
        self._process.enter_stop_scope(scope)
        return scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._process.leave_stop_scope(self._scope)
        return self._scope.__exit__(kind, error, traceback)
