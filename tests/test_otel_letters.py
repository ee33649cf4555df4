"""Traces that outlive an attempt: sends that are tried again, letters that are sent again, and what is kept as text."""

import trio
from opentelemetry import baggage, context

from nursery_otp import (
    DeadLetterOptions,
    Name,
    current_runtime,
    dead_letters,
    open_supervisor,
    send,
    send_nowait,
    spawn,
    start,
    stop,
)
from nursery_otp._runtime.tracing import dump_context, load_context
from nursery_otp.stores.sqlite import SQLiteStore
from tests.traces import Store, Traces, id_of, links_of, parent_of, traces, tree

__all__ = ["traces", "tree"]  # fixtures, for pytest


async def test_retries_of_a_send(tree, traces, autojump_clock):
    """A send is one producer span, however often it is tried; the consumer is its child."""
    with traces.root():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: send(Name("store"), "x", retries=5))
            await trio.sleep(0.01)
            store = await start(Store, name=Name("store"))
    await stop(store, drain=True)

    assert [id_of(traces.named("send store"))] == [parent_of(span) for span in traces.consumers]


async def test_retried_letter(tree, traces):
    """A dead letter that is retried begins a trace of its own, linked to the one that it was sent in."""
    with traces.root() as root:
        Store.count(Name[Store]("store"))
        await send(Name("store"), "plain", on_error="dead_letter")
    await start(Store, name=Name("store"))
    assert 2 == len((await dead_letters().retry()).delivered)
    originals = [traces.named("cast store.count"), traces.named("send store")]

    assert [None, None] == [span.parent for span in traces.consumers]
    assert [[id_of(span)] for span in originals] == [links_of(span) for span in traces.consumers]
    assert root.get_span_context().trace_id not in {span.context.trace_id for span in traces.consumers}
    assert [] == [span for span in traces.spans() if span.name.startswith("retry")]


async def test_retried_under_a_span(tree, traces):
    """If whoever retries it is traced, the consumer belongs to that, with links to both producers."""
    with traces.root():
        Store.count(Name[Store]("store"))
    await start(Store, name=Name("store"))
    with traces.root("operator") as operator:
        await dead_letters().retry()
    original, again = traces.named("cast store.count"), traces.named("retry Store.count")
    [consumer] = traces.consumers

    assert id_of(operator.get_span_context()) == parent_of(again)
    assert [id_of(original)] == links_of(again)
    assert id_of(again) == parent_of(consumer)
    assert [id_of(again), id_of(original)] == links_of(consumer)


async def test_letter_of_another_run(traces, tmp_path):
    """A letter that a store has kept is linked to the trace that it was sent in, in a run that is over."""
    options = DeadLetterOptions(store=SQLiteStore(tmp_path / "letters.sqlite"))
    async with open_supervisor(tracer=traces.tracer, dead_letters=options) as tree:
        with traces.root():
            Store.count(Name[Store]("store"))
            await send(Name("store"), "plain", on_error="dead_letter", correlation_id="c-1")
        tree.shutdown()
    later = Traces()
    options = DeadLetterOptions(store=SQLiteStore(tmp_path / "letters.sqlite"))
    async with open_supervisor(tracer=later.tracer, dead_letters=options) as tree:
        await start(Store, name=Name("store"))
        assert 2 == len((await dead_letters().retry()).delivered)
        tree.shutdown()

    assert [id_of(span) for span in traces.producers] == [links_of(span)[0] for span in later.consumers]
    assert [None, None] == [span.parent for span in later.consumers]
    assert [None, "c-1"] == [span.attributes.get("messaging.message.conversation_id") for span in later.consumers]


async def test_kept_as_text(tree, traces):
    """Trace and baggage can be kept as W3C headers; a letter that failed again keeps its first trace."""
    asleep, telemetry = spawn(trio.sleep_forever), current_runtime().telemetry
    with traces.root() as root:
        token = context.attach(baggage.set_baggage("tenant", "acme"))
        send_nowait(asleep, "traced")
        context.detach(token)
    carried = asleep._process.mailbox.items()[0].context
    text = dump_context(carried)
    loaded = load_context(telemetry, text)

    assert f"{root.get_span_context().trace_id:032x}" in text
    assert "tenant=acme" in text
    assert text == dump_context(loaded)
    for nothing in ("{}", "[]", '{"traceparent": "nonsense"}', '"x"'):
        assert load_context(telemetry, nothing) is None
