"""Everything that gives an awaitable when it is called can be a process; nothing else can."""

from __future__ import annotations

import functools
import types
from typing import Any

import pytest
import trio

from nursery_otp import Normal, StartFailed, spawn, start
from tests.integration.laboratory import Tree, run_program


class Callable:
    """An object that is called."""

    async def __call__(self, report: Any) -> None:
        report("object")

    async def method(self, report: Any) -> None:
        report("method")

    @classmethod
    async def class_method(cls, report: Any) -> None:
        report("class method")

    @staticmethod
    async def static_method(report: Any) -> None:
        report("static method")


class Awaitable:
    """A class whose instances are awaited."""

    def __init__(self, report: Any) -> None:
        self.report = report

    def __await__(self) -> Any:
        yield from trio.lowlevel.checkpoint().__await__()
        self.report("awaitable")


async def function(report: Any, *, word: str = "function") -> None:
    report(word)


async def with_status(report: Any, *, task_status: trio.TaskStatus[str], word: str = "status") -> None:
    report(word)
    task_status.started(word)


@functools.wraps(function)
def wrapped(*args: Any, **options: Any) -> Any:
    return function(*args, **options)


@types.coroutine
def generator_based(report: Any) -> Any:
    yield from trio.lowlevel.checkpoint().__await__()
    report("generator")


class StatusObject:
    async def __call__(self, report: Any, task_status: trio.TaskStatus[None]) -> None:
        report("status object")
        task_status.started()


GOOD = {
    "object": Callable(),
    "method": Callable().method,
    "class method": Callable.class_method,
    "static method": Callable.static_method,
    "awaitable": Awaitable,
    "function": function,
    "partial": functools.partial(function, word="partial"),
    "partial of partial": functools.partial(functools.partial(function, word="x"), word="partial of partial"),
    "lambda": lambda report: function(report, word="lambda"),
    "generator": generator_based,
    "status": with_status,
    "partial status": functools.partial(with_status, word="partial status"),
    "status object": StatusObject(),
    "wrapped": functools.partial(wrapped, word="wrapped"),
}


@pytest.mark.parametrize("word", GOOD)
def test_callable(word):
    """Whatever gives an awaitable when it is called can be a process, however it is started."""

    async def program():
        reports: list[str] = []
        async with Tree() as supervisor:
            for starting in (start, functools.partial(supervisor.start, restart="temporary")):
                ref = await starting(GOOD[word], reports.append)
                assert Normal() == await ref.wait()
                assert repr(ref)
            assert Normal() == await spawn(GOOD[word], reports.append).wait()
        assert [word] * 3 == reports

    run_program(program)


async def async_generator(report: Any) -> Any:
    yield report


def generator(report: Any) -> Any:
    yield report


BAD = {
    "plain function": lambda report: None,
    "generator": generator,
    "async generator": async_generator,
    "builtin": len,
    "class": list,
    "wrong arguments": functools.partial(function, 1, 2),
}


@pytest.mark.parametrize("word", BAD)
def test_wrong_callable(word):
    """What gives no awaitable, or cannot be called like that, is a failed start with a TypeError that says so."""

    async def program():
        async with Tree() as supervisor:
            with pytest.raises(StartFailed) as caught:
                await supervisor.start(BAD[word], [], restart="temporary")
            assert isinstance(caught.value.__cause__, TypeError)

    run_program(program)
