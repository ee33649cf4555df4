"""The limits in force: what a call finds, what changes it, and how often limits have passed."""

import gc
import math
import weakref

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Backoff,
    CallTimeout,
    DeliveryTimeout,
    GenServer,
    Name,
    Timeouts,
    call,
    current_runtime,
    kill,
    open_supervisor,
    override_timeouts,
    send,
    spawn,
    stop,
    whereis,
)
from nursery_otp._policy.timeout_rules import Origin
from nursery_otp._runtime import limits as limits_module
from nursery_otp._runtime.limits import OTHERS, Limits
from nursery_otp._runtime.registry import Registry
from nursery_otp._runtime.telemetry import Telemetry
from tests.runtime.helpers import Desk, OtherDesk, idle

# --------------------------------------------------------------------------------------- the table


def counted(policy=None):
    """Limits that note what they ask the policy for."""
    limits = Limits(policy or Timeouts(), Telemetry(lambda: 0.0, print), Registry())
    asked = []

    class Asked(Timeouts):
        def limit(self, identifier, kind="call"):
            asked.append((str(identifier), kind))
            return super().limit(identifier, kind)

    limits.policy = Asked()
    return limits, asked


def test_looked_up_once():
    """The policy is asked once for each operation, however many client functions and calls there are."""
    limits, asked = counted()
    for client in (Desk.echo, Desk.echo.while_restarting("fail"), Desk.echo, Desk.slow):
        assert 5 == limits.calls[client._operation]

    assert [("Desk.echo", "call"), ("Desk.slow", "call")] == asked


def test_handlers_are_looked_up_once():
    """The same for handlers, however many servers of a class there are."""
    limits, asked = counted()
    for _ in range(3):
        assert math.inf == limits.of_handlers(Desk)["run"]

    assert [("Desk.run", "handler")] == asked
    assert limits.of_handlers(Desk) is limits.of_handlers(Desk)
    assert limits.of_handlers(Desk) is not limits.of_handlers(OtherDesk)


def test_tables_are_bounded(monkeypatch):
    """Classes and names that are made while a program runs do not fill the memory."""
    monkeypatch.setattr(limits_module, "TABLE_SIZE", 10)
    limits = Limits(Timeouts(), Telemetry(lambda: 0.0, print), Registry())
    for number in range(100):
        server = type(f"Server{number}", (Desk,), {})
        limits.calls[server.echo._operation]
        limits.of_send(Name(f"name {number}"))
        limits.count_fired(f"name {number}", "send", 1)

    assert all(len(table) <= 10 for table in (limits.calls, limits.sends, limits.known))
    assert 11 == len(limits.fired)
    assert 90 == limits.fired[OTHERS, "send"]
    assert 100 == sum(limits.fired.values())


def test_a_table_of_handlers_keeps_no_class(monkeypatch):
    """What is known about the handlers of a class goes with the class."""
    monkeypatch.setattr(limits_module, "TABLE_SIZE", 0)
    limits = Limits(Timeouts(), Telemetry(lambda: 0.0, print), Registry())

    class Passing(GenServer):
        pass

    table = limits.of_handlers(Passing)
    assert math.inf == table["handle_info"]
    gone = weakref.ref(Passing)
    del Passing
    gc.collect()

    assert None is gone()
    assert 0 == len(limits.handlers)
    assert math.inf == table["handle_continue"]


async def test_derived_clients_do_not_pile_up(tree):
    """Client functions that are made for one call leave nothing behind."""
    desk = await tree.start(Desk)
    for _ in range(10):
        await Desk.echo.while_restarting("fail")(desk, 1)
        await Desk.echo.within(1)(desk, 1)

    assert 1 == len(current_runtime().limits.calls)


# -------------------------------------------------------------------------------------------- sends


class Stranger(GenServer):
    """A class of the same name as `Desk`, see below."""


Stranger.__name__ = "Desk"


async def test_limits_of_sends(tree):
    """A send is an operation called "send" of a kind of process, or of a name."""
    desk, function = await tree.start(OtherDesk), spawn(idle)
    rules = {Desk: 1, "idle.send": 2, "desk.eu.send": 3, "*.send": "long"}
    with override_timeouts(rules=rules):
        limits = current_runtime().limits
        names = [Name("desk.eu"), Name("desk"), Name("odd..name"), Name("with*star")]

        assert [30, 2, 3, 30, 5, 30] == [limits.of_send(each) for each in (desk, function, *names)]
        assert "OtherDesk.send" == limits.send_label(desk)
        assert "idle.send" == limits.send_label(function)
        assert "desk.eu.send" == limits.send_label(Name("desk.eu"))
    with override_timeouts(rules={Desk: 1}):
        assert 1 == limits.of_send(desk)
    with override_timeouts(rules={Desk: 1, Stranger: 2}):
        assert 5 == limits.of_send(Name("Desk"))


DESK = Name[Desk]("desk")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"Desk.send": 1, "*.send": 2, Desk: 3, "desk.send": 4}, 1),
        ({"send": 1, "*.send": 2, Desk: 3, "desk.send": 4}, 1),
        ({"*.send": 2, Desk: 3, "desk.send": 4}, 2),
        ({"Desk": 3, "desk.send": 4}, 3),
        ({"desk.send": 4}, 5),
    ],
)
async def test_a_send_by_name(tree, rules, expected):
    """A send by name is one to the holder: an operation of its class, with the rules and the precedence of those."""
    desk = await tree.start(Desk, name=DESK)
    with override_timeouts(rules=rules):
        limits = current_runtime().limits

        assert [expected] * 2 == [limits.of_send(DESK), limits.of_send(desk)]
        assert ["Desk.send"] * 2 == [limits.send_label(DESK), limits.send_label(desk)]
        assert {("Desk.send", "send")} == set(limits.known)


async def test_a_send_to_a_name_without_a_server(tree):
    """While nobody is known who holds the name, or whoever holds it is no server, the rules are those for the name."""
    limits = current_runtime().limits
    desk = await tree.start(OtherDesk, name=DESK, restart="temporary")
    with override_timeouts(rules={"OtherDesk.send": 1, "desk.send": 2}):
        assert 1 == limits.of_send(DESK)
        await stop(desk)
        await wait_all_tasks_blocked()
        assert (2, "desk.send") == (limits.of_send(DESK), limits.send_label(DESK))
        await tree.start(idle, name=DESK)
        assert (2, "desk.send") == (limits.of_send(DESK), limits.send_label(DESK))


async def test_a_send_to_a_name_that_waits_for_its_server(autojump_clock):
    """Between two incarnations the limit is that of the class that both are of."""
    async with open_supervisor(timeouts=Timeouts(default=50, rules={"Desk.send": 1}), max_restarts=5) as tree:
        await tree.start(Desk, name=DESK, backoff=Backoff(initial=20, jitter=0))
        kill(DESK)
        await wait_all_tasks_blocked()
        assert None is whereis(DESK)
        began = trio.current_time()
        with pytest.raises(DeliveryTimeout):
            await send(DESK, 1)
        took = trio.current_time() - began
        fired = dict(current_runtime().limits.fired)
        tree.shutdown()

    assert 1 == took
    assert {("Desk.send", "send"): 1} == fired


async def test_a_send_that_finds_room_asks_for_no_limit(tree):
    """Rules are only looked at when a send has to wait."""
    await tree.start(Desk, name=DESK)
    await send(DESK, 1)
    await send(DESK, 1, metadata={"a": 1}, retries=3)

    assert {} == current_runtime().limits.known


async def test_a_send_to_a_via(tree):
    """Something that finds a process is called by its class."""

    class Finder:
        def whereis(self):
            return None

    limits = current_runtime().limits
    assert "Finder.send" == limits.send_label(Finder())
    assert 5 == limits.of_send(Finder())


# ------------------------------------------------------------------------------------- being fired


async def test_every_timeout_is_counted(tree, autojump_clock):
    """Every `CallTimeout` that is raised is counted once, under the operation that was called."""
    desk = await tree.start(Desk, restart="temporary")
    fired = current_runtime().limits.fired
    kept = Desk.put_off.request(desk, 5)
    attempts = [
        lambda: Desk.put_off(desk, 1),
        lambda: Desk.put_off.within(2)(desk, 2),
        lambda: Desk.put_off.within(0)(desk, 3),
        lambda: Desk.put_off.request(desk, 4).receive(within=1),
        lambda: kept.wait(within=1),
        lambda: kept.wait(within=0.5),
    ]
    for raised, attempt in enumerate(attempts, start=1):
        with pytest.raises(CallTimeout):
            await attempt()
        assert {("Desk.put_off", "call"): raised} == fired
    with pytest.raises(CallTimeout):
        await Desk.run.within(3)(desk, idle)

    assert {("Desk.put_off", "call"): len(attempts), ("Desk.run", "call"): 1} == fired


async def test_what_is_no_timeout_is_not_counted(tree, autojump_clock):
    """Answers, failures, cancelled calls and requests that were given up before are no fired timeouts."""
    desk = await tree.start(Desk, restart="temporary")
    await Desk.echo(desk, 1)
    with trio.move_on_after(1):
        await Desk.put_off(desk, 1)
    request = Desk.put_off.request(desk, 2)
    with pytest.raises(CallTimeout):
        await request.receive(within=1)
    assert 1 == sum(current_runtime().limits.fired.values())
    with pytest.raises(CallTimeout):
        await request.receive(within=1)

    assert 1 == sum(current_runtime().limits.fired.values())


async def test_expired_with_its_caller(autojump_clock):
    """A request that follows its caller and comes too late is counted once, whoever notices it first."""

    class Follower(GenServer):
        follow_caller = True

        @call
        async def work(self, seconds):
            await trio.sleep(seconds)

    async with open_supervisor() as tree:
        server = await tree.start(Follower)
        with pytest.raises(CallTimeout):
            await Follower.work.within(2)(server, 5)
        with pytest.raises(CallTimeout):
            await Follower.work.within(2)(server, 2)
        assert {("Follower.work", "call"): 2} == current_runtime().limits.fired
        tree.shutdown()


async def test_event(tree, autojump_clock):
    """A limit that passes is told to whoever listens."""
    desk = await tree.start(Desk, restart="temporary")
    seen = []
    listening = current_runtime().telemetry.attached(("nursery_otp", "timeout"), lambda *event: seen.append(event))
    with listening, pytest.raises(CallTimeout):
        await Desk.put_off.within(2)(desk, 1)
    with pytest.raises(CallTimeout):
        await Desk.put_off.within(2)(desk, 1)

    assert [(("nursery_otp", "timeout", "fired"), {"limit": 2}, {"operation": "Desk.put_off", "kind": "call"})] == seen


async def test_change_event(tree):
    """A policy that changes is told with what it was; one that stays the same is not."""
    seen = []
    name = ("nursery_otp", "timeouts")
    listening = current_runtime().telemetry.attached(name, lambda _name, _numbers, about: seen.append(about))
    with listening, override_timeouts(default=2), override_timeouts():
        pass

    assert [
        {"before": Timeouts(), "after": Timeouts(default=2)},
        {"before": Timeouts(default=2), "after": Timeouts()},
    ] == seen


def test_repr():
    """Limits show the policy in force, and how much lies over it."""
    limits = Limits(Timeouts(default=2), Telemetry(lambda: 0.0, print), Registry())
    limits.push({"factor": 2}, Origin("here"))
    limits.count_fired("Desk.echo", "call", 2)

    assert "<Limits: Timeouts(default=2, factor=2), 1 overrides, 1 fired>" == repr(limits)
