"""`python -m tests.soak`: turn every cycle a million times and fail if memory grows.

`--cycles N` sets the size (escalations, of which each restarts four processes, turn a tenth of it), `--only NAME`
chooses a workload. Exit status 1 if anything grew.
"""

from __future__ import annotations

import argparse
import logging
import sys

import trio

from nursery_otp._runtime import causes
from tests.soak.gauge import Result, Work, measure
from tests.soak.workloads import WORKLOADS

CYCLES = 1_000_000
# What a crash may leave to the garbage collector; since Python 3.12 that is all frames from the task's first to the one
# that raised, which stay linked to each other.
PER_CRASH = 5 if sys.version_info < (3, 12) else 40
COLUMNS = "{:<18}{:>10}{:>9}{:>12}{:>11}{:>9}{:>9}{:>11}"
HEADER = COLUMNS.format("workload", "cycles", "seconds", "per second", "RSS", "objects", "blocks", "in cycles")


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--cycles", type=int, default=CYCLES, help="how often each workload turns (default: %(default)s)"
    )
    parser.add_argument("--only", choices=WORKLOADS, action="append", help="run this workload only; may be repeated")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # crashes are the plan
    print(HEADER)
    problems = [problem for name in options.only or WORKLOADS for problem in report(run(name, options.cycles)).problems]
    print("\n".join(problems) if problems else "memory is constant")
    return 1 if problems else 0


def run(name: str, cycles: int) -> Result:
    """One workload in a `trio.run` of its own."""
    workload = WORKLOADS[name]
    causes.INCIDENTS_KEPT = 100  # so that the table is full, and forgets, before the measuring begins
    results: list[Result] = []

    async def turn(work: Work) -> None:
        results.append(await measure(name, work, int(cycles * workload.share), per_cycle=PER_CRASH * workload.crashes))

    trio.run(workload.run, turn)
    return results[0]


def report(result: Result) -> Result:
    """Print one line of the table."""
    grown = result.growth
    print(
        f"{result.name:<18}{result.cycles:>10,}{result.seconds:>9.1f}{result.rate:>12,.0f}"
        f"{grown.resident / 2**20:>+9.1f}MB{grown.objects:>+9,}{grown.blocks:>+9,}{result.uncollected:>+11,}",
        flush=True,
    )
    return result


if __name__ == "__main__":
    sys.exit(main())
