"""The command line: reads the arguments, runs the survey, prints what came of it, returns the exit status."""

import argparse
import io
import os
import signal
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import trio
from rich.console import Console

from examples.survey import outcome as statuses
from examples.survey.book import Book
from examples.survey.display import choose_display
from examples.survey.document import to_json
from examples.survey.logs import log_news
from examples.survey.options import Options, default_workers
from examples.survey.outcome import Outcome
from examples.survey.source_tree import BadPath, find_files
from examples.survey.survey import Survey
from examples.survey.table import print_tables

MOST_WORKERS = 100  # each is a process of the operating system
WIDE = 120  # columns for a report that goes to a file or a pipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Survey, and return the exit status."""
    _prepare_streams()
    log_news()
    options = parser().parse_args(arguments)
    try:
        return _report(_survey(options), as_json=options.json)
    except BadPath as error:
        _say(str(error))
        return statuses.BAD_PATH
    except KeyboardInterrupt:
        _say("interrupted before or after the survey")
        return statuses.INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.survey",
        description="Survey a tree of Python source files with a supervised team of processes.",
        epilog="Exit status: 0 every file surveyed, or quarantined with a reason; 1 some left undone; "
        "2 wrong usage or nothing at PATH; 130 interrupted by Ctrl-C.",
    )
    parser.add_argument(
        "path", metavar="PATH", nargs="?", type=Path, help="folder or file (default: Python's own library)"
    )
    parser.add_argument("--chaos", metavar="SEED", type=int, help="kill workers at random; the report stays the same")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument(
        "--workers", metavar="N", type=_workers, default=default_workers(), help="how many (default: %(default)s)"
    )
    parser.add_argument(
        "--max-restarts",
        metavar="N",
        type=_count,
        help="give up after N restarts (default: enough for every file to be broken)",
    )
    parser.add_argument(
        "--dead-letters",
        metavar="FILE",
        type=Path,
        help="keep quarantined files as dead letters in this SQLite file, for 'nursery-otp dlq list FILE'",
    )
    return parser


def standard_library() -> Path:
    """Where the running Python keeps its own source."""
    return Path(sysconfig.get_path("stdlib"))


def _survey(options: argparse.Namespace) -> Outcome:
    tree = find_files(options.path or standard_library())
    choices = Options(
        workers=options.workers,
        chaos=options.chaos,
        max_restarts=options.max_restarts,
        dead_letters=options.dead_letters,
    )
    survey = Survey(Book(tree), choices, choose_display())
    try:
        trio.run(survey.run)
    except* KeyboardInterrupt:  # the second Ctrl-C: nobody was asked to stop, but the book is as good as ever
        survey.signalled = signal.SIGINT
        Console(stderr=True).show_cursor()  # the bar may have had no time to do it
    return survey.outcome()


def _report(outcome: Outcome, *, as_json: bool) -> int:
    try:
        _print(outcome, as_json=as_json)
        return outcome.status
    except OSError as error:  # a reader that has gone, a full disk
        _silence_stdout()
        _say(f"cannot write the report: {error.strerror}")
        return outcome.status or statuses.UNDONE
    finally:
        for problem in outcome.problems():
            _say(problem)


def _print(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print(to_json(outcome))
    else:
        console = Console()
        print_tables(outcome, console if console.is_terminal else Console(width=WIDE))
    sys.stdout.flush()  # here, where errors are still expected


def _say(text: str) -> None:
    print(f"survey: {text}", file=sys.stderr)


def _prepare_streams() -> None:
    # A closed stream is None, and print(file=None) would then mean the other one.
    sys.stdout = _usable(sys.stdout)
    sys.stderr = _usable(sys.stderr)


def _usable(stream: TextIO | None) -> TextIO:
    match stream:
        case None:
            return open(os.devnull, "w", encoding="utf-8")
        case io.TextIOWrapper():
            # File names and error messages contain anything; where it cannot be shown it is escaped.
            stream.reconfigure(errors="backslashreplace")
        case _:
            pass
    return stream


def _silence_stdout() -> None:
    # Nobody reads what is still buffered; without this the interpreter would complain about it while it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _workers(text: str) -> int:
    return _between(text, 1, MOST_WORKERS)


def _count(text: str) -> int:
    return _between(text, 0, sys.maxsize)


def _between(text: str, lowest: int, highest: int) -> int:
    if not (text.isdecimal() and lowest <= int(text) <= highest):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {lowest} to {highest}")
    return int(text)
