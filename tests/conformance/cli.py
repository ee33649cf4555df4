"""The command line of the conformance runner; `scripts/conformance.py` is its door."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.corpus import CorpusError, Scenario, load
from tests.conformance.report import Report, as_json, text
from tests.conformance.runner import judge

EXIT_SAME, EXIT_DIFFERENT, EXIT_USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay corpora; the exit status is 0 only if nothing is different."""
    options = _parser().parse_args(arguments)
    try:
        scenarios = _chosen(load(options.corpora), options)
    except CorpusError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return EXIT_USAGE
    complete = options.only is None and options.family is None
    report = Report(tuple(map(judge, scenarios)), complete=complete)
    print(json.dumps(as_json(report), indent=2) if options.json else text(report))
    return EXIT_SAME if report.ok else EXIT_DIFFERENT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="conformance.py",
        description="Replay traces recorded from Erlang/OTP and compare. Exit status: 0 nothing is different, "
        "1 something is, 2 the corpus or the command line is wrong.",
    )
    parser.add_argument(
        "corpora", nargs="+", type=Path, metavar="CORPUS.json", help="a file of scenarios, either format"
    )
    parser.add_argument("--only", metavar="ID", help="replay this one scenario")
    parser.add_argument(
        "--family", metavar="F", help="replay this family: supervisor, gen_server, or a part: retry, nested"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def _chosen(scenarios: Sequence[Scenario], options: argparse.Namespace) -> list[Scenario]:
    chosen = [scenario for scenario in scenarios if _wanted(scenario, options)]
    if not chosen:
        asked = " ".join(f"--{key} {getattr(options, key)}" for key in ("only", "family") if getattr(options, key))
        raise CorpusError(f"no scenario to replay{': nothing matches ' + asked if asked else ''}")
    return chosen


def _wanted(scenario: Scenario, options: argparse.Namespace) -> bool:
    if options.only is not None and scenario.id != options.only:
        return False
    return options.family is None or options.family in (scenario.family, scenario.group)
