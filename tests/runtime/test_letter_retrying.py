"""Sending dead letters again: when asked to, by the clock, and without losing any on the way."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    InvalidSpec,
    LetterNotFound,
    Name,
    RetryReport,
    child,
    current_ref,
    current_runtime,
    dead_letters,
    kill,
    mailbox,
    open_supervisor,
    send_nowait,
    spawn,
)
from tests.runtime.helpers import collect
from tests.runtime.letter_queue import A, B, bury, check_sums, crash_on, dead, messages, one_slow

# -------------------------------------------------------------------------------------- asked for


async def test_delivered(tree):
    """What the next holder of a name handles leaves the queue."""
    await dead(A)
    bury(1, 2, recipient=A)
    got = []
    spawn(collect, got, name=A)
    report = await dead_letters().retry()

    assert RetryReport(delivered=("0-1", "0-2")) == report
    assert [1, 2] == got
    assert [] == messages()
    found = check_sums()
    assert (2, 2) == (found.delivered, found.attempts)
    assert current_runtime().ledger().balanced


async def test_failed(tree):
    """A failure counts, keeps the letter, and says why."""
    bury(1, recipient=A)
    report = await dead_letters().retry("0-1")
    (letter,) = dead_letters()

    assert ["0-1"] == list(report.failed)
    assert "NoProcess" in report.failed["0-1"]
    assert (2, "waiting") == (letter.attempts, letter.state)
    assert current_runtime().ledger().balanced


async def test_no_next_incarnation(tree):
    """A letter to a nameless process that has ended cannot be delivered; trying counts all the same."""
    ref = await dead()
    send_nowait(ref, 1)
    report = await dead_letters().retry()

    assert "ProcessDown" in report.failed["0-1"]
    assert 2 == dead_letters()[0].attempts
    assert {"noproc": 1} == current_runtime().ledger().dead_lettered


async def test_next_incarnation(autojump_clock):
    """A letter that its receiver crashed on goes to the next incarnation, which has the name."""
    got = []
    async with open_supervisor([child(crash_on, "poison", got, name=A)]) as tree:
        send_nowait(A, "poison")
        send_nowait(A, "left behind")
        await wait_all_tasks_blocked()
        assert ["left behind"] == messages()
        await dead_letters().retry()
        tree.shutdown()

    assert ["left behind"] == got


async def test_crash_while_handling(tree):
    """A receiver that crashes on a letter has not handled it."""
    bury("poison", recipient=A)
    got = []
    spawn(crash_on, "poison", got, name=A)
    report = await dead_letters().retry()

    assert ["0-1"] == list(report.failed)
    assert ["poison"] == messages()
    assert current_runtime().ledger().balanced


async def test_failure_holds_back(tree):
    """The first that fails holds back those behind it, for this recipient only."""
    bury(1, "poison", 3, recipient=A)
    bury(4, recipient=B)
    for_a, for_b = [], []
    spawn(crash_on, "poison", for_a, name=A)
    spawn(collect, for_b, name=B)
    report = await dead_letters().retry()

    assert (("0-1", "0-4"), ["0-2"], ("0-3",)) == (report.delivered, list(report.failed), report.skipped)
    assert ([1], [4]) == (for_a, for_b)
    assert [(2, "poison"), (1, 3)] == [(letter.attempts, letter.message) for letter in dead_letters()]


async def test_filters(tree):
    """Only what was asked for is sent."""
    bury(1, 2, 3, recipient=A)
    bury(4, recipient=B, reason="refused")
    got = []
    spawn(collect, got, name=A)
    spawn(collect, got, name=B)

    await dead_letters().retry("0-2")
    assert [2] == got
    await dead_letters().retry(reason="refused")
    assert [2, 4] == got
    await dead_letters().retry(recipient=A)
    assert [2, 4, 1, 3] == got
    assert RetryReport() == await dead_letters().retry()


async def test_unknown(tree):
    """An id that is not there is an error, and nothing is sent."""
    bury(1, recipient=A)
    with pytest.raises(LetterNotFound):
        await dead_letters().retry("0-1", "0-2")
    with pytest.raises(InvalidSpec, match="ids or filters"):
        await dead_letters().retry("0-1", state="waiting")

    assert 1 == dead_letters()[0].attempts


# -------------------------------------------------------------------------------- one at a time


async def test_cancelled(tree):
    """A retry that is cancelled has lost nothing; what it was sending is sent again when nobody handles it any more."""
    bury(*range(5), recipient=A)
    bury("other", recipient=B)
    first, got = spawn(one_slow, name=A), []
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dead_letters().retry)
            await wait_all_tasks_blocked()
            assert ["retrying", *["waiting"] * 5] == [letter.state for letter in dead_letters()]
            assert 1 == check_sums().retrying
            scope.cancel()

    assert ["retrying", *["waiting"] * 5] == [letter.state for letter in dead_letters()]
    assert () == (await dead_letters().retry(recipient=A)).delivered
    kill(first)
    await first.wait()
    assert ["waiting"] * 6 == [letter.state for letter in dead_letters()]
    assert 1 == dead_letters()[0].attempts
    check_sums()
    spawn(collect, got, name=A)
    assert 5 == len((await dead_letters().retry()).delivered)
    assert [0, 1, 2, 3, 4] == got


async def test_not_twice(tree):
    """A letter that is being sent is not sent by somebody else as well, nor are those behind it."""
    bury(1, 2, recipient=A)
    spawn(one_slow, name=A)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dead_letters().retry)
        await wait_all_tasks_blocked()
        report = await dead_letters().retry()
        assert RetryReport(skipped=("0-1", "0-2")) == report
        kill(current_runtime().names()["a"])

    assert [2, 1] == [letter.attempts for letter in dead_letters()]
    assert set() == dead_letters().retrying.busy


async def test_removed_while_sent(tree):
    """A letter that is purged while it is sent is gone, whatever becomes of the attempt."""
    bury(1, 2, recipient=A)
    spawn(one_slow, name=A)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dead_letters().retry)
        await wait_all_tasks_blocked()
        assert 1 == await dead_letters().purge("0-1")
        check_sums()
        kill(current_runtime().names()["a"])

    assert [2] == messages()
    assert (0, 0) == (check_sums().retrying, check_sums().exhausted)


async def test_concurrent(tree, autojump_clock):
    """Different recipients are tried at the same time, as many as the limit says."""
    running, most = set(), 0

    async def slow():
        nonlocal most
        await mailbox().receive()
        running.add(current_ref())
        most = max(most, len(running))
        await trio.sleep(1)
        running.discard(current_ref())

    for number in range(40):
        spawn(slow, name=Name(f"slow-{number}"))
        bury(number, recipient=Name(f"slow-{number}"))
    began = trio.current_time()
    report = await dead_letters().retry()

    assert 40 == len(report.delivered)
    assert 16 == most
    assert 3 == trio.current_time() - began


async def test_order_with_concurrency(tree):
    """Each recipient gets its letters in the order in which they came."""
    got = {number: [] for number in range(10)}
    for number in range(300):
        bury(number, recipient=Name(f"n{number % 10}"))
    for number, into in got.items():
        spawn(collect, into, name=Name(f"n{number}"))
    await dead_letters().retry()

    assert {number: list(range(number, 300, 10)) for number in range(10)} == got


async def test_said_to_the_receiver(tree):
    """The receiver can tell a letter that it has seen: the key is the same each time, the attempt is not."""
    from nursery_otp import current_message

    infos = []

    async def receiver():
        await mailbox().receive()
        infos.append(current_message())
        raise ValueError("not today")

    await dead_letters().add(A, "hello", "refused", metadata={"order": 7}, correlation_id="c")
    for _ in range(2):
        await spawn_and_retry(receiver)

    first, second = infos
    assert first.idempotency_key == second.idempotency_key == dead_letters()[0].idempotency_key
    assert (2, 3) == (first.attempt, second.attempt)
    assert ({"order": 7}, "c") == (first.metadata, first.correlation_id)


async def spawn_and_retry(receiver):
    """One incarnation of a receiver, and one attempt to reach it."""
    ref = spawn(receiver, name=A)
    await dead_letters().retry()
    await ref.wait()


async def test_events(tree):
    """A retry tells what it did, and what came of it."""
    seen, heard = [], []

    async def listener():
        dead_letters().subscribe()
        await collect(heard)

    spawn(listener)
    await wait_all_tasks_blocked()
    bury(1, recipient=A)
    with current_runtime().telemetry.attached(("nursery_otp", "letter"), lambda *event: seen.append(event)):
        for _ in range(4):
            await dead_letters().retry()
        spawn(collect, [], name=A)
        await dead_letters().retry("0-1")
    await wait_all_tasks_blocked()

    names = [name[-1] for name, *_ in seen]
    assert [*["retried"] * 4, "exhausted", "retried", "removed"] == names
    assert [2, 3, 4, 5, 5, 5] == [measured["attempts"] for _, measured, _ in seen[:-1]]
    assert "delivered" == seen[5][2]["result"]
    assert "delivered" == seen[6][2]["cause"]
    assert ["added", *["retried"] * 4, "exhausted", "delivered"] == [event.kind for event in heard]


async def test_text_is_no_name(tree):
    """A letter to a text that looks like a name does not hold back those to the name."""
    bury("typo", recipient="a")
    bury("mail", recipient=A)
    got = []
    spawn(collect, got, name=A)
    report = await dead_letters().retry()

    assert (["0-1"], ("0-2",)) == (list(report.failed), report.delivered)
    assert ["mail"] == got


async def test_hostile_recipient(tree):
    """An address that fails when it is looked at fails its own letters."""

    class Spiteful:
        def whereis(self):
            raise ValueError("do not look for me")

        def __hash__(self):
            raise ValueError("do not touch me")

    bury(1, 2, recipient=Spiteful())
    bury(3, recipient=object())
    report = await dead_letters().retry()

    assert ["0-1", "0-3"] == list(report.failed)
    assert "do not look for me" in report.failed["0-1"]
    assert "not an address" in report.failed["0-3"]
    check_sums()
