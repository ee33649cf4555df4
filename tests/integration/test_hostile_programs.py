"""Programs that nobody should write, and that must not take more with them than they deserve."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CallExited,
    Continue,
    GenServer,
    Idle,
    Killed,
    StopTimeout,
    call,
    cast,
    child,
    current_ref,
    current_runtime,
    kill,
    mailbox,
    send_interval,
    send_nowait,
    spawn,
    stop,
    stop_nowait,
)
from tests.integration.laboratory import Steps, Tree, run_program


class Flood(GenServer):
    """Keeps itself busy without ever waiting, in one of several ways."""

    def __init__(self, way: str) -> None:
        self.way = way

    def init(self) -> Any:
        match self.way:
            case "casts":
                Flood.again(current_ref())
            case "messages":
                send_nowait(current_ref(), "again")
            case "continue":
                return Continue()
            case "idle":
                return Idle(0)
        return None

    @cast
    def again(self) -> None:
        Flood.again(current_ref())
        Flood.again(current_ref())

    def handle_info(self, message: object) -> Any:
        if self.way == "idle":
            return Idle(0)
        send_nowait(current_ref(), "again")
        return None

    def handle_continue(self, argument: object) -> Continue:
        return Continue()


@pytest.mark.parametrize("way", ["casts", "messages", "continue", "idle"])
def test_flood_is_killed(way):
    """A server that is always busy does not keep others from running, nor a kill from ending it."""

    async def program():
        async with Tree() as supervisor:
            ref = await supervisor.start(Flood, way, restart="temporary")
            for _ in range(20):
                await trio.lowlevel.checkpoint()
            kill(ref)
            assert Killed() == await ref.wait()

    run_program(program, steps=Steps(limit=5000))


@pytest.mark.parametrize("way", ["casts", "messages", "idle"])
def test_flood_is_stopped(way):
    """A polite stop does not wait behind the messages."""

    async def program():
        async with Tree() as supervisor:
            ref = await supervisor.start(Flood, way, restart="temporary")
            await trio.lowlevel.checkpoint()
            await stop(ref)

    run_program(program, steps=Steps(limit=5000))


def test_fast_interval():
    """An interval shorter than the clock can tell apart neither freezes the loop nor the tree."""

    async def reader():
        async for _ in mailbox():
            pass

    async def program():
        async with Tree([child(reader)]):
            await trio.sleep(10_000)  # where a float is coarser than the period
            timer = send_interval(1e-13, current_runtime().processes()[-1], "tick")
            for _ in range(20):
                await trio.lowlevel.checkpoint()
            timer.cancel()

    run_program(program, steps=Steps(limit=5000), patience=5)


@pytest.mark.parametrize("shutdown", [1.0, "kill"])
def test_shielded_child(shutdown, monkeypatch):
    """A child that shields itself is waited for, and reported again and again; the tree does not pretend."""
    reports: list[dict[str, Any]] = []

    async def shielded():
        with trio.CancelScope(shield=True):
            await trio.sleep(100)

    async def program():
        async with Tree([child(shielded, shutdown=shutdown)]):
            await trio.sleep(1)
        return trio.current_time()

    from nursery_otp._runtime import log

    write = log.write
    monkeypatch.setattr(
        log,
        "write",
        lambda level, event, **fields: reports.append({"event": event, **fields}) or write(level, event, **fields),
    )
    assert 100 == run_program(program)
    survivals = [report for report in reports if report["event"] == "process_survives_kill"]
    assert 3 <= len(survivals) <= 6
    assert "test_hostile_programs.py" in survivals[0]["where"]


class Endless(GenServer):
    """Does not come back from terminate, or from a call."""

    @call
    async def sleep(self) -> None:
        await trio.sleep_forever()

    async def terminate(self, reason: object) -> None:
        await trio.sleep_forever()


def test_terminate_that_never_ends():
    """A terminate that blocks for ever costs its own shutdown limit, and nobody else's."""

    async def program():
        async with Tree([child(Endless, id=number, shutdown=float(number)) for number in (1, 2, 3)]) as supervisor:
            refs = [info.ref for info in await supervisor.which_children()]
        assert {Killed()} == {ref.exit_reason for ref in refs}
        return trio.current_time()

    assert 6 == run_program(program)


def test_terminate_that_never_ends_of_a_dynamic_child():
    """Children of a dynamic supervisor have the same time all at once."""

    async def program():
        async with Tree(strategy="simple_one_for_one") as supervisor:
            for _ in range(10):
                await supervisor.start(Endless, shutdown=2.0)
        return trio.current_time()

    assert 2 == run_program(program)


def test_swallowed_cancellation():
    """Code that swallows its cancellation again and again ends when it is tired of it, with the reason it was given."""

    async def swallow():
        for _ in range(50):
            try:
                await trio.sleep_forever()
            except BaseException:
                pass

    async def program():
        async with Tree([child(swallow, restart="temporary")]):
            ref = current_runtime().processes()[-1]
            await wait_all_tasks_blocked()
            kill(ref)
            assert Killed() == await ref.wait()

    run_program(program)


class Deaf(GenServer):
    """Swallows what a handler should let through."""

    @call
    async def sleep(self) -> str:
        try:
            await trio.sleep_forever()
        except BaseException:
            pass
        return "slept well"


def test_handler_that_swallows_a_kill():
    """A server whose handler swallows the kill may still reply, but it ends when the handler is through."""

    async def program():
        async with Tree() as supervisor:
            ref = await supervisor.start(Deaf, restart="temporary")
            request = Deaf.sleep.request(ref)
            await wait_all_tasks_blocked()
            kill(ref)
            assert Killed() == await ref.wait()
            assert "slept well" == await request.receive()

    run_program(program)


def test_bequest():
    """A process that spawns its successor when it ends does not keep the tree alive for ever."""

    async def again():
        try:
            await trio.sleep_forever()
        finally:
            spawn(again)

    async def program():
        async with Tree():
            spawn(again)
            await wait_all_tasks_blocked()

    run_program(program)


def test_hook_that_kills():
    """A hook on exits that kills and stops others is part of the game."""

    async def idle():
        await trio.sleep_forever()

    async def program():
        async with Tree([child(idle, id=number, restart="temporary") for number in range(20)]) as supervisor:
            refs = [info.ref for info in await supervisor.which_children()]

            def hook(ref: Any, _reason: Any) -> None:
                for other in refs[:10]:
                    kill(other)
                for other in refs[10:]:
                    if other.alive:
                        stop_nowait(other, "enough")

            current_runtime().on_exit(hook)
            kill(refs[5])
            await wait_all_tasks_blocked()
            assert not any(ref.alive for ref in refs)

    run_program(program)


def test_threads():
    """A handler that works in a thread keeps its server until the thread is through, and may talk from there."""
    heard: list[object] = []

    class Worker(GenServer):
        @call
        async def work(self, other: Any) -> str:
            return await trio.to_thread.run_sync(self.in_thread, other)

        def in_thread(self, other: Any) -> str:
            trio.from_thread.run_sync(send_nowait, other, "from a thread")
            return trio.from_thread.run(Worker.echo, other, "echo")

        @call
        def echo(self, value: str) -> str:
            return value

        def handle_info(self, message: object) -> None:
            heard.append(message)

    async def program():
        async with Tree() as supervisor:
            one = await supervisor.start(Worker, id="one", restart="temporary")
            two = await supervisor.start(Worker, id="two")
            assert "echo" == await Worker.work.within(math.inf)(one, two)
            request = Worker.work.request(one, two)
            await trio.lowlevel.checkpoint()
            kill(one)
            assert Killed() == await one.wait()
            with pytest.raises(CallExited):
                await request.receive()

    trio.run(program)  # threads take real time
    assert {"from a thread"} == {*heard}


def test_stop_that_is_never_obeyed():
    """A process that ignores the request to stop makes the one who waits run into its limit, and no more."""

    async def ignore():
        async for _ in mailbox():
            pass

    async def program():
        async with Tree() as supervisor:
            ref = await supervisor.start(ignore, trap_exits=True, shutdown=1.0, restart="temporary")
            with pytest.raises(StopTimeout):
                await stop(ref, within=2.0)
            assert ref.alive
        assert Killed() == ref.exit_reason
        return trio.current_time()

    assert 3 == run_program(program)
