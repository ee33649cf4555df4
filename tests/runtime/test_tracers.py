"""The tracers without dependencies: chosen context variables, and several tracers as one."""

import json
from contextvars import ContextVar

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CombinedTracer,
    ContextVarTracer,
    GenServer,
    InvalidSpec,
    Name,
    TracedMessage,
    Tracer,
    call,
    cast,
    current_runtime,
    dead_letters,
    mailbox,
    open_supervisor,
    send,
    send_nowait,
    spawn,
    start,
)

request_id: ContextVar[str] = ContextVar("request_id", default="none")
tenant: ContextVar[object] = ContextVar("tenant", default=None)
without_default: ContextVar[str] = ContextVar("without_default")


class Desk(GenServer):
    @call
    def who(self):
        return request_id.get(), tenant.get()

    @call
    async def through(self, other):
        return await Desk.who(other)

    @cast
    def change(self):
        request_id.set("changed by the handler")

    @cast
    def note(self, seen):
        seen.append(request_id.get())

    def handle_info(self, message):
        message.append(request_id.get())


@pytest.fixture
async def tree():
    async with open_supervisor(tracer=ContextVarTracer([request_id, tenant])) as supervisor:
        yield supervisor
        request_id.set("none")
        tenant.set(None)
        supervisor.shutdown()


async def test_values_travel(tree):
    """A handler sees the values of its sender, and so does whoever it asks; afterwards all is as before."""
    one, two = await start(Desk), await start(Desk)
    request_id.set("r-1")
    tenant.set(("acme", 7))
    assert ("r-1", ("acme", 7)) == await Desk.through(one, two)
    request_id.set("none")
    tenant.set(None)
    assert ("none", None) == await Desk.through(one, two)


async def test_handler_changes_it(tree):
    """What a handler sets is over with it, if its sender had a value."""
    ref = await start(Desk)
    request_id.set("r-1")
    Desk.change(ref)
    request_id.set("none")

    assert ("none", None) == await Desk.who(ref)


async def test_defaults_carry_nothing(tree):
    """A sender with nothing but defaults makes no envelope."""
    ref = spawn(trio.sleep_forever)
    send_nowait(ref, 1)
    await send(ref, 2)
    Desk.note(ref, [])

    assert [1, 2] == ref._process.mailbox.items()[:2]
    assert "Message" == type(ref._process.mailbox.items()[2]).__name__


async def test_process_starts_with_defaults(tree):
    """A process that is started under a request is not part of it."""
    request_id.set("r-1")
    seen = []

    async def process():
        seen.append(request_id.get())

    await spawn(process).wait()

    assert seen == ["none"]


async def test_dead_letter(tree):
    """A dead letter that is retried has the values that it was sent with, not those of whoever retries it."""
    seen = []
    request_id.set("r-1")
    Desk.note(Name[Desk]("desk"), seen)
    send_after_all = await send(Name("desk"), seen, on_error="dead_letter")
    assert not send_after_all
    request_id.set("operator")
    await start(Desk, name=Name("desk"))
    await dead_letters().retry()
    await wait_all_tasks_blocked()

    assert seen == ["r-1", "r-1"]


def test_variables_are_checked():
    """Variables need defaults, which is what a process starts with, and names, by which letters keep the values."""
    for variables, problem in (
        ([without_default], "needs a default"),
        (["request_id"], "must be context variables"),
        ([], "must be at least one"),
        ([request_id, ContextVar("request_id", default=1)], "must have different names"),
    ):
        with pytest.raises(InvalidSpec, match=problem):
            ContextVarTracer(variables)


def test_repr():
    """Tracers say what they carry."""
    assert "ContextVarTracer(request_id, tenant)" == repr(ContextVarTracer([request_id, tenant]))
    both = CombinedTracer(ContextVarTracer([request_id]), ContextVarTracer([tenant]))
    assert "CombinedTracer(ContextVarTracer(request_id), ContextVarTracer(tenant))" == repr(both)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ContextVarTracer([request_id, tenant]),
        lambda: CombinedTracer(ContextVarTracer([request_id]), ContextVarTracer([tenant])),
    ],
)
def test_kept_as_data(make):
    """Plain values are kept as data, others are not; what is no dump gives nothing."""
    tracer = make()
    message = TracedMessage("send", Name("x"), "message", None)
    assert isinstance(tracer, Tracer)
    assert tracer.produce(message) is None
    tokens = request_id.set("r-1"), tenant.set(object())
    context = tracer.produce(message)
    data = json.loads(json.dumps(tracer.dump(context)))
    request_id.reset(tokens[0])
    tenant.reset(tokens[1])
    entered = tracer.enter(tracer.load(data), message)
    assert ("r-1", None) == (request_id.get(), tenant.get())
    tracer.leave(entered, None, restore=True)

    assert "none" == request_id.get()
    for nothing in ({}, [], 17, ["a"], None, {"other": 1}):
        assert tracer.load(nothing) is None


async def test_combined():
    """Several tracers as one: each carries its own, and takes part only if it has something."""
    async with open_supervisor(
        tracer=CombinedTracer(ContextVarTracer([request_id]), ContextVarTracer([tenant]))
    ) as tree:
        ref = await start(Desk)
        tenant.set("acme")
        assert ("none", "acme") == await Desk.who(ref)
        request_id.set("r-1")
        assert ("r-1", "acme") == await Desk.who(ref)
        Desk.note(Name[Desk]("desk"), seen := [])
        tenant.set(None)
        request_id.set("none")
        await start(Desk, name=Name("desk"))
        await dead_letters().retry()
        assert ("none", None) == await Desk.who(ref)
        tree.shutdown()

    assert seen == ["r-1"]


async def test_combined_with_a_broken_one(caplog):
    """If one of several tracers fails while it is entered, the others have left again."""

    class Broken(ContextVarTracer):
        def enter(self, context, message):
            raise ZeroDivisionError

    async with open_supervisor(tracer=CombinedTracer(ContextVarTracer([request_id]), Broken([tenant]))) as tree:
        ref = await start(Desk)
        request_id.set("r-1")
        tenant.set("acme")
        assert ("none", None) == await Desk.who(ref)
        request_id.set("none")
        tenant.set(None)
        assert current_runtime().tracer is None
        tree.shutdown()

    assert "tracer_detached" in caplog.text


def test_combined_is_checked():
    """It takes at least two tracers."""
    with pytest.raises(InvalidSpec, match="must be at least two"):
        CombinedTracer(ContextVarTracer([request_id]))
    with pytest.raises(InvalidSpec, match="must be a Tracer, with all of its methods"):
        CombinedTracer(ContextVarTracer([request_id]), "no")


async def test_plain_function(tree):
    """A plain function sees them between two messages as well."""
    seen = []

    async def reader():
        async for _ in mailbox():
            seen.append(request_id.get())  # noqa: PERF401 - a comprehension would be another function

    ref = await start(reader)
    for value in ("r-1", "none", "r-2"):
        request_id.set(value)
        await send(ref, "message", confirm="handled")

    assert seen == ["r-1", "none", "r-2"]
