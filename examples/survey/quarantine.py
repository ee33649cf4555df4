"""Files in quarantine: dead letters, which wait for somebody to repair the file.

A file that nobody could measure is a letter to an inspector of its own, who comes with the next run that has the same
file of letters. With `--dead-letters FILE` they survive the survey:

    nursery-otp dlq list FILE
    nursery-otp dlq retry FILE ID --yes --app examples.survey.repairs:tree

The letter leaves the file when its inspector (see `ward`) has measured what it is about, or the next survey has.
"""

import math
import os
from pathlib import Path

import attrs

from examples.survey.book import Book
from examples.survey.measurement import Measurement
from examples.survey.source_tree import SourceFile
from nursery_otp import DeadLetterOptions, Name, dead_letters
from nursery_otp.stores import SQLiteStore

REASON = "quarantined"


def options_for(path: Path | None) -> DeadLetterOptions:
    """Letters in this file, or in memory. They wait as long as it takes, and are as many as there are broken files."""
    store = None if path is None else SQLiteStore(path)
    return DeadLetterOptions(store=store, capacity=math.inf, expire_after=math.inf)


def inspector_of(file: SourceFile) -> Name[None]:
    """Who looks at this file again. Two folders may have a file of the same name, so it is the path that counts."""
    return Name(f"inspector of {os.fspath(file.path.absolute())}")


def admit(file: SourceFile, reason: str) -> None:
    """Put a file into quarantine, unless it is there already."""
    inspector = inspector_of(file)
    if not dead_letters().list(recipient=inspector, limit=1):
        absolute = attrs.evolve(file, path=file.path.absolute())  # it may be read from another folder
        dead_letters().add_nowait(inspector, absolute, REASON, cause=reason)


async def discharge(book: Book) -> None:
    """Let go of the files that have been measured after all."""
    measured = {inspector_of(file) for file, verdict in book.verdicts.items() if isinstance(verdict, Measurement)}
    for letter in dead_letters().list(reason=REASON):
        if letter.recipient in measured:
            await dead_letters().purge(letter.id)
