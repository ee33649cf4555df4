"""KeyboardInterrupt and its like: nobody's crash; they stop the tree and leave it where it was opened."""

import signal

import pytest
import trio
import trio.testing

from nursery_otp import (
    SHUTDOWN,
    Crashed,
    GenServer,
    Supervisor,
    SupervisorHandle,
    child,
    current_runtime,
    open_supervisor,
    send_after,
    send_nowait,
    shutdown_scope,
    spawn,
    start,
)
from tests.behaviours.stage import Puppet


class Slow(Puppet):
    """Takes its time to terminate."""

    def __init__(self, label, diary, seconds=0):
        super().__init__(diary, label=label)
        self.seconds = seconds

    async def terminate(self, reason):
        self.note("stops")
        await trio.sleep(self.seconds)
        self.note("stopped")


def stops(diary):
    return [label for label, what in diary if what == "stopped"]


def run(main):
    """A program of its own, as Ctrl-C belongs to the whole of one."""
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0), strict_exception_groups=True)


def interrupt(_server=None):
    """What the signal handler does in the code that is running."""
    raise KeyboardInterrupt


class Broken(GenServer):
    """Is interrupted while it starts."""

    def __init__(self):
        raise KeyboardInterrupt


async def function():
    await trio.lowlevel.checkpoint()
    raise KeyboardInterrupt


async def own_nursery():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(function)


@pytest.mark.parametrize("restart", ["permanent", "temporary"])
@pytest.mark.parametrize("where", ["call", "cast", "info", "terminate", "function"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_in_a_child(where, kind, restart):
    """An interrupt in a child stops the tree in order, restarts nothing, and leaves the block as itself."""
    diary = []
    kept = kind("the one")

    def raise_it(_server=None):
        raise kept

    async def process():
        await trio.sleep(1)
        raise_it()

    async def main():
        async with open_supervisor([child(Slow, "a", diary), child(Slow, "b", diary)], max_restarts=99) as supervisor:
            if where == "function":
                await supervisor.start(process, restart=restart)
            else:
                last_words = raise_it if where == "terminate" else None
                ref = await supervisor.start(Victim, last_words, restart=restart)
                match where:
                    case "call":
                        await Puppet.ask(ref, raise_it)
                    case "cast":
                        Puppet.tell(ref, raise_it)
                    case "info":
                        send_nowait(ref, raise_it)
                    case "terminate":
                        await supervisor.terminate_child("Victim")
            await trio.sleep_forever()

    with pytest.raises(kind) as caught:
        run(main)

    assert kept is caught.value
    assert ["b", "a"] == stops(diary)


class Victim(Puppet):
    def __init__(self, terminate):
        super().__init__(terminate=terminate)


def test_in_a_nursery_of_a_child():
    """An interrupt in a child's own nursery comes out as Trio makes it: in a group."""
    diary = []

    async def main():
        async with open_supervisor([child(Slow, "a", diary)]) as supervisor:
            await supervisor.start(own_nursery)
            await trio.sleep_forever()

    with pytest.RaisesGroup(KeyboardInterrupt):
        run(main)

    assert ["a"] == stops(diary)


@pytest.mark.parametrize("deep", [False, True])
def test_while_a_child_starts(deep):
    """An interrupt in an init is no failed start: it ends the tree."""
    diary = []

    class Team(Supervisor):
        def children(self):
            return [child(Slow, "inner", diary), child(Broken)]

    async def main():
        async with open_supervisor([child(Slow, "a", diary)]) as supervisor:
            await supervisor.start(Team if deep else Broken)

    with pytest.raises(KeyboardInterrupt):
        run(main)

    assert (["inner", "a"] if deep else ["a"]) == stops(diary)


def test_while_the_children_of_the_block_start():
    """The same before the body has begun."""
    diary = []

    async def main():
        async with open_supervisor([child(Slow, "a", diary), child(Broken), child(Slow, "c", diary)]):
            raise AssertionError("the body does not run")

    with pytest.raises(KeyboardInterrupt):
        run(main)

    assert ["a"] == stops(diary)


def test_without_a_supervisor():
    """An interrupt in a process without a supervisor ends the tree, too."""
    diary = []

    async def main():
        async with open_supervisor([child(Slow, "a", diary)]):
            spawn(function)
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        run(main)

    assert ["a"] == stops(diary)


def test_in_the_body():
    """An interrupt in the body stops the tree in order and goes on as itself."""
    diary = []

    async def main():
        async with open_supervisor(
            [child(Slow, "a", diary, 3), child(Slow, "b", diary, 3)],
        ):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(main)

    assert ["b", "a"] == stops(diary)


def test_signal_while_the_block_waits():
    """Ctrl-C while the block waits for its children stops them in order."""
    diary = []

    async def press():
        await trio.sleep(5)
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    async def main():
        async with open_supervisor([child(Slow, "a", diary, 2), child(Slow, "b", diary, 2)]) as supervisor:
            await supervisor.start(press)

    with pytest.raises(KeyboardInterrupt):
        run(main)

    assert ["b", "a"] == stops(diary)


@pytest.mark.parametrize("first", ["body", "child"])
def test_second_interrupt(first):
    """A second Ctrl-C while the tree is stopped kills what is left, and one KeyboardInterrupt comes out."""
    diary = []
    times = []

    async def process():
        await trio.sleep(1)
        raise KeyboardInterrupt

    async def main():
        try:
            async with open_supervisor([child(Slow, "a", diary, 100, shutdown=200)]) as supervisor:
                trio.lowlevel.spawn_system_task(press_later)
                if first == "body":
                    await trio.sleep(1)
                    raise KeyboardInterrupt
                await supervisor.start(process)
                await trio.sleep_forever()
        finally:
            times.append(trio.current_time())

    async def press_later():
        await trio.sleep(3)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(main)

    assert [("a", "init"), ("a", "stops")] == diary
    assert [3] == times


def test_reason_of_the_interrupted():
    """The child that was interrupted has the interrupt as its exit reason; the others were shut down."""
    refs = []

    async def main():
        async with open_supervisor() as supervisor:
            refs.append(await supervisor.start(Puppet))
            refs.append(await supervisor.start(Puppet, id="other"))
            Puppet.tell(refs[0], interrupt)
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt) as caught:
        run(main)

    assert Crashed(caught.value) == refs[0].exit_reason
    assert SHUTDOWN == refs[1].exit_reason


def test_two_children_at_once():
    """Two interrupts are one: the second says nothing new."""

    async def process():
        await trio.sleep(1)
        raise KeyboardInterrupt

    async def main():
        async with open_supervisor() as supervisor:
            await supervisor.start(process, id=1)
            await supervisor.start(process, id=2)

    with pytest.raises(KeyboardInterrupt):
        run(main)


@pytest.mark.parametrize("supervised", [True, False])
def test_body_that_does_not_listen(supervised):
    """The tree is stopped at once, even if the body is shielded and goes on for a while."""
    times = []

    class Timed(Puppet):
        def terminate(self, reason):
            times.append(trio.current_time())

    async def main():
        async with open_supervisor([child(Timed)]) as supervisor:
            if supervised:
                await supervisor.start(function)
            else:
                spawn(function)
            with trio.CancelScope(shield=True):
                await trio.sleep(50)
        times.append("never")

    with pytest.raises(KeyboardInterrupt):
        run(main)

    assert [0] == times


def test_nothing_is_left():
    """After an interrupt nothing of the tree is left either."""
    runtimes = []

    async def main():
        async with open_supervisor() as supervisor:
            runtimes.append(current_runtime())
            ref = await supervisor.start(Puppet)
            send_after(100, ref, "late")
            await start(Puppet)
            Puppet.tell(ref, interrupt)
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        run(main)

    (runtime,) = runtimes
    runtime.check_empty()
    assert runtime.ledger().balanced


def test_clean_up_after_an_interrupt():
    """Children have their shutdown limit to clean up after an interrupt, as in any stop."""
    diary = []

    async def careful():
        with shutdown_scope():
            await trio.sleep_forever()
        await trio.sleep(4)
        diary.append("cleaned up")

    async def main():
        async with open_supervisor() as supervisor:
            await supervisor.start(careful)
            await supervisor.start(function)

    with pytest.raises(KeyboardInterrupt):
        run(main)

    assert ["cleaned up"] == diary


def test_nested_tree():
    """An interrupt in a nested supervisor's child stops everything, depth first."""
    diary = []

    class Team(Supervisor):
        def children(self):
            return [child(Slow, "x", diary), child(Slow, "y", diary)]

    async def main():
        async with open_supervisor([child(Slow, "a", diary)]) as supervisor:
            team = SupervisorHandle(await supervisor.start(Team))
            await team.start(function)
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        run(main)

    assert ["y", "x", "a"] == stops(diary)
