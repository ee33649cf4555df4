"""A dead letter as data, and what a store is told to do with it.

A record is all text and numbers, so that a store needs to know nothing about messages: turning one into text and back
is the codec's work. It is a tuple because ten thousand of them are made and written at once: it is made in a quarter
of the time of a frozen attrs class, and is itself the row that a database takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import attrs

from nursery_otp._policy import checks
from nursery_otp._policy.errors import InvalidSpec

LetterState: TypeAlias = Literal["waiting", "retrying", "exhausted"]
RecipientKind: TypeAlias = Literal["name", "ref", "other"]

STATES = ("waiting", "retrying", "exhausted")
RECIPIENT_KINDS = ("name", "ref", "other")
MOST_ATTEMPTS = 2**63  # what fits a column of integers


class LetterRecord(NamedTuple):
    """A dead letter as a store keeps it: text and numbers only.

    `id` is unique for ever ("EPOCH-N"). `recipient` is the text of a name if `recipient_kind` is "name", else only a
    description of who it was for. `message`, `metadata` and `trace` are JSON texts made by the store's `encode`
    (`message` is None if the message could not be stored). `first_failure` and `last_attempt` are Unix times in
    seconds. `requested` means that somebody outside of the program, such as the command line, asked for delivery.
    """

    id: str
    recipient_kind: RecipientKind
    recipient: str
    message: str | None
    reason: str
    metadata: str = "{}"
    attempts: int = 1
    first_failure: float = 0.0
    last_attempt: float = 0.0
    idempotency_key: str | None = None
    correlation_id: str | None = None
    cause: str | None = None
    state: LetterState = "waiting"
    requested: bool = False
    trace: str | None = None


TEXTS = ("id", "recipient", "reason", "metadata")
OPTIONAL_TEXTS = ("message", "idempotency_key", "correlation_id", "cause", "trace")
TIMES = ("first_failure", "last_attempt")


def check_letter(record: LetterRecord) -> LetterRecord:
    """The record itself if all its fields hold, else `InvalidSpec`.

    For a store that reads records from somewhere where anybody can write. Those that the runtime makes hold anyway.

    >>> check_letter(LetterRecord("1-1", "name", "worker", "null", "noproc")).attempts
    1
    """
    checks.instance("letter", record, LetterRecord, "must be a LetterRecord")
    for field in TEXTS:
        checks.instance(field, getattr(record, field), str, "must be text")
    for field in OPTIONAL_TEXTS:
        checks.instance(field, getattr(record, field), (str, type(None)), "must be text or None")
    for field in TIMES:
        checks.instance(field, getattr(record, field), (int, float), "must be a Unix time in seconds")
        checks.finite(field, getattr(record, field))
    checks.one_of("recipient_kind", record.recipient_kind, RECIPIENT_KINDS)
    checks.one_of("state", record.state, STATES)
    checks.count("attempts", record.attempts, infinite=False)
    checks.flag("requested", record.requested)
    if not record.id:
        raise InvalidSpec("id", record.id, "must not be empty")
    if record.attempts >= MOST_ATTEMPTS:
        raise InvalidSpec("attempts", record.attempts, "must be less than 2**63")
    return record


@attrs.frozen
class AddLetter:
    """Keep this letter. If one with its id is there, it is replaced and keeps its place: adding twice is harmless.

    Somebody may have asked for the delivery of the one that is there (`requested`); that stays, as with `UpdateLetter`.
    """

    letter: LetterRecord


@attrs.frozen
class UpdateLetter:
    """This is how the letter stands now. No effect if it is not there any more: somebody else has removed it.

    Somebody may have asked for its delivery (`requested`) since it was last read, and that must not get lost: such a
    request stays until an update is `answered`, which says that what was asked for has been tried.
    """

    letter: LetterRecord
    answered: bool = False


@attrs.frozen
class RemoveLetter:
    """Forget the letter with this id. No effect if it is not there."""

    id: str


LetterChange: TypeAlias = AddLetter | UpdateLetter | RemoveLetter
"""One thing that a store is told to do."""


@attrs.frozen
class OpenedStore:
    """What a store has when it is opened: the number of this opening, and its letters in the order they were added.

    No two openings of a store have the same `epoch`, so that an id made of it is never used twice.

    `same` says that the store object had this very file (or database) open before, and that nobody has put another one,
    or an older copy, in its place. Letters that are missing there have been removed by somebody, then. Without it the
    runtime takes them for lost, and writes those that it has once more.
    """

    epoch: int
    letters: Sequence[LetterRecord] = ()
    same: bool = False


@runtime_checkable
class LetterStore(Protocol):
    """Where a runtime keeps its dead letters.

    All methods are blocking. The runtime calls them in worker threads: `open`, `write`, `changed`, `reload` and
    `close` one at a time, though not always from the same thread; `encode` and `decode` at any time, from any thread,
    also before `open`.

    A method that fails raises `StoreError` and leaves the store as it was before. `StoreError.lasting` tells the two
    kinds apart. True: this is not a store of letters, or one that this version does not understand; the runtime does
    not start. False: the trouble may pass (disk full, no permission, locked, network); the runtime goes on in memory
    and tries again later. After a failed `open` it calls `open` again. After any other failure it calls `close`, whose
    errors are ignored then, and `open`; and `write` with the changes that are not in what that found.
    """

    def open(self) -> OpenedStore:
        """Connect, create what is missing, and count this opening; the number of it, and all letters.

        A store is open for one runtime at a time: lasting trouble if it is open already.

        The number ("epoch") is durable before this returns, and no two openings ever have the same one, also when
        several programs open the store at the same time.
        """

    def write(self, changes: Sequence[LetterChange]) -> None:
        """Carry out these changes, in order: all of them or none, and durable when this returns.

        `InvalidSpec` if it cannot take one of the letters, for what that is: the runtime finds out which one, and keeps
        it in memory.
        """

    def changed(self) -> bool:
        """Whether somebody else has changed the letters since the last `open` or `reload`. Cheap."""

    def reload(self) -> Sequence[LetterRecord]:
        """All letters, in the order they were added."""

    def encode(self, message: object) -> str:
        """A message (or metadata, or a trace context) as text; `CannotStore` if it is not data."""

    def decode(self, text: str) -> object:
        """The message that `encode` made this text of; `CannotLoad` if that is not possible (any more)."""

    def close(self) -> None:
        """Let go of the connection. Harmless if there is none; `open` may be called again."""
