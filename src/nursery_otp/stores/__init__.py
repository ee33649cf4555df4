"""Where dead letters are kept so that they survive the program.

A store is anything with the methods of `LetterStore`; `SQLiteStore` is the one that comes with the library. To write
another one, say for PostgreSQL, implement the protocol: letters come and go as `LetterRecord`, which is all text and
numbers, and `MessageCodec` makes messages such text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from nursery_otp import AddLetter as AddLetter
from nursery_otp import LetterChange as LetterChange
from nursery_otp import LetterRecord as LetterRecord
from nursery_otp import OpenedStore as OpenedStore
from nursery_otp import RemoveLetter as RemoveLetter
from nursery_otp import UpdateLetter as UpdateLetter
from nursery_otp import check_letter as check_letter
from nursery_otp.stores.codec import MessageCodec as MessageCodec
from nursery_otp.stores.sqlite import SQLiteStore as SQLiteStore

__all__ = [
    "AddLetter",
    "LetterChange",
    "LetterRecord",
    "LetterStore",
    "MessageCodec",
    "OpenedStore",
    "RemoveLetter",
    "SQLiteStore",
    "UpdateLetter",
    "check_letter",
]


@runtime_checkable
class LetterStore(Protocol):
    """Where a runtime keeps its dead letters.

    All methods are blocking. The runtime calls them in worker threads: `open`, `write`, `changed`, `reload` and
    `close` one at a time, though not always from the same thread; `encode` and `decode` at any time, from any thread,
    also before `open`.

    A method that fails raises `StoreError` and leaves the store as it was before. `StoreError.lasting` tells the two
    kinds apart. True: this is not a store of letters, or one that this version does not understand; the runtime does
    not start. False: the trouble may pass (disk full, no permission, locked, network); the runtime goes on in memory
    and tries again later. After a failed `open` it calls `open` again; after a failed `write`, the same changes and
    newer ones.
    """

    def open(self) -> OpenedStore:
        """Connect, create what is missing, and count this opening; the number of it, and all letters.

        The number ("epoch") is durable before this returns, and no two openings ever have the same one, also when
        several programs open the store at the same time.
        """

    def write(self, changes: Sequence[LetterChange]) -> None:
        """Carry out these changes, in order: all of them or none, and durable when this returns."""

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
