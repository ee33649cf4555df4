"""Messages as data: from any object that is data to JSON text, and back to an equal object of the same type."""

from __future__ import annotations

from nursery_otp import CannotLoad, CannotStore
from nursery_otp.stores._progress import MOST_LONG, TOO_LONG, Problem
from nursery_otp.stores._reading import Reader
from nursery_otp.stores._writing import Writers


class MessageCodec:
    """Makes messages text, and messages of such text: equal values of the same types.

    Data is: None, bool, int, float, complex, str, bytes, bytearray; list, tuple, set, frozenset and dict of data;
    date, time, datetime, timedelta, timezone, `ZoneInfo`, Decimal, UUID, paths; `Name` and `Message`; members of an
    Enum or Flag; objects of attrs classes, dataclasses, NamedTuples and msgspec Structs whose class can be found by its
    name in a module. Everything else cannot be stored: a `Ref`, functions, locks, open files, objects of other classes,
    subclasses of built-in types, structures that contain themselves, that are nested more than 200 deep, or that are
    longer than about 64 MiB. With `pickle=True` a part that is not data, or does not give its fields, is pickled, if
    that is possible.

    A class is looked up only among the modules that the program has imported. Making an object again does not run its
    `__init__`, converters or validators (except `__post_init__` of msgspec Structs, which cannot be made otherwise).
    What does run is `__hash__` and `__eq__` of keys and set elements, and for a Flag the lookup of its value. Nothing
    is ever unpickled without `pickle=True`; with it, whoever can write the text can run code in the program.

    >>> codec = MessageCodec()
    >>> codec.encode(("paid", 17, {"EUR"}))
    '{"$tuple":["paid",17,{"$set":["EUR"]}]}'
    >>> codec.decode('{"$tuple":["paid",17,{"$set":["EUR"]}]}')
    ('paid', 17, {'EUR'})
    """

    def __init__(self, *, pickle: bool = False) -> None:
        self._writers = Writers(pickles=pickle)
        self._reader = Reader(pickles=pickle)

    def encode(self, message: object) -> str:
        """The text; `CannotStore`, which says where, if something in the message is not data."""
        try:
            text = self._writers[type(message)](message, self._writers.writing())
        except Problem as problem:
            place = problem.place()
            raise CannotStore(place, problem.text) from problem.__cause__
        except RecursionError:
            raise CannotStore("message", "nested too deep for the stack that is left") from None
        if len(text) > MOST_LONG:  # not everything is counted on the way
            raise CannotStore("message", TOO_LONG)
        return text

    def decode(self, text: str) -> object:
        """The message; `CannotLoad`, which says why, if it cannot be made again."""
        try:
            return self._reader.read(text)
        except RecursionError:
            raise CannotLoad("nested too deep") from None
        except Exception as error:
            why = str(error) or type(error).__name__
            raise CannotLoad(f"the stored message cannot be loaded: {why[:500]}") from error
