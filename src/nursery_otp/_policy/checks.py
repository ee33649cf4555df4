"""Validation that names the field and the value, shared by every option class."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from nursery_otp._policy.errors import InvalidSpec


def one_of(field: str, value: object, choices: Collection[str]) -> None:
    """`value` is one of the words in `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise InvalidSpec(field, value, f"must be one of {', '.join(map(repr, choices))}")


def seconds(field: str, value: Any, *, zero: bool = True, also: str = "") -> None:
    """`value` is a duration in seconds; infinity is one, NaN, booleans and negative numbers are not."""
    problem = f"must be a number of seconds {'>= 0' if zero else '> 0'}{also}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidSpec(field, value, problem)
    if math.isnan(_as_float(value)) or value < 0 or (value == 0 and not zero):
        raise InvalidSpec(field, value, problem)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an int that no float holds: nobody means that many seconds
        return math.nan


def number(field: str, value: Any, low: float, below: float) -> None:
    """`value` is a number with low <= value < below."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < below:
        raise InvalidSpec(
            field, value, f"must be a number >= {low:g} and " + (f"< {below:g}" if below < math.inf else "finite")
        )


def finite(field: str, value: Any) -> None:
    """`value` is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(_as_float(value)):
        raise InvalidSpec(field, value, "must be a finite number")


def count(field: str, value: Any, *, minimum: int = 0, infinite: bool = True) -> None:
    """`value` is a whole number of at least `minimum`, or `math.inf` where that makes sense."""
    if infinite and value == math.inf:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        also = " or math.inf" if infinite else ""
        raise InvalidSpec(field, value, f"must be a whole number >= {minimum}{also}")


def flag(field: str, value: object) -> None:
    """`value` is a bool."""
    if not isinstance(value, bool):
        raise InvalidSpec(field, value, "must be True or False")


def function(field: str, value: object) -> None:
    """`value` can be called."""
    if not callable(value):
        raise InvalidSpec(field, value, "must be callable (a class or a function, not what it returns)")


def process(field: str, value: object) -> None:
    """`value` can be run as a process: a function, or a class that says what a process of it does."""
    function(field, value)
    # What a class with a __new__ of its own makes is only known when it is called.
    plain = isinstance(value, type) and getattr(value, "__new__", None) is object.__new__
    if plain and not hasattr(value, "process_body") and not hasattr(value, "__await__"):
        raise InvalidSpec(field, value, "is neither a GenServer nor a Supervisor; derive the class from one")


def instance(field: str, value: object, kind: type | tuple[type, ...], problem: str) -> None:
    """`value` is of `kind`."""
    if not isinstance(value, kind):
        raise InvalidSpec(field, value, problem)


def hashable(field: str, value: object) -> None:
    """`value` can be the key of a table."""
    try:
        hash(value)
    except TypeError:
        raise InvalidSpec(field, value, "must be hashable") from None
