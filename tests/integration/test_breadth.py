"""Supervisors with very many children, and what the thousandth costs."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from nursery_otp import Name, child, current_runtime, link, mailbox, send_nowait, spawn, trap_exits
from tests.integration.laboratory import Tree, assert_sound, run_program

PACKAGE = "nursery_otp"


async def idle() -> None:
    await trio.sleep_forever()


async def brief() -> None:
    await trio.sleep(1)


def lines_of(program: Callable[[int], Awaitable[Any]], size: int) -> int:
    """How many lines of the package this program executes: what it costs, whatever the machine is busy with."""
    count = 0

    def on_line(_frame: Any, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return on_line

    def on_call(frame: Any, _event: str, _argument: Any) -> Any:
        return on_line if PACKAGE in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        run_program(program, size)
    finally:
        sys.settrace(before)
    return count


async def static(size: int) -> None:
    """Children given at the start."""
    async with Tree([child(idle) for _ in range(size)]):
        pass


async def added(size: int) -> None:
    """Children started one by one, under ids that the supervisor chooses."""
    async with Tree() as supervisor:
        for _ in range(size):
            await supervisor.start(idle)


async def named(size: int) -> None:
    """Children with names."""
    async with Tree() as supervisor:
        for number in range(size):
            await supervisor.start(idle, name=Name(f"child {number}"))


async def dynamic(size: int) -> None:
    """Children of a dynamic supervisor."""
    async with Tree(strategy="simple_one_for_one") as supervisor:
        for _ in range(size):
            await supervisor.start(idle)


async def ending(size: int) -> None:
    """Children that end by themselves, while the block waits for the last."""
    async with Tree(strategy="simple_one_for_one", shutdown=False) as supervisor:
        for _ in range(size):
            await supervisor.start(brief, restart="temporary")


async def crashing(size: int) -> None:
    """Children that are all restarted."""
    async with Tree([child(brief, id=number) for number in range(size)], max_restarts=10**9) as supervisor:
        await trio.sleep(1.5)
        assert size == (await supervisor.count_children()).active


async def terminated(size: int) -> None:
    """Children that are stopped one by one."""
    async with Tree([child(idle, id=number) for number in range(size)]) as supervisor:
        for number in range(size):
            await supervisor.terminate_child(number)
            await supervisor.delete_child(number)


async def queueing(size: int) -> None:
    """Starts that wait for a place."""
    tree = Tree(strategy="simple_one_for_one", max_children=1, shutdown=False)
    async with tree as supervisor, trio.open_nursery() as nursery:
        for _ in range(size):
            nursery.start_soon(_start_one, supervisor)


async def _start_one(supervisor: Any) -> None:
    await supervisor.start(brief, restart="temporary", when_full="wait")


async def linked(size: int) -> None:
    """Processes that are all linked to one, which traps exits."""

    async def hub() -> None:
        trap_exits()
        for _ in range(size):
            link(spawn(brief))
        for _ in range(size):
            await mailbox().receive()

    async with Tree([child(hub, restart="temporary")], shutdown=False):
        pass


@pytest.mark.parametrize(
    "program",
    [static, added, named, dynamic, ending, crashing, terminated, queueing, linked],
    ids=lambda it: it.__name__,
)
def test_cost_is_linear(program):
    """Four times as many children cost about four times as much."""
    few, many = lines_of(program, 60), lines_of(program, 240)
    assert many < 5.5 * few, f"{many / few:.1f} times the work for 4 times the children"


def test_ten_thousand_dynamic_children():
    """A dynamic supervisor starts ten thousand children, and stops them all at once."""

    async def program():
        async with Tree([child(idle)], strategy="simple_one_for_one") as supervisor:
            for _ in range(10_000):
                await supervisor.start_child()
            counted = await supervisor.count_children()
            assert (1, 10_000) == (counted.specs, counted.active)
            return trio.current_time()

    assert 0 == run_program(program)


def test_a_thousand_names():
    """A thousand named children come up, are found, and give their names back."""
    names = [Name[Any](f"child {number}") for number in range(1000)]

    async def reader() -> None:
        async for _ in mailbox():
            pass

    async def program():
        async with Tree([child(reader, name=name) for name in names]):
            for name in names:
                send_nowait(name, "hello")
            await assert_sound()
            assert 1000 == current_runtime().ledger().handled
            assert {name.text for name in names} == {*current_runtime().names()}

    run_program(program)
