"""The seam for tracing: what travels with which message, and whom a process works for."""

import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import Name, current_runtime, mailbox, send, send_after, send_interval, send_nowait, spawn, start
from nursery_otp._runtime.messages import Envelope
from nursery_otp._runtime.tracing import dump_context, load_context
from tests.runtime.working import Desk, ledger, tree, working_for

__all__ = ["ledger", "tree"]  # fixtures, for pytest


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
