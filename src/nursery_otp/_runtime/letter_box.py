"""All dead letters of a runtime, in memory: numbered, bounded, and given up when they are too old.

Letters are numbered in the order in which they came, which is the order of the dict. Two numbers walk along: before
`_oldest` there is no letter left, and before `_young` none of this run whose age still has to be looked at in that
order. Letters of earlier runs, whose clock may have been another one, expire by a list of their own. Here is the one
truth: `letter_mirror` writes it down in a store, `letter_retrying` sends letters again, both from processes that may
crash.
"""

from __future__ import annotations

import math
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from nursery_otp._policy.dead_letters import DeadLetter, DeadLetterOptions, DeadLetterStatistics
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.letter_entries import Entry, LetterIds, Raw, view_of
from nursery_otp._runtime.letter_events import LetterEventKind, Subscriptions
from nursery_otp._runtime.letter_mirror import NEW, Mirror
from nursery_otp._runtime.letter_retrying import Retrying
from nursery_otp._runtime.messages import MessageInfo

if TYPE_CHECKING:
    from nursery_otp._runtime.runtime import Runtime

REMOVALS = ("delivered", "purged", "expired", "evicted")
MEMORY_PREFIX = "0"
USUAL = "noproc"
"""The reason of most letters: how many they are is what remains, so that it need not be counted."""


def new_token() -> str:
    """What idempotency keys of one run have in common, and no other run has."""
    return secrets.token_hex(8)


@protected
class LetterBox:
    """The inside of the dead-letter queue."""

    def __init__(self, runtime: Runtime, options: DeadLetterOptions) -> None:
        self.options = options
        self.runtime = runtime
        self.telemetry = runtime.telemetry
        self.letters: dict[int, Raw | Entry] = {}
        self._other_reasons: defaultdict[str, int] = defaultdict(int)
        self.removed = dict.fromkeys(REMOVALS, 0)
        self.loaded = 0
        self.exhausted = 0
        self.claimed = 0
        self._now = runtime.alarms.now
        born = runtime.now()
        self.offset = time.time() - born
        # Without a store ids need to mean something in this run only. With one that cannot be opened yet, letters must
        # have ids that no other run ever gives.
        prefix = MEMORY_PREFIX if options.store is None else f"t{time.time_ns():x}"
        self.ids = LetterIds(prefix)
        self._token = ""
        self.last = 0
        self._oldest = self._young = 1
        self._aging: list[tuple[float, int]] = []  # a heap: when letters expire that do not in the order of numbers
        self._full_at = options.capacity  # up to this number there is certainly room
        self._expires_at = born + options.expire_after  # nothing can expire before
        self.subscriptions = Subscriptions(runtime)
        self.retrying = Retrying(self)
        self.mirror = None if options.store is None else Mirror(self, options.store)
        self.follow()

    def follow(self) -> None:
        """Find out whether anybody has to be told of new letters; burying one asks for nothing else."""
        automatic = self.options.retry is not None
        self._followed = automatic or len(self.subscriptions) > 0

    def __len__(self) -> int:
        self._sweep()
        return len(self.letters)

    def bury(
        self,
        recipient: object,
        message: object,
        reason: str,
        info: MessageInfo | None = None,
        cause: str | None = None,
        context: object = None,
    ) -> int:
        """Keep a message that nobody will handle (called by the runtime). Never waits and never raises."""
        now = self._now()
        number = self.last = self.last + 1
        letters = self.letters
        letters[number] = (now, recipient, message, reason, info, cause, context)
        if reason is not USUAL:
            self._other_reasons[reason] += 1
        if number > self._full_at or now >= self._expires_at:
            self._make_room(now)
        mirror = self.mirror
        if mirror is not None:
            mirror.pending[number] = NEW
            if mirror.idle is not None:
                mirror.wake()
        emit = self.telemetry.letter_added
        if emit is not None:
            emit({"queued": len(letters)}, {"letter": self.view(number)})
        if self._followed:
            self._tell_added(number, now)
        return number

    @property
    def reasons(self) -> dict[str, int]:
        """How many letters there have been for each reason."""
        others = dict(self._other_reasons)
        usual = self.last - sum(others.values()) + others.pop(USUAL, 0)
        return {USUAL: usual, **others} if usual else others

    def _tell_added(self, number: int, now: float) -> None:
        if number not in self.letters:
            return  # a handler of the event has removed it
        if self.retrying.watching:
            self.retrying.added(now)
        if len(self.subscriptions):
            self.subscriptions.tell("added", self.view(number))

    def statistics(self) -> DeadLetterStatistics:
        """How many letters there are and have been, and what became of them."""
        self._sweep()
        queued, mirror = len(self.letters), self.mirror
        exhausted = self.exhausted
        return DeadLetterStatistics(
            queued=queued,
            waiting=queued - self.claimed - exhausted,
            retrying=self.claimed,
            exhausted=exhausted,
            loaded=self.loaded,
            added=self.last,
            by_reason=self.reasons,
            attempts=self.retrying.attempts,
            unsaved=0 if mirror is None else mirror.waiting,
            not_stored=0 if mirror is None else len(mirror.not_stored),
            **self.removed,
        )

    def view(self, number: int) -> DeadLetter:
        """The letter with this number, as users see it."""
        mirror = self.mirror
        return view_of(
            self.letters[number],
            self.ids[number],
            self.key_of(self.ids[number]),
            self.offset,
            durable=mirror is not None and mirror.is_durable(number),
            not_stored=None if mirror is None else mirror.not_stored.get(number),
            decode=self.decode,
        )

    def decode(self, text: str) -> object:
        """The message that the store has as this text."""
        return text if self.mirror is None else self.mirror.store.decode(text)

    def key_of(self, identity: str) -> str:
        """The idempotency key of a letter whose sender gave none: it is the same as long as the letter lives.

        No seed has a say in it: a receiver may have seen the keys of other runs, and of other trees.
        """
        if not self._token:
            self._token = new_token()
        return f"{self._token}-{identity}"

    def entry(self, number: int) -> Entry:
        """The letter as something that can change."""
        kept = self.letters[number]
        if not isinstance(kept, Entry):
            kept = self.letters[number] = Entry.of(kept)
        return kept

    def remove(self, number: int, cause: LetterEventKind) -> None:
        """The letter leaves the queue."""
        emit = self.telemetry.letter_removed
        if emit is not None:
            emit({"queued": len(self.letters) - 1}, {"letter": self.view(number), "cause": cause})
        if len(self.subscriptions):
            self.subscriptions.tell(cause, self.view(number))
        kept = self.letters.pop(number, None)
        if kept is None:
            return  # whoever was told has removed it
        self.removed[cause] += 1
        if isinstance(kept, Entry):
            self.claimed -= kept.claimed
            self.exhausted -= kept.state == "exhausted" and not kept.claimed
        if self.mirror is not None:
            self.retrying.requested.pop(number, None)
            self.mirror.removed(number)
            self.ids.forget(number)

    def _make_room(self, now: float) -> None:
        letters = self.letters
        if len(letters) > self.options.capacity:
            oldest = self._oldest
            while oldest not in letters:
                oldest += 1
            self._oldest = oldest + 1
            emit = self.telemetry.letter_removed
            if emit is None and not self._followed and self.mirror is None and type(letters[oldest]) is tuple:
                # as `remove` does, where nobody looks or listens
                del letters[oldest]
                self.removed["evicted"] += 1
            else:
                self.remove(oldest, "evicted")
        self._full_at = self.last + self.options.capacity - len(letters)
        if now >= self._expires_at:
            self._expire(now)

    def _sweep(self) -> None:
        now = self._now()
        if now >= self._expires_at:
            self._expire(now)

    def _expire(self, now: float) -> None:
        """Give up what is too old."""
        letters, after = self.letters, self.options.expire_after
        self._expires_at = now + after
        while self._young <= self.last:
            kept = letters.get(self._young)
            if kept is not None:
                came = kept.first_failure if isinstance(kept, Entry) else kept[0]
                if came + after > now:
                    self._expires_at = came + after
                    break
                self._expire_one(self._young, now)
            self._young += 1
        aging = self._aging
        while aging and aging[0][0] <= now:
            self._expire_one(heappop(aging)[1], now)
        if aging:
            self._expires_at = min(self._expires_at, aging[0][0])

    def _expire_one(self, number: int, now: float) -> None:
        """If it is too old. What is exhausted stays, for somebody to look at, and so does what is being sent.

        Neither does a letter expire that was asked for, before it has been tried.
        """
        kept = self.letters.get(number)
        if kept is None:
            return
        if not isinstance(kept, Entry):
            came = kept[0]
        elif kept.state == "waiting" and not kept.claimed and not kept.requested:
            came = kept.ages_from
        else:
            return
        if came + self.options.expire_after <= now:
            self.remove(number, "expired")

    def expire_late(self, number: int) -> None:
        """A letter may have become too old while it was being sent."""
        self._expire_one(number, self._now())

    def keep_longer(self, number: int) -> None:
        """It was asked for, and has been tried: for its expiry, it is as if it had just come."""
        entry = self.entry(number)
        entry.ages_from = self._now()
        if self.options.expire_after < math.inf:
            heappush(self._aging, (entry.ages_from + self.options.expire_after, number))

    def adopt(self, entries: Iterable[tuple[str, Entry]]) -> None:
        """Take over what the store had when it was opened: it is older than all there is."""
        found = list(entries)
        own = dict(self.letters)
        self.letters.clear()
        for number, (identity, entry) in enumerate(found, start=1 - len(found)):
            self.ids.load(number, identity)
            self.letters[number] = entry
            self.exhausted += entry.state == "exhausted"
            self._aging.append((entry.ages_from + self.options.expire_after, number))
            if entry.requested:
                self.retrying.request(number)
        heapify(self._aging)
        self.letters.update(own)
        self.loaded += len(found)
        self._oldest = 1 - len(found)
        self._full_at = self.last  # see there, next time
        self._expires_at = -math.inf
