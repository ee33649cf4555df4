"""Run the benchmarks: `python bench/run.py [NAME ...] [--quads N] [--json]`.

A benchmark is a file of this folder with `async def measure(quads) -> list[Comparison]`.
"""

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path

import attrs
import slices
import trio

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in {"run", "slices"})


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU time of nursery_otp as ratios to plain Trio.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--quads", type=int, default=slices.QUADS, help="rounds of A B B A (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark called {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    if options.quads < slices.LEAST_QUADS:
        parser.error(f"--quads must be at least {slices.LEAST_QUADS}, not {options.quads}")
    results = []
    for name in options.names or NAMES:
        measured = trio.run(importlib.import_module(name).measure, options.quads)
        results += measured
        if not options.json:
            print(f"{name}: Python {platform.python_version()}, trio {trio.__version__}; ours : baseline")
            print(*(f"  {line}" for line in measured), sep="\n", flush=True)
    if options.json:
        print(json.dumps([attrs.asdict(result) for result in results], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
