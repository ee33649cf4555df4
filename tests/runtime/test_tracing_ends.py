"""How the work for somebody ends, with what error and on whose side; and what a process never began to work for."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    MailboxFull,
    MailboxOptions,
    Name,
    NoProcess,
    child,
    kill,
    mailbox,
    open_supervisor,
    send_nowait,
    start,
    stop,
)
from tests.runtime.working import Desk, Ledger, ledger, tree, working_for

__all__ = ["ledger", "tree"]  # fixtures, for pytest


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


async def test_cancelled_caller(tree, ledger, autojump_clock):
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
