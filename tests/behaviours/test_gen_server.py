"""The class: how handlers are collected, inherited and overridden, and what it does unless it is told otherwise."""

import logging

import pytest

from nursery_otp import GenServer, Refuse, Stop, UnknownOperation, call, cast
from tests.behaviours.stage import Counter, Stage


class Doubler(Counter):
    @call
    def add(self, amount):
        return super().add(2 * amount)

    @call
    def half(self):
        return self.value // 2


class Mixin:
    @call
    def hello(self):
        return f"hello from {type(self).__name__}"


class Mixed(Mixin, Counter):
    pass


class Muted(Counter):
    def add(self, amount):
        """A plain method takes the place of the handler."""
        self.value += amount

    slowly = None


class Turned(Counter):
    @cast
    def add(self, amount):
        self.value += amount

    @call
    def reset(self):
        self.value = -1


# --------------------------------------------------------------------------------- without a runtime


async def test_handlers_are_methods(autojump_clock):
    """A handler is unit-tested on an instance, without any runtime, whether it is async or not."""
    counter = Counter(1)

    assert 3 == counter.add(2)
    assert 6 == await counter.slowly(3)
    assert None is counter.reset()
    assert 0 == counter.value


def test_refusal_without_runtime():
    """In a unit test a refusal is the exception that the handler raises."""
    with pytest.raises(Refuse) as caught:
        Counter().refuse()

    assert "KeyError('no')" == repr(caught.value.error)


def test_answer_without_runtime():
    """In a unit test `answer` is a value that shows its reply and its instruction."""
    answered = Counter(5).finish()

    assert 5 == answered.value
    assert isinstance(answered.then, Stop)


def test_later_without_runtime():
    """In a unit test a put-off reply keeps what it is given."""
    counter = Counter()
    pending = counter.put_off()

    assert None is pending.then
    assert counter.later.waiting
    assert counter.later.reply(7)
    assert 7 == counter.later.value
    assert not counter.later.waiting
    assert not counter.later.refuse(KeyError())
    assert 7 == counter.later.value


def test_docstring_stays():
    """A handler keeps its name and its documentation."""
    assert "Add." == Counter.__dict__["add"].__doc__
    assert "<@call add>" == repr(Counter.__dict__["add"])
    assert "<@cast reset>" == repr(Counter.__dict__["reset"])


# ---------------------------------------------------------------------------- inheriting, overriding


async def test_inherited_handler():
    """A subclass answers the requests of its base, through either class."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Doubler, 0)

        assert None is Counter.reset(ref)
        assert 0 == await Doubler.finish(ref)


async def test_overridden_handler():
    """The handler of the subclass serves the client of the base, too, and may call it with super()."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Doubler, 0)

        assert 4 == await Counter.add(ref, 2)
        assert 10 == await Doubler.add(ref, 3)
        assert 5 == await Doubler.half(ref)


async def test_base_does_not_know_the_subclass():
    """A request of the subclass is refused by a server of the base, which lives."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Counter, 8)

        with pytest.raises(UnknownOperation) as caught:
            await Doubler.half(ref)

        assert f"{ref} has no handler for Doubler.half" == str(caught.value)
        assert 8 == await Counter.add(ref, 0)


async def test_unknown_cast_is_a_message(caplog):
    """A cast that the server has no handler for goes to `handle_info`, which logs it."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Mixed)
        with caplog.at_level(logging.WARNING):
            Stranger.shout(ref, 1)

            assert 0 == await Counter.add(ref, 0)

    assert "Message(shout(1))" in caplog.text


class Stranger(GenServer):
    @cast
    def shout(self, loud):
        raise AssertionError("never called")


async def test_mixin():
    """Handlers may come from a class that is no server itself."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Mixed)

        assert "hello from Mixed" == await Mixed.hello(ref)


def test_mixin_has_no_client():
    """The class that is no server has no client functions, and says so."""
    with pytest.raises(TypeError, match=r"Mixin\.hello: @call and @cast only work in the body of a GenServer class"):
        _ = Mixin.hello


async def test_handler_removed_by_plain_method():
    """A plain method or attribute in a subclass ends the request of that name."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Muted)

        with pytest.raises(UnknownOperation):
            await Counter.add(ref, 1)
        with pytest.raises(UnknownOperation):
            await Counter.slowly(ref, 1)
        assert 0 == await Counter.finish(ref)


async def test_call_overridden_by_cast():
    """The client of the base makes a call that nobody answers: it is refused, the server lives."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Turned, 1)

        with pytest.raises(UnknownOperation):
            await Counter.add(ref, 1)
        Turned.add(ref, 5)
        assert 6 == await Counter.finish(ref)


async def test_cast_overridden_by_call():
    """The client of the base sends a cast: the handler of the call runs, its reply is for nobody."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Turned, 1)

        Counter.reset(ref)
        assert -1 == await Counter.finish(ref)
