"""`python -m tests.soak.letters`: kill a program that writes 10,000 letters, 50 times, and look at what it leaves.

Exit status 1 if an acknowledged letter was lost in any round, was there twice, or if a file was damaged.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.stores.killing import kill_after

COUNT = 10_000
ROUNDS = 50


def main(arguments: list[str] | None = None) -> int:
    """Run the rounds; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.letters", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills (default: %(default)s)")
    parser.add_argument("--program", default="tests.stores.write_letters", help="the module that writes")
    options = parser.parse_args(arguments)
    chance = random.Random(options.seed)
    bad = 0
    for number in range(1, options.rounds + 1):
        lines = chance.randrange(COUNT)
        with tempfile.TemporaryDirectory() as directory:
            came = kill_after(Path(directory) / "letters.sqlite", COUNT, lines, options.program)
        bad += bool(came.problems)
        problems = "; ".join(came.problems) or "ok"
        print(
            f"round {number:>3}: acknowledged {came.acknowledged:>6,}, found {came.found:>6,}: {problems}", flush=True
        )
    print("every acknowledged letter is there, none twice" if not bad else f"{bad} rounds went wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
