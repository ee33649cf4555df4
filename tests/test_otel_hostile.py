"""OpenTelemetry and errors of the application that cannot even be printed."""

import pytest
from opentelemetry.trace import StatusCode

from nursery_otp import CallExited, GenServer, Refuse, call, current_runtime, open_supervisor, start
from tests.traces import Traces


class UntoldError(Exception):
    def __str__(self):
        raise ZeroDivisionError("no text")


class Desk(GenServer):
    @call
    def refuse(self):
        raise Refuse(UntoldError())

    @call
    def crash(self):
        raise UntoldError

    @call
    def answer(self):
        return 1


@pytest.mark.parametrize("operation", ["refuse", "crash"])
async def test_untold(operation):
    """The spans of a request that failed with such an error end, tell which it was, and tracing goes on."""
    traces = Traces()
    async with open_supervisor(tracer=traces.tracer) as tree:
        with traces.root():
            with pytest.raises(UntoldError if operation == "refuse" else CallExited):
                await getattr(Desk, operation)(await start(Desk))
            assert traces.tracer is current_runtime().tracer
            assert 1 == await Desk.answer(await start(Desk))
        tree.shutdown()

    refused = operation == "refuse"  # then the server has done what it had to do, and the caller has the error
    assert traces.named(f"call Desk.{operation}").status.status_code is StatusCode.ERROR
    span = traces.named(f"{'call' if refused else 'process'} Desk.{operation}")
    assert StatusCode.ERROR is span.status.status_code
    assert "UntoldError" == span.attributes["error.type"]
    assert "<UntoldError whose text raised ZeroDivisionError>" == span.status.description
    [event] = span.events
    assert "exception" == event.name
    assert event.attributes["exception.type"].endswith("UntoldError")
    assert "<UntoldError whose text raised ZeroDivisionError>" == event.attributes["exception.message"]
    assert traces.named("process Desk.answer")
