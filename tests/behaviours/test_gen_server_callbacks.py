"""The callbacks: what they are by default, and how a start fails in them."""

import logging

import pytest
import trio

from nursery_otp import (
    CallExited,
    Continue,
    Crashed,
    GenServer,
    Ignore,
    StartFailed,
    StartIgnored,
    Stop,
    answer,
    call,
    cast,
    current_runtime,
    get_status,
    send_nowait,
    start,
)
from tests.behaviours.stage import Counter, Stage, error_in

# ------------------------------------------------------------------------------------- the callbacks


async def test_default_handle_info(caplog):
    """Unless `handle_info` is overridden, a message is logged and dropped."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Counter)
        with caplog.at_level(logging.WARNING):
            send_nowait(ref, "hello")

            assert 1 == await Counter.add(ref, 1)

    assert "unexpected_message" in caplog.text
    assert "hello" in caplog.text


@pytest.mark.parametrize(
    ("shows", "received"),
    [
        (lambda status: {**status, "message": "***"}, "'***'"),
        (lambda status: {"state": status["state"]}, "(not shown)"),
        (lambda status: {"message": status["state"]}, "{'value': 0}"),
        (lambda status: 1 / 0, "(not shown: format_status raised ZeroDivisionError)"),
        (lambda _status: None, "(not shown: format_status raised TypeError)"),
    ],
)
def test_default_handle_info_hides_secrets(shows, received, caplog):
    """What is logged of a message is what `format_status` shows of it; if that fails, nothing is."""

    class Discreet(Counter):
        def format_status(self, status):
            return shows(status)

    Discreet().handle_info("secret")

    assert "secret" not in caplog.text
    assert received in caplog.text


async def test_default_handle_continue():
    """Continuing without a `handle_continue` is a crash that says so."""

    class Careless(GenServer):
        @call
        def go(self):
            return answer(1, then=Continue("x"))

    async with Stage() as supervisor:
        ref = await supervisor.start(Careless, restart="temporary")

        assert 1 == await Careless.go(ref)
        reason = await ref.wait()

    assert "NotImplementedError: Careless returned Continue but has no handle_continue" == error_in(reason)


async def test_default_format_status():
    """Unless `format_status` is overridden, the attributes are the status, also if there are none."""

    class Empty(GenServer):
        pass

    async with Stage() as supervisor:
        counter = await supervisor.start(Counter, 3)
        empty = await supervisor.start(Empty)

        assert {"value": 3} == (await get_status(counter)).server
        assert {} == (await get_status(empty)).server


async def test_init_sync_and_async():
    """`init` may be a plain or an async function; the start waits for it."""

    class Plain(GenServer):
        def init(self):
            self.word = "plain"

        @call
        def get(self):
            return self.word

    class Patient(Plain):
        async def init(self):
            await trio.lowlevel.checkpoint()
            self.word = "patient"

    async with Stage() as supervisor:
        assert "plain" == await Plain.get(await supervisor.start(Plain))
        assert "patient" == await Plain.get(await supervisor.start(Patient))


@pytest.mark.parametrize("where", ["__init__", "init"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_init_failure(where, asynchronous):
    """An exception in `__init__` or `init` is a failed start, with the exception as its cause; nothing is left."""
    error = ValueError("bad start")

    class Failing(GenServer):
        def __init__(self):
            if where == "__init__":
                raise error

        if asynchronous:

            async def init(self):
                raise error
        else:

            def init(self):
                raise error

        def terminate(self, reason):
            raise AssertionError("terminate runs after a successful start only")

    async with Stage() as supervisor:
        with pytest.raises(StartFailed) as caught:
            await supervisor.start(Failing)

        assert error is caught.value.__cause__
        assert Crashed(error) == caught.value.reason
        assert () == await supervisor.which_children()
        assert (supervisor.ref,) == current_runtime().processes()


@pytest.mark.parametrize("where", ["__init__", "init"])
async def test_init_ignores(where):
    """`Ignore` declines the start."""

    class Shy(GenServer):
        def __init__(self):
            if where == "__init__":
                raise Ignore

        def init(self):
            raise Ignore

    async with Stage() as supervisor:
        with pytest.raises(StartIgnored, match="Shy declined to be started"):
            await supervisor.start(Shy)
        with pytest.raises(StartIgnored):
            await start(Shy)


@pytest.mark.parametrize("how", ["raise", "return"])
async def test_init_stops(how):
    """`Stop(reason)` in `init` is a failed start with that reason."""

    class Stopping(GenServer):
        def init(self):
            if how == "raise":
                raise Stop("no license")
            return Stop("no license")

    async with Stage() as supervisor:
        with pytest.raises(StartFailed) as caught:
            await supervisor.start(Stopping)

        assert Stop("no license").reason == caught.value.reason
        assert "Stopping failed to start: failed('no license')" == str(caught.value)


async def test_factory_that_gives_a_coroutine():
    """A class whose call gives an awaitable is told to put async work into `init`."""

    class Odd(GenServer):
        def __new__(cls):
            return Promise()

    async with Stage() as supervisor:
        with pytest.raises(StartFailed) as caught:
            await supervisor.start(Odd)

        cause = caught.value.__cause__
        assert "Odd() gave an awaitable: put async work into 'async def init(self)'" == str(cause)


class Promise:
    def __await__(self):
        yield


@pytest.mark.parametrize("name", ["handle_call", "handle_cast", "code_change", "trap_exit"])
def test_callbacks_of_otp(name):
    """What OTP would call, and nobody here, is an error of the class, also in a mixin; a request may be called so."""

    class Mixin:
        pass

    setattr(Mixin, name, lambda self, *_args: None)
    with pytest.raises(TypeError, match=f"Bad.{name} would never be used by a GenServer: "):
        type("Bad", (GenServer,), {name: vars(Mixin)[name]})
    with pytest.raises(TypeError, match=f"Bad.{name} would never be used by a GenServer: "):
        type("Bad", (Mixin, GenServer), {})

    assert hasattr(type("Good", (GenServer,), {name: call(lambda self: 1)}), name)


@pytest.mark.parametrize("name", ["init", "handle_info", "handle_continue", "terminate", "format_status"])
@pytest.mark.parametrize("decorator", [call, cast])
def test_callback_is_no_request(name, decorator):
    """A callback cannot be a request at the same time."""
    with pytest.raises(TypeError, match=f"Bad.{name} is a name of GenServer's own and cannot be a request"):
        type("Bad", (GenServer,), {name: decorator(lambda self: None)})


async def test_crash_in_handler():
    """An exception in a call handler ends the server; the caller gets it as the cause of `CallExited`."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Counter, restart="temporary")
        with pytest.raises(CallExited) as caught:
            await Counter.add(ref, "one")

    assert "TypeError" == type(caught.value.__cause__).__name__
