"""Which classes are data: an object of one is its class and the values of its fields, and nothing else.

An object is made again from these without running its `__init__`, its converters or its validators: it was valid when
it was stored. A class is stored as "module:qualname", and looked up only in modules that the program has imported;
looking it up imports nothing and runs no code of the module.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeAlias

import attrs

import nursery_otp

Make: TypeAlias = Callable[[type, Sequence[str], Sequence[Any]], Any]

KINDS = {"__attrs_attrs__", "__dataclass_fields__"}
UNCOUNTED = {"__orig_class__", "_attrs_cached_hash"}  # what typing and attrs leave in an object, beside its fields
UNCOUNTED_SLOTS = {"__dict__", "__weakref__", *UNCOUNTED}


class NotData(Exception):
    """Why a class, or a name that should lead to one, is no data class."""


@attrs.frozen
class Shape:
    """A class whose objects are data."""

    cls: type
    name: str
    fields: tuple[str, ...]
    make: Make

    def build(self, values: dict[str, Any]) -> Any:
        """The object with these values; `NotData` if they are not those of the class's fields."""
        if values.keys() != set(self.fields):
            stored, present = ", ".join(values) or "none", ", ".join(self.fields) or "none"
            raise NotData(f"{self.name} has changed: fields stored: {stored}; fields of the class now: {present}")
        return self.make(self.cls, self.fields, [values[field] for field in self.fields])

    def strangers(self, value: Any) -> list[str]:
        """The attributes of an object that are not fields, and so would be lost."""
        attributes = getattr(value, "__dict__", None)
        if not attributes or (len(attributes) == len(self.fields) and all(map(attributes.__contains__, self.fields))):
            return []
        return [name for name in attributes if name not in self.fields and not _is_derived(self.cls, name)]


def _is_derived(cls: type, name: str) -> bool:
    return name in UNCOUNTED or isinstance(getattr(cls, name, None), functools.cached_property)


def shape_of(cls: type) -> Shape:
    """How objects of `cls` are stored; `NotData` if it is no class for data."""
    fields, make = _fields(cls)
    if odd := [field for field in fields if not field.isidentifier()]:
        raise NotData(f"{class_text(cls)} object: its field {odd[0]!r} is no identifier")
    return Shape(cls, name_of(cls), fields, make)


def _fields(cls: type) -> tuple[tuple[str, ...], Make]:
    names = getattr(cls, "_fields", None)
    if issubclass(cls, tuple) and isinstance(names, tuple):  # typing.NamedTuple, collections.namedtuple
        _check_bases(cls, {tuple})
        return names, _make_tuple
    msgspec = sys.modules.get("msgspec")
    if msgspec is not None and issubclass(cls, msgspec.Struct):
        return tuple(cls.__struct_fields__), _make_struct  # type: ignore[attr-defined]
    own = next((base for base in cls.__mro__ if not KINDS.isdisjoint(base.__dict__)), cls)
    if "__attrs_attrs__" in own.__dict__:
        names, make = tuple(field.name for field in attrs.fields(cls)), _make_object
        if "_attrs_cached_hash" in getattr(getattr(cls.__hash__, "__code__", None), "co_names", ()):
            make = _make_hashed
    elif "__dataclass_fields__" in own.__dict__:
        names, make = tuple(field.name for field in dataclasses.fields(cls)), _make_object
    else:
        raise NotData(
            f"{class_text(cls)} object: only data can be stored (attrs classes, dataclasses, NamedTuples, "
            "msgspec Structs, enum members and the plain types)"
        )
    _check_bases(cls, set())
    _check_slots(cls, names)
    return names, make


def _check_bases(cls: type, allowed: set[type]) -> None:
    for base in cls.__mro__[:-1]:
        foreign = "__new__" in base.__dict__ and not hasattr(base.__dict__["__new__"], "__func__")
        if foreign and base not in allowed:
            raise NotData(f"{class_text(cls)} object: a subclass of {base.__name__} has more in it than its fields")


def _check_slots(cls: type, fields: Sequence[str]) -> None:
    for base in cls.__mro__[:-1]:
        slots = base.__dict__.get("__slots__", ())
        cached = base.__dict__.get("__attrs_cached_properties__", ())  # attrs makes slots for what they give
        for slot in [slots] if isinstance(slots, str) else slots:
            if slot not in fields and slot not in UNCOUNTED_SLOTS and slot not in cached:
                raise NotData(f"{class_text(cls)} object: its attribute {slot!r} is no field")


def _make_object(cls: type, fields: Sequence[str], values: Sequence[Any]) -> Any:
    made: Any = object.__new__(cls)
    for field, value in zip(fields, values, strict=True):
        object.__setattr__(made, field, value)
    return made


def _make_hashed(cls: type, fields: Sequence[str], values: Sequence[Any]) -> Any:
    return _make_object(cls, [*fields, "_attrs_cached_hash"], [*values, None])


def _make_tuple(cls: type, _fields: Sequence[str], values: Sequence[Any]) -> Any:
    return tuple.__new__(cls, values)


def _make_struct(cls: type, fields: Sequence[str], values: Sequence[Any]) -> Any:
    return cls(**dict(zip(fields, values, strict=True)))  # a Struct cannot be made in any other way


# ----------------------------------------------------------------------------------- classes by name


def class_text(cls: type) -> str:
    """A class, for people."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def name_of(cls: type) -> str:
    """The name under which a class is stored; `NotData` if it would not be found again."""
    module, name = cls.__module__, cls.__qualname__
    if module.startswith("nursery_otp._") and vars(nursery_otp).get(name) is cls:
        module = "nursery_otp"  # files outlive the private modules
    if "<locals>" in name:
        raise NotData(f"{class_text(cls)} object: its class is defined inside a function; define it in the module")
    try:
        found = find(f"{module}:{name}")
    except NotData:
        found = None
    if found is not cls:
        raise NotData(f"{class_text(cls)} object: its class is not found again as {module}:{name}")
    return f"{module}:{name}"


def find(name: object) -> type:
    """The class of this name, among the modules that are imported; `NotData` if there is none."""
    if not isinstance(name, str) or name.count(":") != 1:
        raise NotData("not the name of a class")
    module_name, qualname = name.split(":")
    module = sys.modules.get(module_name)
    if module is None:
        raise NotData(f"{name}: the program has not imported the module {module_name!r}")
    found: Any = module
    for part in qualname.split("."):
        found = _attributes(found).get(part)
    if not _is_class(found):
        raise NotData(f"{name}: the module {module_name!r} has no such class (any more)")
    cls: type = found
    return cls


def _attributes(of: object) -> Mapping[str, Any]:
    """What a module or a class has, without running a module's `__getattr__` or loading a lazy module."""
    try:
        attributes: Mapping[str, Any] = (type if _is_class(of) else object).__getattribute__(of, "__dict__")
        return attributes
    except AttributeError:
        return {}


def _is_class(found: object) -> bool:
    return issubclass(type(found), type)  # isinstance would look at `found.__class__`, which loads a lazy module


def find_enum(name: object) -> type[Enum]:
    """The enum of this name."""
    found = find(name)
    if not issubclass(found, Enum):
        raise NotData(f"{name} is no enum")
    return found
