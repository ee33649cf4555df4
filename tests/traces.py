"""Spans in memory, and a shop and its store whose work is traced; for the tests of the OpenTelemetry bridge."""

import pytest
import trio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanKind

from nursery_otp import GenServer, Later, Refuse, call, cast, open_supervisor, send_after
from nursery_otp.otel import OpenTelemetryTracer


class Traces:
    """A tracer provider whose spans can be looked at."""

    def __init__(self, sampler=None, **options):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler or ParentBased(ALWAYS_ON), shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.own = self.provider.get_tracer("tests")
        self.tracer = OpenTelemetryTracer(self.provider, **options)

    def root(self, name="root"):
        """A span of the test's own."""
        return self.own.start_as_current_span(name)

    def spans(self, kind=None):
        """All that have ended, of one kind if it is given."""
        return [span for span in self.exporter.get_finished_spans() if kind is None or span.kind is kind]

    def named(self, name):
        """The one of this name."""
        [span] = [span for span in self.spans() if span.name == name]
        return span

    @property
    def producers(self):
        return self.spans(SpanKind.PRODUCER)

    @property
    def consumers(self):
        return self.spans(SpanKind.CONSUMER)


def id_of(span):
    """What other spans know it by."""
    return None if span is None else (span.context if hasattr(span, "context") else span).span_id


def parent_of(span):
    """The id of its parent."""
    return None if span.parent is None else span.parent.span_id


def links_of(span):
    """The ids of the spans that it is linked to."""
    return [link.context.span_id for link in span.links]


class Shop(GenServer):
    """A server that has to ask another one."""

    @call
    async def order(self, store):
        return await Store.take(store, 1)

    @cast
    def remind(self, store):
        send_after(1, store, "reminder")


class Store(GenServer):
    """Answers, refuses, crashes, puts off its answer, or takes its time."""

    def __init__(self):
        self.later = []

    @call
    def take(self, amount):
        if amount > 5:
            raise Refuse(ValueError("too many"))
        if amount < 0:
            raise KeyError("negative")
        return trace.get_current_span().get_span_context().span_id

    @call
    def put_off(self):
        later = Later()
        self.later.append(later)
        return later.pending()

    @call
    async def slowly(self):
        await trio.sleep(5)

    @cast
    def answer(self):
        self.later.pop().reply("late")

    @cast
    def count(self):
        pass

    def handle_info(self, message):
        return None


@pytest.fixture
def traces():
    """What a test has traced."""
    return Traces()


@pytest.fixture
async def tree(traces):
    """A running tree that is traced."""
    async with open_supervisor(tracer=traces.tracer) as supervisor:
        yield supervisor
        supervisor.shutdown()
