"""Short programs that between them wait in every way there is; each is interrupted at each of its steps.

A scenario gets the `victims` of the interruption: cancel scopes that it has put around something that may be cancelled
without ending the whole. It must not care whether it gets to its end.
"""

from __future__ import annotations

import math
from typing import Any

import trio

from nursery_otp import (
    Backoff,
    CircuitBreaker,
    Continue,
    DeliveryOptions,
    Down,
    Exit,
    GenServer,
    Idle,
    Later,
    MailboxOptions,
    Name,
    OTPError,
    Refuse,
    RequestCollection,
    Stop,
    Supervisor,
    SupervisorHandle,
    broadcast,
    call,
    cast,
    child,
    current_ref,
    get_state,
    link,
    mailbox,
    monitor,
    replace_state,
    resume,
    send,
    send_after,
    send_interval,
    shutdown_scope,
    spawn,
    spawn_link,
    spawn_monitor,
    start,
    start_link,
    start_monitor,
    stop,
    suspend,
    trap_exits,
)
from tests.integration.laboratory import Tree

DESK = Name["Desk"]("desk")


class Desk(GenServer):
    """A server with one handler of each kind."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.put_off: list[Later[str]] = []

    async def init(self) -> Continue:
        await trio.sleep(self.pause)
        return Continue("started")

    async def handle_continue(self, argument: object) -> Idle:
        await trio.sleep(self.pause)
        return Idle(3.0)

    @call
    def quick(self) -> str:
        return "quick"

    @call
    async def slow(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return "slow"

    @call(follow_caller=True)
    async def followed(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return "followed"

    @call
    def later(self) -> str:
        self.put_off.append(Later())
        return self.put_off[-1].pending()

    @call
    async def ask(self, other: Any) -> str:
        return await Desk.quick(other)

    @call
    def refuse(self) -> None:
        raise Refuse(ValueError("no"))

    @cast
    def settle(self) -> None:
        for later in self.put_off:
            later.reply("later")

    @cast
    def crash(self) -> None:
        raise RuntimeError("crash")

    def handle_info(self, message: object) -> None:
        pass

    async def terminate(self, reason: object) -> None:
        await trio.sleep(self.pause)


class Team(Supervisor):
    """Three children, one after the other, which fall and rise together."""

    strategy = "one_for_all"
    max_restarts = 10

    def __init__(self, depth: int = 0) -> None:
        self.depth = depth

    def children(self):
        below = [child(Team, self.depth - 1, id="below")] if self.depth else []
        return [child(Desk, 0.1, id="first"), *below, child(listener, id="last"), child(careful, shutdown=1.0)]


async def listener() -> None:
    async for _ in mailbox():
        pass


async def careful() -> None:
    with shutdown_scope():
        await trio.sleep_forever()
    await trio.sleep(0.2)


async def settled(doing: Any) -> Any:
    """The value, or the error if it is one of the framework's."""
    try:
        return await doing
    except (OTPError, ValueError) as error:
        return error


async def growing(victims: list[trio.CancelScope]) -> None:
    """A tree comes up, is looked at, loses children, and is taken down."""
    async with Tree([child(Team, 2), child(Desk, 0.1, name=DESK)], max_restarts=10) as supervisor:
        with trio.CancelScope() as scope:
            victims.append(scope)
            team = SupervisorHandle((await supervisor.which_children())[0].ref)
            Desk.crash(DESK)
            await settled(Desk.quick(DESK))
            await settled(Desk.quick(DESK))  # waits for the next incarnation
            await settled(team.terminate_child("first"))
            await settled(team.restart_child("first"))
            await settled(team.terminate_child("below"))
            await settled(team.delete_child("below"))
            await settled(supervisor.start(Desk, 0.1, id="one more"))


async def calling(victims: list[trio.CancelScope]) -> None:
    """Calls that are answered at once, late, never, through another server, and by one that is being restarted."""
    async with Tree([child(Desk, name=DESK), child(Desk, 0.3, id="other")], max_restarts=10) as supervisor:
        other = (await supervisor.which_children())[1].ref
        async with trio.open_nursery() as nursery:
            nursery.start_soon(settled, Desk.later.within(math.inf)(DESK))
            nursery.start_soon(settled, Desk.slow.within(0.2)(other, 0.5))
            with trio.CancelScope() as scope:
                victims.append(scope)
                await settled(Desk.followed(other, 1.0))
                await settled(Desk.ask(DESK, other))
                await settled(Desk.refuse(DESK))
                requests = RequestCollection()
                requests.add(Desk.slow.request(DESK, 0.2), "slow")
                requests.add(Desk.quick.request(other), "quick")
                while len(requests):
                    await settled(requests.receive())
                await settled(Desk.later.request(DESK).wait(within=0.1))
            Desk.settle(DESK)
            Desk.crash(DESK)
            with trio.CancelScope() as scope:
                victims.append(scope)
                await settled(Desk.slow(DESK, 0.1))
                await settled(Desk.slow(DESK, 0.1))


async def sending(victims: list[trio.CancelScope]) -> None:
    """Senders wait for room, timers tick, and a reader takes its time."""

    async def reader() -> None:
        async for _ in mailbox():
            await trio.sleep(0.1)

    async with Tree([child(reader, id=kind, mailbox=_small(kind)) for kind in ("lean", "channel")]) as supervisor:
        for info in await supervisor.which_children():
            ticks = send_interval(0.15, info.ref, "tick")
            send_after(0.2, info.ref, "once")
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    victims.append(trio.CancelScope())
                    nursery.start_soon(_send_all, info.ref, victims[-1])
            ticks.cancel()


async def delivering(victims: list[trio.CancelScope]) -> None:
    """Sends are confirmed and retried, wait for room, a restart or a circuit breaker, and go to all or to nobody."""

    async def reader() -> None:
        async for message in mailbox():
            await trio.sleep(0.1)
            if message == "crash":
                raise ValueError(message)

    readers = [child(reader, id=kind, name=Name(kind), mailbox=_small(kind)) for kind in ("lean", "channel")]
    names = [Name[Any]("lean"), Name[Any]("channel")]
    breaker = CircuitBreaker(failures=2, cool_down=0.3, buffer=3)
    options = DeliveryOptions(breaker=breaker)
    async with Tree(readers, max_restarts=20, delivery=options), trio.open_nursery() as nursery:
        for _ in range(2):
            victims.append(trio.CancelScope())
            nursery.start_soon(_deliver_all, names, victims[-1])


async def _deliver_all(names: list[Any], scope: trio.CancelScope) -> None:
    backoff = Backoff(initial=0.1)
    with scope:
        await settled(send(names[0], "crash", confirm="handled", retries=1, backoff=backoff))
        await settled(broadcast(names, "all", strategy="all_or_nothing", within=0.4))
        await settled(send(Name("nobody"), "lost", retries=2, backoff=backoff, on_error="dead_letter"))
        await settled(send(Name("nobody"), "late", within=0.5))
        await settled(broadcast([*names, Name("nobody")], "crash", confirm="handled", within=1.0))


def _small(kind: Any) -> MailboxOptions:
    return MailboxOptions(capacity=1, kind=kind)


async def _send_all(ref: Any, scope: trio.CancelScope) -> None:
    with scope:
        for _ in range(2):
            await settled(send(ref, None))


async def crowding(victims: list[trio.CancelScope]) -> None:
    """A dynamic supervisor is full, and starts wait for a place."""

    async def visitor() -> None:
        await trio.sleep(0.3)

    options = {"strategy": "simple_one_for_one", "max_children": 2}
    async with Tree(**options) as supervisor:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                scope = trio.CancelScope()
                victims.append(scope)
                nursery.start_soon(_visit, supervisor, visitor, scope)
        ref = await supervisor.start(listener, when_full="wait")
        await supervisor.terminate_child(ref)


async def _visit(supervisor: SupervisorHandle, visitor: Any, scope: trio.CancelScope) -> None:
    with scope:
        await settled(supervisor.start(visitor, when_full="wait", restart="temporary"))


async def bonding(victims: list[trio.CancelScope]) -> None:
    """Processes start, link, watch and stop each other."""

    async def parent() -> None:
        trap_exits()
        with trio.CancelScope() as scope:
            victims.append(scope)
            desk = await settled(start_link(Desk, 0.1))
            await settled(start_link(Desk, 0.5, within=0.2))
            watched = await settled(start_monitor(Desk, 0.1))
            spawn_link(_crash)
            spawn_monitor(_crash)
            monitor(spawn(partner, current_ref()))
            await settled(stop(desk, within=5.0))
            await settled(stop(watched[0], "enough", drain=True))
        for _ in range(4):
            with trio.move_on_after(1.0):
                message = await mailbox().receive()
                assert isinstance(message, Down | Exit), message

    async def partner(other: Any) -> None:
        link(other)
        await trio.sleep(0.2)
        raise Stop("done")

    async with Tree([child(parent, restart="temporary")], shutdown=False):
        await settled(start(Desk, 0.5, within=0.2))


async def _crash() -> None:
    raise RuntimeError("crash")


async def inspecting(victims: list[trio.CancelScope]) -> None:
    """A server is suspended, looked into, changed and resumed while calls and casts wait."""
    async with Tree([child(Desk, name=DESK)]) as supervisor:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                victims.append(scope)
                await settled(suspend(DESK))
                nursery.start_soon(settled, Desk.quick(DESK))
                Desk.settle(DESK)
                await settled(get_state(DESK))
                await settled(replace_state(DESK, lambda desk: desk))
                await settled(resume(DESK))
            await settled(resume(DESK))
            await trio.sleep(4.0)
        assert supervisor.ref.alive


async def nesting(victims: list[trio.CancelScope]) -> None:
    """A server that is a tree of its own, and talks to the tree it lives in."""

    class Host(GenServer):
        @call
        async def hold(self, outer: Any) -> str:
            async with Tree([child(Desk, 0.1, name=DESK)]):
                with trio.CancelScope() as scope:
                    victims.append(scope)
                    await settled(Desk.slow(DESK, 0.2))
                    await settled(Desk.quick(outer))
            return "held"

    async with Tree([child(Desk, name=DESK), child(Host, id="host")], max_restarts=10) as supervisor:
        desk, host = (info.ref for info in await supervisor.which_children())
        with trio.CancelScope() as scope:
            victims.append(scope)
            await settled(Host.hold.within(0.3)(host, desk))
            await settled(Host.hold(host, desk))


SCENARIOS = (growing, calling, sending, delivering, crowding, bonding, inspecting, nesting)
