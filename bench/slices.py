"""Compare two pieces of async code by the CPU time of short interleaved slices.

One block after the other measures the machine's mood: on a busy two-core machine the same code differed from itself by
more than 30 %. Short slices in the order A B B A see the same mood, and the fastest slice of each is the one that was
disturbed least. So: slices of about a millisecond, at least 20 of each, CPU time of this thread, no old objects for the
garbage collector to visit. Judge by the ratio of minima; the median of paired ratios beside it shows how calm it was.
"""

import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import thread_time_ns

import attrs

Work = Callable[[int], Awaitable[object]]  # perform that many operations

SLICE_NS = 1_000_000
QUADS = 40  # rounds of A B B A: 80 slices of each
LEAST_QUADS = 10


@attrs.frozen(kw_only=True)
class Comparison:
    """One claim, measured: nanoseconds of CPU per operation and their ratios."""

    name: str
    baseline: str
    ours_ns: float
    baseline_ns: float
    minima: float
    paired: float

    def __str__(self) -> str:
        ratios = f"minima {self.minima:5.2f}   paired {self.paired:5.2f}"
        return f"{self.name:<42} {ratios}   {self.ours_ns:8.0f} ns : {self.baseline_ns:8.0f} ns  {self.baseline}"


async def compare(name: str, ours: Work, baseline_name: str, baseline: Work, *, quads: int = QUADS) -> Comparison:
    """Measure `ours` against `baseline`, both ready to run in this event loop."""
    if quads < LEAST_QUADS:
        message = f"quads must be at least {LEAST_QUADS} (20 slices of each), not {quads}"
        raise ValueError(message)
    ours_n, baseline_n = await calibrate(ours), await calibrate(baseline)
    ours_ns: list[float] = []
    baseline_ns: list[float] = []
    with quiet_collector():
        for _ in range(quads):
            ours_ns.append(await slice_ns(ours, ours_n))
            baseline_ns.append(await slice_ns(baseline, baseline_n))
            baseline_ns.append(await slice_ns(baseline, baseline_n))
            ours_ns.append(await slice_ns(ours, ours_n))
    # A B B A: the first and second slice of each are neighbours, as are the third and fourth.
    pairs = zip(ours_ns, baseline_ns, strict=True)
    return Comparison(
        name=name,
        baseline=baseline_name,
        ours_ns=min(ours_ns),
        baseline_ns=min(baseline_ns),
        minima=min(ours_ns) / min(baseline_ns),
        paired=median(a / b for a, b in pairs),
    )


async def self_check(name: str, work: Work, *, quads: int = QUADS) -> Comparison:
    """The error of the method here and now: the same code as A and as B. The ratios should be 1."""
    return await compare(f"A/A check: {name}", work, name, work, quads=quads)


async def slice_ns(work: Work, operations: int) -> float:
    """CPU nanoseconds per operation in one slice."""
    start = thread_time_ns()
    await work(operations)
    return (thread_time_ns() - start) / operations


async def calibrate(work: Work) -> int:
    """How many operations fill a slice. Warms the code up on the way."""
    operations = 1
    while (spent := await slice_ns(work, operations) * operations) < SLICE_NS / 2:
        operations *= 2
    return max(1, round(operations * SLICE_NS / spent))


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Garbage collection stays on (it is part of the cost), but has no old objects to visit."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
