"""Programs that are interrupted by ^C: `python -m tests.integration.interrupts MODE SEED COUNT` prints a line per run.

They run in a process of their own, because one that hangs takes its process with it.

`signals`: a busy tree gets a real SIGINT at a random moment. `lines`: the scenarios get the KeyboardInterrupt while
they execute a random line of nursery_otp, as the signal handler would raise it there. The others say "ready" and wait
for it: `wait` is idle, `stuck` is in a handler that never comes back, `clinging` has a child that never ends when it
is asked to.
"""

from __future__ import annotations

import logging
import math
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import trio

from nursery_otp import (
    CallExited,
    GenServer,
    Name,
    NoProcess,
    RestartLimitReached,
    StartFailed,
    SupervisorEnded,
    call,
    cast,
    child,
    open_supervisor,
    send_nowait,
)
from tests.integration import scenarios
from tests.integration.laboratory import Steps, run_program

EXPECTED = (CallExited, NoProcess, RestartLimitReached, StartFailed, SupervisorEnded)
PAIRS = 5
ENDED: set[str] = set()


class Busy(GenServer):
    """Is called all the time, and crashes now and then."""

    def __init__(self, label: str) -> None:
        self.label = label

    @call
    def add(self, number: int) -> int:
        return number + 1

    @cast
    def crash(self) -> None:
        raise ValueError("crash")

    def terminate(self, reason: object) -> None:
        ENDED.add(self.label)


async def _client(name: Name[Busy]) -> None:
    while True:
        try:
            for _ in range(20):
                await Busy.add(name, 1)
            Busy.crash(name)
        except CallExited:
            pass


async def _busy(ready: Callable[[], None]) -> None:
    names = [Name[Busy](f"busy {number}") for number in range(PAIRS)]
    servers = [child(Busy, name.text, name=name) for name in names]
    clients = [child(_client, name, id=f"client of {name}") for name in names]
    async with open_supervisor(servers + clients, max_restarts=10**9, period=0.01):
        await trio.sleep(0.02)
        ENDED.clear()
        ready()
        await trio.sleep_forever()


def interrupted_by_signal(chance: random.Random) -> str:
    """A run that ends by a real signal, between 0 and 30 ms after it has warmed up."""
    delay = chance.random() * 0.03

    def shoot() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)

    shooter = threading.Thread(target=shoot)
    try:
        trio.run(_busy, shooter.start)
    except BaseException as error:
        return f"{_kinds(error)}, {'in order' if len(ENDED) >= PAIRS - 2 else f'only {sorted(ENDED)} terminated'}"
    finally:
        shooter.join()
    return "nothing"


class Tripwire:
    """A trace function that interrupts at the line number `at` of the package."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.lines = 0
        self.where = ""

    def call(self, frame: Any, _event: str, _argument: Any) -> Any:
        return self.line if "nursery_otp" in frame.f_code.co_filename else None

    def line(self, frame: Any, event: str, _argument: Any) -> Any:
        self.lines += event == "line"
        if event == "line" and self.lines == self.at:
            self.where = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
            signal.getsignal(signal.SIGINT)(signal.SIGINT, frame)  # type: ignore[operator, misc]
        return self.line


class PlainTree:
    """`Tree` without its own checks: an interrupt in the middle of a line may leave the books open."""

    def __init__(self, children: Any = (), *, shutdown: bool = True, **options: Any) -> None:
        self._tree, self._shutdown = open_supervisor(children, **options), shutdown

    async def __aenter__(self) -> Any:
        self._supervisor = await self._tree.__aenter__()
        return self._supervisor

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        if kind is None and self._shutdown:
            self._supervisor.shutdown()
        return await self._tree.__aexit__(kind, error, traceback)


def interrupted_at_a_line(chance: random.Random) -> str:
    """A run of a scenario that ends at a random line."""
    scenario = chance.choice(scenarios.SCENARIOS)
    seed = chance.randrange(1000)
    whole = _traced(scenario, Tripwire(0), seed)[0]
    wire = Tripwire(chance.randrange(1, whole.lines))
    outcome = _traced(scenario, wire, seed)[1]
    return f"{outcome}, {scenario.__name__} at {wire.where}"


def _traced(scenario: Any, wire: Tripwire, seed: int) -> tuple[Tripwire, str]:
    async def program() -> None:
        try:
            await scenario([])
        except* EXPECTED:
            pass

    sys.settrace(wire.call)
    try:
        run_program(program, seed=seed, steps=Steps(limit=20_000), patience=5)
    except BaseException as error:
        return wire, _kinds(error)
    finally:
        sys.settrace(None)
    return wire, "nothing"


def _kinds(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return " and ".join(sorted({_kinds(one) for one in error.exceptions}))
    return type(error).__name__


class Clinging(Busy):
    """Does not let go."""

    async def terminate(self, reason: object) -> None:
        print("asked", flush=True)
        await trio.sleep_forever()


class Stuck(Busy):
    """Does not come back."""

    def handle_info(self, message: object) -> None:
        print("ready", flush=True)
        while True:
            pass


async def wait() -> None:
    async with open_supervisor([child(Busy, "idle")]):
        try:
            print("ready", flush=True)
            await trio.sleep_forever()
        finally:
            print("the body ends", flush=True)
    print("not reached", flush=True)


async def stuck() -> None:
    async with open_supervisor([child(Busy, "idle"), child(Stuck, "stuck", name=Name("stuck"))]):
        send_nowait(Name("stuck"), "work")
        await trio.sleep_forever()


async def clinging() -> None:
    async with open_supervisor([child(Busy, "idle"), child(Clinging, "clinging", shutdown=math.inf)]):
        print("ready", flush=True)
        await trio.sleep_forever()


def main(mode: str, seed: str = "0", count: str = "1") -> None:
    logging.disable(logging.CRITICAL)
    if mode in {"wait", "stuck", "clinging"}:
        try:
            trio.run({"wait": wait, "stuck": stuck, "clinging": clinging}[mode])
        finally:
            print(f"terminated: {', '.join(ENDED)}", flush=True)
    run = {"signals": interrupted_by_signal, "lines": interrupted_at_a_line}[mode]
    scenarios.Tree = PlainTree  # type: ignore[assignment, misc]
    sys.unraisablehook = lambda _complaint: None
    chance = random.Random(int(seed))
    for _ in range(int(count)):
        print(run(chance), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
