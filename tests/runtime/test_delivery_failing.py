"""A supervised send that fails: when it is tried again, and what becomes of the message in the end."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Crashed,
    Deadlock,
    Delivery,
    MailboxOptions,
    Name,
    NoProcess,
    ProcessDown,
    current_message,
    current_ref,
    current_runtime,
    kill,
    mailbox,
    open_supervisor,
    send,
    send_nowait,
    spawn,
)
from tests.runtime.deliveries import NOBODY, STEADY, counts, dead, events
from tests.runtime.helpers import Desk, collect, idle

__all__ = ["dead", "events"]  # fixtures, for pytest


# ----------------------------------------------------------------------------------------------- retries


async def test_retries(tree, events, autojump_clock):
    """A failure that may pass is tried again, each time after a longer wait, up to the cap."""
    with pytest.raises(NoProcess) as caught:
        await send(NOBODY, 1, retries=4, backoff=STEADY)
    assert 1.0 + 2.0 + 3.0 + 3.0 == trio.current_time()
    assert ["after 5 attempts"] == caught.value.__notes__
    retried = [(measured, about["error"]) for name, measured, about in events if name == ("send", "retried")]
    assert [{"attempt": 2, "delay": 1.0}, {"attempt": 3, "delay": 2.0}] == [measured for measured, _ in retried][:2]
    assert [NoProcess] * 4 == [type(error) for _, error in retried]
    assert counts(failed={"NoProcess": 1}, reported=1, retried=4)


async def test_jitter(autojump_clock):
    """The waits come from the randomness of the tree."""
    waits = []
    for seed in (1, 1, 2):
        async with open_supervisor(seed=seed) as tree:
            began = trio.current_time()
            await send(NOBODY, 1, retries=2, on_error="ignore")
            waits.append(trio.current_time() - began)
            tree.shutdown()
    assert waits[0] == pytest.approx(waits[1])
    assert waits[0] != pytest.approx(waits[2])
    assert all(0.15 <= wait <= 0.45 for wait in waits)


async def test_looked_up_anew(tree, nursery, autojump_clock):
    """Each attempt looks the name up again, and finds who holds it now."""
    got = []

    async def later():
        await trio.sleep(2)
        spawn(collect, got, name=NOBODY)

    nursery.start_soon(later)
    delivery = await send(NOBODY, "hello", retries=5, backoff=STEADY)
    assert Delivery(True, attempts=3) == delivery
    await wait_all_tasks_blocked()
    assert ["hello"] == got
    assert counts(delivered=1, retried=2)


async def test_next_incarnation(autojump_clock):
    """A message that a server has crashed with goes to the next one, and its handler sees which attempt it is."""
    attempts = []

    class Weak(Desk):
        def handle_info(self, message):
            info = current_message()
            attempts.append((message, None if info is None else info.attempt))
            if len(attempts) < 3:
                raise ValueError("planted")

    async with open_supervisor(max_restarts=5) as tree:
        await tree.start(Weak, name=NOBODY)
        delivery = await send(NOBODY, "poison", confirm="handled", retries=5)
        assert (True, 3) == (delivery.delivered, delivery.attempts)
        assert [("poison", None), ("poison", 2), ("poison", 3)] == attempts
        tree.shutdown()


async def test_not_retried(tree, dead, autojump_clock):
    """What cannot pass is not tried again: an incarnation that has ended, or a deadlock."""
    with pytest.raises(ProcessDown):
        await send(dead, 1, retries=9)

    async def function():
        await send(current_ref(), 1, retries=9, confirm="handled")

    reason = await spawn(function).wait()
    assert isinstance(reason, Crashed)
    assert isinstance(reason.error, Deadlock)
    assert 0.0 == trio.current_time()


async def test_full_is_retried(tree, nursery, autojump_clock):
    """There may be room the next time."""
    got = []

    async def slow():
        while True:
            await trio.sleep(2)
            got.append(await mailbox().receive())

    ref = spawn(slow, mailbox=MailboxOptions(capacity=1, overflow="reject"))
    send_nowait(ref, 1)
    assert 2 <= (await send(ref, 2, retries=5, backoff=STEADY)).attempts
    await trio.sleep(5)
    assert [1, 2] == got


async def test_cancelled_between_attempts(tree, nursery, autojump_clock):
    """Cancelled in a wait for the next attempt: there is no next attempt."""
    got = []
    with trio.move_on_after(1.5) as scope:
        await send(NOBODY, 1, retries=5, backoff=STEADY, on_error="dead_letter")
    assert scope.cancelled_caught
    spawn(collect, got, name=NOBODY)
    await trio.sleep(10)
    assert [] == got
    assert [] == list(current_runtime().dead_letters)
    assert counts(cancelled=1, retried=1)


# ---------------------------------------------------------------------------------------------- on_error


async def test_dead_letter(tree, caplog, autojump_clock):
    """The message is in the dead-letter queue when the send returns, with all that is known, and a warning logged."""
    delivery = await send(
        NOBODY,
        "hello",
        on_error="dead_letter",
        retries=1,
        metadata={"order": 7},
        correlation_id="c",
        idempotency_key="k",
    )
    (letter,) = current_runtime().dead_letters
    assert not delivery
    assert (False, 2, letter) == (delivery.delivered, delivery.attempts, delivery.letter)
    assert isinstance(delivery.error, NoProcess)
    assert (NOBODY, "hello", "send: NoProcess") == (letter.recipient, letter.message, letter.reason)
    assert ({"order": 7}, 2, "c", "k") == (
        letter.metadata,
        letter.attempts,
        letter.correlation_id,
        letter.idempotency_key,
    )
    assert "no process at nobody" in letter.cause
    assert 1 == caplog.text.count("send_dead_lettered")
    assert {"send: NoProcess": 1} == current_runtime().ledger().dead_lettered
    assert current_runtime().ledger().balanced
    assert counts(failed={"NoProcess": 1}, dead_lettered=1, retried=1)


async def test_dead_letter_of_a_ref(tree):
    """It is addressed to the name, if the process had one, so that the next holder can get it."""
    ref = spawn(idle, name=Name("named"))
    kill(ref)
    await ref.wait()
    await send(ref, 1, on_error="dead_letter")
    assert [Name("named")] == [letter.recipient for letter in current_runtime().dead_letters]


@pytest.mark.parametrize("on_error", ["log", "ignore"])
async def test_given_up(tree, caplog, on_error):
    """A message that is given up is counted as dropped, and logged if that was asked for."""
    delivery = await send(NOBODY, Desk.note.message(1), on_error=on_error)
    assert (False, 1, None) == (delivery.delivered, delivery.attempts, delivery.letter)
    assert isinstance(delivery.error, NoProcess)
    assert (on_error == "log") == ("send_failed" in caplog.text)
    if on_error == "log":
        assert "message_type='note'" in caplog.text
    assert {"send: given up": 1} == current_runtime().ledger().dropped
    assert current_runtime().ledger().balanced
    assert counts(failed={"NoProcess": 1}, **{"logged" if on_error == "log" else "ignored": 1})
