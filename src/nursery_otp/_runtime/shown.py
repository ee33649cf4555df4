"""Values as texts for people: shortened while they are made, so that a large one costs no more than a page."""

from __future__ import annotations

import dataclasses
import itertools
import reprlib
from collections.abc import Callable
from typing import Any

from nursery_otp._policy.exits import safe_repr

SHOWN = 2_000
"""How many characters of a value are shown."""
MANY = 100
"""How many entries of a container are shown."""


class _Shown(reprlib.Repr):
    """A repr that does not build what it will not show: a state may hold millions of things."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 8
        self.maxtuple = self.maxlist = self.maxarray = self.maxset = self.maxfrozenset = self.maxdeque = MANY

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        if level <= 0:
            return "{...}"
        items = [
            f"{self.repr1(key, level - 1)}: {self.repr1(value, level - 1)}"
            for key, value in itertools.islice(x.items(), MANY)
        ]
        more = [f"... {len(x):,} in all"] if len(x) > MANY else []
        return f"{{{', '.join([*items, *more])}}}"

    def repr_str(self, x: str, _level: int) -> str:
        return repr(x) if len(x) <= SHOWN else f"{x[:SHOWN]!r}... ({len(x):,} characters)"

    def repr_int(self, x: int, _level: int) -> str:
        return safe_repr(x)

    def repr_instance(self, x: Any, level: int) -> str:
        fields = _generated_fields(type(x))
        if fields is None:
            return safe_repr(x)
        if level <= 0:
            return f"{type(x).__qualname__}(...)"
        parts = [(name, getattr(x, name), custom) for name, custom in fields]
        texts = [
            f"{name}={self.repr1(part, level - 1) if custom is None else custom(part)}" for name, part, custom in parts
        ]
        return f"{type(x).__qualname__}({', '.join(texts)})"


def _generated_fields(kind: Any) -> list[tuple[str, Callable[[Any], str] | None]] | None:
    """What the generated `__repr__` of an attrs class or a dataclass shows: each field, and its own way if it has one.

    Such a `__repr__` would build the text of all that the fields hold.
    """
    function = getattr(kind.__repr__, "__wrapped__", kind.__repr__)
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    if "__attrs_attrs__" in vars(kind) and code.co_filename.startswith("<attrs generated"):
        shown_ones = [field for field in kind.__attrs_attrs__ if field.repr is not False]
        return [(field.name, None if field.repr is True else field.repr) for field in shown_ones]
    if "__dataclass_fields__" in vars(kind) and code.co_filename == "<string>":
        return [(field.name, None) for field in dataclasses.fields(kind) if field.repr]
    return None


def shown(value: object, limit: int = SHOWN) -> str:
    """The repr of anything, for people: never fails, and is never longer than a page."""
    try:
        text = _Shown().repr(value)
    except Exception:  # of a container of the user's own kind
        text = safe_repr(value)
    return text if len(text) <= limit + 50 else cut(text, limit)  # a long text has been cut already


def replaced(value: object, original: object) -> str:
    """What stands for a value in a report: shown if it is the value itself, and a text of the user's as it is."""
    return cut(value, SHOWN) if type(value) is str and value is not original else shown(value)


def cut(text: str, limit: int = 2 * SHOWN) -> str:
    """A text that may be long, or its beginning."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"
