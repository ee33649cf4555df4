"""What happens at the bound of a mailbox, under each of the five policies."""

import math

import pytest
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CallExited,
    CallTimeout,
    Crashed,
    Down,
    Exit,
    InvalidSpec,
    MailboxFull,
    MailboxOptions,
    MailboxOverflow,
    current_runtime,
    kill,
    monitor,
    send,
    send_after,
    send_exit,
    send_nowait,
    spawn,
    trap_exits,
)
from tests.runtime.boxes import drain, kind
from tests.runtime.helpers import Desk, idle

__all__ = ["kind"]  # a fixture, for pytest

POLICIES = ("block", "drop_newest", "drop_oldest", "reject", "crash")


def full_process(kind, overflow, function=idle):
    """A process with room for two messages, which has two."""
    ref = spawn(function, mailbox=MailboxOptions(capacity=2, overflow=overflow, kind=kind))
    send_nowait(ref, 1)
    send_nowait(ref, 2)
    return ref


def queued(ref):
    """What lies in the mailbox."""
    return drain(ref._process.mailbox)


def dead_letters():
    """Messages and reasons of the dead letters."""
    return [(letter.message, letter.reason) for letter in current_runtime().dead_letters]


# --------------------------------------------------------------------------- ordinary messages


@pytest.mark.parametrize("overflow", ["block", "reject"])
async def test_send_nowait_raises(tree, kind, overflow):
    """Where the policy drops nothing `send_nowait` raises `MailboxFull`, which names process and bound."""
    ref = full_process(kind, overflow)
    with pytest.raises(MailboxFull) as caught:
        send_nowait(ref, 3)

    assert (ref, 2) == (caught.value.target, caught.value.capacity)
    assert f"mailbox of {ref} is full: 2 messages" == str(caught.value)
    assert [1, 2] == queued(ref)
    assert [] == dead_letters()


async def test_reject_does_not_wait(tree, kind):
    """Under "reject" `await send` raises `MailboxFull` instead of waiting."""
    ref = full_process(kind, "reject")
    with pytest.raises(MailboxFull):
        await send(ref, 3)

    assert [1, 2] == queued(ref)


async def test_drop_newest(tree, kind):
    """Under "drop_newest" the new message is a dead letter, counted as dropped, and the sender goes on."""
    ref = full_process(kind, "drop_newest")
    send_nowait(ref, 3)

    assert [1, 2] == queued(ref)
    assert [(3, "drop_newest")] == dead_letters()
    assert {"drop_newest": 1} == current_runtime().ledger().dropped
    assert {} == current_runtime().ledger().dead_lettered


async def test_drop_newest_is_told(tree, kind):
    """Whoever waits to hear what became of a message is told, instead of having it dropped."""
    ref = full_process(kind, "drop_newest")
    with pytest.raises(MailboxFull):
        await send(ref, 3)

    assert [1, 2] == queued(ref)
    assert [] == dead_letters()
    assert current_runtime().ledger().balanced


@pytest.mark.parametrize("waiting", [False, True])
async def test_drop_oldest(tree, kind, waiting):
    """Under "drop_oldest" the message that would be read first is a dead letter, counted as dropped."""
    ref = full_process(kind, "drop_oldest")
    await send_either_way(ref, 3, waiting)
    await send_either_way(ref, 4, waiting)

    assert [3, 4] == queued(ref)
    assert [(1, "drop_oldest"), (2, "drop_oldest")] == dead_letters()
    assert {"drop_oldest": 2} == current_runtime().ledger().dropped


async def test_drop_oldest_spares_signals(tree, kind):
    """Under "drop_oldest" signals are not messages that could be dropped."""
    ref = spawn(idle, trap_exits=True, mailbox=MailboxOptions(capacity=2, overflow="drop_oldest", kind=kind))
    send_exit(ref, "signal")
    send_nowait(ref, 1)
    send_nowait(ref, 2)
    send_exit(ref, "signal")
    send_nowait(ref, 3)

    assert [Exit, Exit, 3] == [type(message) if isinstance(message, Exit) else message for message in queued(ref)]
    assert [(1, "drop_oldest"), (2, "drop_oldest")] == dead_letters()


@pytest.mark.parametrize("waiting", [False, True])
async def test_crash(tree, kind, waiting):
    """Under "crash" the receiver ends with `MailboxOverflow`, whether it traps exits or not; all is dead letters."""
    ref = spawn(idle, trap_exits=True, mailbox=MailboxOptions(capacity=1, overflow="crash", kind=kind))
    send_nowait(ref, 1)
    await wait_all_tasks_blocked()
    await send_either_way(ref, 2, waiting)
    reason = await ref.wait()

    assert isinstance(reason, Crashed)
    assert isinstance(reason.error, MailboxOverflow)
    assert "more than 1 messages in the mailbox" == str(reason.error)
    assert [(1, "process ended"), (2, "process ended")] == dead_letters()


async def test_no_bound(tree, kind):
    """`capacity=math.inf` means that there is always room."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=math.inf, overflow="crash", kind=kind))
    for number in range(1000):
        send_nowait(ref, number)

    assert list(range(1000)) == queued(ref)


@pytest.mark.parametrize(
    ("field", "value"), [("capacity", 0), ("capacity", -1), ("capacity", 1.5), ("capacity", True), ("overflow", "drop")]
)
def test_invalid_options(field, value):
    """A bound that holds nothing and a policy that does not exist are refused, by name and value."""
    with pytest.raises(InvalidSpec) as caught:
        MailboxOptions(**{field: value})

    assert (field, value) == (caught.value.field, caught.value.value)


async def send_either_way(ref, message, waiting):
    """With or without the right to wait."""
    if waiting:
        await send(ref, message)
    else:
        send_nowait(ref, message)


# ------------------------------------------------------------------------------ casts and signals


@pytest.mark.parametrize("overflow", POLICIES)
async def test_cast_never_raises(tree, kind, overflow):
    """A cast to a full mailbox neither waits nor raises: one message, whichever, becomes a dead letter."""
    ref = full_process(kind, overflow)
    await wait_all_tasks_blocked()
    Desk.note(ref, 3)
    await wait_all_tasks_blocked()

    message = Desk.note.message(3)
    expected = {
        "block": [(message, "mailbox full")],
        "reject": [(message, "mailbox full")],
        "drop_newest": [(message, "drop_newest")],
        "drop_oldest": [(1, "drop_oldest")],
        "crash": [(1, "process ended"), (2, "process ended"), (message, "process ended")],
    }
    assert expected[overflow] == dead_letters()
    assert current_runtime().ledger().balanced


@pytest.mark.parametrize("overflow", POLICIES)
async def test_signals_know_no_bound(tree, kind, overflow):
    """`Down`, `Exit` and timer messages are accepted by a full mailbox under every policy, in their order."""
    got = []

    async def trapping(other):
        trap_exits()
        monitor(other)
        await idle()
        got.append("ended")

    other = spawn(idle)
    ref = spawn(trapping, other, mailbox=MailboxOptions(capacity=1, overflow=overflow, kind=kind))
    await wait_all_tasks_blocked()
    send_nowait(ref, "message")
    send_exit(ref, "signal")
    kill(other)
    await other.wait()
    timer = send_after(0, ref, "tick")
    await wait_all_tasks_blocked()

    assert not timer.active
    assert ["message", Exit, Down, "tick"] == [m if isinstance(m, str) else type(m) for m in queued(ref)]
    assert ref.alive
    assert [] == dead_letters()


# ------------------------------------------------------------------------------------------- calls


@pytest.fixture
def desk_options(kind):
    """Options of a mailbox with room for one."""
    return lambda overflow: MailboxOptions(capacity=1, overflow=overflow, kind=kind)


async def busy_desk(tree, options):
    """A server that sleeps in a handler for a second, with one message in its mailbox."""
    desk = await tree.start(Desk, mailbox=options)
    slow = Desk.slow.request(desk, 1)
    await wait_all_tasks_blocked()
    first = Desk.echo.request(desk, "first")
    return desk, slow, first


async def test_call_waits_for_room(tree, desk_options, autojump_clock):
    """Under "block" a call stands in line, with its limit running, and is served in its turn."""
    desk, _, first = await busy_desk(tree, desk_options("block"))
    second = Desk.echo.request(desk, "second")
    assert 1 == desk._process.mailbox.statistics().waiting_senders

    assert "third" == await Desk.echo(desk, "third")
    assert ["first", "second"] == [await first.receive(), await second.receive()]
    assert ["begun", "done", "first", "second", "third"] == await Desk.history(desk)


async def test_call_that_gives_up_in_the_line(tree, desk_options, autojump_clock):
    """A call whose limit passes while it stands in line has not been sent."""
    desk, _, _ = await busy_desk(tree, desk_options("block"))
    with pytest.raises(CallTimeout):
        await Desk.echo.within(0.5)(desk, "impatient")
    assert 0 == desk._process.mailbox.statistics().waiting_senders

    assert ["begun", "done", "first"] == await Desk.history(desk)


@pytest.mark.parametrize("overflow", ["reject", "drop_newest"])
async def test_call_is_refused(tree, desk_options, overflow, autojump_clock):
    """Under "reject" and "drop_newest" a call to a full mailbox fails at once with `MailboxFull`."""
    desk, _, first = await busy_desk(tree, desk_options(overflow))
    with pytest.raises(MailboxFull):
        await Desk.echo(desk, "second")

    assert "first" == await first.receive()
    assert current_runtime().ledger().balanced


async def test_call_is_dropped(tree, desk_options, autojump_clock):
    """Under "drop_oldest" the caller whose request is dropped gets `MailboxFull`, at once."""
    desk, _, first = await busy_desk(tree, desk_options("drop_oldest"))
    second = Desk.echo.request(desk, "second")
    assert first.done
    with pytest.raises(MailboxFull):
        await first.receive()

    assert "second" == await second.receive()
    assert [] == dead_letters()  # somebody has been told
    assert {"call: drop_oldest": 1} == current_runtime().ledger().dropped


async def test_calls_of_a_crash(tree, desk_options, autojump_clock):
    """Under "crash" all callers are told why the server ended."""
    desk = spawn(Desk, mailbox=desk_options("crash"))
    await wait_all_tasks_blocked()
    requests = [Desk.slow.request(desk, 1)]
    await wait_all_tasks_blocked()
    requests += [Desk.echo.request(desk, number) for number in (1, 2)]
    await wait_all_tasks_blocked()

    for request in requests:
        with pytest.raises(CallExited) as caught:
            await request.receive()
        assert isinstance(caught.value.reason.error, MailboxOverflow)
