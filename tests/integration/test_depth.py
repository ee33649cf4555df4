"""Trees as deep as nobody builds them: whatever happens at one end reaches the other, and never as an exception."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Killed,
    RestartLimitReached,
    Shutdown,
    StartFailed,
    Supervisor,
    SupervisorEnded,
    SupervisorHandle,
    child,
    current_runtime,
    kill,
)
from tests.integration.laboratory import Tree, assert_sound, run_program

DEPTHS = [300]
DEEPER = [300, 1000]


class Level(Supervisor):
    """A supervisor over a supervisor over a supervisor ... over a leaf."""

    def __init__(self, below: int, leaf: Any, max_restarts: int) -> None:
        self.below, self.leaf, self.max_restarts = below, leaf, max_restarts

    def children(self) -> Any:
        if self.below == 0:
            return [child(self.leaf, id="leaf")]
        return [child(Level, self.below - 1, self.leaf, self.max_restarts, id="below")]


async def leaf() -> None:
    await trio.sleep_forever()


async def barren(*, task_status: Any) -> None:
    raise ValueError("never starts")


def deep(depth: int, *, leaf: Any = leaf, max_restarts: int = 1) -> Tree:
    return Tree([child(Level, depth - 2, leaf, max_restarts)], max_restarts=max_restarts)


@pytest.mark.parametrize("depth", DEPTHS)
def test_crash_at_the_leaf(depth):
    """A crash at the bottom is healed at the bottom: nobody above even notices."""

    async def program():
        async with deep(depth):
            before = current_runtime().processes()
            kill(before[-1])
            await assert_sound()
            after = current_runtime().processes()
            assert before[:-1] == after[:-1]
            assert before[-1] is not after[-1]
            return len(after)

    assert depth + 1 == run_program(program)


@pytest.mark.parametrize("depth", DEEPER)
def test_escalation(depth):
    """When nobody may restart anything, one crash goes up level by level, as data, and leaves the root as one error."""
    seen = []

    async def program():
        async with deep(depth, max_restarts=0):
            runtime = current_runtime()
            runtime.on_exit(lambda ref, reason: seen.append(reason))
            kill(runtime.processes()[-1])
            await trio.sleep_forever()

    with pytest.raises(RestartLimitReached) as caught:
        run_program(program)
    leaf_reason, *reasons = seen
    assert Killed() == leaf_reason
    assert depth == len(reasons)
    assert all(isinstance(reason, Shutdown) and isinstance(reason.detail, RestartLimitReached) for reason in reasons)
    assert len(str(caught.value)) < 500
    assert "ended once too often" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("depth", DEEPER)
def test_failing_start(depth):
    """A leaf that does not start is the failed start of every level above it."""

    async def program():
        async with deep(depth, leaf=barren):
            raise AssertionError("must not come up")

    with pytest.raises(StartFailed) as caught:
        run_program(program)
    assert len(str(caught.value)) < 100_000
    assert len(repr(caught.value)) < 100_000


@pytest.mark.parametrize("depth", DEPTHS)
def test_kill_at_the_top(depth):
    """A kill of the root ends every level."""

    async def program():
        async with deep(depth) as supervisor:
            kill(supervisor.address)
            await trio.sleep_forever()

    with pytest.raises(SupervisorEnded):
        run_program(program)


@pytest.mark.parametrize("depth", DEPTHS)
def test_kill_in_the_middle(depth):
    """A supervisor that is killed in the middle takes what is below it down, and comes back with all of it."""

    async def program():
        async with deep(depth):
            before = current_runtime().processes()
            kill(before[depth // 2])
            await wait_all_tasks_blocked()
            after = current_runtime().processes()
            assert len(before) == len(after)
            assert before[: depth // 2] == after[: depth // 2]
            assert not {*before[depth // 2 :]} & {*after}

    run_program(program)


@pytest.mark.parametrize("depth", DEEPER)
def test_cancelled_from_outside(depth):
    """A cancellation from outside ends every level in order."""
    seen = []

    async def program():
        with trio.CancelScope() as outside:
            async with deep(depth):
                current_runtime().on_exit(lambda ref, reason: seen.append((ref.pid, reason)))
                outside.cancel()
                await trio.sleep_forever()

    run_program(program)
    assert [(pid, Shutdown()) for pid in range(depth + 1, 0, -1)] == seen


@pytest.mark.parametrize("depth", DEPTHS)
def test_terminated_from_above(depth):
    """terminate_child at the top takes all levels down, restart_child brings them back."""

    async def program():
        async with deep(depth) as supervisor:
            await supervisor.terminate_child("Level")
            assert 1 == len(current_runtime().processes())
            ref = await supervisor.restart_child("Level")
            assert depth + 1 == len(current_runtime().processes())
            assert 1 == (await SupervisorHandle(ref).count_children()).active

    run_program(program)
