"""The dead-letter queue: messages that nobody handled, kept until somebody takes care of them.

It belongs to the runtime and not to a process, so no crash empties it. This is what its users see; how letters are kept
is in `letter_box`.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, TypedDict, Unpack

import trio

from nursery_otp._policy import checks
from nursery_otp._policy.dead_letters import DeadLetter, RetryReport
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.letters import STATES, LetterState
from nursery_otp._runtime.context import process_for, runtime_for
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.letter_box import LetterBox
from nursery_otp._runtime.letter_entries import Entry, Raw, recipient_in
from nursery_otp._runtime.messages import MessageInfo, recipient_of
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.refs import Name, Ref, check_address
from nursery_otp.errors import LetterNotFound

_ANY: Any = object()
_Said: TypeAlias = tuple[Process | None, MessageInfo | None, str | None, object]
"""The process that had ended, what the receiver is told, the cause and the trace."""


class LetterKeywords(TypedDict, total=False):
    """What may be said of a message that is put into the queue."""

    metadata: Mapping[str, Any] | None
    attempts: int
    idempotency_key: str | None
    correlation_id: str | None
    cause: str | None
    context: object
    ref: Ref[Any] | None


@protected
class DeadLetterQueue(LetterBox):
    """The dead letters of a runtime: `dead_letters()`, or `Runtime.dead_letters`.

    Iterating gives them oldest first, `len` tells how many there are. OTP has nothing like it: there, messages to the
    dead disappear.
    """

    def __repr__(self) -> str:
        return f"<DeadLetterQueue: {len(self.letters)} letters>"

    def __getitem__(self, index: int) -> DeadLetter:
        return self.list()[index]

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(self.list())

    async def add(
        self, recipient: object, message: object, reason: str, **options: Unpack[LetterKeywords]
    ) -> DeadLetter:
        """Put a message into the queue, and wait until it is durable if there is a store; the letter.

        `attempts` is how many times its delivery has failed, `cause` says in words what led to it, `ref` is the process
        that had ended, `context` the trace that it is part of; `metadata`, `idempotency_key` and `correlation_id` are
        what its receiver will be told.

        While the store is out of order nobody waits for it: the letter is in memory then, its `durable` False.
        Cancelled: the letter is in the queue all the same, unless the wait was cancelled before it began. Raises
        `TypeError` for a recipient that is no address.
        """
        ended, *checked = _checked(recipient, reason, options)
        await trio.lowlevel.checkpoint_if_cancelled()
        return await self.kept(self.put(ended, recipient, message, reason, *checked))

    def add_nowait(self, recipient: object, message: object, reason: str, **options: Unpack[LetterKeywords]) -> str:
        """`add`, without waiting for the store, which has the letter soon after; the id of the letter."""
        ended, *checked = _checked(recipient, reason, options)
        if options:
            return self.ids[self.put(ended, recipient, message, reason, *checked)]
        self.runtime.sent += 1
        return self.ids[self.bury(recipient, message, reason)]

    def put(self, ended: Process | None, recipient: object, *letter: Any) -> int:
        """Bury a message (the arguments of `bury`) that has to do with the end of a process, if one is given."""
        self.runtime.sent += 1
        if ended is not None and recipient_of(ended) == recipient:
            return self.bury(ended, *letter)
        number = self.bury(recipient, *letter)
        if ended is not None and number in self.letters:  # not if who was told of it has removed it
            self.entry(number).process = ended
        return number

    async def kept(self, number: int) -> DeadLetter:
        """Wait until a letter that was just buried is durable, if it can be; the letter."""
        letter = self.view(number)
        if self.mirror is None:
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            await self.mirror.wait_saved(number)
        return self.view(number) if number in self.letters else letter

    # -------------------------------------------------------------------------------------- looking

    def list(
        self,
        *,
        recipient: object = _ANY,
        reason: str | None = None,
        state: LetterState | None = None,
        limit: int | None = None,
    ) -> tuple[DeadLetter, ...]:
        """The letters in the order in which they came, at most `limit` of them: for a recipient, reason or state."""
        if limit is not None:
            checks.count("limit", limit, infinite=False)
        return tuple(self.view(number) for number in self._select((), recipient, reason, state, limit))

    def get(self, identity: str) -> DeadLetter:
        """The letter with this id; `LetterNotFound` if it is not there (any more)."""
        self._sweep()
        return self.view(self._number(identity))

    # --------------------------------------------------------------------------------- sending again

    async def retry(
        self,
        *identities: str,
        recipient: object = _ANY,
        reason: str | None = None,
        state: LetterState | None = None,
    ) -> RetryReport:
        """Send letters again, as confirmed sends: those with these ids, or all that the filters let through.

        Letters for one recipient go one after the other, oldest first, and the first that fails holds the others back;
        different recipients are tried concurrently. What is handled leaves the queue, a failure counts. Exhausted
        letters take part only if asked for by id or state, and hold nobody back. Cancelled: every letter is still
        there, or has been handled.

        Raises `LetterNotFound` for an id that is not there.
        """
        numbers = self._select(identities, recipient, reason, state)
        wanted = bool(identities) or state == "exhausted"
        report, _ = await self.retrying.run(numbers, self.options.concurrency, wanted=wanted)
        return report

    # --------------------------------------------------------------------------------- giving them up

    async def purge(
        self,
        *identities: str,
        recipient: object = _ANY,
        reason: str | None = None,
        state: LetterState | None = None,
        expired: bool = False,
    ) -> int:
        """Remove letters for good: those with these ids, or all that the filters let through; how many they were.

        With neither ids nor filters that is every letter of the queue.

        With `expired` only those older than `expire_after`, the exhausted included. If there is a store, waits until
        they are gone from it too, unless it is out of order: then they are removed there when it works again. Raises
        `LetterNotFound` for an id that is not there, and removes nothing then.
        """
        checks.flag("expired", expired)
        await trio.lowlevel.checkpoint_if_cancelled()
        before = self.removed["expired"]
        numbers = self._select(identities, recipient, reason, state)
        swept = self.removed["expired"] - before
        if expired:
            limit = self._now() - self.options.expire_after
            numbers = [number for number in numbers if self.entry(number).first_failure <= limit]
        for number in numbers:
            self.remove(number, "purged")
        if self.mirror is None or not (numbers or swept):
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            await self.mirror.wait_forgotten()
        return len(numbers) + (swept if expired else 0)

    # ------------------------------------------------------------------------------------- the store

    async def open(self) -> None:
        """Take over what the store has (called by the tree, before its first process)."""
        if self.mirror is not None:
            await self.mirror.open()

    async def close(self) -> None:
        """Write what is left, and let go of the store (called by the tree, after its last process)."""
        if self.mirror is not None:
            await self.mirror.close()

    async def flush(self) -> bool:
        """Wait until everything is in the store; False if there is no store, or if it is out of order."""
        if self.mirror is None:
            await trio.lowlevel.checkpoint()
            return False
        return await self.mirror.flush()

    async def refresh(self) -> int:
        """Look whether somebody has asked for delivery in the store's file, or purged letters there.

        A store that is out of order is opened again, if that works now. How many letters are asked for now; they are
        sent at once, not before this returns.
        """
        if self.mirror is None:
            await trio.lowlevel.checkpoint()
            return 0
        await self.mirror.refresh()
        return len(self.retrying.requested)

    # ------------------------------------------------------------------------------------- listening

    def subscribe(self) -> None:
        """Have a `LetterEvent` sent to the current process for everything that happens to dead letters.

        As a signal, which the bound of the mailbox does not hold back. It ends with the process, or with
        `unsubscribe`.
        """
        self.subscriptions.add(process_for("subscribe"))

    def unsubscribe(self) -> bool:
        """End the subscription of the current process; True if it had one. Events on their way still arrive."""
        return self.subscriptions.remove(process_for("unsubscribe"))

    def _number(self, identity: str) -> int:
        checks.instance("id", identity, str, "must be the id of a dead letter, such as '3-17'")
        number = self.ids.number(identity)
        if number is None or number not in self.letters:
            raise LetterNotFound(identity)
        return number

    def _select(
        self,
        identities: tuple[str, ...],
        recipient: object,
        reason: str | None,
        state: LetterState | None,
        limit: int | None = None,
    ) -> builtins.list[int]:
        checks.instance("reason", reason, (str, type(None)), "must be text or None")
        if state is not None:
            checks.one_of("state", state, STATES)
        self._sweep()
        if identities:
            if recipient is not _ANY or reason is not None or state is not None:
                raise InvalidSpec("ids", identities, "give ids or filters, not both")
            return sorted({self._number(identity) for identity in identities})
        found: builtins.list[int] = []
        for number, kept in self.letters.items():
            if limit is not None and len(found) >= limit:
                break
            if _matches(kept, recipient, reason, state):
                found.append(number)
        return found


def _checked(recipient: object, reason: object, options: Mapping[str, Any]) -> _Said:
    if type(recipient) is not Name:
        check_address(recipient)
    if type(reason) is not str:
        checks.instance("reason", reason, str, "must be text")
    return _said(**options) if options else _NOTHING_SAID


def _said(
    *,
    metadata: Mapping[str, Any] | None = None,
    attempts: int = 1,
    idempotency_key: str | None = None,
    correlation_id: str | None = None,
    cause: str | None = None,
    context: object = None,
    ref: Ref[Any] | None = None,
) -> _Said:
    checks.instance("metadata", metadata, (Mapping, type(None)), "must be a mapping")
    checks.count("attempts", attempts, minimum=1, infinite=False)
    texts = {"idempotency_key": idempotency_key, "correlation_id": correlation_id, "cause": cause}
    for field, value in texts.items():
        checks.instance(field, value, (str, type(None)), "must be text or None")
    checks.instance("ref", ref, (Ref, type(None)), "must be a Ref or None")
    info = MessageInfo(dict(metadata or {}), correlation_id, idempotency_key, attempts)
    return None if ref is None else ref._process, info, cause, context


_said.__qualname__ = "DeadLetterQueue.add"  # for the error of an option that does not exist
_NOTHING_SAID = (None, None, None, None)


def _matches(kept: Raw | Entry, recipient: object, reason: str | None, state: str | None) -> bool:
    if isinstance(kept, Entry):
        of, why, how = kept.recipient, kept.reason, "retrying" if kept.claimed else kept.state
    else:
        of, why, how = recipient_in(kept), kept[3], "waiting"
    if (reason is not None and why != reason) or (state is not None and how != state):
        return False
    return recipient is _ANY or of is recipient or bool(of == recipient)


def dead_letters() -> DeadLetterQueue:
    """The dead-letter queue of the tree that this code runs in; `NoRuntime` outside of one."""
    return runtime_for("dead_letters()").dead_letters
