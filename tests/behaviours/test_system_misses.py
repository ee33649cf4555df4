"""Tracing a server, and system requests that nobody answers."""

import logging
import math

import pytest
import trio
import trio.testing

from nursery_otp import (
    CallExited,
    CallTimeout,
    Deadlock,
    Failed,
    InvalidSpec,
    Message,
    Name,
    NoProcess,
    Refuse,
    Stop,
    TraceEvent,
    current_ref,
    get_state,
    get_status,
    process_info,
    replace_state,
    resume,
    send_after,
    send_nowait,
    spawn,
    start,
    stop,
    stop_nowait,
    suspend,
    trace,
)
from tests.behaviours.stage import Puppet, Stage, note_outcome, outcome_of, pause

# ------------------------------------------------------------------------------------------- tracing


async def test_trace():
    """The sink sees each message that is read and each reply that is given, until it is taken off."""
    seen = []
    async with Stage():
        ref = await start(Puppet)
        await trace(ref, seen.append)
        await Puppet.ask(ref, "not called")
        Puppet.tell(ref, 1)
        send_nowait(ref, "plain")
        send_after(0, ref, "tick")
        await trio.testing.wait_all_tasks_blocked()
        await get_state(ref)
        await trace(ref, None)
        Puppet.tell(ref, 2)
        await get_state(ref)

    assert [
        TraceEvent(ref, "received", Message("ask", ("not called",))),
        TraceEvent(ref, "replied", "not called"),
        TraceEvent(ref, "received", Message("tell", (1,))),
        TraceEvent(ref, "received", "plain"),
        TraceEvent(ref, "received", "tick"),
    ] == seen


async def test_trace_shows_refusals():
    """A refusal is seen as such."""
    seen = []
    error = KeyError("no")

    def refuse(_server):
        raise Refuse(error)

    async with Stage():
        ref = await start(Puppet)
        await trace(ref, seen.append)
        await outcome_of(Puppet.ask(ref, refuse))

    assert [TraceEvent(ref, "received", Puppet.ask.message(refuse)), TraceEvent(ref, "refused", error)] == seen


async def test_trace_fails(caplog):
    """A sink that raises is taken off and its error logged; the server does its work."""
    calls = []

    def sink(event):
        calls.append(event)
        raise KeyError("bad sink")

    async with Stage():
        ref = await start(Puppet)
        await trace(ref, sink)
        with caplog.at_level(logging.ERROR):
            assert "ok" == await Puppet.ask(ref, "ok")
            assert "ok" == await Puppet.ask(ref, "ok")

    assert 1 == len(calls)
    assert "trace_detached" in caplog.text
    assert "bad sink" in caplog.text


# ------------------------------------------------------------------------------------ asking in vain


ALL = {
    "get_state": get_state,
    "replace_state": lambda target, **options: replace_state(target, lambda server: server, **options),
    "suspend": suspend,
    "resume": resume,
    "get_status": get_status,
    "trace": lambda target, **options: trace(target, print, **options),
}


@pytest.mark.parametrize("name", ALL)
async def test_nobody_there(name):
    """A system request to nobody fails at once."""
    async with Stage():
        ref = await start(Puppet)
        await stop(ref)
        with pytest.raises(NoProcess) as caught:
            await ALL[name](ref)
        assert name == caught.value.operation
        with pytest.raises(NoProcess, match=f"{name}: no process at nobody"):
            await ALL[name](Name("nobody"))


@pytest.mark.parametrize("name", ALL)
async def test_not_a_server(name):
    """Only servers read system messages: others do not get one."""
    async with Stage() as supervisor:
        process = spawn(trio.sleep_forever)
        for target in (process, supervisor.ref):
            with pytest.raises(TypeError, match=rf"{name}: .* is no GenServer, it does not read system messages"):
                await ALL[name](target)
        assert 0 == process_info(process).queue_length


@pytest.mark.parametrize("name", ALL)
async def test_limit(autojump_clock, name):
    """A busy server is waited for five seconds, unless told otherwise."""
    async with Stage():
        ref = await start(Puppet)
        Puppet.tell_async(ref, pause(100))
        for options, limit in (({}, 5), ({"within": 2}, 2)):
            begun = trio.current_time()
            with pytest.raises(CallTimeout, match=f"{name}: no answer from"):
                await ALL[name](ref, **options)
            assert limit == trio.current_time() - begun
        assert None is not await ALL[name](ref, within=math.inf) or name not in {"get_state", "get_status"}


@pytest.mark.parametrize("name", ALL)
async def test_limit_is_checked(name):
    """A limit that is none is refused."""
    async with Stage():
        ref = await start(Puppet)
        with pytest.raises(InvalidSpec, match="within=-1: must be a number of seconds >= 0"):
            await ALL[name](ref, within=-1)


@pytest.mark.parametrize("name", ALL)
async def test_ends_before_it_answers(name):
    """A server that ends with the request in its mailbox fails it with its reason."""
    diary = []
    async with Stage(), trio.open_nursery() as nursery:
        ref = await start(Puppet)
        Puppet.tell_async(ref, lambda _server: trio.testing.wait_all_tasks_blocked())
        await trio.lowlevel.checkpoint()
        nursery.start_soon(note_outcome, diary, name, ALL[name](ref))
        await trio.lowlevel.checkpoint()
        stop_nowait(ref, Stop("bye").reason)

    ((_, error),) = diary
    assert (CallExited, Failed("bye")) == (type(error), error.reason)


@pytest.mark.parametrize("name", ALL)
async def test_asking_oneself(name):
    """A server that asks itself would wait for ever, and is told so."""
    async with Stage():
        ref = await start(Puppet)
        with pytest.raises(CallExited) as caught:
            await Puppet.ask_async(ref, lambda _server: ALL[name](current_ref()))

    assert isinstance(caught.value.__cause__, Deadlock)


@pytest.mark.parametrize(("function", "field"), [(replace_state, "function"), (trace, "sink")])
async def test_not_callable(function, field):
    """What is no function is refused before anything is sent."""
    async with Stage():
        ref = await start(Puppet)
        with pytest.raises(InvalidSpec, match=f"{field}=5: must be callable"):
            await function(ref, 5)
