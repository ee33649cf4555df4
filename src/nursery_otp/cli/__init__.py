"""`nursery-otp`: the one entry to all command-line tools.

Each command is a module with a function `run(arguments) -> exit status`, imported when it is asked for. Exit status 0:
done; 1: nothing found, or failed; 2: wrong use; 130: interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from nursery_otp.cli.output import Failure, Output, Unwritable

PROGRAM = "nursery-otp"

# The name of a command, its module, and what it is for.
COMMANDS = {
    "dlq": ("nursery_otp.cli.dlq", "dead letters in a file: list, show, export, retry, purge"),
}
USAGE = f"usage: {PROGRAM} COMMAND ... [--json]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status. Errors are one line on stderr, or one JSON object with `--json`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    output = Output(as_json="--json" in arguments)
    try:
        output.check()
        try:
            return _run(arguments, output)
        finally:
            output.flush()
    except Unwritable as failure:
        output.abandon()
        output.error(PROGRAM, str(failure), failure.status)
        return failure.status
    except Failure as failure:
        output.error(PROGRAM, str(failure), failure.status)
        return failure.status
    except BrokenPipeError:
        output.abandon()  # whoever read it has had enough, as `head` has
        return 1
    except KeyboardInterrupt:
        output.error(PROGRAM, "interrupted", 130)
        return 130


def _run(arguments: list[str], output: Output) -> int:
    if arguments[:1] == ["--json"]:
        arguments = [*arguments[1:], "--json"]
    if arguments in ([], ["--json"]) or arguments[0] in {"-h", "--help"}:
        output.text("help", _help())
        return 0 if arguments and arguments[0] != "--json" else 2
    if arguments[0] == "--version":
        version = import_module("importlib.metadata").version("nursery_otp")
        output.text("version", f"{PROGRAM} {version}", version)
        return 0
    if arguments[0] not in COMMANDS:
        raise Failure(f"no command {arguments[0]!r}; there is: {', '.join(COMMANDS)}", status=2)
    module = import_module(COMMANDS[arguments[0]][0])
    status: int = module.run(arguments[1:], output)
    return status


def _help() -> str:
    commands = [f"  {name:<8}{purpose}" for name, (_module, purpose) in COMMANDS.items()]
    return "\n".join(
        [
            USAGE,
            "",
            "Tools for programs that use nursery_otp.",
            "",
            *commands,
            "",
            f"'{PROGRAM} COMMAND --help' says more. Exit status: 0 done, 1 nothing found or failed, 2 wrong use.",
        ]
    )
