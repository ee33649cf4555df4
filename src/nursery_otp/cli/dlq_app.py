"""`dlq retry --app`: run the program's own tree for as long as it takes to deliver letters.

They are asked for in the file, so the tree that opens it delivers them as it does after `dlq retry` alone. What is done
here is to watch what becomes of each of them, and to end the tree after that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import trio

from nursery_otp import LetterNotFound, current_runtime, dead_letters
from nursery_otp.cli.app import App, errors_of
from nursery_otp.cli.output import Failure
from nursery_otp.stores.files import LetterFile, LetterFilter

LOOK_AGAIN = 0.2
"""Seconds after which to look for the end, should nothing be heard: of letters that are held back nothing is."""
ENDED = "its tree ended before"
HELD_BACK = "an earlier letter of its recipient failed"
UNSEEN = "it was gone before anybody could look"
STILL_THERE = "it was delivered, but could not be removed from the file"


@attrs.define
class Outcome:
    """What becomes of the letters that were asked for, by their ids: each is in one of the four in the end.

    `delivered` ones have been handled. `failed` ones are still there, each with its error. `gone` ones are not, though
    nobody has handled them. `skipped` ones were not tried.
    """

    asked: Sequence[str]
    errors: dict[str, str] = attrs.field(factory=dict)
    removed: dict[str, str] = attrs.field(factory=dict)
    untried: str = ENDED
    news: trio.Event = attrs.field(factory=trio.Event)

    @property
    def delivered(self) -> list[str]:
        """In the order of the file."""
        return [each for each in self.asked if self.removed.get(each) == "delivered"]

    @property
    def failed(self) -> dict[str, str]:
        """With their errors."""
        return {each: self.errors[each] for each in self.asked if each in self.errors and each not in self.removed}

    @property
    def gone(self) -> dict[str, str]:
        """With how they went, and what had been wrong before that."""
        gone = {each: self.removed[each] for each in self.asked if self.removed.get(each, "delivered") != "delivered"}
        return {each: f"{how} ({self.errors[each]})" if each in self.errors else how for each, how in gone.items()}

    @property
    def skipped(self) -> dict[str, str]:
        """With the reason."""
        return {each: self.untried for each in self.asked if each not in self.errors and each not in self.removed}

    def hear(self, name: tuple[str, ...], _measured: object, about: Mapping[str, Any]) -> None:
        """A telemetry event of a letter."""
        identity = about["letter"].id
        if name[-1] == "removed":
            self.removed[identity] = about["cause"]
        elif name[-1] == "retried" and isinstance(about["result"], Exception):
            self.errors[identity] = f"{type(about['result']).__name__}: {about['result']}"
        self.news.set()


def deliver(app: App, path: str, identities: Sequence[str]) -> Outcome:
    """Open the tree, wait until these letters have been tried, shut it down; what came of them.

    `Failure` if the program fails; if it does so after letters were delivered, that says how many.
    """
    outcome = Outcome(identities)
    try:
        with asked_for(path, identities) as openings, errors_of(app.name):
            trio.run(_deliver, app, path, openings, outcome)
    except Failure as failure:
        if outcome.delivered:
            raise Failure(f"{failure} (after {', '.join(outcome.delivered)} had been delivered)") from failure
        raise
    _check_removed(path, outcome)
    return outcome


@contextmanager
def asked_for(path: str, identities: Sequence[str]) -> Iterator[int]:
    """Letters are marked in the file for so long, unless somebody has done so before; gives how often it was opened."""
    with LetterFile(path, writable=True) as file, file.changing():
        openings = file.openings()
        found = file.outline(LetterFilter(ids=identities))
        marked = [letter.id for letter in found if not letter.requested]
        file.request(marked)
    try:
        yield openings
    finally:
        with LetterFile(path, writable=True) as file, file.changing():
            file.withdraw(marked)


def _check_removed(path: str, outcome: Outcome) -> None:
    """What was delivered should be gone from the file; if the disk is full, say, it is not."""
    with LetterFile(path) as file, file.looking():
        for letter in file.outline(LetterFilter(ids=outcome.delivered)):
            del outcome.removed[letter.id]
            outcome.errors[letter.id] = STILL_THERE


async def _deliver(app: App, path: str, openings: int, outcome: Outcome) -> None:
    async with app.tree() as tree:
        with LetterFile(path) as file:
            if file.openings() == openings:  # nothing has been sent: in another file, the same ids are other letters
                raise Failure(f"--app {app.name}: its tree has not opened {path}; is that the path of its SQLiteStore?")
        before = dict(dead_letters().removed)
        with current_runtime().telemetry.attached(("nursery_otp", "letter"), outcome.hear):
            tried = _look(before, outcome)
            await _settled(outcome)
            # The tree was up before the function's own preparations were done: what failed then may succeed now.
            again = [identity for identity in tried if identity not in outcome.removed]
            if again:
                await dead_letters().retry(*again)
        outcome.untried = HELD_BACK
        shutdown = getattr(tree, "shutdown", None)
        if shutdown is not None:
            shutdown()


def _look(before: Mapping[str, int], outcome: Outcome) -> list[str]:
    """Notice which letters are not there any more; those that are, but are not waiting to be sent."""
    tried, unseen = [], []
    for identity in outcome.asked:
        try:
            if not dead_letters().get(identity).requested:
                tried.append(identity)
        except LetterNotFound:
            if identity not in outcome.removed:
                unseen.append(identity)
    delivered = before["delivered"] >= len(unseen) and sum(before.values()) == before["delivered"]
    outcome.removed |= dict.fromkeys(unseen, "delivered" if delivered else UNSEEN)
    return tried


async def _settled(outcome: Outcome) -> None:
    """Wait until nobody waits for a letter that was asked for."""
    while await dead_letters().refresh():
        with trio.move_on_after(LOOK_AGAIN):
            await outcome.news.wait()
        outcome.news = trio.Event()
