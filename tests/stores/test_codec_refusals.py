"""What is no data is refused with its place; what a text asks for is looked at before anything is done."""

import importlib.util
import inspect
import sys
import threading
import types
import zoneinfo
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from nursery_otp import CannotLoad, CannotStore, Message, open_supervisor
from nursery_otp.stores import MessageCodec
from tests.stores import samples

CODEC = MessageCodec()


def local_class():
    """A class that no module has."""

    @attrs.frozen
    class Local:
        value: int

    return Local(1)


def circle():
    """A structure that contains itself."""
    outer: dict[str, object] = {"a": []}
    outer["a"] = [1, outer]
    return outer


def tower(levels):
    """Lists in lists."""
    value: list[object] = []
    for _ in range(levels):
        value = [value]
    return value


def web():
    """Few objects, and 1000 ** 100 ways through them."""
    value: list[object] = []
    for _ in range(100):
        value = [value] * 1000
    return value


def with_stranger():
    """An object with an attribute that is no field."""
    account = samples.Account("a")
    account.extra = 1
    return account


class Nowhere(tzinfo):
    """A time zone that nobody else knows."""

    def utcoffset(self, _moment):
        return timedelta()


REFUSED = [
    (
        Message("put", (samples.Account(samples.Plain()),)),
        r"args[0].owner: tests.stores.samples.Plain object: only data",
    ),
    (Message("put", (), {"key": [1, samples.Plain()]}), "kwargs['key'][1]: tests.stores.samples.Plain object"),
    (samples.Plain(), "message: tests.stores.samples.Plain object: only data can be stored"),
    ({"a": {1: len}}, "message['a'][1]: builtin_function_or_method object"),
    ({samples.Hostile(): 1}, "message (a key): tests.stores.samples.Hostile object"),
    ({samples.Hostile()}, "message{...}: tests.stores.samples.Hostile object"),
    ([samples.Hostile()], "message[0]: tests.stores.samples.Hostile object"),
    ({"x" * 1000: len}, "message[a str]: "),
    (lambda: 1, "message: function object"),
    (threading.Lock(), "message: _thread.lock object"),
    (sys.stdout, "object: only data"),
    (ValueError("x"), "message: ValueError object"),
    (samples.Order, "message: a class"),
    (
        local_class(),
        "message: tests.stores.test_codec_refusals.local_class.<locals>.Local object: its class is defined inside",
    ),
    (samples.TextLike("x"), "message: tests.stores.samples.TextLike object"),
    (samples.Numbers(), "message: tests.stores.samples.Numbers object"),
    (samples.Failure(1), "a subclass of Exception has more in it than its fields"),
    (samples.Table(), "a subclass of dict has more in it than its fields"),
    (samples.OverSlot(1), "its attribute 'hidden' is no field"),
    ([with_stranger()], "message[0]: tests.stores.samples.Account object: its attribute 'extra' is no field"),
    (samples.Unreadable(1), "message.value: cannot be read: RuntimeError"),
    ([samples.Unset(1)], "message[0].result: cannot be read: AttributeError"),
    (circle(), "message['a'][1]: the structure contains itself"),
    (tower(250), "nested more than 200 deep"),
    (tower(100_000), "nested more than 200 deep"),
    (web(), "longer than 64 MiB"),
    (["x" * 70_000_000], "message[0]: the message is longer than 64 MiB"),
    (Message("put", [1]), "operation: a Message is"),
    ([datetime(2024, 1, 1, tzinfo=Nowhere())], "message[0].tzinfo: tests.stores.test_codec_refusals.Nowhere object"),
    ([b"x" * 70_000_000], "message[0]: the message is longer than 64 MiB"),
    (attrs.make_class("Made", ["x"])(1), "its class is not found again as"),
]


@pytest.mark.parametrize(("message", "said"), REFUSED, ids=range(len(REFUSED)))
def test_refused(message, said):
    """What is no data is refused, with its place in the message and what is there."""
    with pytest.raises(CannotStore) as caught:
        CODEC.encode(message)

    assert said in str(caught.value)
    assert len(str(caught.value)) < 600


async def test_ref_is_refused():
    """A Ref means one process of this run; pickling does not help."""
    async with open_supervisor() as supervisor:
        ref = await supervisor.start(samples.Server)
        for codec in (CODEC, MessageCodec(pickle=True)):
            with pytest.raises(CannotStore, match=r"^args\[0\]: a Ref .* send a Name instead"):
                codec.encode(Message("put", (ref,)))
        supervisor.shutdown()


def test_refusal_is_not_remembered():
    """A class that gets its place in its module later can be stored then; and no refused class is kept alive."""
    made = attrs.make_class("Later", ["x"])
    made.__module__ = "tests.stores.samples"
    with pytest.raises(CannotStore):
        CODEC.encode(made(1))
    samples.Later = made
    try:
        assert made(1) == CODEC.decode(CODEC.encode(made(1)))
    finally:
        del samples.Later


def deep_in_the_stack(value, levels):
    """Encode where little of the stack is left."""
    return deep_in_the_stack(value, levels - 1) if levels else CODEC.encode(value)


def test_little_stack_is_left():
    """A message that the stack is too short for is refused, and not an error of Python."""
    levels = sys.getrecursionlimit() - len(inspect.stack()) - 100

    assert CODEC.encode(tower(150)) == deep_in_the_stack(tower(150), 0)
    with pytest.raises(CannotStore, match="nested too deep for the stack that is left"):
        deep_in_the_stack(tower(150), levels)


def text_of(name, fields="{}"):
    """The text of an object."""
    return f'{{"$class":"{name}","fields":{fields}}}'


UNLOADABLE = [
    ("", "Expecting value"),
    ("{", "Expecting"),
    ("NaN", "NaN is not JSON"),
    ("[" * 100_000, "nested too deep"),
    ('{"$new":1}', "unknown kind of value '$new': a newer version"),
    ('{"$tuple":1}', "a int where a list should be"),
    ('{"$int":5}', "a int where a str should be"),
    ('{"$set":[[1]]}', "unhashable"),
    ('{"$message":["put"]}', "not enough values"),
    ('{"$message":["put",[],[]]}', "a list where a dict"),
    ('{"$zone":"../../etc/passwd"}', "cannot be loaded"),
    ('{"$path":"x","kind":"Popen"}', "Popen"),
    ('{"$date":"soon"}', "soon"),
    ('{"$int":"' + "f" * 10 + 'g"}', "invalid literal"),
    ("9" * 10_000, "cannot be loaded"),
    (text_of("tests.stores.samples:Order"), "has changed: fields stored: none; fields of the class now: number, lines"),
    (text_of("tests.stores.samples:Order", '{"number":1,"linez":2}'), "fields stored: number, linez"),
    (text_of("tests.stores.samples:Gone"), "has no such class (any more)"),
    (text_of("tests.stores.samples:Outer.Gone"), "has no such class"),
    (text_of("tests.stores.samples:exact"), "has no such class"),
    (text_of("tests.stores.samples:sys.modules"), "has no such class"),
    (text_of("tests.stores.never_imported:Order"), "has not imported the module 'tests.stores.never_imported'"),
    (text_of("tests.stores.samples:Plain"), "only data can be stored"),
    (text_of("subprocess:Popen", '{"args":"true"}'), "only data can be stored"),
    (text_of("builtins:int"), "only data can be stored"),
    (text_of("nonsense"), "not the name of a class"),
    ('{"$class":1,"fields":{}}', "not the name of a class"),
    ('{"$class":"tests.stores.samples:Order"}', "fields"),
    ('{"$enum":"tests.stores.samples:Color","name":"GREEN"}', "has no member 'GREEN' (any more)"),
    ('{"$enum":"tests.stores.samples:Order","name":"x"}', "is no enum"),
    ('{"$enum":"tests.stores.samples:Access","value":64}', "cannot be loaded"),
    ('{"$pickle":"gASVAA=="}', "pickle=True"),
]


@pytest.mark.parametrize(("text", "said"), UNLOADABLE, ids=range(len(UNLOADABLE)))
def test_not_loaded(text, said):
    """A text that does not hold, or whose class has gone or changed, is refused, saying why."""
    with pytest.raises(CannotLoad) as caught:
        CODEC.decode(text)

    assert said in str(caught.value)


def test_loading_imports_nothing(tmp_path, monkeypatch):
    """A class is not looked for in modules that the program has not imported, though they could be."""
    (tmp_path / "trap_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CannotLoad, match="has not imported the module 'trap_module'"):
        CODEC.decode(text_of("trap_module:Order"))

    assert "trap_module" not in sys.modules


def test_loading_runs_no_module_code(monkeypatch):
    """A module's `__getattr__` is not asked, and a lazy module is not loaded."""
    asked = []
    module = types.ModuleType("asks")
    module.__getattr__ = asked.append
    monkeypatch.setitem(sys.modules, "asks", module)
    loader = importlib.util.LazyLoader(importlib.util.find_spec("this").loader)
    lazy = importlib.util.module_from_spec(importlib.util.spec_from_loader("this", loader))
    loader.exec_module(lazy)
    monkeypatch.setitem(sys.modules, "this", lazy)
    for name in ("asks:Order", "this:Order"):
        with pytest.raises(CannotLoad, match="has no such class"):
            CODEC.decode(text_of(name))

    assert [] == asked
    assert "_LazyModule" == type(lazy).__name__


def hidden():
    """An object with a value beside its fields."""
    value = samples.Hidden(1)
    value.hidden = "secret"
    return value


def made_up_zone():
    """A time zone with a key that nobody knows."""
    path = next(Path(each, "UTC") for each in zoneinfo.TZPATH if Path(each, "UTC").exists())
    with path.open("rb") as file:
        return zoneinfo.ZoneInfo.from_file(file, key="Custom/Z")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (hidden, "'hidden' is no field"),
        (lambda: samples.OfBoth(5), "'x' is no field"),
        (lambda: tuple.__new__(samples.Couple, (1, 2, 3)), "more or fewer elements"),
        (lambda: samples.Dynamic(5), "no member of its Enum"),
        (lambda: [Decimal("1" * 70_000_000)], "longer than 64 MiB"),
        (lambda: 1 << 320 * 2**20, "longer than 64 MiB"),
    ],
    ids=range(6),
)
def test_what_would_come_back_as_something_else(make, said):
    """What would lose something, or could not be loaded, is refused."""
    with pytest.raises(CannotStore, match=said):
        CODEC.encode(make())


@pytest.mark.skipif(not any(Path(each, "UTC").exists() for each in zoneinfo.TZPATH), reason="no time zones here")
def test_zone_with_a_made_up_key():
    """A time zone that could not be found again is refused."""
    with pytest.raises(CannotStore, match="Custom/Z"):
        CODEC.encode(made_up_zone())


def test_tuple_whose_field_is_something_else():
    """The elements of a tuple are stored, whatever a subclass has under their names."""
    back = CODEC.decode(CODEC.encode(samples.Doubled(3, 4)))

    assert (3, 4) == tuple(back)
    assert type(back) is samples.Doubled


def test_pickles_of_what_has_more_than_its_fields():
    """With pickles, an object with attributes that are no fields is stored with them."""
    codec = MessageCodec(pickle=True)

    assert 1 == codec.decode(codec.encode([with_stranger()]))[0].extra


def test_pickles_of_what_does_not_give_its_fields():
    """With pickles, an object with a field that has no value is stored as it is; what no pickle takes is refused."""
    codec = MessageCodec(pickle=True)
    back = codec.decode(codec.encode([samples.Unset(1), samples.Order(samples.Unset(2))]))

    assert [samples.Unset(1), samples.Order(samples.Unset(2))] == back
    assert not hasattr(back[0], "result")
    with pytest.raises(CannotStore, match=r"message\[0\]: .*Unreadable object: cannot be pickled: RuntimeError"):
        codec.encode([samples.Unreadable(1)])


def test_depth_after_a_pickled_part():
    """A part that was pickled after all does not count for the depth of what comes after it."""
    codec = MessageCodec(pickle=True)

    assert 300 == len(codec.decode(codec.encode([samples.Unset(number) for number in range(300)])))
