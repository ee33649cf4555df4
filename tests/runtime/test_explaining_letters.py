"""`explain` for dead letters: why nobody handled the message, and what that came of."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CircuitBreaker,
    DeadLetterOptions,
    DeliveryOptions,
    InvalidSpec,
    LetterEvent,
    Name,
    cast,
    child,
    current_runtime,
    dead_letters,
    explain,
    kill,
    mailbox,
    open_supervisor,
    send,
    spawn,
    unregister,
    whereis,
)
from nursery_otp.stores import SQLiteStore
from tests.runtime.helpers import Desk, idle


class Mailer(Desk):
    """Crashes with a message."""

    @cast
    def mail(self, text):
        raise ValueError(text)


class Found:
    """Whoever holds the name."""

    def whereis(self):
        return whereis(MAILER)


MAILER = Name[Mailer]("mailer")
BOOM = Mailer.mail.message("boom")


def told(target):
    """Kinds and texts of what led to it."""
    explanation = explain(target)
    assert explanation.complete
    return [(incident.kind, incident.text) for incident in explanation.incidents]


@pytest.fixture
async def mailer():
    """A mailer that is restarted, and how it is found; the test is in the block of its tree."""
    with trio.fail_after(60):
        async with open_supervisor([child(Mailer, name=MAILER)], max_restarts=100) as supervisor:
            yield whereis(MAILER)
            supervisor.shutdown()


@pytest.mark.parametrize("address", ["name", "ref", "via"])
async def test_a_send_that_crashed_its_recipient(mailer, address):
    """The letter of a send that failed with `ProcessDown` names the incarnation, what it handled, and its crash."""
    to = {"name": MAILER, "ref": mailer, "via": Found()}[address]
    delivery = await send(to, BOOM, confirm="handled", on_error="dead_letter")
    await wait_all_tasks_blocked()

    for letter in (delivery.letter, *dead_letters()):
        (letter_kind, _), crash = told(letter)
        assert ("dead_letter", "crash") == (letter_kind, crash[0])
        assert f"{mailer} while it handled Message(mail('boom'))" == crash[1]
        assert mailer is letter.ref


async def test_several_incarnations(mailer):
    """Each letter leads to the incarnation that it was for."""
    first = await send(MAILER, BOOM, confirm="handled", on_error="dead_letter")
    second = await send(MAILER, BOOM, confirm="handled", on_error="dead_letter")
    assert first.letter.ref is not second.letter.ref

    for delivery in (first, second):
        assert str(delivery.letter.ref) in told(delivery.letter)[1][1]


async def test_a_recipient_that_has_lost_its_name(mailer):
    """The name that a message was sent to may be another one's by then."""

    async def holder():
        async for _ in mailbox():
            unregister(Name("passing"))
            raise LookupError

    ref = spawn(holder, name=Name("passing"))
    delivery = await send(Name("passing"), 1, confirm="handled", on_error="dead_letter")

    assert (ref, Name("passing")) == (delivery.letter.ref, delivery.letter.recipient)
    assert "LookupError" in told(delivery.letter)[1][1]


async def test_a_recipient_that_is_about_to_end(mailer):
    """The letter leads to the line that killed the recipient, before it has ended and afterwards."""
    ref = spawn(idle)
    await wait_all_tasks_blocked()
    kill(ref)
    dead_letters().add_nowait(ref, 1, "why", ref=ref)
    (letter,) = dead_letters()
    before = told(letter)
    assert ref.alive
    await ref.wait()

    for incidents in (before, told(letter)):
        assert ["dead_letter", "exit", "kill"] == [kind for kind, _ in incidents]
        assert "it was killed at test_explaining_letters.py:" in incidents[-1][1]


@pytest.mark.parametrize("use", ["send", "cast"])
async def test_nobody_there(mailer, use):
    """A letter to a name that nobody holds leads to the end of its last holder, if that was before."""
    early = await send(Name("gone"), BOOM, on_error="dead_letter")
    gone = spawn(idle, name=Name("gone"))
    kill(gone)
    await gone.wait()
    if use == "send":
        await send(Name("gone"), BOOM, on_error="dead_letter")
    else:
        Mailer.mail(Name("gone"), "boom")
    late = dead_letters()[-1]

    assert ["dead_letter"] == [kind for kind, _ in told(early.letter)]
    assert ["dead_letter", "exit", "kill"] == [kind for kind, _ in told(late)]
    assert 1 == len(told(await dead_letters().add(Name("gone"), BOOM, "my own reason")))


async def test_a_subscriber_can_explain(mailer):
    """Whoever is told of a letter can explain it at once."""
    found = []

    async def subscriber():
        dead_letters().subscribe()
        async for event in mailbox():
            assert isinstance(event, LetterEvent)
            found.append(told(event.letter))

    spawn(subscriber)
    await wait_all_tasks_blocked()
    await send(MAILER, BOOM, confirm="handled", on_error="dead_letter")
    await wait_all_tasks_blocked()

    assert [["dead_letter", "crash"]] == [[kind for kind, _ in incidents] for incidents in found]


async def test_letters_of_another_run(tmp_path):
    """What a letter of an earlier run came of is not known; that another process has its name now means nothing."""
    options = DeadLetterOptions(store=SQLiteStore(tmp_path / "letters.sqlite"))
    for run in range(2):
        async with open_supervisor([child(Mailer, name=MAILER)], max_restarts=100, dead_letters=options) as supervisor:
            if run == 0:
                await send(MAILER, BOOM, confirm="handled", on_error="dead_letter")
                await send(Name("nobody"), 1, on_error="dead_letter")
            else:
                spawned = spawn(idle, name=Name("nobody"))
                kill(spawned)
                await spawned.wait()
                assert [1, 1] == [len(told(letter)) for letter in dead_letters()]
            supervisor.shutdown()


async def test_a_ref_must_be_one(mailer):
    """The process that a letter has to do with is given as a ref."""
    with pytest.raises(InvalidSpec, match="ref='mailer'"):
        await dead_letters().add(MAILER, 1, "why", ref="mailer")
    with pytest.raises(InvalidSpec, match="ref=Name"):
        dead_letters().add_nowait(MAILER, 1, "why", ref=MAILER)

    assert 0 == len(dead_letters())
    assert current_runtime().ledger().balanced


async def test_failures_that_have_no_past():
    """A recipient that lives has nothing to explain, whatever its name went through before."""
    breaker = CircuitBreaker(failures=1, cool_down=100)
    async with open_supervisor(
        [child(Mailer, name=MAILER)], max_restarts=100, delivery=DeliveryOptions(breaker=breaker)
    ) as supervisor:
        await send(MAILER, BOOM, confirm="handled", on_error="dead_letter")
        delivery = await send(MAILER, BOOM, on_error="dead_letter")
        incidents = told(delivery.letter)
        supervisor.shutdown()

    assert "send: CircuitOpen" == delivery.letter.reason
    assert 1 == len(incidents)
