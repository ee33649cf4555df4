"""Events as log lines, though a field cannot be shown or has a name that is taken."""

import pytest
from structlog.testing import capture_logs

from nursery_otp import Event, Name, current_runtime, open_supervisor, send
from nursery_otp.logs import log_events

PAID = ("shop", "paid")


class Untold:
    def __repr__(self):
        raise ZeroDivisionError("no repr")


@pytest.fixture
async def tree():
    async with open_supervisor() as supervisor:
        yield supervisor
        supervisor.shutdown()


async def test_untold(tree):
    """A field whose repr raises is named by its type, and the handler stays."""
    bus = current_runtime().telemetry
    bus.declare(Event(PAID, ("amount",), ("by",), "Somebody paid."))
    with capture_logs() as lines:
        log_events(PAID)
        for by in ("me", Untold(), "you"):
            bus.emit(PAID, {"amount": 1}, {"by": by})

    assert ["me", "<Untold whose repr raised ZeroDivisionError>", "you"] == [line["by"] for line in lines]


async def test_letters(tree):
    """A dead letter with such a message does not cost the lines of the letters after it."""
    with capture_logs() as lines:
        log_events(("nursery_otp", "letter"))
        for message in (Untold(), "fine"):
            await send(Name("nobody"), message, on_error="dead_letter")

    added = [line for line in lines if line["event"] == "nursery_otp.letter.added"]
    assert 2 == len(added)


@pytest.mark.parametrize("field", ["event", "self", "method_name"])
async def test_field_names(tree, field):
    """A field with the name of a parameter of structlog's methods has an underscore, every time."""
    bus = current_runtime().telemetry
    bus.declare(Event(PAID, ("amount",), (field,), "Somebody paid."))
    with capture_logs() as lines:
        log_events(PAID)
        for number in range(2):
            bus.emit(PAID, {"amount": number}, {field: "me"})

    assert [(0, "me"), (1, "me")] == [(line["amount"], line[f"{field}_"]) for line in lines]
    assert {"shop.paid"} == {line["event"] for line in lines}
