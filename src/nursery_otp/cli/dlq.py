"""`nursery-otp dlq`: look at the dead letters in a file, have them delivered, get rid of them.

What changes the file says what it would do, and does it with `--yes`.
"""

from __future__ import annotations

import argparse

from nursery_otp.cli import dlq_changes, dlq_looking
from nursery_otp.cli.output import Failure, Output
from nursery_otp.cli.parsing import HelpAsked, Parser, duration, positive
from nursery_otp.errors import InvalidSpec, StoreError

STATES = ("waiting", "retrying", "exhausted")

EPILOG = "Exit status: 0 done (or: would be done), 1 no such letters or failed, 2 wrong use."


def run(arguments: list[str], output: Output) -> int:
    """Run `dlq`; the exit status."""
    try:
        options = _parsed(arguments)
        status: int = options.run(options, output)
    except HelpAsked as asked:
        output.text("help", str(asked))
        return 0
    except StoreError as error:
        raise Failure(str(error)) from error
    except InvalidSpec as error:
        raise Failure(str(error), status=2) from error
    return status


def _parsed(arguments: list[str]) -> argparse.Namespace:
    top = parser()
    options, rest = top.parse_known_args(arguments)
    # argparse takes ids that come after an option for nothing at all.
    if any(each.startswith("-") for each in rest) or (rest and not hasattr(options, "ids")):
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.ids += rest
    return options


def parser() -> Parser:
    """The command line of `dlq`."""
    top = Parser(
        prog="nursery-otp dlq", description="Dead letters in a SQLite file.", epilog=EPILOG, allow_abbrev=False
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser)

    command = _command(commands, "list", "print the letters in the order they were added", dlq_looking.list_letters)
    _filters(command)

    command = _command(commands, "show", "print everything about one letter", dlq_looking.show_letter)
    command.add_argument("id", help="the id of the letter, as in the list")

    command = _command(commands, "export", "write the letters as JSON lines", dlq_looking.export_letters)
    command.add_argument("ids", nargs="*", metavar="ID", help="these letters only")
    command.add_argument("-o", "--output", default="-", metavar="PATH", help="a new file (default: standard output)")
    _filters(command)

    command = _command(
        commands,
        "retry",
        "have letters delivered by the program that has the file open, or opens it next",
        dlq_changes.retry_letters,
    )
    _selection(command)
    command.add_argument(
        "--app",
        metavar="MODULE:FUNCTION",
        help="deliver now, in the tree that this function returns (open_supervisor(...), with FILE as its store); "
        "not while the program itself runs",
    )

    command = _command(commands, "purge", "remove letters for good", dlq_changes.purge_letters)
    _selection(command)
    return top


def _command(commands: argparse._SubParsersAction[Parser], name: str, purpose: str, function: object) -> Parser:
    command = commands.add_parser(
        name, help=purpose, description=f"{purpose.capitalize()}.", epilog=EPILOG, allow_abbrev=False
    )
    command.add_argument("file", metavar="FILE", help="the SQLite file")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=function)
    return command


def _filters(command: Parser) -> None:
    command.add_argument("--recipient", metavar="NAME", help="for this recipient")
    command.add_argument("--reason", help="with this reason, such as noproc")
    command.add_argument("--state", choices=STATES, help="in this state")
    command.add_argument("--older-than", type=duration, metavar="AGE", help="that failed first longer ago: 90s, 2h, 7d")
    command.add_argument("--limit", type=positive, metavar="N", help="the first N of them")


def _selection(command: Parser) -> None:
    command.add_argument("ids", nargs="*", metavar="ID", help="these letters")
    _filters(command)
    command.add_argument("--all", action="store_true", help="all letters")
    command.add_argument("--yes", action="store_true", help="do it; without this, say what would be done")
