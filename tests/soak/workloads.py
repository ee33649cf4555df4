"""The cycles that are turned a million times. Each workload opens a tree and hands its work to `turn`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

from nursery_otp import (
    CallExited,
    CallTimeout,
    Down,
    GenServer,
    Later,
    MailboxOptions,
    MonitorOptions,
    Name,
    Ref,
    Supervisor,
    call,
    cast,
    child,
    demonitor,
    link,
    list_monitors,
    mailbox,
    monitor,
    monitor_stats,
    monitored,
    open_supervisor,
    send_after,
    send_nowait,
    spawn,
    spawn_monitor,
    start,
    stop,
    trap_exits,
    unlink,
)
from tests.soak.gauge import Work

Turn = Callable[[Work], Awaitable[None]]
SERVER = Name["Server"]("server")
ENDLESS: dict[str, float] = {"max_restarts": 10**9, "period": 0.001}
CLIENTS = 50
LEAK_AFTER = 0.01


class Server(GenServer):
    """Answers, crashes, or does neither."""

    @call
    def echo(self, value: int) -> int:
        return value

    @call
    def fail(self) -> None:
        raise ValueError("crash")

    @call
    def never(self) -> None:
        return Later[None]().pending()

    @cast
    def crash(self) -> None:
        raise ValueError("crash")


async def crash_restarts(turn: Turn) -> None:
    """A call crashes its server, the next one finds it restarted."""

    async def work(cycles: int) -> None:
        for number in range(cycles):
            try:
                await Server.fail(SERVER)
            except CallExited:
                pass
            assert number == await Server.echo(SERVER, number)

    async with open_supervisor([child(Server, name=SERVER)], **ENDLESS) as supervisor:
        await turn(work)
        supervisor.shutdown()


class Team(Supervisor):
    """Gives up at the first crash."""

    max_restarts = 0

    def children(self):
        return [child(Server, id="one"), child(Server, name=SERVER), child(Server, id="three")]


async def escalations(turn: Turn) -> None:
    """A crash ends a whole supervisor with its three children, and the one above restarts it."""

    async def work(cycles: int) -> None:
        for _ in range(cycles):
            try:
                await Server.fail(SERVER)
            except CallExited:
                pass
            await trio.lowlevel.checkpoint()
            while True:
                try:
                    await Server.echo(SERVER, 1)
                    break
                except LookupError:  # the name belongs to a child of the supervisor that has ended
                    await trio.lowlevel.checkpoint()

    async with open_supervisor([child(Team)], **ENDLESS) as supervisor:
        await turn(work)
        supervisor.shutdown()


async def in_process(turn: Turn, work: Work, **options: object) -> None:
    """Turn the work inside a process."""

    async def body() -> None:
        trap_exits()
        await turn(work)

    async with open_supervisor(**options) as supervisor:
        ref = await supervisor.start(body, restart="temporary")
        await ref.wait()
        supervisor.shutdown()


async def idle() -> None:
    await trio.sleep_forever()


async def monitors(turn: Turn) -> None:
    """Monitor and demonitor; every tenth monitor fires."""

    async def work(cycles: int) -> None:
        watched = spawn(idle)
        for number in range(cycles):
            if number % 10 == 0:
                watch = monitor(spawn(trio.lowlevel.checkpoint))
                message = await mailbox().receive()
                assert isinstance(message, Down)
                assert message.monitor is watch
            else:
                assert demonitor(monitor(watched))
        await stop(watched)

    await in_process(turn, work)


async def managed_monitors(turn: Turn) -> None:
    """Tagged monitors and blocks end in all ways: the owner's, by the end or crash of either process. One is a leak."""

    async def owner(target: Ref[Any], number: int) -> None:
        monitor(target, tag=("owner", number))
        with monitored(target, tag=number):
            await trio.lowlevel.checkpoint()

    async def doomed(target: Ref[Any]) -> None:
        with monitored(target, tag="doomed"):
            raise ValueError("crash")

    async def cycle(watched: Ref[Any], number: int) -> None:
        match number % 10:
            case 0:  # the target ends in the block; its Down is flushed
                mortal = spawn(trio.lowlevel.checkpoint)
                with monitored(mortal, tag=("mortal", number)):
                    await mortal.wait()
            case 1:  # the owner ends
                await spawn(owner, watched, number).wait()
            case 2:  # the owner crashes
                _, watch = spawn_monitor(doomed, watched, tag=("crash", number))
                assert watch is (await mailbox().receive()).monitor
            case 3:  # nobody is there
                with monitored(Name("nobody"), tag=number):
                    pass
            case _:
                with monitored(watched, tag=number) as watch:
                    assert (watch,) == list_monitors(tag=number)

    async def work(cycles: int) -> None:
        watched = spawn(idle)
        before = monitor_stats()
        with monitored(watched, tag="leak"):
            for number in range(cycles):
                await cycle(watched, number)
            await trio.sleep(2 * LEAK_AFTER)
        await stop(watched)
        found = monitor_stats()
        assert cycles < found.created - before.created
        assert before.leaks < found.leaks
        assert 0 == found.active == len(list_monitors())

    await in_process(turn, work, monitors=MonitorOptions(leak_after=LEAK_AFTER))


async def links(turn: Turn) -> None:
    """Link and unlink; every tenth link carries an exit signal."""

    async def work(cycles: int) -> None:
        peer = spawn(idle)
        for number in range(cycles):
            if number % 10 == 0:
                link(spawn(trio.lowlevel.checkpoint))
                await mailbox().receive()
            else:
                link(peer)
                unlink(peer)
        await stop(peer)

    await in_process(turn, work)


async def timeouts(turn: Turn) -> None:
    """Calls that are never answered, from many clients at a time."""

    async def client(share: int) -> None:
        for _ in range(share):
            try:
                await Server.never.within(0.0001)(SERVER)
            except CallTimeout:
                pass

    async def work(cycles: int) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(CLIENTS):
                nursery.start_soon(client, cycles // CLIENTS)

    async with open_supervisor([child(Server, name=SERVER)]) as supervisor:
        await turn(work)
        supervisor.shutdown()


async def starts(turn: Turn) -> None:
    """Servers without a supervisor start and stop."""

    async def work(cycles: int) -> None:
        for _ in range(cycles):
            await stop(await start(Server))

    await in_process(turn, work)


async def children(turn: Turn) -> None:
    """Children of a dynamic supervisor come and go."""
    async with open_supervisor(strategy="simple_one_for_one") as supervisor:

        async def work(cycles: int) -> None:
            for _ in range(cycles):
                await supervisor.terminate_child(await supervisor.start(Server))

        await turn(work)
        supervisor.shutdown()


async def timers(turn: Turn) -> None:
    """Timers are set and cancelled; every tenth goes off."""

    async def work(cycles: int) -> None:
        reader = spawn(_read)
        for number in range(cycles):
            if number % 10 == 0:
                send_after(0, reader, "now")
                await trio.lowlevel.checkpoint()
            else:
                assert send_after(3600, reader, "later").cancel()
        await stop(reader)

    await in_process(turn, work)


async def _read() -> None:
    async for _ in mailbox():
        pass


async def dead_letters(turn: Turn) -> None:
    """Messages for the dead, and more than a mailbox holds."""

    async def work(cycles: int) -> None:
        dead = spawn(trio.lowlevel.checkpoint)
        await dead.wait()
        full = spawn(idle, mailbox=MailboxOptions(capacity=10, overflow="drop_oldest"))
        for number in range(cycles):
            send_nowait(dead if number % 2 else full, "letter")
            if number % 100 == 0:
                await trio.lowlevel.checkpoint()
        await stop(full)

    async def turn_warm(work: Work) -> None:
        await work(20_000)  # the last 10,000 dead letters are kept
        await turn(work)

    await in_process(turn_warm, work)


@attrs.frozen
class Workload:
    """What is turned, how much of it, and how many crashes there are in a cycle."""

    run: Callable[[Turn], Awaitable[None]]
    share: float = 1.0
    crashes: float = 0


WORKLOADS = {
    "crash-restarts": Workload(crash_restarts, crashes=1),
    "escalations": Workload(escalations, share=0.1, crashes=2),
    "monitors": Workload(monitors),
    "managed monitors": Workload(managed_monitors, crashes=0.1),
    "links": Workload(links),
    "call timeouts": Workload(timeouts),
    "start-stop": Workload(starts),
    "dynamic children": Workload(children),
    "timers": Workload(timers),
    "dead letters": Workload(dead_letters),
}
