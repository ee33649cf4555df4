"""What is told of calls and of handlers, to whoever listens: a start, and one end that says how it went."""

from contextlib import nullcontext

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CALL_RESULTS,
    HANDLE_RESULTS,
    CallExited,
    CallTimeout,
    Continue,
    Deadlock,
    GenServer,
    Idle,
    Later,
    MailboxFull,
    MailboxOptions,
    Name,
    NoProcess,
    Refuse,
    Stop,
    Timeouts,
    UnknownOperation,
    call,
    cast,
    current_runtime,
    get_state,
    kill,
    open_supervisor,
    send_nowait,
    spawn,
    start,
    stop,
)


class Server(GenServer):
    """A server whose handlers end in every way there is."""

    @call
    async def work(self, what):
        match what:
            case "refuse":
                raise Refuse(ValueError("refused"))
            case "crash":
                raise KeyError("crashed")
            case "stop":
                raise Stop
            case "later":
                return Later().pending()
            case "sleep":
                await trio.sleep(3)
            case ("call", other):
                return await Server.work(other, "nothing")
            case ("ask myself", ref):
                return await Server.work(ref, "nothing")
        return what

    @call(follow_caller=True)
    async def follow(self):
        await trio.sleep(3)

    @cast
    def note(self, what):
        if what == "crash":
            raise KeyError("crashed")
        return Continue("more") if what == "continue" else None

    def handle_continue(self, argument):
        return None

    def handle_info(self, message):
        return Idle(1.0) if message == "idle" else None


class Other(GenServer):
    @call
    def something_else(self):
        pass


@pytest.fixture
async def tree():
    async with open_supervisor(max_restarts=1000) as supervisor:
        yield supervisor
        supervisor.shutdown()


class Heard:
    """What was heard of one kind of span."""

    def __init__(self, kind):
        self.kind = kind
        self.events = []
        current_runtime().telemetry.attach(("nursery_otp", kind), lambda *event: self.events.append(event))

    def ends(self):
        """Operation and result of each span, after checking that it was begun and ended once."""
        begun = [about["operation"] for name, _, about in self.events if name[2] == "start"]
        ended = [about for name, _, about in self.events if name[2] != "start"]
        assert sorted(begun) == sorted(about["operation"] for about in ended)
        for name, _, about in self.events:
            assert ("error" in about) == (name[2] == "exception")
        return [(about["operation"], about["result"]) for about in ended]


async def as_client(function, *args):
    """Call from a process, which the graph of who waits for whom has to know."""
    results = []

    async def client():
        try:
            results.append(await function(*args))
        except Exception as error:
            results.append(error)

    await spawn(client).wait()
    return results[0]


async def full():
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("what", "result", "handled", "error"),
    [
        ("nothing", "ok", "ok", None),
        ("refuse", "refused", "refused", ValueError),
        ("crash", "exited", "error", CallExited),
        ("stop", "exited", "stopped", CallExited),
        ("sleep", "timeout", "ok", CallTimeout),
        ("later", "timeout", "ok", CallTimeout),
    ],
)
async def test_call(tree, autojump_clock, what, result, handled, error):
    """A call tells its caller's end of the story, the run of its handler the server's."""
    ref = await start(Server)
    calls, handlers = Heard("call"), Heard("handle")
    with nullcontext() if error is None else pytest.raises(error):
        await Server.work.within(1)(ref, what)
    await trio.sleep(5)

    assert calls.ends() == [("Server.work", result)]
    assert handlers.ends() == [("Server.work", handled)]


async def test_metadata(tree, autojump_clock):
    """A call names its caller and its target, a handler its process; durations are those of the clock."""
    ref = await start(Server)
    calls, handlers = Heard("call"), Heard("handle")
    await as_client(Server.work, ref, "sleep")
    [begin, end], [handle_begin, handle_end] = calls.events, handlers.events

    assert begin[2]["target"] is ref
    assert begin[2]["caller"].label == "client"
    assert handle_begin[2]["ref"] is ref
    assert end[1] == handle_end[1] == {"duration": 3.0}


@pytest.mark.parametrize(
    ("make", "result", "error"),
    [
        (lambda ref: Server.work(Name("nobody"), 1), "noproc", NoProcess),
        (lambda ref: Other.something_else(ref), "unknown", UnknownOperation),
        (lambda ref: Server.work.within(0)(ref, 1), "timeout", CallTimeout),
        (lambda ref: Server.work(ref, ("ask myself", ref)), "exited", CallExited),
    ],
)
async def test_failing_call(tree, autojump_clock, make, result, error):
    """Each way in which a call can fail has its word."""
    ref = await start(Server)
    calls = Heard("call")
    with pytest.raises(error):
        await make(ref)

    assert calls.ends()[-1][1] == result


async def test_full_and_deadlock(tree, autojump_clock):
    """A full mailbox and a circle of calls have their words as well."""
    box = await tree.start(full, mailbox=MailboxOptions(capacity=1, overflow="reject"), restart="temporary")
    send_nowait(box, 1)
    ref = await start(Server)
    calls = Heard("call")
    with pytest.raises(MailboxFull):
        await Server.work(box, 1)
    with pytest.raises(CallExited) as caught:
        await Server.work(ref, ("ask myself", ref))

    assert isinstance(caught.value.__cause__, Deadlock)
    assert [result for _, result in calls.ends()] == ["full", "deadlock", "exited"]


async def test_handed_on(tree, autojump_clock):
    """A refusal with an error of another call is a refusal, whatever its type."""

    class Front(GenServer):
        @call
        async def ask(self, ref):
            try:
                return await Server.work.within(1)(ref, "sleep")
            except CallTimeout as error:
                raise Refuse(error) from None

    ref, front = await start(Server), await start(Front)
    calls = Heard("call")
    with pytest.raises(CallTimeout):
        await Front.ask(front, ref)

    assert calls.ends() == [("Server.work", "timeout"), ("Front.ask", "refused")]


async def test_cancelled_caller(tree, autojump_clock):
    """A caller that is cancelled is told as cancelled, and the handler's run is not touched."""
    ref = await start(Server)
    calls, handlers = Heard("call"), Heard("handle")
    with trio.move_on_after(1):
        await Server.work(ref, "sleep")
    await trio.sleep(5)

    assert calls.ends() == [("Server.work", "cancelled")]
    assert handlers.ends() == [("Server.work", "ok")]


async def test_killed_while_handling(tree, autojump_clock):
    """A handler that a signal ends has been cancelled."""
    ref = await start(Server)
    calls, handlers = Heard("call"), Heard("handle")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(as_client, Server.work, ref, "sleep")
        await wait_all_tasks_blocked()
        kill(ref)

    assert calls.ends() == [("Server.work", "exited")]
    assert handlers.ends() == [("Server.work", "cancelled")]


async def test_handler_timeout(autojump_clock):
    """The limit of a handler is a timeout."""
    async with open_supervisor(timeouts=Timeouts(handler=1.0)) as tree:
        ref = await start(Server)
        handlers = Heard("handle")
        with pytest.raises(CallExited):
            await Server.work(ref, "sleep")
        tree.shutdown()

    assert handlers.ends() == [("Server.work", "timeout")]


async def test_expired(tree, autojump_clock):
    """A request that follows its caller, and was too late, has expired."""
    ref = await start(Server)
    handlers = Heard("handle")
    for _ in range(2):
        with pytest.raises(CallTimeout):
            await Server.follow.within(1)(ref)
    await trio.sleep(5)

    assert {("Server.follow", "expired")} == set(handlers.ends())


async def test_casts_and_others(tree, autojump_clock):
    """Casts are told under their operation, others under `handle_info`; what they are followed by is included."""
    ref = await start(Server)
    handlers = Heard("handle")
    Server.note(ref, "fine")
    Server.note(ref, "continue")
    send_nowait(ref, "idle")
    await trio.sleep(5)
    Server.note(ref, "crash")
    await ref.wait()

    assert handlers.ends() == [
        ("Server.note", "ok"),
        ("Server.note", "ok"),
        ("Server.handle_info", "ok"),
        ("Server.handle_info", "ok"),
        ("Server.note", "error"),
    ]


async def test_what_is_no_handler(tree, autojump_clock):
    """System messages and requests to stop run no handler."""
    ref = await start(Server)
    handlers = Heard("handle")
    await get_state(ref)
    await stop(ref, drain=True)

    assert handlers.ends() == []


async def test_listener_comes_and_goes(tree, autojump_clock):
    """Who begins to listen in the middle of a call hears its handler's next one, and nothing is half told."""
    ref = await start(Server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Server.work, ref, "sleep")
        await trio.sleep(1)
        calls, handlers = Heard("call"), Heard("handle")
    await Server.work(ref, 1)

    assert calls.ends() == [("Server.work", "ok")]
    assert handlers.ends() == [("Server.work", "ok")]


async def test_crash_is_not_touched(tree, autojump_clock):
    """A crash that is watched has the same traceback and reason as one that is not."""
    unwatched, watched = await start(Server), await start(Server)
    Server.note(unwatched, "crash")
    await unwatched.wait()
    Heard("handle")
    Server.note(watched, "crash")
    await watched.wait()
    frames = [
        [frame.tb_frame.f_code.co_name for frame in _frames(ref.exit_reason.error)] for ref in (unwatched, watched)
    ]

    assert ["note"] == frames[0] == frames[1]


def _frames(error):
    frame = error.__traceback__
    while frame is not None:
        yield frame
        frame = frame.tb_next


def test_words():
    """The words for results are listed, each once."""
    assert len(set(CALL_RESULTS)) == len(CALL_RESULTS) == 9
    assert len(set(HANDLE_RESULTS)) == len(HANDLE_RESULTS) == 8
