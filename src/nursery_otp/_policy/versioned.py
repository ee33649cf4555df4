"""A mapping whose old versions stay valid.

`decide` must not change the state it was given, and a supervisor of 100,000 children must not copy them at every
start. So the newest version of a mapping owns a plain dict and each older one only remembers in which single key it
differs from the next (Baker, "Shallow binding makes functional arrays fast", 1991). The newest version costs what a
dict costs; looking at an older one turns the chain round first. Nothing points from new to old, so the history of a
running supervisor is garbage at once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_MISSING: Any = object()


class VersionedMap(Generic[K, V]):
    """An immutable mapping: `set` and `remove` return a new version, in constant time on the newest one."""

    __slots__ = ("_key", "_next", "_table", "_value")

    def __init__(self) -> None:
        self._own({})

    def _own(self, table: dict[K, V]) -> None:
        self._table: dict[K, V] = table
        self._next: VersionedMap[K, V] | None = None
        self._key: Any = None
        self._value: Any = None

    def _differ(self, newer: VersionedMap[K, V], key: K, value: V) -> None:
        self._table, self._next, self._key, self._value = _MISSING, newer, key, value

    def _items(self) -> dict[K, V]:
        """The dict in the state of this version, which owns it from now on."""
        if self._next is None:
            return self._table
        chain = [self]
        while (newer := chain[-1]._next) is not None:
            chain.append(newer)
        table = chain[-1]._table
        for newer, older in zip(reversed(chain), reversed(chain[:-1]), strict=False):
            key, value = older._key, older._value
            newer._differ(older, key, table.get(key, _MISSING))
            _store(table, key, value)
            older._own(table)
        return table

    def _changed(self, key: K, value: V) -> VersionedMap[K, V]:
        table = self._items()
        newer: VersionedMap[K, V] = VersionedMap.__new__(VersionedMap)
        newer._own(table)
        self._differ(newer, key, table.get(key, _MISSING))
        _store(table, key, value)
        return newer

    def set(self, key: K, value: V) -> VersionedMap[K, V]:
        """A version in which `key` maps to `value`."""
        return self._changed(key, value)

    def remove(self, key: K) -> VersionedMap[K, V]:
        """A version without `key`; itself if there is none."""
        return self._changed(key, _MISSING) if key in self else self

    def get(self, key: K) -> V | None:
        """The value of `key`, or None."""
        return self._items().get(key)

    def values(self) -> list[V]:
        """All values, in no particular order."""
        return list(self._items().values())

    def __contains__(self, key: object) -> bool:
        return key in self._items()

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._items()))

    def __len__(self) -> int:
        return len(self._items())

    def __eq__(self, other: object) -> bool:
        # Two versions of one family share a dict, so one of them is copied before the other is looked at.
        return isinstance(other, VersionedMap) and dict(self._items()) == other._items()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"VersionedMap({self._items()!r})"


def _store(table: dict[K, V], key: K, value: V) -> None:
    if value is _MISSING:
        del table[key]
    else:
        table[key] = value
