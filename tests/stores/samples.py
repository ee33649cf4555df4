"""Data classes of every kind, some classes that only look like data, and values of all that can be stored."""

import collections
import dataclasses
import enum
import functools
import struct
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PosixPath, PurePosixPath, PureWindowsPath
from typing import Any, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import attrs
from hypothesis import strategies as st

from nursery_otp import GenServer, Message, Name

T = TypeVar("T")
RAN: list[str] = []  # which code of the classes below has run


@attrs.frozen
class Order:
    number: Any
    lines: Any = ()


@attrs.define(slots=False)
class Account:
    owner: Any
    balance: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        RAN.append("post_init")


@attrs.frozen(cache_hash=True)
class Hashed:
    key: Any


@attrs.define
class Converted:
    number: int = attrs.field(converter=int, validator=attrs.validators.ge(0), on_setattr=attrs.setters.frozen)
    _hidden: str = "s"

    def __init__(self, number: int) -> None:
        RAN.append("init")
        self.__attrs_init__(number)


@dataclasses.dataclass
class Point(Generic[T]):
    x: T
    y: Any = None

    def __post_init__(self) -> None:
        RAN.append("post_init")

    @functools.cached_property
    def size(self) -> int:
        return 2


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    key: Any


class Pair(NamedTuple):
    first: Any
    second: Any = None


Trio = collections.namedtuple("Trio", ["a", "b", "c"])


class Outer:
    @attrs.frozen
    class Inner:
        value: Any


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - an alias
    BLUE = "blue"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    HELLO = "hello"


class Plain:
    """No data class."""


class TextLike(str):
    __slots__ = ()


class Numbers(list):
    pass


@dataclasses.dataclass
class Failure(Exception):
    code: int


@attrs.define
class Table(dict):
    name: str = ""


class HasSlot:
    __slots__ = ("hidden",)


@attrs.define
class OverSlot(HasSlot):
    shown: int


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no eq")


@attrs.define
class Unreadable:
    value: int

    def __getattribute__(self, name: str) -> Any:
        if name == "value":
            raise RuntimeError("no value")
        return super().__getattribute__(name)


@attrs.define(slots=False)
class Unset:
    """Its second field has no value before somebody sets it."""

    number: int
    result: Any = attrs.field(init=False, repr=False, eq=False)


class Server(GenServer):
    pass


def exact(value: Any) -> Any:
    """Something that is equal for two values only if they and all that is in them have the same types and values."""
    kind = type(value)
    if kind is float:
        return "float", "nan" if value != value else struct.pack(">d", value)
    if kind is complex:
        return "complex", exact(value.real), exact(value.imag)
    if kind is Decimal:
        return "Decimal", value.as_tuple()
    if kind in {set, frozenset}:
        return kind, collections.Counter(map(exact, value))
    if issubclass(kind, dict):
        return kind, [(exact(key), exact(content)) for key, content in value.items()]
    if issubclass(kind, list | tuple):
        return kind, tuple(map(exact, value))
    if kind in {datetime, time}:
        return kind, value.replace(tzinfo=None).isoformat(), value.fold, exact(value.tzinfo)
    if kind is timezone:
        return kind, value.__getinitargs__()
    if attrs.has(kind) or dataclasses.is_dataclass(kind):
        fields = attrs.fields(kind) if attrs.has(kind) else dataclasses.fields(value)
        return kind, tuple((field.name, exact(getattr(value, field.name))) for field in fields)
    return kind, value


TEXTS = st.text(st.characters(codec=None, categories=None, exclude_categories=()), max_size=12)
ZONES = st.one_of(
    st.none(),
    st.just(UTC),
    st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23))),
    st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)), TEXTS),
    st.sampled_from([ZoneInfo("UTC")]),
)
HASHABLE_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(2**62, 2**70),
    st.floats(),
    TEXTS,
    st.sampled_from(["\ud83d\ude00", "😀", "$tuple", "\0", "$", "\udc80", '"\\']),
    st.binary(max_size=12),
    st.complex_numbers(),
    st.decimals(),
    st.sampled_from([Decimal("sNaN123"), Decimal("-0.00"), Decimal("1e9999"), Decimal("-Infinity")]),
    st.uuids(),
    st.dates(),
    st.times(timezones=ZONES),
    st.datetimes(timezones=ZONES),
    st.timedeltas(),
    st.builds(lambda moment: moment.replace(fold=1), st.datetimes()),
    TEXTS.filter(bool).map(Name),
    st.sampled_from([*Color, *Level, *Word, Access(0), Access.READ, Access.READ | Access.WRITE]),
    st.sampled_from([PosixPath("a/../b"), PurePosixPath("//x"), PureWindowsPath("c:/x\\y"), PurePosixPath("\udc80")]),
)
# Signalling NaNs cannot be hashed, and paths of Windows are equal to others that differ in case.
KEYS = HASHABLE_LEAVES.filter(lambda value: not (isinstance(value, Decimal) and value.is_snan()))


def _containers(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inside, max_size=4),
        st.lists(inside, max_size=4).map(tuple),
        st.dictionaries(TEXTS, inside, max_size=4),
        st.dictionaries(st.sampled_from(["$int", "$class", "a"]), inside, max_size=3),
        st.dictionaries(KEYS, inside, max_size=4),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
        st.builds(bytearray, st.binary(max_size=4)),
        st.builds(Message, TEXTS, st.lists(inside, max_size=3).map(tuple), st.dictionaries(TEXTS, inside, max_size=2)),
        st.builds(Order, inside, inside),
        st.builds(Account, inside),
        st.builds(Point, inside, inside),
        st.builds(Point[int], inside),
        st.builds(Pair, inside, inside),
        st.builds(Trio, inside, inside, inside),
        st.builds(Outer.Inner, inside),
        st.builds(Hashed, KEYS),
        st.builds(Slotted, KEYS),
        st.dictionaries(st.builds(Slotted, KEYS), inside, max_size=2),
    )


MESSAGES = st.recursive(HASHABLE_LEAVES, _containers, max_leaves=12)


@dataclasses.dataclass
class Hidden:
    """A data class with a slot that is no field."""

    __slots__ = ("hidden", "x")
    x: int


@attrs.define
class OfAttrs:
    """A base that attrs made."""

    x: int = 0


@dataclasses.dataclass(slots=True)
class OfBoth(OfAttrs):
    """A dataclass on top of it: which of the two makers' fields are all of them is unclear."""

    y: int = 0


class Couple(NamedTuple):
    """A tuple with names."""

    x: int
    y: int = 0


class Doubled(Couple):
    """Its field is not what it holds."""

    @property
    def x(self):  # type: ignore[override]
        return self[0] * 2


class Dynamic(enum.Enum):
    """Has members that are made when somebody asks."""

    ONE = 1

    @classmethod
    def _missing_(cls, value):
        made = object.__new__(cls)
        made._name_, made._value_ = f"X{value}", value
        return made
