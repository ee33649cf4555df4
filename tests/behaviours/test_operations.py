"""`@call` and `@cast`, and the client functions that they make."""

import math
import pickle
from contextlib import asynccontextmanager

import pytest

from nursery_otp import (
    CallTimeout,
    ClientCall,
    ClientCast,
    GenServer,
    InvalidSpec,
    Message,
    Name,
    NoRuntime,
    Request,
    call,
    cast,
    current_runtime,
    start,
    stop,
)
from tests.behaviours.stage import Puppet, Stage, pause


class Shop(GenServer):
    """One handler for each kind of signature."""

    def __init__(self, diary=None):
        self.diary = [] if diary is None else diary

    @call
    def none(self):
        return ()

    @call
    def one(self, a):
        return (a,)

    @call
    def default(self, a, b=2):
        return a, b

    @call
    def star(self, a, *rest):
        return a, rest

    @call
    def keyword(self, a, *, b):
        return a, b

    @call
    def optional_keyword(self, a, *, b=7):
        return a, b

    @call
    def positional(self, a, b=2, /):
        return a, b

    @call
    def anything(self, *args, **kwargs):
        return args, kwargs

    @call
    def named_self(me, address):  # noqa: N805
        return address

    @cast
    def put(self, a, b=2):
        self.diary.append((a, b))


ACCEPTED = [
    (Shop.none, (), {}, ()),
    (Shop.one, (1,), {}, (1,)),
    (Shop.one, (), {"a": 1}, (1,)),
    (Shop.default, (1,), {}, (1, 2)),
    (Shop.default, (1, 3), {}, (1, 3)),
    (Shop.default, (1,), {"b": 4}, (1, 4)),
    (Shop.default, (), {"b": 4, "a": 3}, (3, 4)),
    (Shop.star, (1,), {}, (1, ())),
    (Shop.star, (1, 2, 3), {}, (1, (2, 3))),
    (Shop.keyword, (1,), {"b": 2}, (1, 2)),
    (Shop.optional_keyword, (1,), {}, (1, 7)),
    (Shop.optional_keyword, (1,), {"b": 2}, (1, 2)),
    (Shop.positional, (1,), {}, (1, 2)),
    (Shop.positional, (1, 3), {}, (1, 3)),
    (Shop.anything, (), {}, ((), {})),
    (Shop.anything, (1, 2), {"x": 3}, ((1, 2), {"x": 3})),
    (Shop.anything, (), {"address": 1, "b": 2}, ((), {"address": 1, "b": 2})),
    (Shop.named_self, (), {"address": "here"}, "here"),
]

REFUSED = [
    (Shop.none, (1,), {}, "Shop.none(): too many positional arguments"),
    (Shop.none, (), {"a": 1}, "Shop.none(): got an unexpected keyword argument 'a'"),
    (Shop.one, (), {}, "Shop.one(): missing a required argument: 'a'"),
    (Shop.one, (1, 2), {}, "Shop.one(): too many positional arguments"),
    (Shop.one, (1,), {"a": 2}, "Shop.one(): multiple values for argument 'a'"),
    (Shop.default, (), {}, "Shop.default(): missing a required argument: 'a'"),
    (Shop.default, (1, 2, 3), {}, "Shop.default(): too many positional arguments"),
    (Shop.default, (1,), {"c": 2}, "Shop.default(): got an unexpected keyword argument 'c'"),
    (Shop.star, (), {}, "Shop.star(): missing a required argument: 'a'"),
    (Shop.keyword, (1,), {}, "Shop.keyword(): missing a required"),
    (Shop.keyword, (1, 2), {}, "Shop.keyword(): too many positional arguments"),
    (Shop.optional_keyword, (1, 2), {}, "Shop.optional_keyword(): too many positional arguments"),
    (Shop.positional, (), {}, "Shop.positional(): missing a required"),
    (Shop.positional, (), {"a": 1}, "Shop.positional(): "),
    (Shop.put, (), {}, "Shop.put(): missing a required argument: 'a'"),
    (Shop.put, (1, 2, 3), {}, "Shop.put(): too many positional arguments"),
]


@pytest.mark.parametrize(("client", "args", "kwargs", "expected"), ACCEPTED, ids=str)
async def test_arguments(client, args, kwargs, expected):
    """What Python would accept as a call of the method reaches the handler as it is."""
    async with Stage():
        ref = await start(Shop)

        assert expected == await client(ref, *args, **kwargs)
        assert expected == await client.within(1)(ref, *args, **kwargs)
        assert expected == await client.request(ref, *args, **kwargs).receive()


@pytest.mark.parametrize(("client", "args", "kwargs", "text"), REFUSED, ids=str)
async def test_wrong_arguments(client, args, kwargs, text):
    """Wrong arguments are refused where the mistake is made, before anything is sent."""
    async with Stage():
        ref = await start(Shop)
        before = current_runtime().ledger()
        ways = [client, client.message] + ([client.within(1), client.request] if isinstance(client, ClientCall) else [])
        for way in ways:
            with pytest.raises(TypeError) as caught:
                way(*(() if way == client.message else (ref,)), *args, **kwargs)

            assert str(caught.value).startswith(text)
            assert None is caught.value.__cause__

        assert before == current_runtime().ledger()
        assert () == await Shop.none(ref)


async def test_cast_arrives():
    """A cast is handled without an answer."""
    diary = []
    async with Stage():
        ref = await start(Shop, diary)

        assert None is Shop.put(ref, 1)
        assert None is Shop.put(ref, b=3, a=2)
        await stop(ref, drain=True)
    assert [(1, 2), (2, 3)] == diary


async def test_cast_to_nobody():
    """A cast to a dead process or an unknown name is no error: it is a dead letter."""
    async with Stage():
        ref = await start(Shop)
        await stop(ref)
        Shop.put(ref, 1)
        Shop.put(Name[Shop]("nobody"), 2)
        letters = [(letter.recipient, letter.message, letter.reason) for letter in current_runtime().dead_letters]

    assert [(ref, Shop.put.message(1), "noproc"), (Name("nobody"), Shop.put.message(2), "noproc")] == letters


def test_message():
    """A request is a value: operation and arguments, equal to the same request, and it can be pickled."""
    message = Shop.default.message(1, b=2)

    assert ("default", (1,), {"b": 2}) == (message.operation, message.args, message.kwargs)
    assert Message("default", (1,), {"b": 2}) == message
    assert message == pickle.loads(pickle.dumps(message))
    assert Message("put", (1,)) == Shop.put.message(1)
    assert "Message(default(1, b=2))" == repr(message)
    match message:
        case Message("default", (a,), {"b": b}):
            assert (1, 2) == (a, b)
        case _:
            raise AssertionError


def test_client_repr():
    """A client function shows which server's operation it is."""
    assert isinstance(Shop.one, ClientCall)
    assert isinstance(Shop.put, ClientCast)
    assert "<client of Shop.one>" == repr(Shop.one)
    assert "Shop.one" == str(Shop.one)
    assert "<client of Shop.put>" == repr(Shop.put)
    assert "Shop.put" == str(Shop.put)


def test_client_is_made_once():
    """Class access does not make a new object each time; a subclass has clients of its own name."""

    class Corner(Shop):
        pass

    assert Shop.one is Shop.one
    assert "Corner.one" == str(Corner.one)
    assert "Shop.one" == str(Shop.one)


async def test_request_repr():
    """A request shows where it went, and whether it is done."""
    async with Stage():
        ref = await start(Shop)
        request = Shop.one.request(ref, 1)

        assert isinstance(request, Request)
        assert f"<Request Shop.one to {ref}>" == repr(request)
        await request.receive()
        assert f"<Request Shop.one to {ref}, done>" == repr(request)


async def test_within_makes_a_new_client(autojump_clock):
    """`within` leaves the client it is made from alone."""
    async with Stage():
        ref = await start(Puppet)
        with pytest.raises(CallTimeout, match="within 1 s"):
            await Puppet.ask_async.within(1)(ref, pause(3))

        assert None is await Puppet.ask_async(ref, pause(2))
        assert "<client of Puppet.ask_async>" == repr(Puppet.ask_async.within(1))


@pytest.mark.parametrize("limit", [-1, math.nan, True, "1", None])
def test_bad_limit(limit):
    """A limit that is none is refused when the client is made."""
    with pytest.raises(InvalidSpec, match="within="):
        Shop.one.within(limit)


def test_without_a_tree():
    """A call or cast by name outside of any tree says what is missing; arguments are checked first."""
    with pytest.raises(NoRuntime, match="needs a running supervision tree"):
        Shop.put(Name("x"), 1)
    with pytest.raises(NoRuntime, match="needs a running supervision tree"):
        Shop.one(Name("x"), 1)
    with pytest.raises(TypeError, match="too many"):
        Shop.one(Name("x"), 1, 2)


@pytest.mark.parametrize("decorator", [call, cast])
@pytest.mark.parametrize("thing", [5, print, staticmethod(len), property(len), Shop], ids=repr)
def test_decorating_what_is_no_method(decorator, thing):
    """Only functions written with def or async def can be handlers."""
    with pytest.raises(TypeError, match="@call and @cast are for methods written with def or async def, not for"):
        decorator(thing)


def test_decorating_generators():
    """Generators give no single answer."""

    def plain(self):
        yield 1

    @asynccontextmanager
    async def managed(self):
        yield 1

    for function in (plain, managed.__wrapped__):
        with pytest.raises(TypeError, match="is a generator, and a request has one answer"):
            call(function)


def test_decorating_without_self():
    """A function without parameters is no method."""

    def lonely():
        return 1

    with pytest.raises(TypeError, match=r"lonely needs a first parameter \(self\)"):
        call(lonely)


def test_handler_added_later():
    """A handler that is put into the class afterwards has no client, and access says why."""

    class Open(GenServer):
        pass

    Open.late = call(lambda self: 1)

    with pytest.raises(TypeError, match="only work in the body of a GenServer class"):
        _ = Open.late


def test_renamed_handler():
    """A handler may have a second name; both are operations."""

    class Two(GenServer):
        @call
        def first(self):
            return 1

        second = first

    assert 1 == Two().second()
    assert 1 == Two().first()
