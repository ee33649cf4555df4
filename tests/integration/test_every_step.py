"""Short programs, interrupted after each single step of the scheduler, in every way there is to interrupt them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import trio

from nursery_otp import OTPError, Runtime, kill, stop_nowait
from tests.integration.laboratory import Steps, run_program
from tests.integration.scenarios import SCENARIOS

STRIDE = int(os.environ.get("STEP_STRIDE", "6"))
"""Cancellation from outside is tried at each step; of the other ways each takes its share of the steps."""

Scenario = Callable[[list[trio.CancelScope]], Any]


class Rehearsal:
    """One run of a scenario that is interrupted after its step number `at`."""

    def __init__(self, scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scenario = scenario
        self.block = trio.CancelScope()
        self.victims: list[trio.CancelScope] = []
        self.runtimes: list[Runtime] = []
        made = Runtime.__init__
        monkeypatch.setattr(
            Runtime, "__init__", lambda *args, **options: self.runtimes.append(args[0]) or made(*args, **options)
        )

    def run(self, at: int, interrupt: Callable[[Rehearsal], None]) -> int:
        """How many steps it took."""
        self.block, self.victims, self.runtimes = trio.CancelScope(), [], []
        steps = Steps(at, lambda: interrupt(self), limit=20_000)
        run_program(self._play, steps=steps, seed=at)
        return steps.count

    async def _play(self) -> None:
        with self.block:
            try:
                await self.scenario(self.victims)
            except* OTPError:
                pass

    def processes(self) -> list[Any]:
        return [ref for runtime in self.runtimes for ref in runtime.processes()]


def cancel_the_block(rehearsal: Rehearsal) -> None:
    rehearsal.block.cancel()


def cancel_a_caller(rehearsal: Rehearsal) -> None:
    for scope in rehearsal.victims[-1:]:
        scope.cancel()


def kill_the_youngest(rehearsal: Rehearsal) -> None:
    for ref in rehearsal.processes()[-1:]:
        kill(ref)


def kill_in_the_middle(rehearsal: Rehearsal) -> None:
    living = rehearsal.processes()
    for ref in living[len(living) // 2 :][:1]:
        kill(ref)


def kill_the_root(rehearsal: Rehearsal) -> None:
    for ref in rehearsal.processes()[:1]:
        kill(ref)


def stop_them_all(rehearsal: Rehearsal) -> None:
    for ref in rehearsal.processes():
        stop_nowait(ref, "enough")


def kill_them_all(rehearsal: Rehearsal) -> None:
    for ref in rehearsal.processes():
        kill(ref)


WAYS = (
    *(cancel_the_block, cancel_a_caller, kill_the_youngest, kill_in_the_middle, kill_the_root),
    *(stop_them_all, kill_them_all),
)


@pytest.mark.parametrize("interrupt", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_interrupted(scenario, interrupt, monkeypatch):
    """Wherever it is interrupted, the program ends, and nothing is left of its trees."""
    rehearsal = Rehearsal(scenario, monkeypatch)
    undisturbed = rehearsal.run(0, interrupt)
    stride = 1 if interrupt is cancel_the_block else STRIDE
    for at in range(1 + WAYS.index(interrupt) % stride, undisturbed, stride):
        try:
            rehearsal.run(at, interrupt)
        except BaseException as error:
            error.add_note(f"interrupted after step {at} of {undisturbed}")
            raise


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_keyboard_interrupt(scenario, monkeypatch):
    """Wherever ^C reaches the main task, the program ends with it, and nothing is left of its trees."""
    rehearsal = Rehearsal(scenario, monkeypatch)
    undisturbed = rehearsal.run(0, cancel_the_block)
    for at in range(1, undisturbed, STRIDE):
        with pytest.raises(BaseException) as caught:
            rehearsal.run(at, lambda _rehearsal: signal.raise_signal(signal.SIGINT))
        assert _is_keyboard_interrupt(caught.value), (at, caught.value)


def _is_keyboard_interrupt(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_keyboard_interrupt, error.exceptions))
    return isinstance(error, KeyboardInterrupt)
