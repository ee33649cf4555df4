"""An exception of whatever kind in whatever code of the user: a crash stays inside, and what is no crash gets out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import trio

from nursery_otp import (
    CallExited,
    Continue,
    Crashed,
    GenServer,
    Idle,
    IdleTimeout,
    OTPError,
    StartFailed,
    Supervisor,
    SupervisorEnded,
    call,
    cast,
    child,
    current_runtime,
    get_state,
    get_status,
    replace_state,
    send_nowait,
    shutdown_scope,
    start,
    stop,
    trace,
)
from tests.integration.laboratory import Tree, run_program


class Custom(BaseException):
    """Not an Exception, and nobody's business."""


def _cancelled() -> BaseException:
    return trio.Cancelled._create(source="explicit")


ERRORS = [
    ValueError,
    RecursionError,
    MemoryError,
    trio.TooSlowError,
    trio.WouldBlock,
    StopAsyncIteration,
    lambda: ExceptionGroup("several", [ValueError(), KeyError()]),
    lambda: OTPError("of the framework's own"),
]
NOT_ERRORS = [
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    asyncio.CancelledError,
    Custom,
    lambda: BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError()]),
]
DIARY: list[str] = []


class Subject(GenServer):
    """Raises `make()` in the callback `where`."""

    def __init__(self, where: str, make: Any) -> None:
        self.where = where
        self.make = make
        self.fail_in("__init__")

    def fail_in(self, where: str) -> None:
        if self.where == where:
            raise self.make()

    async def init(self) -> Any:
        self.fail_in("init")
        return {"first continue": Continue(None), "idle": Idle(0.5)}.get(self.where)

    @call
    def ask(self) -> None:
        self.fail_in("call")

    @call
    async def ask_slowly(self) -> None:
        await trio.sleep(0.1)
        self.fail_in("async call")

    @call
    async def ask_many(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 1)
            self.fail_in("nursery of a call")

    @cast
    def tell(self) -> None:
        self.fail_in("cast")

    @cast
    def go_on(self) -> Continue:
        return Continue(None)

    def handle_info(self, message: object) -> None:
        self.fail_in("idle" if isinstance(message, IdleTimeout) else "info")

    def handle_continue(self, argument: object) -> None:
        self.fail_in("continue")
        self.fail_in("first continue")

    def terminate(self, reason: object) -> None:
        self.fail_in("terminate")

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        self.fail_in("format_status")
        return status

    def __copy__(self) -> Subject:
        self.fail_in("copy")
        return self


class Witness(GenServer):
    """Must not be harmed by the crash of another, and must be stopped in order."""

    @call
    def alive(self) -> bool:
        return True

    async def terminate(self, reason: object) -> None:
        await trio.sleep(0.1)
        DIARY.append(f"stopped: {reason}")


class Root(Supervisor):
    """A supervisor that fails itself."""

    def __init__(self, where: str, make: Any) -> None:
        self._where, self._make = where, make
        self._fail("__init__")

    def _fail(self, where: str) -> None:
        if self._where == where:
            raise self._make()

    def flags(self) -> Any:
        self._fail("flags")
        return super().flags()

    def children(self) -> Any:
        self._fail("children")
        yield child(Witness, id="never")
        self._fail("second child")


async def function(where: str, make: Any, *, task_status: trio.TaskStatus[None]) -> None:
    if where == "before started":
        raise make()
    task_status.started()
    if where == "after started":
        raise make()
    try:
        with shutdown_scope():
            await trio.sleep_forever()
    finally:
        if where == "clean-up":
            raise make()


async def provoke(where: str, ref: Any) -> None:
    """Have the callback called."""
    match where:
        case "call":
            await Subject.ask(ref)
        case "async call":
            await Subject.ask_slowly(ref)
        case "nursery of a call":
            await Subject.ask_many(ref)
        case "cast":
            Subject.tell(ref)
        case "info":
            send_nowait(ref, "something")
        case "continue":
            Subject.go_on(ref)
        case "terminate" | "clean-up":
            await stop(ref)


IN_START = ["__init__", "init"]
IN_SERVER = [
    *("call", "async call", "nursery of a call", "cast", "info", "idle", "continue", "first continue", "terminate"),
]
IN_FUNCTION = ["after started", "clean-up"]
IN_SUPERVISOR = ["__init__", "flags", "children", "second child"]


async def _stage(act: Any) -> None:
    DIARY.clear()
    async with Tree([child(Witness, id="witness")]) as supervisor:
        await act(supervisor)
        await trio.sleep(5)
        (witness,) = [info.ref for info in await supervisor.which_children() if info.id == "witness"]
        assert await Witness.alive(witness)


async def _crash(where: str, make: Any) -> Any:
    """The reason of the one that crashed."""
    reasons = []

    async def act(supervisor: Any) -> None:
        factory = Subject if where in IN_SERVER else function
        ref = await supervisor.start(factory, where, make, restart="temporary")
        try:
            await provoke(where, ref)
        except CallExited:
            pass
        reasons.append(await ref.wait())

    await _stage(act)
    return reasons[0]


@pytest.mark.parametrize("make", ERRORS)
@pytest.mark.parametrize("where", IN_SERVER + IN_FUNCTION)
def test_error(where, make):
    """An exception is the end of its process, as data, and of nobody else."""
    reason = run_program(_crash, where, make)
    assert isinstance(reason, Crashed)
    assert str(make()) in str(reason.error) or isinstance(reason.error, ExceptionGroup)


@pytest.mark.parametrize("make", NOT_ERRORS)
@pytest.mark.parametrize("where", IN_SERVER + IN_FUNCTION)
def test_not_an_error(where, make):
    """What is not an Exception stops the tree in order, and leaves it as itself."""
    with pytest.raises(BaseException) as caught:
        run_program(_crash, where, make)
    assert _kinds(make()) == _kinds(caught.value) - {ExceptionGroup, ValueError} | (_kinds(make()) & {ValueError})
    assert ["stopped: shutdown"] == [line.partition("(")[0] for line in DIARY]


def _kinds(error: BaseException) -> set[type]:
    if isinstance(error, BaseExceptionGroup):
        return set().union(*map(_kinds, error.exceptions))
    return {type(error)}


async def _start(factory: Any, where: str, make: Any, how: str) -> None:
    async def act(supervisor: Any) -> None:
        starting = supervisor.start if how == "supervised" else start
        with pytest.raises(StartFailed) as caught:
            await starting(factory, where, make)
        assert isinstance(caught.value.__cause__, type(make())), caught.value

    await _stage(act)


STARTS = [
    *((Subject, where) for where in IN_START),
    *((Root, where) for where in IN_SUPERVISOR),
    (function, "before started"),
]


@pytest.mark.parametrize("how", ["supervised", "alone"])
@pytest.mark.parametrize("make", ERRORS[:4])
@pytest.mark.parametrize(("factory", "where"), STARTS)
def test_error_at_start(factory, where, make, how):
    """An exception while a process starts is the failure of that start, with the exception as its cause."""
    run_program(_start, factory, where, make, how)


@pytest.mark.parametrize("how", ["supervised", "alone"])
@pytest.mark.parametrize("make", NOT_ERRORS)
@pytest.mark.parametrize(("factory", "where"), STARTS)
def test_not_an_error_at_start(factory, where, make, how):
    """What is not an Exception leaves the tree also while a process starts."""
    with pytest.raises(BaseException) as caught:
        run_program(_start, factory, where, make, how)
    assert _kinds(make()) <= _kinds(caught.value)
    assert DIARY == ["stopped: shutdown"]


@pytest.mark.parametrize("where", [where for where in IN_SERVER + IN_FUNCTION if "nursery" not in where])
def test_cancelled_made_by_hand(where):
    """A `Cancelled` that no scope has sent may end more than its process, but nothing hangs and nothing is left."""
    try:
        run_program(_crash, where, _cancelled)
    except (SupervisorEnded, trio.Cancelled):
        pass


@pytest.mark.parametrize("make", ERRORS)
@pytest.mark.parametrize("where", ["format_status", "copy", "replace", "sink"])
def test_error_of_the_one_who_asked(where, make):
    """An exception in what a system request runs belongs to the one who asked; the server does not even notice."""

    def fail(*_args: object) -> Any:
        raise make()

    async def program() -> None:
        async def act(supervisor: Any) -> None:
            ref = await supervisor.start(Subject, where, make)
            if where == "sink":
                await trace(ref, fail)
            else:
                asking = {"copy": get_state, "format_status": get_status}.get(where)
                with pytest.raises(type(make())):
                    await (asking(ref) if asking is not None else replace_state(ref, fail))
            await Subject.ask(ref)
            await Subject.ask(ref)
            assert ref.alive

        await _stage(act)

    run_program(program)


def test_error_in_an_exit_hook():
    """A hook that raises is the fault of whoever set it; the process ends all the same, and so does the tree."""

    def hook(_ref: Any, _reason: Any) -> None:
        raise ValueError("hook")

    async def program() -> None:
        async with Tree([child(Witness)]):
            current_runtime().on_exit(hook)

    try:
        run_program(program)
    except* ValueError:
        pass
