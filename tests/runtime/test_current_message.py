"""What a receiver is told about the message that it handles, from when until when."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    GenServer,
    MailboxOptions,
    MessageInfo,
    NotInProcess,
    broadcast,
    call,
    cast,
    current_message,
    current_ref,
    current_runtime,
    kill,
    mailbox,
    process_context,
    send,
    spawn,
    stop,
)
from tests.runtime.boxes import OURS, drain
from tests.runtime.helpers import Desk, as_process, idle


@pytest.mark.parametrize("kind", OURS)
async def test_info(tree, kind):
    """A handler, or a plain function, sees what the sender said about the message it handles; else None."""
    seen = []

    class Curious(Desk):
        def note(self, value):
            raise AssertionError

        def handle_info(self, message):
            seen.append((message, current_message()))

    async def reader():
        async for message in mailbox():
            seen.append((message, current_message()))
            if message == "plain":
                return

    options = MailboxOptions(kind=kind)
    metadata = {"order": 7}
    told = MessageInfo({"order": 7}, "c", "k")
    for ref in (await tree.start(Curious, mailbox=options), spawn(reader, mailbox=options)):
        for confirm in ("enqueued", "handled"):
            await send(ref, confirm, metadata=metadata, correlation_id="c", idempotency_key="k", confirm=confirm)
        metadata["order"] = 8
        await send(ref, "plain", confirm="handled")
        assert [("enqueued", told), ("handled", told), ("plain", None)] == seen
        seen.clear()
        metadata["order"] = 7


@as_process
async def test_info_is_over(tree):
    """It is about the message being handled: not before the first, and not when there is no next."""
    assert current_message() is None
    await send(current_ref(), 1, metadata={"a": 1})
    assert 1 == await mailbox().receive()
    assert {"a": 1} == current_message().metadata
    assert [] == drain(mailbox())
    assert current_message() is None


async def test_info_outside(tree):
    """Outside of a process there is no message."""
    with pytest.raises(NotInProcess, match="current_message"):
        current_message()


async def test_info_of_the_dead(tree):
    """What a sender said goes with the message, when the process ends before it reads it."""
    ref = spawn(idle)
    await send(ref, 1, metadata={"order": 7}, correlation_id="c", idempotency_key="k")
    kill(ref)
    await ref.wait()
    (letter,) = current_runtime().dead_letters
    assert ({"order": 7}, "c", "k") == (letter.metadata, letter.correlation_id, letter.idempotency_key)


async def test_message_in_terminate(tree):
    """While a server terminates it handles no message any more."""
    seen = []

    class Last(GenServer):
        @cast
        async def work(self) -> None:
            seen.append(current_message().idempotency_key)
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()

        @call
        def nothing(self) -> None: ...

        def terminate(self, reason):
            seen.append((current_message(), process_context().get("operation")))

    ref = await tree.start(Last)
    await send(ref, Last.work.message(), idempotency_key="k")
    while not seen:
        await trio.lowlevel.checkpoint()
    await stop(ref)
    assert ["k", (None, None)] == seen


async def test_own_metadata(tree):
    """What a receiver does to the metadata of a message is not seen by others who get it, or by the next attempt."""
    seen = []

    class Marks(GenServer):
        def handle_info(self, message):
            seen.append(dict(current_message().metadata))
            current_message().metadata["mark"] = True

    refs = [await tree.start(Marks, id=number) for number in range(2)]
    await broadcast(refs, "hello", metadata={"order": 7})
    await wait_all_tasks_blocked()
    assert [{"order": 7}] * 2 == seen
