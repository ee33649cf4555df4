"""The ward: inspectors, each of whom waits for the letter about one file in quarantine.

An inspector catches nothing: if the file is still broken he crashes, and the letter stays where it is.
"""

from collections.abc import Iterable

from examples.survey.quarantine import REASON
from examples.survey.source_tree import SourceFile
from examples.survey.worker import Opener
from nursery_otp import ChildSpec, Supervisor, child, dead_letters, mailbox


async def inspector(open_interpreter: Opener) -> None:
    """Measure the one file that a letter is about."""
    file: SourceFile = await mailbox().receive()
    async with open_interpreter() as interpreter:
        await interpreter.measure(file.path)


class Ward(Supervisor):
    """The inspectors of the files that were in quarantine when the program started. None of them is replaced."""

    def __init__(self, open_interpreter: Opener) -> None:
        self.open_interpreter = open_interpreter

    def children(self) -> Iterable[ChildSpec]:
        """One for each letter."""
        for letter in dead_letters().list(reason=REASON):
            yield child(inspector, self.open_interpreter, name=letter.recipient, restart="temporary", service=True)
