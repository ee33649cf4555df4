"""The bridge to OpenTelemetry: which spans there are, what they belong to, and what they say."""

import pytest
import trio
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind, StatusCode
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CallExited,
    GenServer,
    InvalidSpec,
    Name,
    NoProcess,
    Tracer,
    broadcast,
    call,
    kill,
    mailbox,
    open_supervisor,
    send,
    send_after,
    send_interval,
    send_nowait,
    spawn,
    start,
    stop,
)
from nursery_otp.otel import OpenTelemetryTracer
from tests.traces import Shop, Store, Traces, id_of, links_of, parent_of, traces, tree

__all__ = ["traces", "tree"]  # fixtures, for pytest


async def test_chain(tree, traces):
    """A request and all that comes of it is one trace: producer under handler, consumer under producer, with a link."""
    shop, store = await start(Shop), await start(Store)
    with traces.root() as root:
        inside = await Shop.order(shop, store)
    chain = [
        traces.named(name)
        for name in ("call Shop.order", "process Shop.order", "call Store.take", "process Store.take")
    ]

    assert [id_of(root.get_span_context()), *map(id_of, chain[:3])] == [parent_of(span) for span in chain]
    assert {root.get_span_context().trace_id} == {span.context.trace_id for span in chain}
    assert [[], [id_of(chain[0])], [], [id_of(chain[2])]] == [links_of(span) for span in chain]
    assert [SpanKind.PRODUCER, SpanKind.CONSUMER] * 2 == [span.kind for span in chain]
    assert inside == id_of(chain[3])


async def test_attributes(tree, traces):
    """Spans say what the conventions for messaging want to know."""
    store = await start(Store, name=Name("store"))
    with traces.root():
        await Store.take(Name[Store]("store"), 1)
        await send(store, "plain", correlation_id="c-1", confirm="handled")
        await send(await start(Store), "nameless", confirm="handled")
    sent, processed = traces.named("call Store.take"), traces.named("process Store.take")
    plain, nameless = [span for span in traces.consumers if span.name == "process Store"]

    assert {
        "messaging.system": "nursery_otp",
        "messaging.operation.name": "call",
        "messaging.operation.type": "send",
        "messaging.destination.name": "store",
        "messaging.destination.template": "Store",
        "nursery_otp.operation": "take",
    } == dict(sent.attributes)
    assert ("process", "process") == (
        processed.attributes["messaging.operation.name"],
        processed.attributes["messaging.operation.type"],
    )
    assert f"Store#{store.pid}" == processed.attributes["messaging.client.id"]
    assert "c-1" == plain.attributes["messaging.message.conversation_id"]
    assert nameless.attributes["messaging.destination.anonymous"]
    assert "str" == nameless.attributes["nursery_otp.operation"]


async def test_nobody_there(tree, traces):
    """A call to a name that nobody holds is a failed producer span, called after the name."""
    with traces.root(), pytest.raises(NoProcess):
        await Store.take(Name[Store]("closed"), 1)

    assert "NoProcess" == traces.named("call closed.take").attributes["error.type"]


async def test_errors(tree, traces):
    """A crash is an error on both sides; a refusal is one for the caller, and an answer of the handler."""
    store = await start(Store)
    with traces.root():
        with pytest.raises(ValueError, match="too many"):
            await Store.take(store, 6)
        with pytest.raises(CallExited):
            await Store.take(store, -1)
    refused, crashed = traces.producers
    answered, failed = traces.consumers

    assert [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET, StatusCode.ERROR] == [
        span.status.status_code for span in (refused, crashed, answered, failed)
    ]
    assert ["ValueError", "CallExited", "KeyError"] == [
        span.attributes["error.type"] for span in (refused, crashed, failed)
    ]
    assert "exception" == failed.events[0].name
    assert "'negative'" == failed.status.description


async def test_cancelled(tree, traces, autojump_clock):
    """A caller that is cancelled and a handler that is killed have ended with that."""
    store = await start(Store)
    with traces.root():
        with trio.move_on_after(1):
            await Store.slowly(store)
    kill(store)
    await store.wait()

    assert ["Cancelled", "Cancelled"] == [
        span.attributes["error.type"] for span in (*traces.producers, *traces.consumers)
    ]


async def test_timers(tree, traces, autojump_clock):
    """A message of `send_after` belongs to the trace of who set it; each of `send_interval` is a trace with a link."""
    store = await start(Store)
    with traces.root() as root:
        send_after(1, store, "once")
        timer = send_interval(2, store, "again")
    await trio.sleep(5)
    timer.cancel()
    once, again, again_2 = traces.consumers
    producer, periodic = traces.producers

    assert ("send_after Store", "send_interval Store") == (producer.name, periodic.name)
    assert parent_of(once) == id_of(producer)
    assert root.get_span_context().trace_id == once.context.trace_id
    assert [None, None] == [again.parent, again_2.parent]
    assert [[id_of(periodic)]] * 2 == [links_of(again), links_of(again_2)]
    assert 3 == len({span.context.trace_id for span in (once, again, again_2)})


async def test_late_answer(tree, traces):
    """An answer that is put off ends the caller's span when it comes."""
    store = await start(Store)
    with traces.root():
        request = Store.put_off.request(store)
        await wait_all_tasks_blocked()
        Store.answer(store)
        assert "late" == await request.receive()
        await send(store, "last", confirm="handled")

    assert {"call Store.put_off", "process Store.put_off", "cast Store.answer", "process Store.answer"} <= {
        span.name for span in traces.spans()
    }


async def test_broadcast(tree, traces):
    """Each recipient of a broadcast has a producer span and a consumer span."""
    stores = [await start(Store) for _ in range(3)]
    with traces.root():
        await broadcast(stores, "one", confirm="handled")
        await broadcast(stores, "all", strategy="all_or_nothing")
    for store in stores:
        await stop(store, drain=True)

    assert 6 == len(traces.producers) == len(traces.consumers)
    assert {id_of(span) for span in traces.producers} == {parent_of(span) for span in traces.consumers}


async def test_baggage(tree, traces):
    """Baggage travels as well, and a process starts without it."""
    seen = []

    class Reader(GenServer):
        @call
        def read(self):
            seen.append(baggage.get_baggage("tenant"))
            spawn(self.other)

        @staticmethod
        async def other():
            seen.append(baggage.get_baggage("tenant"))
            seen.append(trace.get_current_span().get_span_context().is_valid)

    reader = await start(Reader)
    with traces.root():
        token = context.attach(baggage.set_baggage("tenant", "acme"))
        await Reader.read(reader)
        context.detach(token)
    await wait_all_tasks_blocked()

    assert ["acme", None, False] == seen


async def test_read_in_several_tasks(tree, traces, caplog):
    """A process that reads its mailbox in several tasks ends each span, and detaches nothing where it is not."""

    async def reader():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mailbox().receive)
            await wait_all_tasks_blocked()
            await mailbox().receive()

    ref = await start(reader)
    with traces.root():
        send_nowait(ref, 1)
        await wait_all_tasks_blocked()
        send_nowait(ref, 2)
    await ref.wait()

    assert 2 == len(traces.consumers)
    assert "" == caplog.text


class Inherited(OpenTelemetryTracer):
    """The naive bridge: context variables are there, and every task inherits them."""

    def clear(self):
        pass

    def produce(self, message):
        return None


@pytest.mark.parametrize("ours", [True, False])
async def test_trap_trace_of_the_starter(ours):
    """TRAP: a handler sees the trace of its request, not the one its process was started under. The naive one does."""
    traces = Traces()
    tracer = traces.tracer if ours else Inherited(traces.provider)

    class Seer(GenServer):
        @call
        def see(self):
            return trace.get_current_span().get_span_context().trace_id

    async with open_supervisor(tracer=tracer) as tree:
        with traces.root("start") as started_under:
            seer = await start(Seer)
        with traces.root("request") as request:
            seen = await Seer.see(seer)
        outside = await Seer.see(seer)
        tree.shutdown()
    wrong = started_under.get_span_context().trace_id

    assert (request.get_span_context().trace_id, 0) == (seen, outside) if ours else (wrong, wrong) == (seen, outside)


def test_options_are_checked():
    """Options of the tracer are checked where it is made."""
    assert isinstance(OpenTelemetryTracer(), Tracer)
    for options, field in (
        ({"relation": "child"}, "relation"),
        ({"root_spans": "yes"}, "root_spans"),
        ({"tracer_provider": 17}, "tracer_provider"),
    ):
        with pytest.raises(InvalidSpec, match=field):
            OpenTelemetryTracer(**options)
