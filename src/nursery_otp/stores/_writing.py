"""From a message to JSON text.

Text is put together directly, by one small function for each type: half of the time of making a tree of JSON types
first. What JSON has is written as itself; everything else is an object with one key that begins with "$". A dict in
which such a key, or one that is no text, occurs is written as such an object, too.
"""

from __future__ import annotations

import pickle
from base64 import b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from json.encoder import encode_basestring as quote
from pathlib import PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from nursery_otp import Message, Name, Ref
from nursery_otp.stores._progress import MOST_DEEP, TOO_LONG, Problem, Writing
from nursery_otp.stores._shapes import NotData, Shape, class_text, name_of, shape_of

LONG_KEY = 60  # characters
BIG = 2**63  # ints from here on are hexadecimal, as Python limits the length of decimal ones

Writer: TypeAlias = Callable[[Any, "Writing"], str]


class Writers(dict[type, Writer]):
    """The writer of each type; those of classes are made when the first of their objects comes."""

    def __init__(self, *, pickles: bool) -> None:
        super().__init__(WRITERS)
        self.pickles = pickles
        self.writing: type[Writing] = type("Writing", (Writing,), {"table": self})

    def __missing__(self, cls: type) -> Writer:
        try:
            writer = _writer_of(cls)
        except NotData as problem:
            # Not kept: a class inside a function must be able to go, and one may get its place in its module later.
            if self.pickles and not issubclass(cls, Ref):
                return write_pickle
            return _refusal(str(problem))
        except Exception as error:  # hostile classes: __getattr__ of a metaclass and the like
            return _refusal(f"its class cannot be looked at: {type(error).__name__}")
        self[cls] = writer
        return writer


def _refusal(text: str) -> Writer:
    def refuse(value: object, _writing: Writing) -> str:
        raise Problem(text, value)

    return refuse


def _writer_of(cls: type) -> Writer:
    if issubclass(cls, Ref):
        raise NotData("a Ref is one process of this run; send a Name instead")
    if issubclass(cls, Enum):
        return _enum_writer(cls)
    if issubclass(cls, type):
        raise NotData("a class: only data can be stored")
    return _object_writer(shape_of(cls))


# ------------------------------------------------------------------------------------- plain values


def write_none(_value: None, _writing: Writing) -> str:
    return "null"


def write_bool(value: bool, _writing: Writing) -> str:
    return "true" if value else "false"


def write_int(value: int, writing: Writing) -> str:
    if -BIG < value < BIG:
        return repr(value)
    writing.left -= value.bit_length() // 4
    return f'{{"$int":"{value:#x}"}}'


def write_float(value: float, _writing: Writing) -> str:
    return repr(value) if value * 0 == 0 else f'{{"$float":"{value!r}"}}'


def write_str(value: str, writing: Writing) -> str:
    writing.left = left = writing.left - len(value)
    if left < 0:
        raise Problem(TOO_LONG, value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # lone surrogates, which neither UTF-8 nor JSON has
            return f'{{"$str":{quote(value.encode("unicode_escape").decode())}}}'
    text: str = quote(value)
    return text


# --------------------------------------------------------------------------------------- containers


def write_items(values: list[Any] | tuple[Any, ...], writing: Writing) -> str:
    """The elements of a list or tuple as a JSON array."""
    writing.deep = deep = writing.deep + 1  # as `enter` does, without the call
    writing.left = left = writing.left - 32 - 4 * len(values)
    if left < 0 or deep > MOST_DEEP:
        writing.refuse(values)
    table = writing.table
    try:
        text = ",".join([table[type(value)](value, writing) for value in values])
    except Problem as problem:
        index = next((index for index, value in enumerate(values) if value is problem.culprit), "?")
        problem.inside(values, f"[{index}]")
        raise
    writing.deep = deep - 1
    return f"[{text}]"


def write_tuple(value: tuple[Any, ...], writing: Writing) -> str:
    return f'{{"$tuple":{write_items(value, writing)}}}'


def _set_writer(tag: str) -> Writer:
    def write_set(value: Any, writing: Writing) -> str:
        try:
            return f'{{"{tag}":{write_items(list(value), writing)}}}'  # list: the set may be in use in the event loop
        except Problem as problem:
            if problem.steps:  # the place in a set has no index
                problem.steps[-1] = "{...}"
            problem.culprit = value
            raise

    return write_set


def write_dict(value: dict[Any, Any], writing: Writing) -> str:
    items = list(value.items())  # in one step: the dict may be in use in the event loop
    writing.enter(value, 2 * len(items))
    table = writing.table
    parts = []
    plain = True
    key = None
    try:
        for key, content in items:
            name = table[type(key)](key, writing)
            plain = plain and type(key) is str and key[:1] != "$" and name[0] == '"'
            parts.append((name, table[type(content)](content, writing)))
    except Problem as problem:
        problem.inside(value, " (a key)" if problem.culprit is key else f"[{_short(key)}]")
        raise
    writing.deep -= 1
    if plain:
        return "{" + ",".join([f"{name}:{content}" for name, content in parts]) + "}"
    return '{"$dict":[' + ",".join([f"[{name},{content}]" for name, content in parts]) + "]}"


def _short(key: object) -> str:
    short = type(key) in {bool, float, type(None)} or (type(key) is int and -BIG < key < BIG)
    return repr(key) if short or (type(key) is str and len(key) <= LONG_KEY) else f"a {type(key).__name__}"


def write_message(value: Message, writing: Writing) -> str:
    operation, args, kwargs = value
    step = ".operation"
    try:
        if type(operation) is not str or type(args) is not tuple or type(kwargs) is not dict:
            raise Problem("a Message is a text, a tuple and a dict", operation)
        name = write_str(operation, writing)
        step = ".args"
        given = write_items(args, writing)  # counts for the depth
        step = ".kwargs"
        named = write_dict(kwargs, writing) if kwargs else "{}"
    except Problem as problem:
        problem.inside(value, step)
        raise
    return f'{{"$message":[{name},{given},{named}]}}'


def _object_writer(shape: Shape) -> Writer:
    """A writer for the objects of a data class."""
    begin = f'{{"$class":{quote(shape.name)},"fields":{{'
    # Elements of tuples are not read by name: a subclass may have something else there.
    is_tuple = issubclass(shape.cls, tuple)
    read: Callable[[Any, Any], Any] = tuple.__getitem__ if is_tuple else _field
    heads = [(key if is_tuple else field, f".{field}", f"{quote(field)}:") for key, field in enumerate(shape.fields)]

    def write_object(value: Any, writing: Writing) -> str:
        writing.enter(value, len(heads))
        parts = []
        step = ""
        try:
            if strangers := shape.strangers(value):
                if writing.table.pickles:
                    writing.deep -= 1
                    return write_pickle(value, writing)
                raise Problem(f"{class_text(shape.cls)} object: its attribute {strangers[0]!r} is no field", value)
            if is_tuple and tuple.__len__(value) != len(heads):
                raise Problem(f"{class_text(shape.cls)} object: it has more or fewer elements than fields", value)
            for key, step, head in heads:  # noqa: B007 - the step is for the error
                content = read(value, key)
                parts.append(head + writing.table[type(content)](content, writing))
        except _CannotRead as unreadable:
            if writing.table.pickles:
                writing.deep -= 1
                return write_pickle(value, writing)
            raise Problem(str(unreadable), None).inside(value, step) from unreadable.__cause__
        except Problem as problem:
            problem.inside(value, step)
            raise
        writing.deep -= 1
        return f"{begin}{','.join(parts)}}}}}"

    return write_object


class _CannotRead(Exception):
    """A field of an object has no value, or does not say it."""


def _field(value: object, field: str) -> Any:
    try:
        return getattr(value, field)
    except Exception as error:
        raise _CannotRead(f"cannot be read: {type(error).__name__}") from error


def _enum_writer(cls: type[Enum]) -> Writer:
    begin = f'{{"$enum":{quote(name_of(cls))},'

    def write_member(value: Enum, _writing: Writing) -> str:
        if isinstance(value, Flag):
            return f'{begin}"value":{int(value._value_)}}}'  # a combination of flags has no name
        if cls.__members__.get(value._name_) is not value:
            raise Problem("no member of its Enum: it could not be found again", value)
        return f'{begin}"name":{quote(value._name_)}}}'

    return write_member


# ------------------------------------------------------------------------- the other types of Python


def _text_writer(tag: str, text: Callable[[Any], str]) -> Writer:
    """A writer for a type whose values have an exact text of their own, in plain ASCII."""

    def write(value: Any, _writing: Writing) -> str:
        return f'{{"{tag}":"{text(value)}"}}'

    return write


def write_bytes(value: bytes, writing: Writing) -> str:
    return f'{{"$bytes":"{_base64(value, value, writing)}"}}'


def write_bytearray(value: bytearray, writing: Writing) -> str:
    return f'{{"$bytearray":"{_base64(value, bytes(value), writing)}"}}'


def write_pickle(value: object, writing: Writing) -> str:
    try:
        pickled = pickle.dumps(value, protocol=5)
    except Exception as error:
        raise Problem(f"{class_text(type(value))} object: cannot be pickled: {type(error).__name__}", value) from error
    return f'{{"$pickle":"{_base64(value, pickled, writing)}"}}'


def _base64(value: object, content: bytes, writing: Writing) -> str:
    writing.left -= len(content)
    if writing.left < 0:
        raise Problem(TOO_LONG, value)
    return b64encode(content).decode()


def write_complex(value: complex, writing: Writing) -> str:
    return f'{{"$complex":[{write_float(value.real, writing)},{write_float(value.imag, writing)}]}}'


def write_timedelta(value: timedelta, _writing: Writing) -> str:
    return f'{{"$timedelta":[{value.days},{value.seconds},{value.microseconds}]}}'


def write_datetime(value: datetime, writing: Writing) -> str:
    return f'{{"$datetime":"{value.replace(tzinfo=None).isoformat()}"{_zone(value, writing)}}}'


def write_time(value: time, writing: Writing) -> str:
    return f'{{"$time":"{value.replace(tzinfo=None).isoformat()}"{_zone(value, writing)}}}'


def _zone(value: datetime | time, writing: Writing) -> str:
    fold = ',"fold":1' if value.fold else ""
    if value.tzinfo is None:
        return fold
    try:
        return f'{fold},"zone":{writing.table[type(value.tzinfo)](value.tzinfo, writing)}'
    except Problem as problem:
        problem.inside(value, ".tzinfo")
        raise


def write_timezone(value: timezone, writing: Writing) -> str:
    offset, *name = value.__getinitargs__()  # type: ignore[attr-defined]
    named = f",{write_str(name[0], writing)}" if name else ""
    return f'{{"$timezone":[{offset // timedelta(microseconds=1)}{named}]}}'


def write_zone(value: ZoneInfo, _writing: Writing) -> str:
    if value.key is None:
        raise Problem("a ZoneInfo without a key cannot be found again", value)
    try:
        found = ZoneInfo(value.key)
    except Exception as error:
        raise Problem(f"a ZoneInfo whose key {value.key!r} is unknown cannot be found again", value) from error
    if repr(found) != repr(value) and found != value:
        raise Problem(f"a ZoneInfo that is not the one with the key {value.key!r}", value)
    return f'{{"$zone":{quote(value.key)}}}'


def _path_writer(cls: type[PurePath]) -> Writer:
    def write_path(value: PurePath, writing: Writing) -> str:
        return f'{{"$path":{write_str(str(value), writing)},"kind":"{cls.__name__}"}}'

    return write_path


def write_name(value: Name[Any], writing: Writing) -> str:
    return f'{{"$name":{write_str(value.text, writing)}}}'


PATHS = (PurePosixPath, PureWindowsPath, PosixPath, WindowsPath)
WRITERS: dict[type, Writer] = {
    type(None): write_none,
    bool: write_bool,
    int: write_int,
    float: write_float,
    str: write_str,
    list: write_items,
    tuple: write_tuple,
    dict: write_dict,
    set: _set_writer("$set"),
    frozenset: _set_writer("$frozenset"),
    Message: write_message,
    Name: write_name,
    bytes: write_bytes,
    bytearray: write_bytearray,
    complex: write_complex,
    Decimal: _text_writer("$decimal", str),
    UUID: _text_writer("$uuid", str),
    date: _text_writer("$date", date.isoformat),
    datetime: write_datetime,
    time: write_time,
    timedelta: write_timedelta,
    timezone: write_timezone,
    ZoneInfo: write_zone,
    **{cls: _path_writer(cls) for cls in PATHS},
}
