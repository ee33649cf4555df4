"""Signals in masses, and trees inside of and beside each other."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    CallExited,
    Deadlock,
    Down,
    Exit,
    Failed,
    GenServer,
    Killed,
    Name,
    NoProcess,
    Normal,
    NotInProcess,
    Shutdown,
    Stop,
    call,
    child,
    current_ref,
    current_runtime,
    kill,
    link,
    mailbox,
    monitor,
    open_supervisor,
    send_exit,
    send_nowait,
    spawn,
    start_link,
    whereis,
)
from tests.integration.laboratory import Steps, Tree, assert_nothing_left, assert_sound, run_program

RING = 1000


async def in_ring(heard: list[Exit]) -> None:
    """Link to the one whose ref comes first, then listen."""
    link(await mailbox().receive())
    async for message in mailbox():
        heard.append(message)
        if isinstance(message, Exit) and message.reason == Failed("fire"):
            raise Stop("fire")


async def ring(*, trap: bool) -> tuple[list[Any], list[Exit]]:
    """A thousand processes, each linked to the next, and the last to the first."""
    heard: list[Exit] = []
    refs = [spawn(in_ring, heard, trap_exits=trap) for _ in range(RING)]
    for one, other in zip(refs, refs[1:] + refs[:1], strict=True):
        send_nowait(one, other)
    await assert_sound()
    assert RING == len(current_runtime().links())
    return refs, heard


def test_ring_of_links():
    """A kill in a ring of a thousand goes all the way round, once, and everybody ends with it."""

    async def program():
        async with Tree():
            refs, heard = await ring(trap=False)
            kill(refs[500])
            await assert_sound()
            assert {Killed()} == {ref.exit_reason for ref in refs}
            assert [] == heard
            assert () == current_runtime().links()

    run_program(program, steps=Steps(limit=20 * RING))


def test_ring_of_links_that_trap():
    """Where all trap exits, the end of one is a message to two."""

    async def program():
        async with Tree():
            refs, heard = await ring(trap=True)
            kill(refs[500])
            await assert_sound()
            assert [Exit(refs[500], KILLED)] * 2 == heard
            assert RING - 2 == len(current_runtime().links())

    run_program(program, steps=Steps(limit=30 * RING))


def test_fire_in_a_ring():
    """Where each that hears of an end ends itself, the fire runs round both ways and goes out."""

    async def program():
        async with Tree():
            refs, heard = await ring(trap=True)
            send_exit(refs[0], "fire")
            await assert_sound()
            assert {Failed("fire")} == {ref.exit_reason for ref in refs}
            assert RING <= len(heard) <= 2 * RING

    run_program(program, steps=Steps(limit=30 * RING))


def test_all_linked_to_all():
    """A hundred processes that are all linked to each other are one: they end together, without a second signal."""

    async def program():
        async with Tree() as supervisor:
            refs: list[Any] = []

            async def tie():
                for ref in refs:
                    link(ref)
                await trio.sleep_forever()

            refs += [spawn(tie) for _ in range(100)]
            await assert_sound()
            assert 100 * 99 / 2 == len(current_runtime().links())
            send_exit(refs[7], "together")
            await assert_sound()
            assert {Failed("together")} == {ref.exit_reason for ref in refs}
            assert supervisor.ref.alive

    run_program(program)


def test_linked_to_everything():
    """A process that links itself to everybody, supervisors included, takes all with it that can be taken."""

    class Team(GenServer):
        trap_exits = True

        def handle_info(self, message: object) -> None:
            pass

    async def idle():
        await trio.sleep_forever()

    async def fanatic():
        for ref in current_runtime().processes():
            link(ref)
        await trio.sleep(1)
        raise Stop("fanatic")

    async def program():
        specs = [child(Team), child(idle, id="idle"), child(idle, id="gone", restart="temporary")]
        async with Tree(specs, max_restarts=10) as supervisor:
            before = {info.id: info.ref for info in await supervisor.which_children()}
            spawn(fanatic)
            await trio.sleep(2)
            after = {info.id: info.ref for info in await supervisor.which_children()}
            assert before["Team"] is after["Team"]
            assert before["idle"] is not after["idle"]
            assert "gone" not in after
            assert {Failed("fanatic")} == {before[key].exit_reason for key in ("idle", "gone")}

    run_program(program)


def test_storm_of_signals():
    """Many signals at once to many processes: each ends once, with the reason that came first."""

    async def idle():
        await trio.sleep_forever()

    async def program():
        async with Tree():
            refs = [spawn(idle) for _ in range(50)]
            await wait_all_tasks_blocked()
            for round_ in range(20):
                for ref in refs:
                    send_exit(ref, round_)
                    kill(ref)
            await assert_sound()
            assert {Failed(0)} == {ref.exit_reason for ref in refs}

    run_program(program)


def test_crowd_of_monitors():
    """A thousand monitors on one process, and one process with monitors on a thousand, fire once each."""

    async def idle():
        await trio.sleep_forever()

    async def program():
        downs: list[Down] = []
        async with Tree() as supervisor:
            target = spawn(idle)
            others = [spawn(idle) for _ in range(1000)]

            async def watcher():
                watches = [monitor(target) for _ in range(1000)] + [monitor(ref) for ref in others]
                kill(target)
                for ref in others:
                    kill(ref)
                async for message in mailbox():
                    downs.append(message)
                    if len(downs) == len(watches):
                        break
                assert {*watches} == {down.monitor for down in downs}

            ref = await supervisor.start(watcher, restart="temporary")
            assert Normal() == await ref.wait()
        assert 2000 == len(downs)

    run_program(program)


# ---------------------------------------------------------------------------------- more than one tree


class Asker(GenServer):
    """Passes questions on."""

    @call
    async def ask(self, others: list[Any]) -> str:
        if not others:
            return "answer"
        return await Asker.ask.within(math.inf)(others[0], others[1:])

    @call
    def ping(self) -> str:
        return "pong"


def test_two_trees_talk():
    """Processes of two trees call, watch and link each other by ref; names belong to one tree."""
    heard: list[object] = []

    async def watcher(ref: Any) -> None:
        monitor(ref)
        link(ref)
        heard.extend([await mailbox().receive(), await mailbox().receive()])

    async def program():
        async with Tree([child(Asker, name=Name("asker"))]) as first:
            one = whereis(Name[Asker]("asker"))
            async with Tree([child(Asker, name=Name("asker"))]) as second:
                two = whereis(Name[Asker]("asker"))
                assert one is not two
                assert "answer" == await Asker.ask(one, [two])
                spying = await second.start(watcher, one, restart="temporary", trap_exits=True)
                await assert_sound()
                kill(one)
                await spying.wait()
            assert first.ref.alive
            assert whereis(Name[Asker]("asker")) is not one

    run_program(program)
    assert {Down, Exit} == {type(message) for message in heard}
    assert {Killed()} == {message.reason for message in heard}


def test_deadlock_across_trees():
    """A cycle of calls that goes through two trees is a deadlock, and known at once."""

    async def program():
        async with Tree([child(Asker)]):
            one = current_runtime().processes()[-1]
            async with Tree([child(Asker)]):
                two = current_runtime().processes()[-1]
                with pytest.raises(CallExited) as caught:
                    await Asker.ask(one, [two, one])
                assert isinstance(caught.value.__cause__.__cause__, Deadlock)
        return trio.current_time()

    assert 0 == run_program(program)


def test_tree_that_ends_first():
    """When a tree ends, calls from another tree into it fail at once, and its refs are dead from then on."""

    async def program():
        async with Tree([child(Asker)]):
            one = current_runtime().processes()[-1]
            async with Tree([child(Asker)]):
                two = current_runtime().processes()[-1]
            with pytest.raises(NoProcess):
                await Asker.ping(two)
            with pytest.raises(CallExited):
                await Asker.ask(one, [two])
            send_nowait(two, "nobody")
        return trio.current_time()

    assert 0 == run_program(program)


class Host(GenServer):
    """Has a tree of its own inside a handler."""

    inner: Any = None

    @call
    async def hold(self, outer: Any, seconds: float) -> str:
        async with open_supervisor([child(Asker, name=Name("inside"))]) as supervisor:
            self.inner = current_runtime()
            assert "pong" == await Asker.ping(Name[Asker]("inside"))
            assert "pong" == await Asker.ping(outer)
            with pytest.raises(NotInProcess):
                current_ref()
            await trio.sleep(seconds)
            supervisor.shutdown()
        assert self.inner is not current_runtime()
        return str(current_ref().pid)

    async def terminate(self, reason: object) -> None:
        assert_nothing_left(self.inner)


def test_tree_in_a_server():
    """A handler may open a tree of its own, and is a process of the outer one again when that is over."""

    async def program():
        async with Tree([child(Asker)]) as supervisor:
            asker = current_runtime().processes()[-1]
            host = await supervisor.start(Host)
            assert str(host.pid) == await Host.hold(host, asker, 1.0)

    run_program(program)


@pytest.mark.parametrize("how", ["kill", "stop", "limit"])
def test_tree_in_a_server_that_is_ended(how):
    """However the server is ended, the tree inside ends before it, in order."""

    async def program():
        async with Tree([child(Asker)]) as supervisor:
            asker = current_runtime().processes()[-1]
            host = await supervisor.start(Host, restart="temporary", shutdown=2.0)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_hold, host, asker)
                await trio.sleep(1)
                inner = host._process.behaviour.server.inner
                asked = inner.processes()[-1]
                match how:
                    case "kill":
                        kill(host)
                    case "stop":
                        await supervisor.terminate_child("Host")
                    case "limit":
                        supervisor.shutdown()
                await host.wait()
            assert_nothing_left(inner)
            assert Shutdown() == asked.exit_reason

    run_program(program)


async def _hold(host: Any, asker: Any) -> None:
    with pytest.raises(CallExited):
        await Host.hold.within(math.inf)(host, asker, math.inf)


def test_tree_in_the_init_of_a_child():
    """Trees nest through starts as well: a child whose init opens and closes a tree is a child like any other."""

    class Nested(GenServer):
        async def init(self) -> None:
            async with Tree([child(Asker)]):
                await start_link_fails()

    async def start_link_fails() -> None:
        with pytest.raises(NotInProcess):
            await start_link(Asker)

    async def program():
        async with Tree([child(Nested)]) as supervisor:
            assert 1 == (await supervisor.count_children()).active

    run_program(program)
