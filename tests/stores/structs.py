"""A msgspec Struct; imported only where msgspec is."""

from typing import Any

import msgspec


class Item(msgspec.Struct, frozen=True):
    name: str
    parts: list[Any] = []
