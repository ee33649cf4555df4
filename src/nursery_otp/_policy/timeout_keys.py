"""What rules of a timeout policy can be about, and what limits can be asked for: operations, classes, texts, tuples."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import Any, ClassVar, TypeAlias

import attrs

from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.exits import safe_repr
from nursery_otp._policy.timeout_patterns import ANY, Parts, is_open, part_of

UNLIMITED = {
    "init": "init has no limit but the ones that it sets itself, such as trio.fail_after",
    "terminate": "terminate has the limit that the child's shutdown gives it",
}
"""Callbacks that handle no message, so that no limit of handlers holds for them; and what does."""

_KEYS = "must be a server class, a client function such as Counter.divide, text, or a tuple"


# ------------------------------------------------------------------------------------- operations


class Operation:
    """One operation of one class of servers. Compared by identity: it is the key of the table of known limits."""

    __slots__ = ("name", "service")

    def __init__(self, service: type[Any], name: str) -> None:
        self.service = service
        self.name = name

    @property
    def parts(self) -> Parts:
        """Service and operation, as text."""
        return self.service.__name__, self.name

    def __str__(self) -> str:
        return f"{self.service.__name__}.{self.name}"

    def __repr__(self) -> str:
        return f"<operation {self}>"

    def lineage(self) -> list[type[Any]]:
        """The class and those of its bases whose handler it has inherited, nearest first."""
        own = inspect.getattr_static(self.service, self.name, None)
        return [
            base
            for base in self.service.__mro__
            if base is self.service or (own is not None and inspect.getattr_static(base, self.name, None) is own)
        ]


class OperationHandle:
    """What client functions have in common: they stand for an operation, and may have a limit of their own."""

    __slots__ = ("_limit", "_operation")

    _limit: float | None
    _operation: Operation
    waits: ClassVar[bool] = True


# ------------------------------------------------------------------------------------------- keys


@attrs.frozen
class HandleKey:
    """A client function: this operation of exactly this class, and of subclasses that inherit its handler."""

    service: type[Any]
    name: str

    @property
    def parts(self) -> Parts:
        """As text would say it."""
        return self.service.__name__, self.name


@attrs.frozen
class ServiceKey:
    """A class: all operations of it and of its subclasses."""

    service: type[Any]

    @property
    def parts(self) -> Parts:
        """As text would say it."""
        return (self.service.__name__,)


@attrs.frozen
class ExactKey:
    """Text or a tuple without open parts."""

    parts: Parts


@attrs.frozen
class PatternKey:
    """Text or a tuple with open parts."""

    parts: Parts


Key: TypeAlias = HandleKey | ServiceKey | ExactKey | PatternKey


def key_of(field: str, given: Any, *, calls: bool) -> Key:
    """What the key of a rule means; `calls`: the rules are about waiting for an answer."""
    if isinstance(given, OperationHandle):
        if given._limit is not None:
            raise InvalidSpec(field, given, "has a limit of its own, which no rule changes; leave out the within()")
        if calls and not given.waits:
            raise InvalidSpec(
                field, given, "is a cast, which waits for nothing; the run of its handler has handler_rules"
            )
        return HandleKey(given._operation.service, given._operation.name)
    if isinstance(given, type):
        return ServiceKey(_server_class(field, given))
    if isinstance(given, str):
        parts: Parts = tuple(map(part_of, _split(field, given)))
    elif isinstance(given, tuple):
        parts = _tuple_parts(field, given)
    else:
        raise InvalidSpec(field, given, _KEYS)
    if not is_open(parts):
        if not calls:
            check_limited(field, given, parts)
        return ExactKey(parts)
    if len(parts) == 1:
        raise InvalidSpec(
            field, given, "would match no operation, which has two parts: service and name, as in '*.name'"
        )
    return PatternKey(parts)


def check_limited(field: str, given: Any, parts: Parts) -> None:
    """Refuse what no limit of handlers holds for, so that nobody relies on one."""
    name = parts[-1]
    if isinstance(name, str) and name in UNLIMITED:
        raise InvalidSpec(field, given, f"is no handler of messages: {UNLIMITED[name]}")


def _server_class(field: str, given: type[Any]) -> type[Any]:
    if not hasattr(given, "process_body"):
        raise InvalidSpec(field, given, "must be a server class (derived from GenServer)")
    return given


def _split(field: str, text: str) -> list[str]:
    parts = text.split(".")
    if not all(parts):
        raise InvalidSpec(field, text, "must be parts with dots between them, such as 'Counter.divide', and none empty")
    return parts


def _tuple_parts(field: str, given: tuple[Any, ...]) -> Parts:
    for part in given:
        if isinstance(part, bool) or not (part is ANY or isinstance(part, str | int | Enum)):
            problem = f"must consist of text, whole numbers and ANY, not {safe_repr(part)}{_advice(part)}"
            raise InvalidSpec(field, given, problem)
        if isinstance(part, str) and (not part or "*" in part):
            raise InvalidSpec(field, given, "must not have '*' or empty text in it; in a tuple any part is ANY")
    if not given:
        raise InvalidSpec(field, given, "must not be empty")
    return given


def _advice(part: object) -> str:
    if isinstance(part, OperationHandle):
        return f" (the rule for this operation has the key {part} itself)"
    return f" (a class alone is a key: {part.__name__})" if isinstance(part, type) else ""


def shown(given: object) -> str:
    """A key or an identifier as one would write it."""
    if isinstance(given, type):
        return given.__name__
    return str(given) if isinstance(given, OperationHandle) else safe_repr(given)


# -------------------------------------------------------------------------------------- subjects


@attrs.frozen
class Subject:
    """What a limit is asked for; `strict`: it is an error if text can mean either of two classes."""

    given: Any
    parts: Parts
    services: tuple[type[Any], ...] = ()
    lineage: tuple[type[Any], ...] = ()
    strict: bool = True


def subject_of(identifier: Any) -> Subject:
    """What an identifier stands for: a client function, an `Operation`, a class, text or a tuple."""
    if isinstance(identifier, Subject):
        return identifier
    if isinstance(identifier, OperationHandle):
        operation = identifier._operation
        return attrs.evolve(subject_of(operation), given=identifier)
    if isinstance(identifier, Operation):
        mro = identifier.service.__mro__
        return Subject(identifier, identifier.parts, mro, tuple(identifier.lineage()))
    if isinstance(identifier, type):
        service = _server_class("identifier", identifier)
        return Subject(identifier, (service.__name__,), service.__mro__)
    if isinstance(identifier, str):
        if "*" in identifier:
            raise InvalidSpec("identifier", identifier, "must name one operation; this is a pattern")
        return Subject(identifier, tuple(_split("identifier", identifier)))
    if isinstance(identifier, tuple):
        parts = _tuple_parts("identifier", identifier)
        if is_open(parts):
            raise InvalidSpec("identifier", identifier, "must name one operation; this is a pattern")
        return Subject(identifier, parts)
    raise InvalidSpec("identifier", identifier, _KEYS)


def replaces(new: Key, old: Key) -> bool:
    """Whether a rule of a later source takes the place of an earlier one: text also that of the object it names."""
    return new == old or (
        isinstance(new, ExactKey) and isinstance(old, HandleKey | ServiceKey) and new.parts == old.parts
    )
