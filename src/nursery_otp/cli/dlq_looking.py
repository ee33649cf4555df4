"""`dlq list`, `dlq show`, `dlq export`: these open the file for reading only."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable

from nursery_otp.cli import letters
from nursery_otp.cli.letters import check_missing, counted, selected
from nursery_otp.cli.output import Failure, Output, visible
from nursery_otp.stores.files import LetterFile, LetterFilter

SHORT = 500  # characters of a message that a table may show


def list_letters(options: argparse.Namespace, output: Output) -> int:
    """`dlq list`."""
    which = selected(options)
    with LetterFile(options.file) as file, file.looking():
        total = file.count(which)
        shorten = None if options.json else SHORT
        found = list(file.select(which, limit=options.limit, shorten=shorten))
    if options.json:
        output.json({"file": options.file, "total": total, "letters": [letters.as_json(letter) for letter in found]})
    elif found:
        output.table(letters.HEAD, [letters.row(letter) for letter in found])
        output.line(f"{counted(total)}{f', the first {len(found)} shown' if len(found) < total else ''}")
    else:
        output.line("no letters")
    return 0 if found else 1


def show_letter(options: argparse.Namespace, output: Output) -> int:
    """`dlq show`."""
    with LetterFile(options.file) as file, file.looking():
        found = next(file.select(LetterFilter(ids=[options.id])), None)
    if found is None:
        raise Failure(f"{options.file}: there is no letter {options.id!r}")
    if options.json:
        output.json(letters.as_json(found))
        return 0
    for name, text in letters.lines(found):
        first, *more = text.split("\n")
        output.line(f"{name:<18}{visible(first)}")
        for line in more:
            output.line(f"{'':<18}{visible(line)}")
    return 0


def export_letters(options: argparse.Namespace, output: Output) -> int:
    """`dlq export`."""
    to_file = options.output != "-"
    which = selected(options)
    with LetterFile(options.file) as file, file.looking():
        if options.ids:
            check_missing(options, (each.id for each in file.outline(which)), "nothing was exported")
        texts = (json.dumps(letters.as_json(letter)) for letter in file.select(which, limit=options.limit))
        if to_file:
            count = _write(options.output, texts)
        else:
            count = 0
            for text in texts:
                output.line(text)
                count += 1
    if to_file and count:
        report = {"action": "export", "letters": count, "output": options.output}
        output.json(report) if options.json else output.line(f"{counted(count)} written to {options.output}")
    elif not count:
        raise Failure(f"{options.file}: no such letters; nothing was exported")
    return 0


def _write(path: str, texts: Iterable[str]) -> int:
    """Write lines into a new file; how many. Without any there is no file, and neither after an error."""
    count = 0
    try:
        with open(path, "x", encoding="utf-8") as target:
            try:
                for text in texts:
                    target.write(f"{text}\n")
                    count += 1
                target.flush()
            except BaseException:
                os.unlink(path)
                raise
    except OSError as error:
        why = "it exists; name a new file" if isinstance(error, FileExistsError) else error.strerror
        raise Failure(f"{path}: {why}") from error
    if not count:
        os.unlink(path)
    return count
