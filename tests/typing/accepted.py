"""Everything that is right, with the types that a checker has to find. Nobody runs this file; checkers read it."""

import math
from collections.abc import Iterable
from typing import Any, assert_type

import trio

from nursery_otp import (
    NORMAL,
    Address,
    Backoff,
    ChildCount,
    ChildInfo,
    ChildSpec,
    ClientCall,
    ClientCast,
    Continue,
    Down,
    Exit,
    ExitReason,
    GenServer,
    Idle,
    IdleTimeout,
    Later,
    MailboxOptions,
    Message,
    Monitor,
    Name,
    Next,
    Ref,
    Refuse,
    Request,
    RequestCollection,
    Stop,
    Supervisor,
    SupervisorHandle,
    Timeouts,
    Via,
    answer,
    call,
    caller_gone,
    cast,
    check_childspecs,
    child,
    open_supervisor,
    spawn,
    spawn_link,
    spawn_monitor,
    start,
    start_link,
    start_monitor,
)


class Counter(GenServer):
    """Handlers of all kinds."""

    def __init__(self, start: int = 0) -> None:
        self.value = start
        self.waiting: list[Later[str]] = []

    @call
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    @call
    async def divide(self, by: int, *, exact: bool = False) -> float:
        await trio.lowlevel.checkpoint()
        if by == 0:
            raise Refuse(ZeroDivisionError("by zero"))
        return self.value / by

    @call
    def label(self, *words: str) -> str:
        return " ".join(words)

    @call
    def anything(self, /, *words: str, **more: int) -> str:
        return " ".join([*words, *more])

    @call
    def nothing(self) -> None:
        return None

    @call(follow_caller=True)
    async def follow(self, seconds: float) -> bool:
        await trio.sleep(seconds)
        return caller_gone()

    @call(follow_caller=True)
    def follow_plainly(self, text: str) -> str:
        return text

    @call
    def acquire(self) -> str:
        later = Later[str]()
        self.waiting.append(later)
        return later.pending(then=Idle(5))

    @call
    def finish(self) -> int:
        return answer(self.value, then=Stop(NORMAL))

    @call
    def finish_async(self) -> Later[int] | None:
        return None

    @cast
    def reset(self, value: int = 0) -> None:
        self.value = value

    @cast
    async def reset_slowly(self, value: int) -> None:
        await trio.sleep(1)
        self.value = value

    @cast
    def leave(self) -> Stop:
        return Stop("enough")

    @cast
    def go_on(self, what: str) -> Continue | Idle | None:
        return Continue(what) if what else Idle(math.inf)

    @cast
    async def go_on_later(self) -> Next:
        return Continue()

    def handle_info(self, message: Any) -> Next:
        match message:
            case Down(watch, target, reason):
                assert_type(watch, Monitor)
                print(target)
                assert_type(reason, ExitReason)
            case Exit(source, reason):
                assert_type(source, Ref[Any] | None)
            case IdleTimeout():
                return Stop()
            case Message(operation, args, kwargs):
                assert_type(operation, str)
                print(args, kwargs)
            case _:
                pass
        return None

    def terminate(self, reason: ExitReason) -> None:
        for later in self.waiting:
            assert_type(later.reply("closed"), bool)
            assert_type(later.waiting, bool)


class AsyncCallbacks(GenServer):
    """All callbacks may be async."""

    async def init(self) -> Next:
        return Idle(1)

    async def handle_info(self, message: Any) -> None:
        return None

    async def handle_continue(self, argument: str) -> Stop:
        return Stop()

    async def terminate(self, reason: ExitReason) -> None:
        return None

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        return status | {"state": "hidden"}


class Doubler(Counter):
    """Overrides compatibly, and adds."""

    @call
    def add(self, amount: int) -> int:
        return super().add(2 * amount)

    @call
    def half(self) -> int:
        return self.value // 2


class Team(Supervisor):
    """A class-based supervisor."""

    strategy = "one_for_all"
    max_restarts = 3
    period = 10.0

    def __init__(self, size: int) -> None:
        self.size = size

    def children(self) -> Iterable[ChildSpec]:
        yield child(Counter, self.size, id="counter", restart="transient", shutdown=5.0)
        yield child(Counter, name=COUNTER, shutdown="kill", backoff=Backoff(initial=0.5))
        yield child(worker, "text", 3, significant=True, restart="temporary")


class Finder:
    """Something that knows how to find a server."""

    def whereis(self) -> Ref[Counter] | None:
        return None


COUNTER = Name[Counter]("counter")


async def worker(text: str, number: int) -> None:
    await trio.sleep(number)


async def ready(number: int, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
    task_status.started("value")


async def methods(counter: Counter) -> None:
    """Instance access is the plain method."""
    assert_type(counter.add(1), int)
    assert_type(await counter.divide(2, exact=True), float)
    assert_type(counter.label("a", "b"), str)
    assert_type(counter.anything("a", "b", x=1), str)
    assert_type(await counter.follow(1.0), bool)
    assert_type(counter.follow_plainly("x"), str)
    assert_type(counter.acquire(), str)
    assert_type(counter.reset(), None)
    assert_type(counter.leave(), Stop)
    assert_type(Counter(3).value, int)


def clients() -> None:
    """Class access is the client function."""
    assert_type(Counter.nothing, ClientCall[Counter, [], None])
    assert_type(Counter.leave, ClientCast[Counter, []])
    assert_type(Doubler.half, ClientCall[Doubler, [], int])
    assert_type(Counter.nothing.within(1.5), ClientCall[Counter, [], None])
    assert_type(Counter.nothing.while_restarting("fail"), ClientCall[Counter, [], None])
    assert_type(Counter.add.message(1), Message)
    assert_type(Counter.reset.message(value=1), Message)


async def calls(ref: Ref[Counter], via: Via[Counter], finder: Finder, address: Address[Counter]) -> None:
    """A call gives what the handler returns."""
    assert_type(await Counter.add(ref, 1), int)
    assert_type(await Counter.add(COUNTER, amount=1), int)
    assert_type(await Counter.add(via, 1), int)
    assert_type(await Counter.add(finder, 1), int)
    assert_type(await Counter.add(address, 1), int)
    assert_type(await Counter.divide(ref, 4), float)
    assert_type(await Counter.divide(ref, by=4, exact=True), float)
    assert_type(await Counter.label(ref, "a", "b"), str)
    assert_type(await Counter.anything(ref, "a", "b", x=1), str)
    assert_type(await Counter.follow(ref, 1), bool)
    assert_type(await Counter.follow_plainly(ref, "x"), str)
    assert_type(await Counter.acquire(ref), str)
    assert_type(await Counter.finish(ref), int)
    assert_type(await Counter.add.within(0.1)(ref, 1), int)
    await Counter.nothing(ref)
    Counter.reset(ref)
    Counter.reset(COUNTER, 5)
    Counter.reset_slowly(ref, value=5)
    Counter.leave(ref)


async def subclasses(doubler: Ref[Doubler]) -> None:
    """The ref of a subclass is one of the base; its own requests need the subclass."""
    assert_type(await Counter.add(doubler, 1), int)
    assert_type(await Doubler.half(doubler), int)
    base: Ref[Counter] = doubler
    assert_type(await Counter.add(base, 1), int)


async def requests(ref: Ref[Counter]) -> None:
    """Requests and collections know their results."""
    request = Counter.divide.request(ref, 4)
    assert_type(request, Request[float])
    assert_type(await request.receive(within=1), float)
    assert_type(await request.wait(), float)
    assert_type(request.done, bool)
    collection: RequestCollection[float, str] = RequestCollection()
    collection.add(request, "label")
    assert_type(await collection.receive(within=1), tuple[float, str])


async def starting() -> None:
    """What is started is known by its class, and its arguments are checked."""
    assert_type(await start(Counter, 1), Ref[Counter])
    assert_type(await start(Counter, 1, name=COUNTER, within=1), Ref[Counter])
    assert_type(await start(Team, 3), Ref[Team])
    assert_type(await start(worker, "x", 3), Ref[Any])
    assert_type(await start_link(Counter, 1), Ref[Counter])
    assert_type(await start_monitor(Counter, 1), tuple[Ref[Counter], Monitor])
    assert_type(spawn(worker, "x", 3, trap_exits=True), Ref[Any])
    assert_type(spawn_link(worker, "x", 3), Ref[Any])
    assert_type(spawn_monitor(worker, "x", 3, mailbox=MailboxOptions(capacity=9)), tuple[Ref[Any], Monitor])


async def tree() -> None:
    """The block and its handle."""
    async with open_supervisor(
        [child(Counter, 1)], strategy="rest_for_one", timeouts=Timeouts(default=1), seed=1
    ) as supervisor:
        assert_type(supervisor, SupervisorHandle)
        assert_type(await supervisor.start(Counter, 1), Ref[Counter])
        assert_type(await supervisor.start(Counter, 1, name=COUNTER, restart="transient"), Ref[Counter])
        assert_type(await supervisor.start(Team, 3), Ref[Team])
        assert_type(await supervisor.start(worker, "x", 3), Ref[Any])
        assert_type(await supervisor.start_child(child(Counter)), Ref[Any] | None)
        assert_type(await supervisor.restart_child("x"), Ref[Any] | None)
        assert_type(await supervisor.which_children(), tuple[ChildInfo, ...])
        assert_type(await supervisor.count_children(), ChildCount)
        assert_type(await supervisor.get_childspec("x"), ChildSpec)
        assert_type(supervisor.ref, Ref[Any])
        await supervisor.terminate_child("x")
        await supervisor.delete_child("x")
        supervisor.shutdown(NORMAL)
    check_childspecs([child(Counter)], "never")


def structural(finder: Finder) -> Address[Counter]:
    """A Via is structural."""
    found: Via[Counter] = finder
    return found
