"""Spans in memory, for the tests of the OpenTelemetry bridge."""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanKind

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
