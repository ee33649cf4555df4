"""How a dead letter is kept: first as a bare tuple, which costs next to nothing, later as an entry that can change.

Most dead letters are never looked at, and a failing send must stay cheap; so burying one makes only a `Raw`. Whoever
retries a letter makes an `Entry` of it. Times are those of the runtime's clock; what users and stores see is Unix time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from nursery_otp._policy.dead_letters import DeadLetter, FormerRecipient, UnreadableMessage
from nursery_otp._policy.exits import safe_repr
from nursery_otp._policy.letters import LetterRecord, LetterState, RecipientKind
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import MessageInfo, recipient_of
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.refs import Name, referred
from nursery_otp._runtime.telemetry import Telemetry
from nursery_otp._runtime.tracing import TraceContext, dump_context, load_context

Raw: TypeAlias = tuple[float, Any, Any, str, Any, str | None, Any]
"""When, recipient, message, reason, info, cause, context."""


def recipient_in(raw: Raw) -> Any:
    """The recipient; a process that had ended by then stands for itself, as its ref takes longer to find."""
    recipient = raw[1]
    return recipient_of(recipient) if isinstance(recipient, Process) else recipient


class Snapshot(NamedTuple):
    """An entry as it is now, for a thread that will write it down while the entry may change."""

    recipient: Any
    kind: RecipientKind | None
    message: Any
    text: str | None
    reason: str
    metadata: Mapping[str, Any]
    attempts: int
    first_failure: float
    last_attempt: float
    key: str | None
    correlation_id: str | None
    cause: str | None
    state: LetterState
    requested: bool
    trace: str | None
    answered: bool


class Entry:
    """A dead letter that somebody has to do with."""

    __slots__ = (
        "ages_from",
        "answered",
        "attempts",
        "cause",
        "claimed",
        "context",
        "correlation_id",
        "due",
        "first_failure",
        "key",
        "kind",
        "last_attempt",
        "message",
        "metadata",
        "process",
        "reason",
        "recipient",
        "requested",
        "state",
        "text",
        "trace",
    )

    def __init__(self, recipient: Any, message: Any, reason: str, first_failure: float) -> None:
        self.recipient = recipient
        self.message = message
        self.reason = reason
        self.first_failure = self.last_attempt = self.ages_from = first_failure
        self.metadata: Mapping[str, Any] = {}
        self.attempts = 1
        self.key: str | None = None
        self.correlation_id: str | None = None
        self.cause: str | None = None
        self.context: Any = None
        self.process: Process | None = None  # whose end it has to do with
        self.state: LetterState = "waiting"
        self.claimed = False  # somebody is sending it right now
        self.requested = False
        self.answered = False  # it was requested, and the store does not know yet that it has been tried
        self.due: float | None = None
        self.kind: RecipientKind | None = None  # these three only if it comes from a store
        self.text: str | None = None
        self.trace: str | None = None

    @classmethod
    def of(cls, raw: Raw) -> Entry:
        """The entry of what was only buried so far."""
        when, recipient, message, reason, info, cause, context = raw
        entry = cls(recipient_in(raw), message, reason, when)
        if isinstance(recipient, Process):
            entry.process = recipient
        entry.cause, entry.context = cause, context
        if info is not None:
            entry.metadata = info.metadata
            entry.key, entry.correlation_id = info.idempotency_key, info.correlation_id
            entry.attempts = info.attempt
        return entry

    @classmethod
    def loaded(cls, record: LetterRecord, now: float, offset: float, decode: Callable[[str], object]) -> Entry:
        """The entry of a letter that a store kept; `offset` is the Unix time of zero on the runtime's clock.

        A time in the future, which a clock that was wrong has left there, is taken for now.
        """
        named = record.recipient_kind == "name" and record.recipient
        recipient = Name[Any](record.recipient) if named else FormerRecipient(record.recipient)
        entry = cls(recipient, None, record.reason, min(record.first_failure - offset, now))
        entry.kind, entry.text, entry.trace = record.recipient_kind, record.message, record.trace
        entry.metadata = _metadata(record.metadata, decode)
        entry.attempts, entry.last_attempt = record.attempts, min(record.last_attempt - offset, now)
        entry.key, entry.correlation_id, entry.cause = record.idempotency_key, record.correlation_id, record.cause
        entry.state = "exhausted" if record.state == "exhausted" else "waiting"
        entry.requested = record.requested
        return entry

    def open(self, decode: Callable[[str], object]) -> Any:
        """The message, made an object when it is first looked at."""
        if self.text is not None and self.message is None:
            try:
                self.message = decode(self.text)
            except Exception as error:
                return UnreadableMessage(self.text, str(error))
        return self.message

    def snapshot(self) -> Snapshot:
        """As it is now."""
        return Snapshot(
            self.recipient,
            self.kind,
            self.message,
            self.text,
            self.reason,
            self.metadata,
            self.attempts,
            self.first_failure,
            self.last_attempt,
            self.key,
            self.correlation_id,
            self.cause,
            self.state,
            self.requested,
            self.trace or dump_context(self.context),
            self.answered,
        )

    def original(self, telemetry: Telemetry) -> TraceContext | None:
        """The trace that it belonged to when it failed for the first time."""
        if isinstance(self.context, TraceContext):
            return self.context
        return load_context(telemetry, self.trace)

    def info(self, key: str) -> MessageInfo:
        """What the receiver is told in the next attempt."""
        return MessageInfo(
            metadata=self.metadata,
            correlation_id=self.correlation_id,
            idempotency_key=self.key or key,
            attempt=self.attempts + 1,
        )


def _metadata(text: str, decode: Callable[[str], object]) -> Mapping[str, Any]:
    if text == "{}":
        return {}
    try:
        found = decode(text)
    except Exception as error:
        return {"unreadable": text, "problem": str(error)}
    return found if isinstance(found, Mapping) else {"metadata": found}


def view_of(
    kept: Raw | Entry,
    identity: str,
    key: str,
    offset: float,
    *,
    durable: bool,
    not_stored: str | None,
    decode: Callable[[str], object],
) -> DeadLetter:
    """What users see of it."""
    if not isinstance(kept, Entry):
        return _view_of_raw(kept, identity, key, offset, durable=durable, not_stored=not_stored)
    entry = kept
    return DeadLetter(
        id=identity,
        recipient=entry.recipient,
        message=entry.open(decode),
        reason=entry.reason,
        metadata=dict(entry.metadata),
        attempts=entry.attempts,
        first_failure=entry.first_failure + offset,
        last_attempt=entry.last_attempt + offset,
        idempotency_key=entry.key or key,
        correlation_id=entry.correlation_id,
        cause=entry.cause,
        state="retrying" if entry.claimed else entry.state,
        durable=durable,
        not_stored=not_stored,
        requested=entry.requested,
        ref=None if entry.process is None else entry.process.ref,
    )


def _view_of_raw(
    raw: Raw, identity: str, key: str, offset: float, *, durable: bool, not_stored: str | None
) -> DeadLetter:
    when, recipient, message, reason, info, cause, _ = raw
    ended = isinstance(recipient, Process)
    said = info or _NO_INFO
    return DeadLetter(
        id=identity,
        recipient=recipient_of(recipient) if ended else recipient,
        message=message,
        reason=reason,
        metadata={} if info is None else dict(info.metadata),
        attempts=said.attempt,
        first_failure=when + offset,
        last_attempt=when + offset,
        idempotency_key=said.idempotency_key or key,
        correlation_id=said.correlation_id,
        cause=cause,
        state="waiting",
        durable=durable,
        not_stored=not_stored,
        requested=False,
        ref=recipient.ref if ended else None,
    )


def record_of(
    kept: Raw | Snapshot, identity: str, key: str, offset: float, encode: Callable[[object], str]
) -> LetterRecord:
    """What a store keeps of it. Runs in a worker thread; raises what `encode` raises."""
    if isinstance(kept, Snapshot):
        return _record_of_snapshot(kept, identity, key, offset, encode)
    return record_of_raw(kept, address(kept[1]), identity, key, offset, encode)


def record_of_raw(
    raw: Raw, to: tuple[RecipientKind, str], identity: str, key: str, offset: float, encode: Callable[[object], str]
) -> LetterRecord:
    """What a store keeps of a letter that was only buried, `to` being the address of its recipient."""
    when, _, message, reason, info, cause, context = raw
    kind, text = to
    when += offset
    if info is None and context is None:
        # As LetterRecord(...) does, in a third of the time; there may be thousands.
        return _tuple(
            LetterRecord,
            (
                # one display: joining two takes longer
                identity,
                kind,
                text,
                encode(message),
                reason,
                "{}",
                1,
                when,
                when,
                key,
                None,
                cause,
                "waiting",
                False,
                None,
            ),
        )
    info = info or _NO_INFO
    return LetterRecord(
        identity,
        kind,
        text,
        encode(message),
        reason,
        encode(info.metadata) if info.metadata else "{}",
        info.attempt,
        when,
        when,
        info.idempotency_key or key,
        info.correlation_id,
        cause,
        trace=dump_context(context),
    )


def _record_of_snapshot(
    snapshot: Snapshot, identity: str, key: str, offset: float, encode: Callable[[object], str]
) -> LetterRecord:
    kind, recipient = address(snapshot.recipient)
    return LetterRecord(
        identity,
        snapshot.kind or kind,
        recipient,
        snapshot.text if snapshot.text is not None else encode(snapshot.message),
        snapshot.reason,
        encode(snapshot.metadata) if snapshot.metadata else "{}",
        snapshot.attempts,
        snapshot.first_failure + offset,
        snapshot.last_attempt + offset,
        snapshot.key or key,
        snapshot.correlation_id,
        snapshot.cause,
        snapshot.state,
        snapshot.requested,
        snapshot.trace,
    )


def address(recipient: object) -> tuple[RecipientKind, str]:
    """Who it is for, as text. Refs of the dead are made when needed, which is no work for another thread."""
    if isinstance(recipient, Name):
        return "name", recipient.text
    if isinstance(recipient, FormerRecipient):
        return "other", recipient.text
    process = recipient if isinstance(recipient, Process) else referred(recipient)
    if isinstance(process, Process):
        name = process.name if process is recipient else None
        return ("ref", f"{process.label}#{process.pid}") if name is None else ("name", name.text)
    return "other", safe_repr(recipient)


_tuple = tuple.__new__
_NO_INFO = MessageInfo()


def line_of(recipient: object) -> Hashable:
    """Equal for letters that must not overtake each other."""
    try:
        hash(recipient)
    except Exception:
        return id(recipient)
    return recipient


@protected
class LetterIds:
    """Ids of letters, made when somebody asks: a letter's number, and the opening of the store it belongs to.

    Letters that come from the store have the ids they had, and numbers below 1.
    """

    __slots__ = ("_first", "_known", "_loaded", "_prefixes")

    def __init__(self, prefix: str) -> None:
        self._first = [1]
        self._prefixes = [prefix]
        self._loaded: dict[int, str] = {}
        self._known: dict[str, int] = {}

    def change_prefix(self, prefix: str, first: int) -> None:
        """Letters from number `first` on have this prefix; those before keep theirs."""
        if self._first[-1] == first:
            self._prefixes[-1] = prefix
        else:
            self._first.append(first)
            self._prefixes.append(prefix)

    def load(self, number: int, identity: str) -> None:
        """A letter from the store."""
        self._loaded[number] = identity
        self._known[identity] = number

    def forget(self, number: int) -> None:
        """The letter is gone."""
        if number < 1:
            self._known.pop(self._loaded.pop(number, ""), None)

    def several(self, numbers: Sequence[int]) -> list[str]:
        """The ids of these letters."""
        if min(numbers, default=0) >= self._first[-1]:
            prefix = self._prefixes[-1]
            return [f"{prefix}-{number}" for number in numbers]
        return [self[number] for number in numbers]

    def __getitem__(self, number: int) -> str:
        if number >= self._first[-1]:
            return f"{self._prefixes[-1]}-{number}"
        if number < 1:
            return self._loaded[number]
        return f"{self._prefixes[bisect_right(self._first, number) - 1]}-{number}"

    def number(self, identity: str) -> int | None:
        """The number of a letter, if it could be one; it may be gone."""
        known = self._known.get(identity)
        if known is not None:
            return known
        digits = identity.rpartition("-")[2]
        number = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else 0
        return number if number >= 1 and self[number] == identity else None
