"""The soak test in small: it measures, it sees what leaks, and nothing does."""

import gc
import os
import subprocess
import sys

import trio

from tests.soak.gauge import measure
from tests.soak.workloads import WORKLOADS

KEPT: list[object] = []


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program, in a process of its own: in this one every look at the garbage takes long."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.soak", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)


def test_quick_mode():
    """Every workload turns a little, and leaves nothing that a million would add up to much."""
    done = soak("--cycles", "500")
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    header, *lines, verdict = done.stdout.splitlines()
    assert "memory is constant" == verdict
    assert "per second" in header
    assert list(WORKLOADS) == [line[:18].rstrip() for line in lines]


def test_leak_is_seen():
    """Memory that grows with the work is reported."""

    async def leak(cycles: int) -> None:
        KEPT.extend([number] for number in range(cycles))

    try:
        result = trio.run(lambda: measure("leak", leak, 5000, per_cycle=0))
    finally:
        KEPT.clear()
    assert 4900 < result.growth.objects < 5100
    assert any(problem.startswith("leak: +") and "objects (limit" in problem for problem in result.problems)


def test_reference_cycles_are_seen():
    """Garbage that only the collector frees is reported, though memory does not grow."""

    async def entangle(cycles: int) -> None:
        for _ in range(2 * cycles):
            knot: list[object] = []
            knot.append(knot)

    result = trio.run(lambda: measure("knots", entangle, 5000, per_cycle=0))
    assert 350 < result.uncollected < 450
    assert any("only the garbage collector frees" in problem for problem in result.problems)
    assert gc.isenabled()
