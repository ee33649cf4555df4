"""Which messages are traced, and where a trace begins: samplers, root spans, remote parents, links for parents."""

import pytest
import trio
from opentelemetry import context, trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from nursery_otp import open_supervisor, send, send_after, send_nowait, spawn, start
from nursery_otp._runtime.messages import Envelope
from tests.traces import Shop, Store, Traces, id_of, links_of, parent_of, traces, tree

__all__ = ["traces", "tree"]  # fixtures, for pytest


@pytest.mark.parametrize("sampler", [ParentBased(ALWAYS_OFF), None])
async def test_sampled_out(sampler, autojump_clock):
    """Without a sampled trace there are no spans and no envelopes, be it that nothing is sampled or that none began."""
    traces = Traces(sampler)
    async with open_supervisor(tracer=traces.tracer) as tree:
        shop, store = await start(Shop), await start(Store)
        asleep = spawn(trio.sleep_forever)
        root = traces.root() if sampler else trio.CancelScope()
        with root:
            await Shop.order(shop, store)
            Shop.remind(shop, store)
            send_after(1, store, "x")
            for _ in range(3):
                send_nowait(asleep, "plain")
                await send(asleep, "plain")
                Store.count(asleep)
            await trio.sleep(2)
        items = asleep._process.mailbox.items()
        tree.shutdown()

    assert [] == traces.spans(SpanKind.PRODUCER) + traces.spans(SpanKind.CONSUMER)
    assert 9 == len(items)
    assert not any(isinstance(item, Envelope) for item in items)


async def test_root_spans():
    """If asked to, a message that is sent outside of any trace begins one; and one in an unsampled trace does not."""
    traces = Traces(root_spans=True)
    async with open_supervisor(tracer=traces.tracer) as tree:
        store = await start(Store)
        await Store.take(store, 1)
        tree.shutdown()
    names = [span.name for span in traces.spans()]

    assert "call Store.take" in names
    assert parent_of(traces.named("call Store.take")) is None
    assert parent_of(traces.named("process Store.take")) == id_of(traces.named("call Store.take"))


async def test_sampler_decides():
    """A producer span that the sampler drops carries nothing."""
    traces = Traces(TraceIdRatioBased(0.0), root_spans=True)
    async with open_supervisor(tracer=traces.tracer) as tree:
        store = await start(Store)
        await Store.take(store, 1)
        asleep = spawn(trio.sleep_forever)
        send_nowait(asleep, "plain")
        assert ["plain"] == asleep._process.mailbox.items()
        tree.shutdown()

    assert [] == traces.spans()


async def test_remote_parent(tree, traces):
    """A trace that came from elsewhere, with no span here, goes on if it is sampled."""
    store = await start(Store)
    for flags in (TraceFlags.DEFAULT, TraceFlags.SAMPLED):
        remote = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(flags)))
        token = context.attach(trace.set_span_in_context(remote))
        await Store.take(store, 1)
        context.detach(token)

    assert 2 == len(traces.spans())
    assert 2 == parent_of(traces.named("call Store.take"))


async def test_as_links():
    """If asked to, consumers begin traces of their own, linked to their producers."""
    traces = Traces(relation="link")
    async with open_supervisor(tracer=traces.tracer) as tree:
        store = await start(Store)
        with traces.root():
            await Store.take(store, 1)
        tree.shutdown()
    consumer = traces.named("process Store.take")

    assert consumer.parent is None
    assert [id_of(traces.named("call Store.take"))] == links_of(consumer)


async def test_two_trees(traces):
    """What goes from one tree to another is traced by neither, unless both are."""
    async with open_supervisor() as outer:
        store = await start(Store)
        async with open_supervisor(tracer=traces.tracer) as inner:
            with traces.root():
                await Store.take(store, 1)
                assert [] == traces.spans()
                await Store.take(await start(Store), 1)
            inner.shutdown()
        outer.shutdown()

    assert ["process Store.take", "call Store.take", "root"] == [span.name for span in traces.spans()]
