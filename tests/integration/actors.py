"""The inhabitants of the random trees: servers and plain functions that do what a message orders them to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable
from typing import Any

import trio

from nursery_otp import (
    CallExited,
    CallTimeout,
    Continue,
    Crashed,
    Deadlock,
    Down,
    ExitReason,
    GenServer,
    Idle,
    Ignore,
    Later,
    MailboxFull,
    MailboxOverflow,
    Monitor,
    NoProcess,
    Ref,
    Refuse,
    Runtime,
    Stop,
    Timer,
    UnknownOperation,
    answer,
    call,
    cast,
    current_ref,
    current_runtime,
    demonitor,
    kill,
    link,
    mailbox,
    monitor,
    send_after,
    send_exit,
    send_interval,
    send_nowait,
    shutdown_scope,
    spawn,
    spawn_link,
    trap_exits,
    unlink,
)


class Boom(Exception):
    """The crash that everybody is waiting for."""


CALL_ERRORS = (NoProcess, CallExited, CallTimeout, Deadlock, MailboxFull, UnknownOperation, Boom)
OWN_CRASHES = (Boom, MailboxOverflow, Ignore, Stop)


class World:
    """What the inhabitants of one tree have in common: who is there, and what went wrong."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.waiting = 0
        self._runtimes: set[Runtime] = set()
        self._incarnations: defaultdict[str, list[Ref[Any]]] = defaultdict(list)
        self._downs: Counter[Monitor] = Counter()

    def enter(self, runtime: Runtime) -> None:
        """Watch how the processes of this tree end."""
        if runtime not in self._runtimes:
            self._runtimes.add(runtime)
            runtime.on_exit(self.ended)

    def arrive(self, label: str) -> int:
        """The current process is an incarnation of a child; how many there have been."""
        self.enter(current_runtime())
        earlier = self._incarnations[label]
        if label and earlier and earlier[-1].alive:
            self.problems.append(f"two incarnations of {label} at the same time")
        earlier.append(current_ref())
        return len(earlier)

    def saw(self, message: object) -> None:
        """A monitor fires once."""
        if isinstance(message, Down):
            self._downs[message.monitor] += 1
            if self._downs[message.monitor] > 1:
                self.problems.append(f"{message} came twice")

    def ended(self, ref: Ref[Any], reason: ExitReason) -> None:
        """Nobody crashes for a reason of the framework's own."""
        if isinstance(reason, Crashed) and not _is_own(reason.error):
            self.problems.append(f"{ref} ended with an error that nobody raised")

    async def client(self, what: str, doing: Awaitable[object], errors: tuple[type[Exception], ...]) -> None:
        """Await something that has to come to an end of a kind that is documented."""
        self.waiting += 1
        try:
            await doing
        except errors:
            pass
        except Exception as error:
            self.problems.append(f"{what}: {error!r}")
        finally:
            self.waiting -= 1


def _is_own(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_own, error.exceptions))
    return isinstance(error, OWN_CRASHES)


class Deeds:
    """What an inhabitant can be ordered to do, and what it has to remember of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.monitors: list[Monitor] = []
        self.timers: list[Timer] = []
        self.linked: list[Ref[Any]] = []

    async def obey(self, order: object) -> Any:
        """Carry an order out; what a server's callback returns afterwards."""
        self.world.saw(order)
        match order:
            case ("crash",):
                raise Boom
            case ("crash together",):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_crash_later, 0.0)
                    nursery.start_soon(_crash_later, 0.1)
            case ("stop", reason):
                raise Stop(reason)
            case ("sleep", seconds):
                await trio.sleep(seconds)
            case ("call", ref, order, limit):
                try:
                    await Worker.work.within(limit)(ref, order)
                except CALL_ERRORS:
                    pass
            case ("tell", ref, order):
                _send(ref, order)
            case ("continue", order):
                return Continue(order)
            case ("idle", seconds):
                return Idle(seconds)
            case _:
                self._tie(order)
        return None

    def _tie(self, order: object) -> None:
        match order:
            case ("link", ref):
                self.linked.append(ref)
                try:
                    link(ref)
                except NoProcess:
                    pass
            case ("unlink",) if self.linked:
                unlink(self.linked.pop(), flush=True)
            case ("monitor", ref):
                self.monitors.append(monitor(ref))
            case ("demonitor",) if self.monitors:
                demonitor(self.monitors.pop())
            case ("trap", enabled):
                trap_exits(enabled)
            case ("exit", ref, reason):
                send_exit(ref, reason)
            case ("kill", ref):
                kill(ref)
            case ("after", seconds, ref):
                self.timers.append(send_after(seconds, ref, ("nothing",)))
            case ("every", seconds, ref):
                self.timers.append(send_interval(seconds, ref, ("nothing",)))
            case ("cancel timer",) if self.timers:
                self.timers.pop().cancel()
            case ("spawn", linked, trap):
                (spawn_link if linked else spawn)(listener, self.world, "", trap_exits=trap)


def _send(ref: Ref[Any], order: object) -> None:
    try:
        send_nowait(ref, order)
    except (MailboxFull, NoProcess):
        pass


async def _crash_later(seconds: float) -> None:
    await trio.sleep(seconds)
    raise Boom


class Worker(GenServer):
    """A server that obeys."""

    def __init__(self, world: World, label: str) -> None:
        self.count = world.arrive(label)
        self.deeds = Deeds(world)
        self.pending: list[Later[None]] = []

    @call
    async def work(self, order: object) -> Any:
        match order:
            case ("refuse",):
                raise Refuse(Boom())
            case ("later",):
                self.pending.append(Later())
                return self.pending[-1].pending()
            case ("answer and stop", reason):
                return answer("done", then=Stop(reason))
            case _:
                return answer("done", then=await self.deeds.obey(order))

    @call(follow_caller=True)
    async def follow(self, order: object) -> Any:
        return answer("done", then=await self.deeds.obey(order))

    @cast
    async def do(self, order: object) -> Any:
        return await self.deeds.obey(order)

    async def handle_info(self, message: object) -> Any:
        if self.pending:
            self.pending.pop(0).reply(None)
        return await self.deeds.obey(message)

    async def handle_continue(self, argument: object) -> Any:
        return await self.deeds.obey(argument)

    async def terminate(self, reason: ExitReason) -> None:
        await trio.sleep(0.05)


class Flaky(Worker):
    """One that fails to start at times."""

    async def init(self) -> None:
        await trio.sleep(0.1)
        if self.count % 3 == 0:
            raise Boom


class Trapper(Worker):
    """One that traps exits."""

    trap_exits = True


async def listener(world: World, label: str) -> None:
    """A plain function that obeys."""
    world.arrive(label)
    await _listen(world)


async def _listen(world: World) -> None:
    deeds = Deeds(world)
    async for message in mailbox():
        await deeds.obey(message)


async def announced(world: World, label: str, *, task_status: trio.TaskStatus[str]) -> None:
    """One whose start takes a moment, and is declined at times."""
    count = world.arrive(label)
    await trio.sleep(0.1)
    if count % 4 == 0:
        raise Ignore
    task_status.started(label)
    await _listen(world)


async def tidy(world: World, label: str) -> None:
    """One that cleans up after a polite stop, longer than some allow it to."""
    world.arrive(label)
    with shutdown_scope():
        await _listen(world)
    await trio.sleep(0.3)


async def stubborn(world: World, label: str) -> None:
    """One that shields itself for a while from every attempt to end it."""
    world.arrive(label)
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.7)


async def brief(world: World, label: str) -> None:
    """One that is done soon."""
    world.arrive(label)
    await trio.sleep(0.5)


FUNCTIONS = (listener, announced, tidy, stubborn, brief)
