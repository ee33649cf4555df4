"""Which runtime and which process the running code belongs to: the only ambient state, inherited by child tasks."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

import trio

from nursery_otp.errors import NoRuntime, NotInProcess

if TYPE_CHECKING:
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.runtime import Runtime

runtime_var: ContextVar[Runtime] = ContextVar("nursery_otp.runtime")
process_var: ContextVar[Process | None] = ContextVar("nursery_otp.process", default=None)


def current_runtime() -> Runtime:
    """The runtime of the supervision tree that this code runs in; `NoRuntime` outside of one."""
    runtime = runtime_var.get(None)
    if runtime is None:
        raise NoRuntime("current_runtime()")
    return runtime


def runtime_for(wanted: str) -> Runtime:
    """The same, for a function whose name belongs into the error."""
    runtime = runtime_var.get(None)
    if runtime is None:
        raise NoRuntime(wanted)
    return runtime


def process_for(function: str) -> Process:
    """The current process, for a function that is about it; `NotInProcess` outside of one."""
    process = process_var.get()
    if process is None or process.reason is not None:
        raise NotInProcess(function)
    return process


def process_of_task() -> Process | None:
    """The current process, if the running task is its main task: only then does it wait when the task does."""
    process = process_var.get()
    if process is None or process.task is not trio.lowlevel.current_task():
        return None
    return process
