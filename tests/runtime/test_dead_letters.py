"""The dead-letter queue in memory: what comes in, what can be seen of it, and how it ends."""

import math
import time

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    GenServer,
    InvalidSpec,
    LetterNotFound,
    MailboxOptions,
    Name,
    NoRuntime,
    call,
    cast,
    current_runtime,
    dead_letters,
    explain,
    kill,
    mailbox,
    open_supervisor,
    send_nowait,
    spawn,
)
from nursery_otp._runtime import letter_box
from nursery_otp._runtime.messages import Envelope, MessageInfo
from tests.runtime.helpers import cancelled, idle
from tests.runtime.letter_queue import NOBODY, bury, check_sums, dead, messages

# ------------------------------------------------------------------------------------------- letters


async def test_the_queue(tree):
    """There is one queue per tree, found with `dead_letters` or through the runtime."""
    assert dead_letters() is current_runtime().dead_letters
    bury(1)
    assert "<DeadLetterQueue: 1 letters>" == repr(dead_letters())
    async with open_supervisor() as inner:
        assert 0 == len(dead_letters())
        inner.shutdown()


def test_outside():
    """Outside of a tree there is no queue."""
    with pytest.raises(NoRuntime, match=r"dead_letters\(\)"):
        dead_letters()


async def test_letter(tree, mock_clock):
    """A letter tells all there is to know, and nothing that is not so."""
    mock_clock.jump(10)
    before = time.time()
    name = Name("gone")
    ref = await dead(name)
    send_nowait(ref, "hello")
    (letter,) = dead_letters()

    assert (name, "hello", "noproc") == (letter.recipient, letter.message, letter.reason)
    assert ("0-1", "waiting", 1, {}) == (letter.id, letter.state, letter.attempts, letter.metadata)
    assert (None, None, None, False, False) == (
        letter.cause,
        letter.correlation_id,
        letter.not_stored,
        letter.durable,
        letter.requested,
    )
    assert abs(letter.first_failure - before) < 60
    assert letter.first_failure == letter.last_attempt
    assert letter == dead_letters().get("0-1") == dead_letters()[-1]


async def test_times_follow_the_clock(tree, mock_clock):
    """Times are Unix times that advance with the runtime's clock, whatever the system's clock does."""
    bury(1)
    mock_clock.jump(50)
    bury(2)
    first, second = dead_letters()

    assert 50 == pytest.approx(second.first_failure - first.first_failure)


async def test_nameless(tree):
    """A process without a name is known by its ref, to all its letters the same."""
    ref = await dead()
    send_nowait(ref, 1)
    send_nowait(ref, 2)

    assert [ref, ref] == [letter.recipient for letter in dead_letters()]
    assert (1, 2) == tuple(letter.message for letter in dead_letters().list(recipient=ref))


async def test_sender_says(tree):
    """What the sender said about a message stays with the letter."""
    info = MessageInfo(metadata={"order": 7}, correlation_id="c", idempotency_key="k", attempt=3)
    (await dead())._process.offer(Envelope("hello", None, info))
    (letter,) = dead_letters()

    assert ("hello", {"order": 7}, "c", "k", 3) == (
        letter.message,
        letter.metadata,
        letter.correlation_id,
        letter.idempotency_key,
        letter.attempts,
    )


async def test_idempotency_key(tree):
    """Each letter has a key of its own that stays the same, and other trees have other keys."""
    bury(1, 2)
    keys = [letter.idempotency_key for letter in dead_letters()]
    async with open_supervisor() as inner:
        bury(1)
        foreign = dead_letters()[0].idempotency_key
        inner.shutdown()

    assert keys == [letter.idempotency_key for letter in dead_letters()]
    assert 3 == len({*keys, foreign})


async def test_explained(tree):
    """The end of the process that a letter was for is known, and why it came; without one there is just the reason."""
    ref = spawn(idle, name=Name("gone"))
    send_nowait(ref, "unread")
    kill(ref)
    await ref.wait()
    send_nowait(ref, "too late")
    bury("to nobody")
    unread, late, nobody = dead_letters()

    assert ref is unread.ref is late.ref
    assert ["dead_letter", "exit", "kill"] == [each.kind for each in explain(late).incidents][:3]
    assert "dead letter 0-2 to gone: noproc" == str(explain(late)).splitlines()[0]
    assert "0-1 to gone: process ended" in str(explain(unread))
    assert ("dead_letter", 1) == (explain(nobody).root.kind, len(explain(nobody).incidents))
    await dead_letters().retry("0-1")
    assert ref is dead_letters()[0].ref


# ------------------------------------------------------------------------------------------- sources


class Desk(GenServer):
    """Waits when it is told to."""

    @call
    async def wait(self) -> None:
        await trio.sleep_forever()

    @call
    def echo(self, value: int) -> int:
        return value

    @cast
    def note(self, value: int) -> None: ...


async def test_sources(tree):
    """Every way in which a message is lost has its own reason."""
    ref = await dead()
    send_nowait(ref, "to the dead")
    Desk.note(NOBODY, 1)
    reader = spawn(idle, mailbox=MailboxOptions(capacity=1))
    full = {}
    for overflow in ("drop_newest", "drop_oldest"):
        full[overflow] = spawn(idle, mailbox=MailboxOptions(capacity=1, overflow=overflow))
        send_nowait(full[overflow], "first")
        send_nowait(full[overflow], "second")
    send_nowait(reader, "unread")
    Desk.note(reader, 2)
    kill(reader)
    await reader.wait()
    closing = spawn(close_with_mail)
    send_nowait(closing, "unwanted")
    await wait_all_tasks_blocked()

    assert ["noproc", "noproc", "drop_newest", "drop_oldest", "mailbox full", "process ended", "mailbox closed"] == [
        letter.reason for letter in dead_letters()
    ]
    assert ["to the dead", "second", "first", "unread", "unwanted"] == [
        message for message in messages() if isinstance(message, str)
    ]
    assert {"noproc": 2, "drop_newest": 1, "drop_oldest": 1, "mailbox full": 1, "process ended": 1} == {
        reason: count for reason, count in check_sums().by_reason.items() if reason != "mailbox closed"
    }
    assert current_runtime().ledger().balanced


async def close_with_mail():
    """A process that closes its mailbox unread."""
    await mailbox().aclose()
    await idle()


async def test_expired_request(autojump_clock):
    """A request that expired before it was handled is a letter, though the ledger calls it dropped."""
    async with open_supervisor(follow_caller=True) as tree:
        ref = await tree.start(Desk)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(within, 5, Desk.wait, ref)
            await wait_all_tasks_blocked()
            nursery.start_soon(within, 1, Desk.echo, ref, 7)
        letters = dead_letters().list(reason="expired before it was handled")
        ledger = current_runtime().ledger()
        tree.shutdown()

    assert [("echo", (7,))] == [(letter.message.operation, letter.message.args) for letter in letters]
    assert 1 == ledger.dropped["expired before it was handled"]
    assert ledger.balanced


async def within(seconds, handle, *args):
    """A call whose caller has so much time."""
    with trio.move_on_after(seconds):
        await handle.within(math.inf)(*args)


async def test_add(tree):
    """Anybody may put a message into the queue; it counts as sent, and as a dead letter."""
    letter = await dead_letters().add(
        NOBODY,
        "hello",
        "refused",
        metadata={"order": 7},
        attempts=4,
        idempotency_key="k",
        correlation_id="c",
        cause="the shop is closed",
    )

    assert (letter,) == dead_letters().list()
    assert (4, "k", "c", "the shop is closed") == (
        letter.attempts,
        letter.idempotency_key,
        letter.correlation_id,
        letter.cause,
    )
    assert current_runtime().ledger().balanced
    assert {"refused": 1} == current_runtime().ledger().dead_lettered


async def test_add_nowait(tree):
    """The same from a place that cannot wait."""
    first = dead_letters().add_nowait(NOBODY, "hello", "refused", metadata={"order": 7})
    second = dead_letters().add_nowait(NOBODY, "hello", "refused")

    assert [first, second] == [letter.id for letter in dead_letters()]
    assert ({"order": 7}, {}) == tuple(letter.metadata for letter in dead_letters())
    assert current_runtime().ledger().balanced


async def test_no_address(tree):
    """A letter to what is no address is refused: it could never be delivered."""
    for recipient in ("nobody", None, Name):
        with pytest.raises(TypeError, match="not an address: "):
            await dead_letters().add(recipient, "hello", "refused")
        with pytest.raises(TypeError, match="not an address: "):
            dead_letters().add_nowait(recipient, "hello", "refused")

    assert 0 == len(dead_letters())
    assert current_runtime().ledger().balanced


async def test_keys_have_no_seed(monkeypatch):
    """No two letters have the same idempotency key, also in runs with the same seed; a test may fix them."""
    keys = []
    for token in (None, None, "token"):
        if token is not None:
            monkeypatch.setattr(letter_box, "new_token", lambda: "token")
        async with open_supervisor(seed=7) as tree:
            bury(1, 2)
            keys += [letter.idempotency_key for letter in dead_letters()]
            tree.shutdown()

    assert 6 == len({*keys})
    assert ["token-0-1", "token-0-2"] == keys[4:]


async def test_add_cancelled(tree):
    """Who is cancelled already adds nothing."""
    with cancelled():
        await dead_letters().add(NOBODY, "hello", "refused")

    assert 0 == len(dead_letters())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reason", None),
        ("metadata", [1]),
        ("attempts", 0),
        ("idempotency_key", 7),
        ("correlation_id", b"c"),
        ("cause", ValueError()),
    ],
)
async def test_add_bad_input(tree, field, value):
    """A value of the wrong kind is refused, and nothing is added."""
    with pytest.raises(InvalidSpec) as caught:
        await dead_letters().add(NOBODY, 1, **({"reason": "refused"} | {field: value}))

    assert field == caught.value.field
    assert 0 == len(dead_letters())
    assert 0 == current_runtime().ledger().sent


# ------------------------------------------------------------------------------------------- looking


async def test_list(tree):
    """Letters are listed in the order in which they came, and may be filtered and limited."""
    bury(1, 2, recipient=Name("a"))
    bury(3, recipient=Name("b"), reason="refused")
    bury(4, recipient=Name("a"), reason="refused")
    queue = dead_letters()

    def found(**filters):
        return [letter.message for letter in queue.list(**filters)]

    assert [1, 2, 3, 4] == found() == messages()
    assert [1, 2, 4] == found(recipient=Name("a"))
    assert [3, 4] == found(reason="refused")
    assert [4] == found(recipient=Name("a"), reason="refused")
    assert [3] == found(reason="refused", limit=1)
    assert [1, 2, 3, 4] == found(state="waiting")
    assert [] == found(state="exhausted") == found(limit=0) == found(recipient=None)


@pytest.mark.parametrize(
    "filters", [{"limit": -1}, {"limit": math.inf}, {"reason": 7}, {"state": "gone"}], ids=lambda filters: str(filters)
)
async def test_list_bad_input(tree, filters):
    """A filter that makes no sense is an error."""
    with pytest.raises(InvalidSpec):
        dead_letters().list(**filters)


@pytest.mark.parametrize("identity", ["0-2", "0-0", "0--1", "1-1", "0-x", "0-\u0661", "", "0-" + "9" * 30])
async def test_get_unknown(tree, identity):
    """An id that no letter has is said to be none."""
    bury(1)
    with pytest.raises(LetterNotFound, match="no dead letter"):
        dead_letters().get(identity)


async def test_get_bad_input(tree):
    """An id is a text."""
    with pytest.raises(InvalidSpec, match="must be the id of a dead letter"):
        dead_letters().get(1)
