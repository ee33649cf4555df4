"""`dlq retry` and `dlq purge`: first what would be done, and with `--yes` that it is done.

What is selected and what is changed is one transaction, so nothing is done to a letter that was not selected. As the
program cannot write meanwhile, no more is read in it than is needed; and saying what would be done only reads.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Any

from nursery_otp.cli import letters
from nursery_otp.cli.letters import check_missing, counted, selected
from nursery_otp.cli.output import Failure, Output
from nursery_otp.stores.files import LetterFile, LetterFilter, Outline

if TYPE_CHECKING:
    from nursery_otp.cli.dlq_app import Outcome

SHORT = 500  # characters of a message that a table may show
SHOWN = 20  # letters that a dry run shows one by one


def retry_letters(options: argparse.Namespace, output: Output) -> int:
    """`dlq retry`: mark letters, so that the program delivers them; or deliver them with the program's own tree."""
    if options.app is not None and options.yes:
        return _deliver(options, output)
    return _change(options, output, "retry", "marked for delivery", LetterFile.request, _why_not_sent)


def purge_letters(options: argparse.Namespace, output: Output) -> int:
    """`dlq purge`: remove letters."""
    return _change(options, output, "purge", "removed", LetterFile.remove, lambda _letter: None)


def _why_not_sent(letter: Outline) -> str | None:
    """Why the program could not deliver this letter, if that is certain."""
    if letter.recipient_kind != "name":
        return f"its recipient {letter.recipient} is not a name, so nobody else can be it"
    return "its message was not stored" if not letter.has_message else None


def _change(
    options: argparse.Namespace,
    output: Output,
    action: str,
    done: str,
    change: Callable[[LetterFile, Sequence[str]], None],
    why_not: Callable[[Outline], str | None],
) -> int:
    which = _checked(options)
    rows: list[tuple[str, ...]] = []
    with LetterFile(options.file, writable=options.yes) as file, file.changing() if options.yes else file.looking():
        chosen, skipped = _chosen(options, file, which, why_not)
        if options.yes:
            change(file, chosen)
        elif not options.json:
            rows = [letters.row(each) for each in file.select(LetterFilter(ids=chosen[:SHOWN]), shorten=SHORT)]
    if options.json:
        output.json(_report(options, action, chosen, skipped))
    else:
        _print(options, output, done, len(chosen), rows, skipped)
    return 0 if chosen else 1


def _chosen(
    options: argparse.Namespace,
    file: LetterFile,
    which: LetterFilter,
    why_not: Callable[[Outline], str | None],
) -> tuple[list[str], dict[str, str]]:
    """The ids of letters that are selected, and why some of those are left alone."""
    found = list(file.outline(which, limit=options.limit))
    check_missing(options, (letter.id for letter in found), "nothing was changed")
    skipped = {letter.id: why for letter in found if (why := why_not(letter)) is not None}
    return [letter.id for letter in found if letter.id not in skipped], skipped


def _deliver(options: argparse.Namespace, output: Output) -> int:
    """Deliver letters now; 0 only if all that were selected have been."""
    which = _checked(options)
    with LetterFile(options.file) as file, file.looking():
        chosen, skipped = _chosen(options, file, which, _why_not_sent)
    delivered: list[str] = []
    failed: dict[str, str] = {}
    gone: dict[str, str] = {}
    if chosen:
        outcome = _run_app(options, chosen)
        delivered, failed, gone = outcome.delivered, outcome.failed, outcome.gone
        skipped |= outcome.skipped
    if options.json:
        done = {"action": "retry", "done": True, "letters": delivered, "failed": failed, "gone": gone}
        output.json({"file": options.file, **done, "skipped": skipped})
    else:
        for what, letters_of_it in (("failed", failed), ("gone", gone), ("left alone", skipped)):
            for identity, why in letters_of_it.items():
                output.line(f"{what}: {identity}: {why}")
        output.line(f"{counted(len(delivered))} delivered" if chosen else "no such letters; nothing was changed")
    return 0 if delivered and not (failed or gone or skipped) else 1


def _run_app(options: argparse.Namespace, chosen: Sequence[str]) -> Outcome:
    """Have these letters delivered by the user's program, which must not print among our JSON."""
    from nursery_otp.cli import app, dlq_app  # the program's tree needs Trio, and this command only

    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        return dlq_app.deliver(app.App.load(options.app), options.file, chosen)


def _checked(options: argparse.Namespace) -> LetterFilter:
    """The selection; it must be one, and said in one way."""
    given = [options.recipient, options.reason, options.state, options.older_than, options.limit]
    chosen = bool(options.ids) or any(value is not None for value in given)
    if not chosen and not options.all:
        raise Failure(
            "say which letters: ids, --recipient, --reason, --state, --older-than, --limit, or --all", status=2
        )
    if chosen and options.all:
        raise Failure("--all means all letters; leave it out, or the rest of the selection", status=2)
    return selected(options)


def _report(
    options: argparse.Namespace, action: str, chosen: Sequence[str], skipped: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "file": options.file,
        "action": action,
        "done": options.yes,
        "letters": chosen,
        "skipped": skipped,
    }


def _print(
    options: argparse.Namespace,
    output: Output,
    done: str,
    chosen: int,
    rows: Sequence[tuple[str, ...]],
    skipped: Mapping[str, str],
) -> None:
    if rows:
        output.table(letters.HEAD, rows)
        if chosen > len(rows):
            output.line(f"... and {chosen - len(rows)} more")
    for identity, why in skipped.items():
        output.line(f"left alone: {identity}: {why}")
    if not chosen:
        output.line("no such letters; nothing was changed")
    elif options.yes:
        output.line(f"{counted(chosen)} {done}")
    else:
        output.line(f"{counted(chosen)} would be {done}; nothing was changed, --yes does it")
