"""Sends and broadcasts, cancelled or hit by the end of their recipients at each step of the scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import trio

from nursery_otp import (
    BroadcastFailed,
    MailboxOptions,
    broadcast,
    child,
    current_runtime,
    dead_letters,
    kill,
    stop_nowait,
)
from tests.integration.laboratory import Steps, Tree, run_program
from tests.runtime.test_delivery_model import NAMES, Record, Sent, Server, reader

OPTIONS = [
    {"confirm": confirm, "retries": retries, "on_error": on_error, "within": 2.0, "work": work}
    for confirm in ("enqueued", "handled")
    for retries, on_error in ((0, "raise"), (2, "dead_letter"))
    for work in ("slow", "quick")
]


class Play:
    """One tree with two recipients that have room for one message each."""

    def __init__(self) -> None:
        self.record = Record()
        self.sent = [Sent(number, options) for number, options in enumerate(OPTIONS)]
        self.scopes = {100: trio.CancelScope(), 101: trio.CancelScope()}
        self.outcomes: list[tuple[int, bool]] = []

    async def run(self) -> None:
        children = [
            child(factory, self.record, id=name.text, name=name, mailbox=MailboxOptions(capacity=1), shutdown=1.0)
            for name, factory in zip(NAMES, (reader, Server), strict=False)
        ]
        async with Tree(children, max_restarts=50) as supervisor:
            self.runtime = current_runtime()
            async with trio.open_nursery() as nursery:
                for one in self.sent:
                    nursery.start_soon(one.run, NAMES[one.number % 2])
                for number in self.scopes:
                    nursery.start_soon(self.to_all, number)
            await trio.sleep(50)
            self.letters = Counter(letter.message[0] for letter in dead_letters())
            supervisor.shutdown()

    async def to_all(self, number: int) -> None:
        done = False
        with self.scopes[number]:
            try:
                await broadcast(NAMES[:2], (number, "quick"), strategy="all_or_nothing", within=3.0)
                done = True
            except BroadcastFailed:
                pass
        self.outcomes.append((number, done))

    def check(self) -> None:
        for one in self.sent:
            one.check(self.record, self.letters)
        for number, done in self.outcomes:
            assert self.record.started[number] + self.letters[number] == (2 if done else 0), (number, done)
        assert self.runtime.ledger().balanced


def cancel_a_sender(play: Play, at: int) -> None:
    play.sent[at % len(play.sent)].scope.cancel()


def cancel_the_broadcasts(play: Play, _at: int) -> None:
    for scope in play.scopes.values():
        scope.cancel()


def on_recipient(act: Callable[[Any], object]) -> Callable[[Play, int], None]:
    def interrupt(play: Play, at: int) -> None:
        runtime = getattr(play, "runtime", None)
        ref = None if runtime is None else runtime.names().get(NAMES[at % 2].text)
        if ref is not None:
            act(ref)

    interrupt.__name__ = act.__name__
    return interrupt


WAYS = (cancel_a_sender, cancel_the_broadcasts, on_recipient(kill), on_recipient(stop_nowait))


@pytest.mark.parametrize("interrupt", WAYS, ids=lambda way: way.__name__)
def test_interrupted(interrupt):
    """Wherever it happens: every outcome agrees with what the recipients did, and to all is to all or to nobody."""
    at, count = 0, 1
    while at < count:
        play = Play()
        steps = Steps(at, lambda play=play, at=at: interrupt(play, at), limit=20_000)
        try:
            run_program(play.run, steps=steps, seed=at)
            play.check()
        except BaseException as error:
            error.add_note(f"interrupted after step {at}")
            raise
        count = steps.count if at == 0 else count
        at += 1
    assert count > 60
