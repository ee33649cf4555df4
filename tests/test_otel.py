"""The bridge to OpenTelemetry: which spans there are, what they belong to, and what they say."""

import subprocess
import sys

import pytest
import trio
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CallExited,
    DeadLetterOptions,
    GenServer,
    InvalidSpec,
    Later,
    Name,
    NoProcess,
    Refuse,
    Tracer,
    broadcast,
    call,
    cast,
    current_runtime,
    dead_letters,
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
from nursery_otp._runtime.messages import Envelope
from nursery_otp._runtime.tracing import dump_context, load_context
from nursery_otp.otel import OpenTelemetryTracer
from nursery_otp.stores.sqlite import SQLiteStore
from tests.traces import Traces, id_of, links_of, parent_of


class Shop(GenServer):
    @call
    async def order(self, store):
        return await Store.take(store, 1)

    @cast
    def remind(self, store):
        send_after(1, store, "reminder")


class Store(GenServer):
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
    return Traces()


@pytest.fixture
async def tree(traces):
    async with open_supervisor(tracer=traces.tracer) as supervisor:
        yield supervisor
        supervisor.shutdown()


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


def python(program):
    """What a program prints."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_not_imported():
    """Importing nursery_otp imports none of the packages of its extras."""
    program = (
        "import sys, nursery_otp; print([n for n in sys.modules if n.startswith(('opentelemetry', 'prometheus_'))])"
    )

    assert "[]\n" == python(program)


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("otel", "opentelemetry-api", "otel"), ("prometheus", "prometheus-client", "prometheus")],
)
def test_missing(module, package, extra):
    """Without its package a bridge says what to install."""
    program = f"""
import sys
sys.modules["opentelemetry"] = sys.modules["prometheus_client.core"] = None
import nursery_otp
try:
    import nursery_otp.{module}
except nursery_otp.MissingExtra as error:
    print(error)
"""
    text = python(program)

    assert package in text
    assert f"pip install 'nursery_otp[{extra}]'" in text
