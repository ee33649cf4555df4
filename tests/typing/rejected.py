"""Everything that is wrong: each marked line must be rejected by each checker for the reason it names, and no other.

`test_rejected.py` compares. The file is not part of the normal type checks, and nobody runs it.
"""

from typing import Any, assert_type

import trio

from nursery_otp import (
    Backoff,
    CircuitBreaker,
    Continue,
    ExitReason,
    GenServer,
    Idle,
    Later,
    MailboxOptions,
    Message,
    Monitor,
    MonitorOptions,
    Name,
    Ref,
    Refuse,
    RequestCollection,
    Stop,
    Supervisor,
    SupervisorHandle,
    Timeouts,
    answer,
    broadcast,
    call,
    call_with_timeout,
    cast,
    check_childspecs,
    child,
    demonitor,
    find_leaks,
    get_state,
    get_status,
    get_timeout,
    is_normal,
    kill,
    list_monitors,
    load_timeouts,
    monitor,
    monitor_stats,
    monitored,
    open_supervisor,
    override_timeouts,
    register,
    replace_state,
    send,
    send_after,
    set_breaker,
    set_timeouts,
    spawn,
    start,
    start_link,
    start_monitor,
    stop,
    suspend,
    trace,
    whereis,
)


class Counter(GenServer):
    def __init__(self, start: int) -> None:
        self.value = start

    @call
    def add(self, amount: int) -> int:
        return self.value + amount

    @call
    async def divide(self, by: int, *, exact: bool = False) -> float:
        return self.value / by

    @cast
    def reset(self, value: int = 0) -> None:
        self.value = value


class Doubler(Counter):
    @call
    def half(self) -> int:
        return self.value // 2


class Other(GenServer):
    @call
    def add(self, amount: int) -> int:
        return amount


class Team(Supervisor):
    def __init__(self, size: int) -> None:
        self.size = size


COUNTER = Name[Counter]("counter")
DOUBLER = Name[Doubler]("doubler")


async def worker(text: str, number: int) -> None:
    await trio.sleep(number)


# ------------------------------------------------------------------------------------- wrong arguments


async def arguments(ref: Ref[Counter]) -> None:
    await Counter.add(ref, "1")  # E: mypy=arg-type pyright=reportArgumentType
    await Counter.add(ref)  # E: mypy=call-arg pyright=reportCallIssue
    await Counter.add(ref, 1, 2)  # E: mypy=call-arg pyright=reportCallIssue
    await Counter.add(ref, by=1)  # E: mypy=call-arg pyright=reportCallIssue
    await Counter.divide(ref, 1, True)  # E: mypy=call-arg pyright=reportCallIssue
    await Counter.divide(ref, 1, exact="yes")  # E: mypy=arg-type pyright=reportArgumentType
    await Counter.add.within(1)(ref, "1")  # E: mypy=arg-type pyright=reportArgumentType
    await Counter.add.within("1")(ref, 1)  # E: mypy=arg-type pyright=reportArgumentType
    await Counter.add.while_restarting("maybe")(ref, 1)  # E: mypy=arg-type pyright=reportArgumentType
    Counter.add.request(ref, "1")  # E: mypy=arg-type pyright=reportArgumentType
    Counter.add.message("1")  # E: mypy=arg-type pyright=reportArgumentType
    Counter.reset(ref, "1")  # E: mypy=arg-type pyright=reportArgumentType
    Counter.reset(ref, valeu=1)  # E: mypy=call-arg pyright=reportCallIssue
    Counter.reset.message("1")  # E: mypy=arg-type pyright=reportArgumentType


# -------------------------------------------------------------------------------------- wrong addresses


async def addresses(ref: Ref[Counter], doubler: Ref[Doubler], other: Ref[Other]) -> None:
    await Counter.add(other, 1)  # E: mypy=arg-type pyright=reportArgumentType
    await Doubler.half(ref)  # E: mypy=arg-type pyright=reportArgumentType
    await Doubler.half(COUNTER)  # E: mypy=arg-type pyright=reportArgumentType
    await Counter.add(DOUBLER, 1)  # E: mypy=arg-type pyright=reportArgumentType
    await Counter.add("counter", 1)  # E: mypy=arg-type pyright=reportArgumentType
    await Counter.add(1, 1)  # E: mypy=arg-type pyright=reportArgumentType
    await Counter.add(Counter(1), 1)  # E: mypy=arg-type pyright=reportArgumentType
    await Counter.add(Counter, 1)  # E: mypy=arg-type pyright=reportArgumentType
    Counter.reset(other, 1)  # E: mypy=arg-type pyright=reportArgumentType
    Counter.reset("counter")  # E: mypy=arg-type pyright=reportArgumentType
    await Counter.nothing(ref)  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
    register(COUNTER, other)  # E: mypy=misc pyright=reportArgumentType
    register("counter", ref)  # E: mypy=arg-type pyright=reportArgumentType
    whereis("counter")  # E: mypy=arg-type pyright=reportArgumentType
    _found: Ref[Other] | None = whereis(COUNTER)  # E: mypy=arg-type pyright=reportAssignmentType
    _narrow: Ref[Doubler] = ref  # E: mypy=assignment pyright=reportAssignmentType
    _general: Name[Counter] = DOUBLER  # E: mypy=assignment pyright=reportAssignmentType
    _specific: Name[Doubler] = COUNTER  # E: mypy=assignment pyright=reportAssignmentType


# ------------------------------------------------------------------------------- calls, casts, replies


async def mixed_up(ref: Ref[Counter]) -> None:
    await Counter.reset(ref)  # E: mypy=misc pyright=reportGeneralTypeIssues
    Counter.add(ref, 1)  # E: mypy=unused-coroutine pyright=reportUnusedCoroutine
    Counter.reset.within(1)(ref)  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
    Counter.reset.request(ref)  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
    _word: str = await Counter.add(ref, 1)  # E: mypy=assignment pyright=reportAssignmentType
    _value: int = await Counter.divide(ref, 1)  # E: mypy=assignment pyright=reportAssignmentType
    _number: int = Counter.divide(ref, 1)  # E: mypy=assignment pyright=reportAssignmentType
    (await Counter.add(ref, 1)).upper()  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
    _nothing: int = Counter.reset(ref)  # E: mypy=assignment pyright=reportAssignmentType
    _request: str = await Counter.add.request(ref, 1).receive()  # E: mypy=assignment pyright=reportAssignmentType
    await Counter.add.request(ref, 1)  # E: mypy=misc pyright=reportGeneralTypeIssues
    Counter.add.request(ref, 1).receive()  # E: mypy=unused-coroutine pyright=reportUnusedCoroutine
    Counter.add.within(1)(ref, 1)  # E: mypy=unused-coroutine pyright=reportUnusedCoroutine


async def collections(ref: Ref[Counter]) -> None:
    collection: RequestCollection[str, int] = RequestCollection()
    collection.add(Counter.add.request(ref, 1), 1)  # E: mypy=arg-type pyright=reportArgumentType
    collection.add(ref, 1)  # E: mypy=arg-type pyright=reportArgumentType
    assert_type(await collection.receive(), tuple[int, str])  # E: mypy=assert-type pyright=reportAssertTypeFailure


# -------------------------------------------------------------------------------------- wrong handlers


class Handlers(GenServer):
    @call  # E: mypy=arg-type pyright=reportArgumentType
    def lonely() -> int:
        return 1

    @cast  # E: mypy=type-var pyright=reportArgumentType
    def replies(self) -> int:
        return 1

    @cast  # E: mypy=type-var pyright=reportArgumentType
    async def replies_later(self) -> str:
        return "nobody hears it"

    @call
    def later(self) -> int:
        return Later[str]().pending()  # E: mypy=return-value pyright=reportReturnType

    @call
    def answers(self) -> int:
        return answer("text", then=None)  # E: mypy=return-value pyright=reportReturnType

    @call
    def then(self) -> int:
        return answer(1, then=5)  # E: mypy=arg-type pyright=reportArgumentType

    @call
    def pending(self) -> int:
        return Later[int]().pending(then="stop")  # E: mypy=arg-type pyright=reportArgumentType

    @call
    def refuse(self) -> int:
        raise Refuse("no")  # E: mypy=arg-type pyright=reportArgumentType

    @call(follow=True)  # E: mypy=call-overload pyright=reportCallIssue
    def option(self) -> int:
        return 1

    @call
    def wrong_reply(self) -> int:
        return "text"  # E: mypy=return-value pyright=reportReturnType

    def init(self) -> int:  # E: mypy=override pyright=reportIncompatibleMethodOverride
        return 1

    def handle_info(self, message: str, more: int) -> None:  # E: mypy=override pyright=reportIncompatibleMethodOverride
        return None

    def handle_continue(self, argument: Any) -> str:  # E: mypy=override pyright=reportIncompatibleMethodOverride
        return "next"

    def terminate(self, reason: str) -> None:  # E: mypy=override pyright=reportIncompatibleMethodOverride
        return None


class Incompatible(Counter):
    @call
    def add(self, amount: str) -> int:  # E: mypy=override pyright=reportIncompatibleVariableOverride
        return 1

    @call
    async def divide(self, by: int) -> float:  # E: mypy=override pyright=reportIncompatibleVariableOverride
        return 1.0

    @call
    def reset(self, value: int = 0) -> None:  # E: pyright=reportIncompatibleVariableOverride
        return None


class Flags(Supervisor):
    strategy = "all"  # E: mypy=assignment pyright=reportAssignmentType
    max_restarts = "many"  # E: mypy=assignment pyright=reportAssignmentType

    def children(self) -> list[int]:  # E: mypy=override pyright=reportIncompatibleMethodOverride
        return []


# ---------------------------------------------------------------------------------------------- starting


async def starting(supervisor: SupervisorHandle) -> None:
    await start(Counter)  # E: mypy=arg-type pyright=reportArgumentType
    await start(Counter, "1")  # E: mypy=arg-type pyright=reportArgumentType
    await start(Counter, 1, 2)  # E: mypy=arg-type pyright=reportArgumentType
    await start(Counter, 1, name=Name[Other]("x"))  # E: mypy=arg-type pyright=reportArgumentType
    await start(Counter, 1, name="x")  # E: mypy=call-overload pyright=reportArgumentType
    await start(Counter(1))  # E: mypy=call-overload pyright=reportArgumentType
    await start(worker, "x")  # E: mypy=arg-type pyright=reportArgumentType
    await start(worker("x", 1))  # E: mypy=call-overload pyright=reportArgumentType
    await start_link(Counter, "1")  # E: mypy=arg-type pyright=reportArgumentType
    await start_monitor(Counter, "1")  # E: mypy=arg-type pyright=reportArgumentType
    await supervisor.start(Counter, "1")  # E: mypy=arg-type pyright=reportArgumentType
    await supervisor.start(Counter)  # E: mypy=arg-type pyright=reportArgumentType
    await supervisor.start(Counter, 1, name=Name[Other]("x"))  # E: mypy=arg-type pyright=reportArgumentType
    await supervisor.start(Team, "3")  # E: mypy=arg-type pyright=reportArgumentType
    await supervisor.start(worker, 1, "x")  # E: mypy=arg-type pyright=reportArgumentType
    await supervisor.start(Counter, 1, restart="always")  # E: mypy=call-overload pyright=reportArgumentType
    await supervisor.start(Counter, 1, restrat="permanent")  # E: mypy=call-overload pyright=reportCallIssue
    supervisor.start(Counter, 1)  # E: mypy=unused-coroutine pyright=reportUnusedCoroutine
    _ref: Ref[Other] = await supervisor.start(Counter, 1)  # E: mypy=arg-type pyright=reportAssignmentType
    spawn(worker, "x")  # E: mypy=arg-type pyright=reportArgumentType
    spawn(worker, 1, "x")  # E: mypy=arg-type pyright=reportArgumentType
    spawn(len, "x")  # E: mypy=arg-type pyright=reportArgumentType
    spawn(worker("x", 1))  # E: mypy=arg-type pyright=reportArgumentType
    child(Counter, "1")  # E: mypy=arg-type pyright=reportArgumentType
    child(Counter)  # E: mypy=arg-type pyright=reportArgumentType
    child(worker, "x")  # E: mypy=arg-type pyright=reportArgumentType
    child(Counter, 1, restart="always")  # E: mypy=arg-type pyright=reportArgumentType
    child(Counter, 1, shutdown="never")  # E: mypy=arg-type pyright=reportArgumentType
    child(Counter, 1, name="x")  # E: mypy=arg-type pyright=reportArgumentType
    child(Counter, 1, restarts="permanent")  # E: mypy=call-arg pyright=reportCallIssue
    child(Counter, 1, backoff=1)  # E: mypy=arg-type pyright=reportArgumentType
    check_childspecs([Counter])  # E: mypy=list-item pyright=reportArgumentType


# --------------------------------------------------------------------------------------------- the rest


async def options(supervisor: SupervisorHandle) -> None:
    open_supervisor([Counter])  # E: mypy=list-item pyright=reportArgumentType
    open_supervisor(strategy="all_for_one")  # E: mypy=arg-type pyright=reportArgumentType
    open_supervisor(max_restart=1)  # E: mypy=call-arg pyright=reportCallIssue
    open_supervisor(timeouts=5)  # E: mypy=arg-type pyright=reportArgumentType
    open_supervisor(monitors=5)  # E: mypy=arg-type pyright=reportArgumentType
    MonitorOptions(leak_after="5")  # E: mypy=arg-type pyright=reportArgumentType
    async with open_supervisor() as handle:
        await handle.terminate("x")  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
        handle.terminate_child("x")  # E: mypy=unused-coroutine pyright=reportUnusedCoroutine
        await handle.shutdown()  # E: mypy=misc pyright=reportGeneralTypeIssues
        await handle.terminate_child([])  # E: mypy=arg-type pyright=reportArgumentType
    Timeouts(5)  # E: mypy=call-arg pyright=reportCallIssue
    MailboxOptions(overflow="drop")  # E: mypy=arg-type pyright=reportArgumentType
    Backoff(initial="1")  # E: mypy=arg-type pyright=reportArgumentType
    Idle("1")  # E: mypy=arg-type pyright=reportArgumentType
    Name(5)  # E: mypy=arg-type pyright=reportArgumentType


async def system(ref: Ref[Counter]) -> None:
    _state: Other = await get_state(ref)  # E: mypy=arg-type pyright=reportAssignmentType
    get_state(ref).value  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
    await replace_state(ref, lambda counter: 5)  # E: mypy=arg-type pyright=reportArgumentType
    await trace(ref, 5)  # E: mypy=arg-type pyright=reportArgumentType
    await suspend("counter")  # E: mypy=arg-type pyright=reportArgumentType
    await get_status(5)  # E: mypy=arg-type pyright=reportArgumentType


async def processes(ref: Ref[Counter], watch: Monitor, reason: ExitReason) -> None:
    demonitor(ref)  # E: mypy=arg-type pyright=reportArgumentType
    monitor(ref, tag=[])  # E: mypy=arg-type pyright=reportArgumentType
    monitor(ref, "tag")  # E: mypy=call-arg pyright=reportCallIssue
    monitored("counter")  # E: mypy=arg-type pyright=reportArgumentType
    list_monitors(tag={})  # E: mypy=arg-type pyright=reportArgumentType
    list_monitors(owner="counter")  # E: mypy=arg-type pyright=reportArgumentType
    list_monitors(older_than="5")  # E: mypy=arg-type pyright=reportArgumentType
    find_leaks("5")  # E: mypy=arg-type pyright=reportArgumentType
    watch.call_site = "x"  # E: mypy=misc pyright=reportAttributeAccessIssue
    monitor_stats().created = 5  # E: mypy=misc pyright=reportAttributeAccessIssue
    stop(ref)  # E: mypy=unused-coroutine pyright=reportUnusedCoroutine
    kill(watch)  # E: mypy=arg-type pyright=reportArgumentType
    await stop("counter")  # E: mypy=arg-type pyright=reportArgumentType
    send_after(1, "counter", "x")  # E: mypy=arg-type pyright=reportArgumentType
    send_after("1", ref, "x")  # E: mypy=arg-type pyright=reportArgumentType
    is_normal("normal")  # E: mypy=arg-type pyright=reportArgumentType
    reason.error  # E: mypy=union-attr pyright=reportAttributeAccessIssue
    Stop(1, 2)  # E: mypy=call-arg pyright=reportCallIssue
    ref.pid = 5  # E: mypy=misc pyright=reportAttributeAccessIssue
    Continue(1).argument = 5  # E: mypy=misc pyright=reportAttributeAccessIssue
    Message(5)  # E: mypy=arg-type pyright=reportArgumentType
    watch.ref.pid  # E: mypy=union-attr pyright=reportOptionalMemberAccess


async def timeouts(ref: Ref[Counter]) -> None:
    Timeouts(default="5")  # E: mypy=arg-type pyright=reportArgumentType
    Timeouts(rules={Counter: None})  # E: mypy=dict-item pyright=reportArgumentType
    Timeouts(rules=[(Counter, 1)])  # E: mypy=arg-type pyright=reportArgumentType
    Timeouts(tiers={"long": "1"})  # E: mypy=dict-item pyright=reportArgumentType
    Timeouts(while_restarting="no")  # E: mypy=arg-type pyright=reportArgumentType
    Timeouts().default = 5  # E: mypy=misc pyright=reportAttributeAccessIssue
    Timeouts().rules["x"] = 5  # E: mypy=index pyright=reportIndexIssue
    get_timeout(5)  # E: mypy=arg-type pyright=reportArgumentType
    get_timeout(Counter, kind="send")  # E: mypy=arg-type pyright=reportArgumentType
    get_timeout(Counter, "handler")  # E: mypy=call-arg pyright=reportCallIssue
    override_timeouts(defualt=5)  # E: mypy=call-arg pyright=reportCallIssue
    override_timeouts(default="5")  # E: mypy=arg-type pyright=reportArgumentType
    override_timeouts(5)  # E: mypy=call-arg pyright=reportCallIssue
    set_timeouts(5)  # E: mypy=arg-type pyright=reportArgumentType
    load_timeouts(5)  # E: mypy=arg-type pyright=reportArgumentType
    await call_with_timeout(ref, "add")  # E: mypy=arg-type pyright=reportArgumentType
    await call_with_timeout(ref, Counter.add.message("x"))  # E: mypy=arg-type pyright=reportArgumentType
    await call_with_timeout(ref, Counter.add.message(1), 5)  # E: mypy=call-arg pyright=reportCallIssue
    await call_with_timeout("counter", Counter.add.message(1))  # E: mypy=arg-type pyright=reportArgumentType


async def delivery(ref: Ref[Counter]) -> None:
    await send("counter", "x")  # E: mypy=arg-type pyright=reportArgumentType
    await send(ref, "x", retry=3)  # E: mypy=call-arg pyright=reportCallIssue
    await send(ref, "x", retries="3")  # E: mypy=arg-type pyright=reportArgumentType
    await send(ref, "x", on_error="explode")  # E: mypy=arg-type pyright=reportArgumentType
    await send(ref, "x", confirm=True)  # E: mypy=arg-type pyright=reportArgumentType
    await send(ref, "x", within="5")  # E: mypy=arg-type pyright=reportArgumentType
    await send(ref, "x", metadata=5)  # E: mypy=arg-type pyright=reportArgumentType
    send(ref, "x")  # E: mypy=unused-coroutine pyright=reportUnusedCoroutine
    (await send(ref, "x")).delivered = True  # E: mypy=misc pyright=reportAttributeAccessIssue
    await broadcast(ref, "x")  # E: mypy=arg-type pyright=reportArgumentType
    await broadcast([ref], "x", strategy="all")  # E: mypy=arg-type pyright=reportArgumentType
    await broadcast(["x"], "x")  # E: mypy=list-item pyright=reportArgumentType
    set_breaker(ref, 5)  # E: mypy=arg-type pyright=reportArgumentType
    CircuitBreaker(5)  # E: mypy=call-arg pyright=reportCallIssue
