"""Runs a program on virtual time and proves that it ends and that nothing is left of it.

A program that waits for something that never comes is caught by a deadline on the virtual clock, one that runs in
circles by a limit of scheduler steps, one that blocks the loop by an alarm on the wall clock. The first two fail with a
picture of the tasks, also when every task of the program is shielded.
"""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import trio
from trio._core import _run
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp import Runtime, SupervisorHandle, current_runtime, open_supervisor, process_info
from tests.conformance.guard import alarm, silence

VIRTUAL_LIMIT = 1e6
STEP_LIMIT = 1_000_000


class Hung(AssertionError):
    """The program does not come to an end."""


class Steps(trio.abc.Instrument):
    """Counts the steps of the scheduler and may do something after one of them."""

    def __init__(self, at: int = 0, action: Callable[[], object] = lambda: None, *, limit: int = STEP_LIMIT) -> None:
        self.count = 0
        self._at = at
        self._action = action
        self._limit = limit
        self.clock: MockClock | None = None

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1
        if self.count == self._at:
            self._action()
        if self.count == self._limit and self.clock is not None:
            self.clock.jump(VIRTUAL_LIMIT)  # sets the watchdog off


def run_program(
    program: Callable[..., Awaitable[Any]],
    *args: Any,
    seed: int = 0,
    steps: Steps | None = None,
    patience: float = 30.0,
) -> Any:
    """The result of an async function, run on virtual time with a reproducible schedule."""
    clock = MockClock(autojump_threshold=0)
    counter = Steps() if steps is None else steps
    counter.clock = clock
    try:
        with alarm(patience), silence(), _reproducible(seed):
            return trio.run(_watched, program, args, clock=clock, instruments=[counter])
    except trio.TrioInternalError as error:
        if not isinstance(error.__cause__, Hung):
            raise
        verdict = str(error.__cause__)
    _sweep_up()
    raise Hung(verdict)


def _sweep_up() -> None:
    """The tasks of a run that was broken off complain when they are collected; let them do so where nobody listens."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _complaint: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = hook


async def _watched(program: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> Any:
    trio.lowlevel.spawn_system_task(_watch)
    await wait_all_tasks_blocked()
    before = tasks()
    result = await program(*args)
    await wait_all_tasks_blocked()
    assert before == tasks(), picture()
    return result


async def _watch() -> None:
    with trio.CancelScope(deadline=VIRTUAL_LIMIT / 2) as scope:

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            if not scope.cancel_called:
                return trio.lowlevel.Abort.SUCCEEDED
            # In the middle of the scheduler, which gives up: the program may have shielded everything else.
            raise Hung(f"the program hangs:\n{picture()}")

        await trio.lowlevel.wait_task_rescheduled(abort)


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """One seed, one schedule; different seeds try different orders of the tasks that are ready."""
    before = _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING
    _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING = random.Random(seed), True
    try:
        yield
    finally:
        _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING = before


def tasks(root: trio.lowlevel.Task | None = None) -> set[trio.lowlevel.Task]:
    """All tasks of this run."""
    found: set[trio.lowlevel.Task] = set()
    pending = [root or trio.lowlevel.current_root_task()]
    while pending:
        task = pending.pop()
        if task is not None:
            found.add(task)
            pending += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


def picture() -> str:
    """Every task with the line of Python that it is at."""
    return "\n".join(sorted(f"  {task.name}: {_line(task)}" for task in tasks()))


def _line(task: trio.lowlevel.Task) -> str:
    lines = [f"{frame.f_code.co_filename.rpartition('/')[2]}:{line}" for frame, line in task.iter_await_frames()]
    return " > ".join(lines[-4:])


class Tree:
    """`open_supervisor`, of which nothing may be left when the block is over; shut down at its end by default."""

    def __init__(self, children: Any = (), *, shutdown: bool = True, **options: Any) -> None:
        self._tree = open_supervisor(children, **options)
        self._shutdown = shutdown

    async def __aenter__(self) -> SupervisorHandle:
        try:
            self.supervisor = await self._tree.__aenter__()
        except BaseException:
            assert_nothing_left(self._tree._runtime)
            raise
        return self.supervisor

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if kind is None and self._shutdown:
            self.supervisor.shutdown()
        try:
            return await self._tree.__aexit__(kind, error, traceback)
        finally:
            assert_nothing_left(self._tree._runtime)


def assert_nothing_left(runtime: Runtime) -> None:
    """The tree is over: no process, name, monitor, link, timer or alarm, and every message is accounted for."""
    runtime.check_empty()
    assert [] == runtime.alarms.armed()
    assert_balanced(runtime)
    assert 0 == runtime.ledger().queued


def assert_balanced(runtime: Runtime) -> None:
    """The conservation law."""
    ledger = runtime.ledger()
    assert ledger.balanced, ledger


async def assert_sound() -> None:
    """At a quiet moment the law of conservation holds, and the tables of links, monitors and names agree."""
    await wait_all_tasks_blocked()
    runtime = current_runtime()
    assert_balanced(runtime)
    for ref in runtime.processes():
        known = process_info(ref)
        for peer in known.links:
            assert ref in process_info(peer).links, (ref, peer)
        for watch in known.monitors:
            assert watch.active, watch
            assert ref in process_info(watch.ref).monitored_by, watch
        for owner in known.monitored_by:
            assert any(watch.ref is ref for watch in process_info(owner).monitors), (owner, ref)
    for text, ref in runtime.names().items():
        assert ref is None or (ref.alive and text == ref.name.text), (text, ref)
