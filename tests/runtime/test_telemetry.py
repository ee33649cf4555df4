"""The event bus: who is told what, and that a handler harms nobody."""

import ast
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import nursery_otp
from nursery_otp import EVENTS, Event, InvalidSpec, SpanEvents, current_runtime, open_supervisor, spawn
from nursery_otp._policy.events import SINGLE, SPANS

SOURCES = sorted(Path(nursery_otp.__file__).parent.rglob("*.py"))
PAID = Event(("shop", "paid"), ("amount",), ("order",), "An order has been paid.")
PACK = SpanEvents(("shop", "pack"), ("order",), "An order is packed.")


@pytest.fixture
async def bus():
    async with open_supervisor() as supervisor:
        yield current_runtime().telemetry
        supervisor.shutdown()


@pytest.fixture
def seen():
    return []


@pytest.fixture
def listen(seen):
    return lambda *event: seen.append(event)


async def test_attached(bus, seen, listen):
    """A handler gets name, measurements and metadata of what it is attached to, and nothing once detached."""
    bus.declare(PAID)
    detach = bus.attach(PAID.name, listen)

    bus.emit(PAID.name, {"amount": 3}, {"order": 7})
    detach()
    detach()
    bus.emit(PAID.name, {"amount": 4}, {"order": 8})

    assert seen == [(("shop", "paid"), {"amount": 3}, {"order": 7})]


async def test_prefix(bus, seen, listen):
    """A name that others begin with stands for all of them."""
    bus.declare(PAID)
    bus.declare(PACK)
    with bus.attached(("shop",), listen), bus.span(PACK.name, {"order": 1}):
        bus.emit(PAID.name, {}, {})

    assert [name for name, *_ in seen] == [("shop", "pack", "start"), ("shop", "paid"), ("shop", "pack", "stop")]


async def test_slot(bus, listen):
    """The attribute of an event is None exactly while nobody listens to it."""
    before = bus.process_started, bus.call
    with bus.attached(("nursery_otp", "process", "started"), listen), bus.attached(("nursery_otp", "call"), listen):
        during = bus.process_started, bus.call, bus.process_ended
    after = bus.process_started, bus.call

    assert before == after == (None, None)
    assert during[0] is not None
    assert during[1] is not None
    assert during[2] is None


async def test_handler_raises(bus, seen, listen, caplog):
    """A handler that raises is detached and reported; the others and the one who emits do not notice."""
    bus.declare(PAID)

    def broken(*_event):
        raise ValueError("broken handler")

    bus.attach(PAID.name, broken)
    bus.attach(PAID.name, listen)
    bus.emit(PAID.name, {"amount": 1}, {})
    bus.emit(PAID.name, {"amount": 2}, {})

    assert [measured["amount"] for _, measured, _ in seen] == [1, 2]
    assert caplog.text.count("telemetry_handler_detached") == 1
    assert "broken handler" in caplog.text


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, pytest.fail.Exception])
async def test_interruption(interruption, listen, seen):
    """What is nobody's crash ends the tree and leaves it as itself; who emitted is not stopped half way."""

    def interrupted(*_event):
        raise interruption

    with pytest.raises(interruption):
        async with open_supervisor() as supervisor:
            runtime = current_runtime()
            runtime.telemetry.attach(("nursery_otp", "process", "ended"), interrupted)
            runtime.on_exit(listen)
            await supervisor.start(trio.lowlevel.checkpoint, restart="temporary")
            await trio.sleep_forever()

    runtime.check_empty()
    assert len(seen) == 2


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("event", ["ended", "crashed", "started"])
async def test_interruption_at_any_event(seen, listen, interruption, event):
    """What is nobody's crash ends the tree and leaves it as it is; the process that emitted ends as it always does."""

    def interrupted(*_event):
        raise interruption

    async def crash():
        await trio.lowlevel.checkpoint()
        raise ValueError("boom")

    with pytest.raises(interruption):
        async with open_supervisor():
            runtime = current_runtime()
            name = ("nursery_otp", "process", event)
            runtime.telemetry.attach(name, interrupted)
            runtime.telemetry.attach(name, listen)
            ref = spawn(crash)
            await trio.sleep_forever()

    assert seen
    assert not ref.alive
    runtime.check_empty()


async def test_names_of_users(bus, seen, listen):
    """An event of one's own may be called as one likes; it takes nothing over from the runtime's."""
    bus.attach(("nursery_otp", "process", "started"), listen)
    for words in (("process", "started"), ("emit",), ("now",), ("events",)):
        bus.declare(Event(("shop", *words), (), (), "One's own."))
    bus.emit(("shop", "process", "started"), {}, {})
    spawn(trio.lowlevel.checkpoint)
    await wait_all_tasks_blocked()

    assert [name for name, *_ in seen] == [("nursery_otp", "process", "started")]


async def test_detach_while_emitting(bus, seen):
    """A handler may detach itself, or another one, while it is called."""
    bus.declare(PAID)
    detach = bus.attach(PAID.name, lambda *_: (seen.append("first"), detach()))
    bus.attach(PAID.name, lambda *_: seen.append("second"))

    bus.emit(PAID.name, {}, {})
    bus.emit(PAID.name, {}, {})

    assert seen == ["first", "second", "second"]


async def test_span(bus, seen, listen, mock_clock):
    """A span measures its duration, and hands on what its block adds."""
    bus.declare(PACK)
    with bus.attached(PACK.name, listen), bus.span(PACK.name, {"order": 1}) as about:
        mock_clock.jump(2.5)
        about["result"] = "packed"

    assert seen[1] == (("shop", "pack", "stop"), {"duration": 2.5}, {"order": 1, "result": "packed"})


async def test_span_fails(bus, seen, listen):
    """A block that fails is an exception event, and the exception goes on."""
    bus.declare(PACK)
    error = ValueError("torn")
    with bus.attached(PACK.name, listen), pytest.raises(ValueError, match="torn"), bus.span(PACK.name, {"order": 1}):
        raise error

    assert seen[-1][0] == ("shop", "pack", "exception")
    assert seen[-1][2] == {"order": 1, "result": "error", "error": error}


async def test_two_trees(seen, listen):
    """What happens in one tree is not told in another."""
    async with open_supervisor() as outer:
        with current_runtime().telemetry.attached(("nursery_otp", "process"), listen):
            async with open_supervisor() as inner:
                await inner.start(trio.sleep_forever)
                inner.shutdown()
        outer.shutdown()

    assert seen == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("process", "must be a tuple of words"),
        ((), "must be a tuple of words"),
        (("nursery_otp", 1), "must be a tuple of words"),
        (("nursery_otp", "proces"), "no declared event"),
    ],
)
async def test_unknown_name(bus, listen, name, text):
    """A handler for what never happens is refused, with the name in the text."""
    with pytest.raises(InvalidSpec, match=text):
        bus.attach(name, listen)


async def test_bad_handler(bus):
    """A handler must be a plain function, as events cannot wait."""

    async def waits(*_event): ...

    with pytest.raises(InvalidSpec, match="must be a plain function"):
        bus.attach(("nursery_otp",), waits)
    with pytest.raises(InvalidSpec, match="must be callable"):
        bus.attach(("nursery_otp",), None)


async def test_declared_once(bus):
    """An event is declared before it is emitted, once."""
    with pytest.raises(InvalidSpec, match="is no declared event"):
        bus.emit(PAID.name, {}, {})
    with pytest.raises(InvalidSpec, match="is no declared span"), bus.span(PACK.name, {}):
        pass
    bus.declare(PACK)
    with pytest.raises(InvalidSpec, match="is declared already"):
        bus.declare(PACK)
    with pytest.raises(InvalidSpec, match="is declared already"):
        bus.declare(EVENTS[0])


def emissions(source: str):
    """The guarded emissions of a module: slot, keys of the measurements, keys of the metadata, if written out."""
    for function in ast.walk(ast.parse(source)):
        slots = {}
        for node in ast.walk(function) if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) else ():
            match node:
                case ast.Assign(
                    targets=[ast.Name(id=emit)],
                    value=ast.Attribute(value=ast.Attribute(attr="telemetry"), attr=slot),
                ):
                    slots[emit] = slot
        for node in ast.walk(function) if slots else ():
            match node:
                case ast.Call(func=ast.Name(id=emit), args=[ast.Dict(keys=measured), ast.Dict(keys=about)]):
                    yield slots[emit], {key.value for key in measured}, {key.value for key in about}


def test_emitted_as_declared():
    """Wherever the library emits an event, it gives the measurements and metadata that are declared for it."""
    declared = {event.slot: (set(event.measurements), set(event.metadata)) for event in EVENTS}
    found = [(path.name, *each) for path in SOURCES for each in emissions(path.read_text(encoding="utf-8"))]

    assert len(found) >= 2
    assert [] == [each for each in found if declared[each[1]] != (each[2], each[3])]


SLOTS = {event.slot for event in (*SINGLE, *SPANS)} | {"tracer"}
KEEPERS = {"telemetry.py", "tracing.py", "handling.py", "observed_calls.py", "observed_handlers.py"}
"""The modules that are there for those who listen, and reached by a guard only."""


def asks_for(value):
    """The slot that an expression asks the bus for."""
    match value:
        case ast.Attribute(value=ast.Attribute(attr="telemetry") | ast.Name(id="telemetry"), attr=slot) if (
            slot in SLOTS
        ):
            return slot


def unguarded(source: str):
    """The lines that ask for a slot in another form than the guard's."""
    tree = ast.parse(source)
    guards = set()
    for node in ast.walk(tree):
        for body in (getattr(node, field, None) for field in ("body", "orelse", "finalbody")):
            for asking, using in pairwise(body if isinstance(body, list) else []):
                if not (isinstance(asking, ast.Assign) and asks_for(asking.value) and isinstance(using, ast.If)):
                    continue
                test = using.test.values[0] if isinstance(using.test, ast.BoolOp) else using.test
                if ast.unparse(test).removesuffix(" is not None").removesuffix(" is None") == asking.targets[0].id:
                    guards.add(asking.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and asks_for(node) and node not in guards:
            yield node.lineno


def test_guards_look_the_same():
    """Whoever asks for a slot does it in the one form that the benchmark knows how to take out."""
    sources = {path.name: path.read_text(encoding="utf-8") for path in SOURCES if path.name not in KEEPERS}
    del sources["runtime.py"]  # shows the tracer, and uses none
    found = [f"{name}:{line}" for name, source in sources.items() for line in unguarded(source)]

    assert [] == found
    assert [2] == list(unguarded("def f(self):\n    self.runtime.telemetry.call.start({})"))


def test_slots_declared():
    """Every declared event and span has its attribute, so that a misspelled guard is an AttributeError."""
    bus = nursery_otp.Telemetry(lambda: 0.0, print)
    slots = [event.slot for event in (*SINGLE, *SPANS)]
    annotated = {slot for slot in nursery_otp.Telemetry.__annotations__ if slot != "tracer"}

    assert len(slots) > 20
    assert [] == [slot for slot in slots if getattr(bus, slot, "missing") is not None]
    assert annotated == set(slots)
