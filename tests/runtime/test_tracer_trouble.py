"""Tracers at the edges: with nothing to remember, given as classes, failing in part, or ending the program."""

from contextvars import ContextVar

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp import (
    CombinedTracer,
    ContextVarTracer,
    GenServer,
    InvalidSpec,
    Name,
    TracedMessage,
    call,
    cast,
    current_runtime,
    dead_letters,
    open_supervisor,
    register,
    send,
    send_after,
    send_interval,
    send_nowait,
    start,
)
from nursery_otp._policy.exits import KILLED
from tests.runtime.helpers import as_process

NAME = Name("later")


class Watching:
    """A tracer that counts what it is told; the method `fails` raises `error`."""

    def __init__(self, fails="", error=ZeroDivisionError, entered=None):
        self.fails, self.error, self.entered = fails, error, entered
        self.log = []
        self.kinds = []

    def _told(self, method):
        self.log.append(method)
        if method == self.fails:
            raise self.error

    def produce(self, message):
        self._told("produce")
        self.kinds.append(("produce", message.kind))
        return "context"

    def produced(self, context, error):
        self._told("produced")

    def enter(self, context, message):
        self._told("enter")
        self.kinds.append(("enter", message.kind))
        return self.entered

    def leave(self, entered, error, *, restore):
        assert entered is self.entered
        self._told("leave")

    def clear(self):
        self._told("clear")

    def dump(self, context):
        return context

    def load(self, data):
        return data


class Desk(GenServer):
    @call
    def ask(self):
        return 1

    @cast
    def take(self):
        """Whatever."""

    def handle_info(self, message):
        pass


@pytest.mark.parametrize("entered", [None, False, "something"])
@pytest.mark.parametrize("combined", [False, True])
async def test_left_as_often_as_entered(entered, combined):
    """What has been entered is left, also if there is nothing to remember, and gets what `enter` gave."""
    tracer = Watching(entered=entered)
    async with open_supervisor(tracer=CombinedTracer(tracer, Watching()) if combined else tracer) as tree:
        ref = await tree.start(Desk)
        assert 1 == await Desk.ask(ref)
        await send(ref, "x", confirm="handled")
        await wait_all_tasks_blocked()
        tree.shutdown()

    assert 2 == tracer.log.count("enter") == tracer.log.count("leave")


async def sent(ref, how):
    match how:
        case "call":
            await Desk.ask(ref)
        case "cast":
            Desk.take(ref)
        case "send":
            await send(ref, Desk.take.message())
            await send(ref, "plain", confirm="handled")
            send_nowait(ref, Desk.take.message())
        case "timer":
            send_after(1, ref, Desk.take.message())
        case "interval":
            send_interval(1, ref, Desk.take.message())
        case "retry":
            for message in (Desk.take.message(), "plain"):
                await send(NAME, message, on_error="dead_letter")
            register(NAME, ref)
            await dead_letters().retry()


@pytest.mark.parametrize("how", ["call", "cast", "send", "timer", "interval", "retry"])
async def test_kind(how, autojump_clock):
    """The tracer of the receiver is told how the message was sent, whatever the message is."""
    tracer = Watching()

    @as_process
    async def run(tree):
        ref = await start(Desk)
        await sent(ref, how)
        await trio.sleep(1.5)

    async with open_supervisor(tracer=tracer) as tree:
        await run(tree=tree)
        tree.shutdown()

    assert {how} == {kind for place, kind in tracer.kinds if place == "enter"}


ONE, TWO, THREE, FOUR, FIVE = (ContextVar(f"v{number}", default="none") for number in range(5))


def test_what_is_kept():
    """What JSON gives back as it was stays with a dead letter: None, lists and dicts. What it changes does not."""
    tracer = ContextVarTracer([ONE, TWO, THREE, FOUR, FIVE])
    context = {ONE: None, TWO: [1, "b"], THREE: {"key": [None]}, FOUR: (1, 2), FIVE: {3: "number"}}
    data = tracer.dump(context)
    assert {"v0": None, "v1": [1, "b"], "v2": {"key": [None]}} == data
    assert {ONE: None, TWO: [1, "b"], THREE: {"key": [None]}} == tracer.load(data)


@pytest.mark.parametrize("endless", [False, True])
def test_what_cannot_be_data(endless):
    """A value that is no data, or that contains itself, is left out and disturbs nobody."""
    value = [] if endless else object()
    if endless:
        value.append(value)
    assert {"v1": "kept"} == ContextVarTracer([ONE, TWO]).dump({ONE: value, TWO: "kept"})


def test_classes():
    """A class of tracers is no tracer, though it has all the methods: that is said where it is given."""
    advice = r"is a class; a tracer is made from it, as in ContextVarTracer\(\.\.\.\)"
    with pytest.raises(InvalidSpec, match=f"tracer=.*{advice}"):
        open_supervisor(tracer=ContextVarTracer)
    with pytest.raises(InvalidSpec, match=f"tracers=.*{advice}"):
        CombinedTracer(ContextVarTracer([ONE]), ContextVarTracer)
    with pytest.raises(InvalidSpec, match="must be a Tracer, with all of its methods"):
        CombinedTracer(ContextVarTracer([ONE]), object())


async def test_class_at_a_runtime():
    """So it is at a running tree."""
    async with open_supervisor() as tree:
        with pytest.raises(InvalidSpec, match="is a class"):
            current_runtime().set_tracer(ContextVarTracer)
        assert None is current_runtime().tracer
        tree.shutdown()


@pytest.mark.parametrize("fails", ["produce", "produced", "enter", "leave"])
@pytest.mark.parametrize("first", [True, False])
async def test_partly_broken(fails, first):
    """If one of several tracers fails, what the others have begun is ended."""
    good, broken = Watching(), Watching(fails)
    tracers = [good, broken] if first else [broken, good]
    async with open_supervisor(tracer=CombinedTracer(*tracers)) as tree:
        ref = await tree.start(Desk)
        await send(ref, "x", confirm="handled")
        await wait_all_tasks_blocked()
        assert None is current_runtime().tracer
        tree.shutdown()

    assert fails in broken.log
    assert good.log.count("produce") == good.log.count("produced")
    assert good.log.count("enter") == good.log.count("leave")


def test_producing_is_undone():
    """The error of the one that fails is the one that is told."""
    good, broken = Watching(), Watching("produce")
    with pytest.raises(ZeroDivisionError):
        CombinedTracer(good, broken).produce(TracedMessage("send", NAME, "x", None))
    assert ["produce", "produced"] == good.log


async def free(runtime, hanging):
    """End by force what has never ended, so that a tree that hangs is a failed test and no endless one."""
    await trio.sleep(1000)
    hanging += runtime.processes()[1:]
    for ref in hanging:
        ref._process._end(KILLED)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("supervised", [True, False])
def test_clear_ends_the_program(error, supervised):
    """What is to end the program does so, even if it comes out of `clear` when a process begins."""
    tracer, hanging = Watching(error=error), []

    async def main():
        async with open_supervisor(tracer=tracer) as tree:
            trio.lowlevel.spawn_system_task(free, current_runtime(), hanging)
            tracer.fails = "clear"
            await (tree.start(Desk) if supervised else start(Desk))

    with pytest.raises(BaseException) as caught:
        trio.run(main, clock=MockClock(autojump_threshold=0))
    assert [] == hanging
    assert caught.group_contains(error) if isinstance(caught.value, BaseExceptionGroup) else caught.errisinstance(error)
