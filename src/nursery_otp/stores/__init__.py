"""Where dead letters are kept so that they survive the program.

A store is anything with the methods of `LetterStore`; `SQLiteStore` is the one that comes with the library. To write
another one, say for PostgreSQL, implement the protocol: letters come and go as `LetterRecord`, which is all text and
numbers, and `MessageCodec` makes messages such text.
"""

from __future__ import annotations

from nursery_otp import AddLetter as AddLetter
from nursery_otp import LetterChange as LetterChange
from nursery_otp import LetterRecord as LetterRecord
from nursery_otp import LetterStore as LetterStore
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
