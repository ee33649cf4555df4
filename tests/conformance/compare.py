"""Compare an observed trace with the expected one, by the rules of its format. Pure functions over JSON.

Both formats have `{"any": [...]}` for what OTP leaves open. Among the events of a supervisor trace its members, single
events or sequences that keep their own order, interleave freely; in a process trace they are single events; as a
returned value it is a list without order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

Json: TypeAlias = Any
MISSING = "<nothing>"


@attrs.frozen
class Difference:
    """Where a trace first leaves the expected one."""

    step: int
    op: str
    what: str
    expected: Json
    got: Json

    def __str__(self) -> str:
        return f"step {self.step} ({self.op}), {self.what}: expected {_text(self.expected)}, got {_text(self.got)}"


Mismatch: TypeAlias = tuple[str, Json, Json]


def _text(value: Json) -> str:
    return value if value == MISSING else json.dumps(value, default=repr)


def _key(value: Json) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


def _bag(values: Iterable[Json]) -> Counter[str]:
    return Counter(map(_key, values))


def _is_any(value: Json) -> bool:
    return isinstance(value, dict) and set(value) == {"any"}


# -------------------------------------------------------------------------------------------------------- supervisors


def supervisor_difference(expected: Sequence[Json], observed: Sequence[Json]) -> Difference | None:
    """The first difference between two supervisor traces; None if `observed` conforms."""
    for number, (wanted, got) in enumerate(zip(expected, observed, strict=False)):
        mismatch = _step_mismatch(wanted, got)
        if mismatch is not None:
            return Difference(number, wanted["op"], *mismatch)
    if len(expected) != len(observed):
        return Difference(min(len(expected), len(observed)), "end", "number of steps", len(expected), len(observed))
    return None


def _step_mismatch(wanted: Mapping[str, Json], got: Mapping[str, Json]) -> Mismatch | None:
    if not same_value(wanted["ret"], got.get("ret")):
        return "ret", wanted["ret"], got.get("ret", MISSING)
    if wanted.get("nowait"):
        return None
    return (
        event_mismatch(wanted["events"], got.get("events", []))
        or _plain_mismatch(wanted, got)
        or _elapsed_mismatch(wanted, got)
        or _queued_mismatch(wanted.get("queued", {}), got.get("queued") or {})
    )


def _plain_mismatch(wanted: Mapping[str, Json], got: Mapping[str, Json]) -> Mismatch | None:
    for key in ("alive", "up"):
        if wanted[key] != got.get(key):
            return key, wanted[key], got.get(key, MISSING)
    return None


def _elapsed_mismatch(wanted: Mapping[str, Json], got: Mapping[str, Json]) -> Mismatch | None:
    elapsed = got.get("elapsed_ms")
    if "elapsed_ms" not in wanted or not isinstance(elapsed, int | float):
        return None
    low, high = wanted["elapsed_ms"]
    return None if low <= elapsed <= high else ("elapsed_ms", wanted["elapsed_ms"], elapsed)


def _queued_mismatch(wanted: Mapping[str, Json], got: Mapping[str, Json]) -> Mismatch | None:
    for tag in sorted({*wanted, *got}):
        if tag not in wanted or tag not in got or not same_value(wanted[tag], got[tag]):
            return f"answer to the queued call {tag}", wanted.get(tag, MISSING), got.get(tag, MISSING)
    return None


def same_value(wanted: Json, got: Json) -> bool:
    """Whether a returned value is the expected one; `{"any": [...]}` is a list in no particular order."""
    if not _is_any(wanted):
        return bool(wanted == got)
    values = got["any"] if _is_any(got) else got
    return isinstance(values, list) and _bag(wanted["any"]) == _bag(values)


def event_mismatch(wanted: Sequence[Json], got: Sequence[Json]) -> Mismatch | None:
    """What is wrong with the events `got`; None if `wanted` allows them."""
    events = list(_flat(got))
    position = 0
    for item in wanted:
        sequences = [_sequence(member) for member in item["any"]] if _is_any(item) else [[item]]
        size = sum(map(len, sequences))
        window = events[position : position + size]
        if not _interleaves(sequences, window):
            last = position + size - 1
            where = f"event {position}" if size == 1 else f"events {position}..{last}"
            return where, item, window if size != 1 else (window or [MISSING])[0]
        position += size
    if position < len(events):
        return f"event {position}", MISSING, events[position]
    return None


def _interleaves(sequences: Sequence[Sequence[Json]], window: Sequence[Json]) -> bool:
    """Whether `window` is made of exactly these sequences, each in its own order."""
    if _bag(event for sequence in sequences for event in sequence) != _bag(window):
        return False
    for sequence in sequences:
        places = [window.index(event) for event in sequence]
        if places != sorted(places):
            return False
    return True


def _sequence(member: Json) -> list[Json]:
    """A member of `any` as a sequence: an event starts with a text, a sequence with an event."""
    return [member] if member and isinstance(member[0], str) else list(member)


def _flat(events: Iterable[Json]) -> Iterable[Json]:
    for item in events:
        if _is_any(item):
            for member in item["any"]:
                yield from _sequence(member)
        else:
            yield item


# ---------------------------------------------------------------------------------------------------------- processes


def process_difference(expected: Sequence[Json], observed: Sequence[Json]) -> Difference | None:
    """The first difference between two process traces; None if `observed` conforms."""
    for number in range(max(len(expected), len(observed))):
        wanted = expected[number] if number < len(expected) else {}
        got = observed[number] if number < len(observed) else {}
        for process in sorted({*wanted, *got}):
            mismatch = _process_mismatch(wanted.get(process, []), got.get(process, []))
            if mismatch is not None:
                return Difference(number, f"process {process}", *mismatch)
    return None


def _process_mismatch(wanted: Sequence[Json], got: Sequence[Json]) -> Mismatch | None:
    position = 0
    for item in wanted:
        if isinstance(item, dict) and "any" in item:
            window = got[position : position + len(item["any"])]
            if _bag(item["any"]) != _bag(window):
                return f"events {position}..{position + len(item['any']) - 1}", item, window
            position += len(item["any"])
        elif position < len(got) and _key(got[position]) == _key(item):
            position += 1
        else:
            return f"event {position}", item, got[position] if position < len(got) else MISSING
    if position < len(got):
        return f"event {position}", MISSING, got[position]
    return None
