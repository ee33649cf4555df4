"""From JSON text to the message that it was made of: one small function for each tag.

What stands in the text decides nothing that is not looked at: a class must be one for data, of a module that the
program has imported, and a pickle is opened only if the user has asked for that.
"""

from __future__ import annotations

import json
import pickle
from base64 import b64decode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Flag
from typing import Any, NoReturn, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from nursery_otp import Message, Name
from nursery_otp.stores._shapes import NotData, Shape, find, find_enum, shape_of
from nursery_otp.stores._writing import PATHS

Read: TypeAlias = Callable[[Any, dict[str, Any]], Any]


class Reader:
    """Makes messages of texts."""

    def __init__(self, *, pickles: bool) -> None:
        self._pickles = pickles
        self._shapes: dict[type, Shape] = {}
        self._decode = json.JSONDecoder(object_hook=self._object, parse_constant=_no_json).decode
        self._readers: dict[str, Read] = {
            **READERS,
            "$class": self._read_class,
            "$pickle": self._read_pickle,
        }

    def read(self, text: str) -> object:
        """The message; `NotData`, or any other exception, if that cannot be."""
        return self._decode(text)

    def _object(self, found: dict[str, Any]) -> Any:
        tag = next(iter(found), "")
        if tag[:1] != "$":
            return found
        reader = self._readers.get(tag)
        if reader is None:
            raise NotData(f"unknown kind of value {tag[:40]!r}: a newer version may have written it")
        return reader(found[tag], found)

    def _read_class(self, name: Any, whole: dict[str, Any]) -> Any:
        cls = find(name)
        shape = self._shapes.get(cls)
        if shape is None:
            shape = self._shapes[cls] = shape_of(cls)
        return shape.build(_a(dict, whole["fields"]))

    def _read_pickle(self, content: Any, _whole: dict[str, Any]) -> Any:
        if not self._pickles:
            raise NotData("a part of it is pickled, and the store is opened without pickle=True")
        return pickle.loads(b64decode(content))  # noqa: S301 - the user has said that the file is trusted


def _no_json(constant: str) -> NoReturn:
    raise NotData(f"{constant} is not JSON")


def _a(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind:
        raise NotData(f"a {type(value).__name__} where a {kind.__name__} should be")
    return value


def _read_message(parts: Any, _whole: object) -> Message:
    operation, args, kwargs = _a(list, parts)
    return Message(_a(str, operation), tuple(_a(list, args)), _a(dict, kwargs))


def _read_enum(name: Any, whole: dict[str, Any]) -> Any:
    cls = find_enum(name)
    if issubclass(cls, Flag):
        return _a(cls, cls(_a(int, whole["value"])))
    member = cls.__members__.get(_a(str, whole["name"]))
    if member is None:
        raise NotData(f"{name} has no member {whole['name']!r} (any more)")
    return member


def _read_zoned(kind: type[datetime] | type[time]) -> Read:
    def read(text: Any, whole: dict[str, Any]) -> Any:
        return kind.fromisoformat(text).replace(tzinfo=whole.get("zone"), fold=whole.get("fold", 0))

    return read


def _read_timezone(parts: Any, _whole: object) -> timezone:
    offset, *name = parts
    return timezone(timedelta(microseconds=_a(int, offset)), *name)


def _read_path(text: Any, whole: dict[str, Any]) -> Any:
    kinds = {cls.__name__: cls for cls in PATHS}
    return kinds[whole["kind"]](_a(str, text))


def _read_str(text: Any, _whole: object) -> str:
    escaped: str = _a(str, text)
    return escaped.encode("ascii").decode("unicode_escape")


def _plain(make: Callable[[Any], Any], kind: type[Any]) -> Read:
    """A reader for what one function makes of one JSON value."""

    def read(value: Any, _whole: object) -> Any:
        return make(_a(kind, value))

    return read


READERS: dict[str, Read] = {
    "$int": _plain(lambda text: int(text, 16), str),
    "$float": _plain(float, str),
    "$str": _read_str,
    "$tuple": _plain(tuple, list),
    "$set": _plain(set, list),
    "$frozenset": _plain(frozenset, list),
    "$dict": _plain(dict, list),
    "$message": _read_message,
    "$name": _plain(Name, str),
    "$enum": _read_enum,
    "$bytes": _plain(b64decode, str),
    "$bytearray": _plain(lambda text: bytearray(b64decode(text)), str),
    "$complex": _plain(lambda parts: complex(*parts), list),
    "$decimal": _plain(Decimal, str),
    "$uuid": _plain(UUID, str),
    "$date": _plain(date.fromisoformat, str),
    "$datetime": _read_zoned(datetime),
    "$time": _read_zoned(time),
    "$timedelta": _plain(lambda parts: timedelta(*parts), list),
    "$timezone": _read_timezone,
    "$zone": _plain(ZoneInfo, str),
    "$path": _read_path,
}
