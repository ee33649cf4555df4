"""Messages become text, and such text becomes equal messages of the same types."""

import json
import pickle
import subprocess
import sys
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings

from nursery_otp import NORMAL, CannotLoad, CannotStore, Crashed, Message, Name
from nursery_otp.stores import MessageCodec
from tests.stores import samples
from tests.stores.samples import MESSAGES, exact

CODEC = MessageCodec()
WITH_PICKLES = MessageCodec(pickle=True)


def through(value, codec=CODEC):
    """What comes back."""
    return codec.decode(codec.encode(value))


@settings(max_examples=400, deadline=None)
@given(MESSAGES)
def test_round_trip(message):
    """Whatever data a message holds, it comes back with the same values and types."""
    assert exact(message) == exact(through(message))


@settings(max_examples=100, deadline=None)
@given(MESSAGES)
def test_text_is_json_of_unicode(message):
    """The text is JSON, and UTF-8 can hold it."""
    text = CODEC.encode(message)
    text.encode()

    json.loads(text, parse_constant=pytest.fail)


def naive(message):
    """What a plain dump to JSON makes of a message."""
    try:
        return json.loads(json.dumps(message))
    except TypeError:
        return "cannot be stored"


@pytest.mark.parametrize("message", [(1, 2), {1: "a"}, Message("put", (1,)), b"x", Name("n"), {"a": (1,)}, {2}])
def test_plain_json_is_not_enough(message):
    """A plain dump to JSON gives back something else, or nothing; the codec does not."""
    assert exact(message) != exact(naive(message))
    assert exact(message) == exact(through(message))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (None, "null"),
        ({"id": 17, "paid": True}, '{"id":17,"paid":true}'),
        (Message("put", (1, "ö"), {"now": None}), '{"$message":["put",[1,"ö"],{"now":null}]}'),
        (Name("worker"), '{"$name":"worker"}'),
        (samples.Order(3), '{"$class":"tests.stores.samples:Order","fields":{"number":3,"lines":{"$tuple":[]}}}'),
        (samples.Color.CRIMSON, '{"$enum":"tests.stores.samples:Color","name":"RED"}'),
        ({"$x": 1}, '{"$dict":[["$x",1]]}'),
        (NORMAL, '{"$class":"nursery_otp:Normal","fields":{}}'),
    ],
)
def test_format(message, text):
    """The format stays as it is: files outlive versions. Classes of this library are stored by their public names."""
    assert text == CODEC.encode(message)
    assert message == CODEC.decode(text)


def test_large_values():
    """A text of ten million characters, an int of a hundred thousand digits and a hundred levels pass."""
    deep = []
    for _ in range(100):
        deep = [deep]
    value = ["x" * 10_000_000, 10**100_000, deep, list(range(100_000))]

    assert value == through(value)


def test_zones_of_the_world():
    """A time zone by name comes back as that zone, with the fold of the hour that exists twice."""
    moment = datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))

    assert exact(moment) == exact(through(moment))
    assert timedelta(hours=1) == through(moment).utcoffset()


def test_shared_parts_become_equal_parts():
    """An object that occurs twice comes back as two equal ones."""
    part = [1]
    first, second = through([part, part])

    assert first == second == part
    assert first is not second


# --------------------------------------------------------------------------------- objects of classes


def test_objects_are_made_without_their_init():
    """Loading runs neither `__init__` nor converters, validators or `__post_init__`."""
    values = [samples.Account("a"), samples.Converted(3), samples.Point(1, 2)]
    samples.RAN.clear()
    back = through(values)

    assert [] == samples.RAN
    assert exact(values) == exact(back)


def test_cached_values_and_type_arguments_are_left_out():
    """What a cached property has computed, and the type a generic class was called with, do not belong to the value."""
    point = samples.Point[int](1)
    assert 2 == point.size

    back = through(point)
    assert back == point
    assert {"x": 1, "y": None} == vars(back)


def test_cached_hash():
    """An attrs class that keeps its hash computes it anew."""
    value = samples.Hashed("key")
    hash(value)

    assert {value} == through({value})


def test_msgspec_structs():
    """msgspec Structs are data; nothing here depends on msgspec."""
    pytest.importorskip("msgspec")
    from tests.stores import structs

    value = structs.Item("a", [structs.Item("b")])

    assert value == through(value)
    assert structs.Item is type(through(value))


def test_no_dependency_on_msgspec():
    """Storing imports nothing that the program has not imported."""
    script = (
        "import sys; from nursery_otp.stores import MessageCodec; MessageCodec().encode((1,)); "
        "print('msgspec' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "False" == done.stdout.strip()


# --------------------------------------------------------------------------------------------- pickles


def test_pickle_of_what_is_no_data():
    """With `pickle=True` what is no data is pickled, at its place; without it such a text is not opened."""
    message = Message("put", (samples.Numbers([1]), Path("a")))
    text = WITH_PICKLES.encode(message)

    assert message == WITH_PICKLES.decode(text)
    assert samples.Numbers is type(WITH_PICKLES.decode(text).args[0])
    assert '"$path":"a"' in text
    with pytest.raises(CannotLoad, match="pickle=True"):
        CODEC.decode(text)


def explode():
    """What the file should not be able to run."""
    samples.RAN.append("exploded")


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return explode, ()


def test_nothing_is_unpickled_unasked():
    """A pickle in a file runs nothing; `pickle.loads` does."""
    samples.RAN.clear()
    text = WITH_PICKLES.encode([Bomb()])
    with pytest.raises(CannotLoad):
        CODEC.decode(text)
    assert [] == samples.RAN

    pickle.loads(pickle.dumps(Bomb()))
    assert ["exploded"] == samples.RAN


def test_unpicklable():
    """Some things cannot be pickled either, and a Ref must not be."""
    for value in (lambda: 1, (i for i in ()), sys.stdout):
        with pytest.raises(CannotStore, match=r"^message\[0\]: .*cannot be pickled"):
            WITH_PICKLES.encode([value])


def test_reasons_that_carry_exceptions():
    """An exit reason with an exception in it is no data."""
    with pytest.raises(CannotStore, match=r"^message\.error: ValueError object"):
        CODEC.encode(Crashed(ValueError("x")))


def test_decimal_context_does_not_matter():
    """The digits of a Decimal are kept whatever the precision of the context."""
    with localcontext(prec=2):
        assert Decimal("1.23456789") == through(Decimal("1.23456789"))
