"""What those who watch a tree may write, with the types that a checker has to find. Nobody runs this file."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, assert_type

import structlog
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from nursery_otp import (
    Census,
    CombinedTracer,
    ContextVarTracer,
    GroupCounts,
    MessageKind,
    Ref,
    RuntimeCounts,
    TracedMessage,
    Tracer,
    current_runtime,
    open_supervisor,
    process_context,
)
from nursery_otp.logs import add_process_info, log_events
from nursery_otp.otel import OpenTelemetryTracer
from nursery_otp.prometheus import RuntimeCollector

REQUEST: ContextVar[str | None] = ContextVar("REQUEST", default=None)


class Own:
    """A tracer with contexts of its own type."""

    def produce(self, message: TracedMessage) -> bytes | None:
        kind: MessageKind = message.kind
        assert_type(message.operation, str)
        assert_type(message.ref, Ref[Any] | None)
        assert_type(message.receiver, str | None)
        return kind.encode()

    def produced(self, context: bytes, error: BaseException | None) -> None: ...

    def enter(self, context: bytes, message: TracedMessage) -> int:
        return 1

    def leave(self, entered: int, error: BaseException | None, *, restore: bool) -> None: ...
    def clear(self) -> None: ...
    def dump(self, context: bytes) -> str:
        return context.decode()

    def load(self, data: object) -> bytes | None:
        return data.encode() if isinstance(data, str) else None


async def tracing() -> None:
    """Tracers of all kinds."""
    both = CombinedTracer(ContextVarTracer([REQUEST]), Own())
    async with open_supervisor(tracer=both):
        runtime = current_runtime()
        assert_type(runtime.tracer, Tracer | None)
        runtime.set_tracer(None)
        runtime.set_tracer(OpenTelemetryTracer(TracerProvider(), root_spans=True, relation="link"))


def handler(name: tuple[str, ...], measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None: ...


def watching() -> None:
    """Events, numbers and log lines."""
    runtime = current_runtime()
    assert_type(runtime.telemetry.attach(("nursery_otp",), handler), Callable[[], None])
    census = Census(runtime)
    assert_type(census.read(), RuntimeCounts)
    assert_type(census.read().groups["Counter"], GroupCounts)
    assert_type(census.read().groups["Counter"].ended["crashed"], int)
    collector = RuntimeCollector()
    CollectorRegistry().register(collector)
    assert_type(collector.watch(tree="main"), Callable[[], None])
    structlog.configure(processors=[add_process_info, structlog.processors.JSONRenderer()])
    assert_type(log_events(("nursery_otp", "process"), level="debug"), Callable[[], None])
    assert_type(process_context(), dict[str, Any])
