"""The seam for tracing: what travels with which message, what a process works for, and what it has forgotten."""

import contextvars

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    GenServer,
    InvalidSpec,
    MailboxFull,
    MailboxOptions,
    Name,
    NoProcess,
    Refuse,
    Tracer,
    call,
    cast,
    child,
    current_runtime,
    kill,
    mailbox,
    open_supervisor,
    send,
    send_after,
    send_interval,
    send_nowait,
    spawn,
    start,
    stop,
)
from nursery_otp._runtime.messages import Envelope
from nursery_otp._runtime.tracing import dump_context, load_context

working_for: contextvars.ContextVar[str] = contextvars.ContextVar("working_for", default="nobody")


class Ledger:
    """A tracer that carries what its sender works for, and writes everything down."""

    def __init__(self):
        self.log = []

    def produce(self, message):
        about = working_for.get()
        if about == "nobody":
            return None
        self.log.append(("produce", message.kind, message.operation, about))
        return [about]

    def produced(self, context, error):
        self.log.append(("produced", *context, error))

    def enter(self, context, message):
        self.log.append(("enter", message.kind, message.operation, *context))
        return context, working_for.set(context[0])

    def leave(self, entered, error, *, restore):
        context, token = entered
        self.log.append(("leave", *context, error if error is None else type(error)))
        if restore:
            working_for.reset(token)
        else:
            self.log.append("elsewhere")

    def clear(self):
        working_for.set("nobody")

    def dump(self, context):
        return {"about": context[0]}

    def load(self, data):
        return [data["about"]] if isinstance(data, dict) and "about" in data else None


class Desk(GenServer):
    """A server that tells what it works for."""

    @call
    def who(self):
        return working_for.get()

    @call
    async def slowly(self):
        await trio.sleep(1)
        return working_for.get()

    @call
    async def ask(self, other):
        return await Desk.who(other)

    @call
    def refuse(self):
        raise Refuse(ValueError("no"))

    @cast
    def note(self, seen):
        seen.append(working_for.get())

    @cast
    def crash(self):
        raise KeyError("crash")

    @cast
    def start_another(self, seen):
        spawn(record_start, seen)

    def handle_info(self, message):
        message.append(working_for.get())


async def record_start(seen):
    """A process that tells what it works for when it begins."""
    seen.append(working_for.get())


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
async def tree(ledger):
    with trio.fail_after(60):
        async with open_supervisor(tracer=ledger) as supervisor:
            yield supervisor
            working_for.set("nobody")
            supervisor.shutdown()


def test_protocol():
    """The protocol is checked where a tracer is given: one without all methods is refused, and nothing changes."""
    assert isinstance(Ledger(), Tracer)
    with pytest.raises(InvalidSpec, match="must be a Tracer, with all of its methods"):
        open_supervisor(tracer=object())


async def test_set_tracer(tree, ledger):
    """A tracer can be set and taken off while everything runs."""
    runtime = current_runtime()
    assert runtime.tracer is ledger
    with pytest.raises(InvalidSpec, match="must be a Tracer"):
        runtime.set_tracer("no")
    ref = await start(Desk)
    runtime.set_tracer(None)
    working_for.set("me")

    assert "nobody" == await Desk.who(ref)
    assert runtime.tracer is None
    assert ledger.log == []


async def test_call(tree, ledger):
    """A handler works for its caller, whatever started it, and so do the calls that it makes; then for nobody."""
    one, two = await start(Desk), await start(Desk)
    working_for.set("me")
    assert "me" == await Desk.ask(one, two)
    working_for.set("nobody")
    assert "nobody" == await Desk.ask(one, two)
    assert ledger.log == [
        ("produce", "call", "ask", "me"),
        ("enter", "call", "ask", "me"),
        ("produce", "call", "who", "me"),
        ("enter", "call", "who", "me"),
        ("leave", "me", None),
        ("produced", "me", None),
        ("leave", "me", None),
        ("produced", "me", None),
    ]


async def test_failed_call(tree, ledger):
    """The caller's side ends with the error that the caller gets; a refusal is none of the handler's."""
    ref = await start(Desk)
    working_for.set("me")
    with pytest.raises(ValueError, match="no") as refusal:
        await Desk.refuse(ref)
    with pytest.raises(NoProcess) as nobody:
        await Desk.refuse(Name("nobody"))

    assert ledger.log[2:] == [
        ("leave", "me", None),
        ("produced", "me", refusal.value),
        ("produce", "call", "refuse", "me"),
        ("produced", "me", nobody.value),
    ]


async def test_request(tree, ledger):
    """A request that is awaited later is sent for whoever sends it."""
    ref = await start(Desk)
    working_for.set("me")
    request = Desk.who.request(ref)
    working_for.set("somebody else")

    assert "me" == await request.receive()


async def test_messages(tree, ledger, autojump_clock):
    """Casts, sends and timers carry it as well; a timer that of whoever set it."""
    ref, seen = await start(Desk), []
    working_for.set("caster")
    Desk.note(ref, seen)
    working_for.set("sender")
    send_nowait(ref, seen)
    await send(ref, seen)
    working_for.set("timer")
    send_after(1, ref, seen)
    interval = send_interval(2, ref, seen)
    working_for.set("nobody")
    Desk.note(ref, seen)
    await trio.sleep(5)
    interval.cancel()

    assert seen == ["caster", "sender", "sender", "nobody", "timer", "timer", "timer"]
    assert ["timer", "interval", "interval"] == [entry[1] for entry in ledger.log if entry[0] == "enter"][-3:]


async def test_nothing_to_carry(tree):
    """A message that the tracer does not want to trace lies in the mailbox as it is: there is no envelope."""
    ref = spawn(trio.sleep_forever)
    send_nowait(ref, "plain")
    await send(ref, "plain")
    Desk.note(ref, [])
    working_for.set("me")
    send_nowait(ref, "traced")
    working_for.set("nobody")

    assert [str, str] == [type(item) for item in ref._process.mailbox.items()[:2]]
    assert [False, False, False, True] == [isinstance(item, Envelope) for item in ref._process.mailbox.items()]


async def test_plain_function(tree, ledger):
    """A function works for a message from when it gets it until it asks for the next, or ends."""
    seen = []

    async def reader():
        seen.append(working_for.get())
        async for message in mailbox():
            seen.append((message, working_for.get()))
            await trio.lowlevel.checkpoint()
            seen.append(working_for.get())
            if message == "last":
                return

    ref = await start(reader)
    for sender, message in (("a", 1), ("b", 2), ("nobody", 3), ("c", "last")):
        working_for.set(sender)
        send_nowait(ref, message)
    await ref.wait()

    assert seen == ["nobody", (1, "a"), "a", (2, "b"), "b", (3, "nobody"), "nobody", ("last", "c"), "c"]
    assert 3 == sum(entry[0] == "leave" for entry in ledger.log)


async def test_plain_function_crashes(tree, ledger):
    """A function that crashes has ended its work with that."""

    async def reader():
        await mailbox().receive()
        raise KeyError

    ref = await start(reader)
    working_for.set("me")
    send_nowait(ref, 1)
    await ref.wait()

    assert ledger.log[-1] == ("leave", "me", KeyError)


async def test_asks_for_more_while_waiting(tree, ledger):
    """A function that waits for its next message works for nobody meanwhile."""

    async def reader():
        async for _ in mailbox():
            pass

    ref = await start(reader)
    working_for.set("me")
    send_nowait(ref, 1)
    await wait_all_tasks_blocked()

    assert ledger.log[-1] == ("leave", "me", None)


async def test_call_of_a_function(tree, ledger):
    """A call that a function answers carries it, too."""

    async def reader():
        request = await mailbox().receive()
        request.reply(working_for.get())

    ref = await start(reader)
    working_for.set("me")

    assert "me" == await Desk.who(ref)


async def test_read_in_several_tasks(tree, ledger):
    """A mailbox that is read by the tasks of a process in turn: what cannot be restored there is not touched."""
    seen = []

    async def reader():
        async def one():
            await mailbox().receive()

        async def other():
            await mailbox().receive()
            seen.append(working_for.get())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            await wait_all_tasks_blocked()
            seen.append(working_for.get())
            await other()

    ref = await start(reader)
    working_for.set("me")
    send_nowait(ref, 1)
    await wait_all_tasks_blocked()
    send_nowait(ref, 2)
    await ref.wait()

    assert seen == ["nobody", "me"]
    assert 1 == ledger.log.count("elsewhere")


class Inheriting(Ledger):
    """The naive tracer: it leaves to a process what that has inherited."""

    def clear(self):
        pass


@pytest.mark.parametrize(("tracer", "expected"), [(Ledger, ["nobody"]), (Inheriting, ["me"])])
async def test_trap_started_by_a_handler(tracer, expected):
    """TRAP: a process that a handler starts does not work for that handler's caller. The naive tracer says it does."""
    async with open_supervisor(tracer=tracer()) as tree:
        ref, seen = await start(Desk), []
        working_for.set("me")
        Desk.start_another(ref, seen)
        working_for.set("nobody")
        await wait_all_tasks_blocked()
        tree.shutdown()

    assert seen == expected


@pytest.mark.parametrize(("tracer", "expected"), [(Ledger, ["nobody"] * 2), (Inheriting, ["me"] * 2)])
async def test_trap_restarted(tracer, expected):
    """TRAP: neither does a child, when it is started in a block that works for somebody, nor when it is restarted."""
    seen = []

    async def restarted():
        seen.append(working_for.get())
        await mailbox().receive()
        raise KeyError

    async def block():
        working_for.set("me")
        async with open_supervisor([child(restarted, name=Name("child"))], tracer=tracer()) as tree:
            send_nowait(Name("child"), "crash")
            await wait_all_tasks_blocked()
            tree.shutdown()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(block)

    assert seen == expected


async def test_crash_in_a_handler(tree, ledger):
    """A handler that crashes has ended its work with the error, and the next incarnation works for nobody."""
    ref = await tree.start(Desk, name=Name("desk"))
    working_for.set("me")
    Desk.crash(ref)
    working_for.set("nobody")
    await ref.wait()

    assert ledger.log[-1] == ("leave", "me", KeyError)
    assert "nobody" == await Desk.who(Name[Desk]("desk"))


async def test_killed_handler(tree, ledger):
    """A handler that is killed has ended its work as well."""
    ref = await start(Desk)
    working_for.set("me")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_fails, Desk.slowly, ref)
        await wait_all_tasks_blocked()
        kill(ref)

    assert ("leave", "me", trio.Cancelled) in ledger.log


async def _fails(function, *args):
    with pytest.raises(Exception):
        await function(*args)


async def test_cancelled_caller(tree, ledger):
    """A caller that is cancelled has ended its side; the handler goes on, and ends its own."""
    ref = await start(Desk)
    working_for.set("me")
    with trio.move_on_after(0.01):
        await Desk.slowly(ref)
    working_for.set("nobody")
    sent = ledger.log[-1]
    await stop(ref, drain=True)

    assert ("produced", "me") == sent[:2]
    assert isinstance(sent[2], trio.Cancelled)
    assert ("leave", "me", None) == ledger.log[-1]


async def test_not_accepted(tree, ledger):
    """A send that is not accepted ends with the error at the sender."""
    ref = await tree.start(
        trio.sleep_forever, mailbox=MailboxOptions(capacity=1, overflow="reject"), restart="temporary"
    )
    send_nowait(ref, 1)
    working_for.set("me")
    for sending in (lambda: send_nowait(ref, 2), lambda: Desk.who(ref)):
        with pytest.raises(MailboxFull) as full:
            result = sending()
            await result

        assert ledger.log[-1] == ("produced", "me", full.value)


async def test_two_trees(ledger):
    """A tree without a tracer knows nothing of another tree's."""
    async with open_supervisor(tracer=ledger) as outer:
        there = await start(Desk)
        async with open_supervisor() as inner:
            working_for.set("me")
            here = await start(Desk)
            assert "me" == await Desk.who(there)
            logged = len(ledger.log)
            await Desk.who(here)
            assert logged == len(ledger.log)
            inner.shutdown()
        outer.shutdown()


async def test_another_tracer(tree, ledger, autojump_clock):
    """A context that is under way when the tracer changes is not given to the new one."""
    ref, seen = spawn(trio.sleep_forever), []
    desk = await start(Desk)
    working_for.set("me")
    send_after(1, desk, seen)
    new = Ledger()
    current_runtime().set_tracer(new)
    working_for.set("nobody")
    await trio.sleep(2)

    assert seen == ["nobody"]
    assert new.log == []
    assert ref.alive


@pytest.mark.parametrize("method", ["produce", "produced", "enter", "leave", "clear"])
async def test_broken_tracer(method, caplog):
    """A tracer that raises is taken off and reported, once; the processes do not notice."""
    broken = Ledger()

    def fail(*_args, **_options):
        raise ZeroDivisionError("in the tracer")

    setattr(broken, method, fail)
    async with open_supervisor(tracer=broken) as tree:
        ref, other = await start(Desk), await start(Desk)
        working_for.set("me")
        assert await Desk.ask(ref, other) in {"me", "nobody"}
        assert await Desk.ask(ref, other) in {"me", "nobody"}
        send_nowait(ref, [])
        await wait_all_tasks_blocked()
        assert ref.alive
        assert other.alive
        assert (current_runtime().tracer is None) == ("tracer_detached" in caplog.text)
        assert 1 >= caplog.text.count("tracer_detached")
        tree.shutdown()

    assert "in the tracer" in caplog.text


async def test_message_as_seen(tree, ledger):
    """A tracer sees how a message was sent, to whom, what it asks for, and once it is read, who has it."""
    seen = []
    ledger.produce = lambda message: seen.append(message) or ["x"]
    ledger.enter = lambda context, message: seen.append(message)
    ledger.leave = lambda *_about, **_how: None
    ref = await start(Desk, name=Name("desk"))
    seen.clear()
    await Desk.who(Name[Desk]("desk"))
    send_nowait(ref, "plain")
    await wait_all_tasks_blocked()
    sent, taken, plain, _ = seen

    assert ("call", "who", "Desk", "desk", True) == (
        sent.kind,
        sent.operation,
        sent.receiver,
        sent.name,
        sent.is_request,
    )
    assert (ref, "who", "desk") == (taken.ref, taken.operation, taken.name)
    assert ("send", "str", ref, False) == (plain.kind, plain.operation, plain.address, plain.is_request)
    assert "call who to desk" in repr(sent)


async def test_kept_as_text(tree, ledger, caplog):
    """A context can be kept as text and read again; what is not a context is none."""
    telemetry = current_runtime().telemetry
    working_for.set("me")
    ref = spawn(trio.sleep_forever)
    send_nowait(ref, "traced")
    context = ref._process.mailbox.items()[0].context
    text = dump_context(context)

    assert text == '{"about": "me"}'
    assert ["me"] == load_context(telemetry, text).context
    for nothing in (None, "no json", "17", "{}", "[1]"):
        assert load_context(telemetry, nothing) is None
    assert dump_context(None) is None
    ledger.dump = lambda _context: object()
    assert dump_context(context) is None
    assert "trace_not_stored" in caplog.text
    current_runtime().set_tracer(None)
    assert load_context(telemetry, text) is None
