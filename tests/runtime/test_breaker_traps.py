"""What may come back to a circuit breaker while it works: handlers, addresses, and those who give up."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Backoff,
    CircuitBreaker,
    DeliveryOptions,
    MailboxOptions,
    Name,
    NoProcess,
    ProcessDown,
    broadcast,
    current_runtime,
    delivery_statistics,
    kill,
    open_supervisor,
    send_nowait,
    set_breaker,
    spawn,
    unregister,
    whereis,
)
from nursery_otp._runtime import breakers as module
from tests.runtime.breaking import CHANGED, NAME, POLICY, Senders, nothing_left, opened, senders, tree
from tests.runtime.helpers import Desk, collect, idle

__all__ = ["senders", "tree"]  # fixtures, for pytest


@pytest.fixture
async def changes(tree):
    """What the breakers did."""
    seen = []
    current_runtime().telemetry.attach(CHANGED, lambda _name, _measured, about: seen.append(about["after"]))
    return seen


def when(position, act):
    """Do something once, when a breaker comes to be in this position."""
    acts = [act]

    def on_change(_name, _measured, about):
        if about["after"] == position and acts:
            acts.pop()()

    current_runtime().telemetry.attach(CHANGED, on_change)


# ------------------------------------------------------------------------- handlers that change breakers


@pytest.mark.parametrize("policy", [None, CircuitBreaker(failures=1)])
@pytest.mark.parametrize("position", ["half-open", "closed"])
async def test_replaced_by_handler(senders, policy, position, autojump_clock):
    """A handler of the change may take the breaker away, or give another one: all in line set out, in their order."""
    await opened()
    when(position, lambda: set_breaker(NAME, policy))
    await senders.send(0, 1, 2)
    got = []
    spawn(collect, got, name=NAME)
    await trio.sleep(11)
    assert [0, 1, 2] == got
    assert {0: type(None), 1: type(None), 2: type(None)} == senders.errors
    nothing_left()


async def test_replaced_while_nobody_is_there(senders, changes, autojump_clock):
    """All in line set out, and what becomes of them is not the fault of the new breaker."""
    await opened()
    await senders.send(0, 1, 2)
    set_breaker(NAME, POLICY)
    await wait_all_tasks_blocked()
    assert {0: NoProcess, 1: NoProcess, 2: NoProcess} == senders.errors
    assert ["open"] == changes
    nothing_left()


async def test_cancelled_by_handler_at_a_name(tree, senders, autojump_clock):
    """Nor does a probe that is cancelled by who hears of it wait for the next incarnation."""
    await opened()
    child = await tree.start(Desk, name=NAME, backoff=Backoff(initial=50.0))
    await senders.send(0)
    kill(child)
    await child.wait()
    when("half-open", lambda: senders.scopes[0].cancel())
    await trio.sleep(11)
    assert {} == senders.errors
    assert not current_runtime().registry.entries[NAME.text].waiting


async def test_replaced_while_it_opens(senders, autojump_clock):
    """The same when it opens: the failure was one of the breaker that has gone."""
    when("open", lambda: set_breaker(NAME, POLICY))
    await opened()
    nothing_left()
    await opened()
    assert {NAME: "open"} == delivery_statistics().breakers


async def test_replaced_while_one_sets_out(senders, autojump_clock):
    """So may a handler that hears of the mailbox: those in line keep their order."""
    await opened()
    await senders.send(0, 1, 2)
    ref = spawn(idle, name=NAME, mailbox=MailboxOptions(capacity=1, overflow="drop_oldest"))
    send_nowait(ref, "filler")
    bus = current_runtime().telemetry
    bus.attach(("nursery_otp", "mailbox", "overflowed"), lambda *_: set_breaker(NAME, None))
    await trio.sleep(11)
    assert [2] == ref._process.mailbox.items()
    assert ["filler", 0, 1] == [letter.message for letter in current_runtime().dead_letters]
    nothing_left()


async def test_probe_cancelled_by_handler(senders, autojump_clock):
    """The sender of the probe may be cancelled by who hears of it: then the next one is the probe."""
    await opened()
    await senders.send(0, 1)
    when("half-open", lambda: senders.scopes[0].cancel())
    got = []
    spawn(collect, got, name=NAME)
    await trio.sleep(11)
    assert [1] == got
    assert {1: type(None)} == senders.errors
    nothing_left()


async def test_name_taken_away_by_handler(senders, autojump_clock):
    """So may the name: then the probe fails, and the others wait for another cool-down."""
    await opened()
    await senders.send(0, 1)
    spawn(idle, name=NAME)
    when("half-open", lambda: unregister(NAME))
    await trio.sleep(11)
    assert {0: NoProcess} == senders.errors
    assert {NAME: "open"} == delivery_statistics().breakers


async def test_via_that_changes_the_breaker(senders, autojump_clock):
    """An address that is asked while the line is walked may change the breaker as well."""

    class Meddling:
        def whereis(self):
            if ref is not None:
                set_breaker(self, None)
            return ref

    meddling, got, ref = Meddling(), [], None
    set_breaker(meddling, POLICY)
    gate = current_runtime().breakers.gate_at(meddling)
    gate._move(module.machine.failed(POLICY, gate.state, 0, now=0.0))
    await senders.send(0, 1, to=meddling)
    ref = spawn(collect, got)
    await trio.sleep(11)
    assert [0, 1] == got
    nothing_left()


# --------------------------------------------------------------------- breakers that have been replaced


@pytest.mark.parametrize("policy", [None, POLICY])
async def test_taken_away_is_silent(tree, senders, changes, policy, autojump_clock):
    """What is under way when a breaker is replaced says nothing any more, neither of it nor of the next one."""
    await tree.start(Desk, name=NAME)
    await wait_all_tasks_blocked()
    await senders.send("under way", confirm="handled")
    ref = spawn(idle, name=Name("stuck"))
    set_breaker(Name("stuck"), POLICY)
    await senders.send("lost", to=Name("stuck"), confirm="handled")
    set_breaker(Name("stuck"), policy)
    kill(ref)
    await wait_all_tasks_blocked()
    assert ProcessDown is senders.errors["lost"]
    assert [] == changes
    assert {} == delivery_statistics().breakers
    nothing_left()


# ------------------------------------------------------------------------------------ what is given up


async def test_cancelled_broadcast(tree, nursery, autojump_clock):
    """A cancelled broadcast lets none of its own through that stood in line behind its probe."""
    started = trio.Event()

    class Slow(Desk):
        async def init(self):
            await started.wait()

    await opened()
    nursery.start_soon(lambda: tree.start(Slow, name=NAME))
    await trio.sleep(11)
    ref = whereis(NAME)
    scope = trio.CancelScope()

    async def sender():
        with scope:
            await broadcast([NAME, ref], "both", within=100.0)

    nursery.start_soon(sender)
    await wait_all_tasks_blocked()
    assert 1 == delivery_statistics().waiting
    scope.cancel()
    await wait_all_tasks_blocked()
    assert [] == ref._process.mailbox.items()
    assert 2 == delivery_statistics().cancelled
    started.set()


async def test_end_of_the_tree_and_handlers(autojump_clock):
    """A handler that takes breakers away while the tree ends finds nobody waiting for ever."""
    async with trio.open_nursery() as nursery:
        senders = Senders(nursery)
        async with open_supervisor(delivery=DeliveryOptions(breaker=POLICY)) as tree:
            await opened()
            await senders.send(0, 1, 2)
            bus = current_runtime().telemetry
            bus.attach(("nursery_otp", "send"), lambda *_: set_breaker(NAME, None))
            tree.shutdown()
    assert {0, 1, 2} == set(senders.errors)


async def test_many_leave(tree, senders, autojump_clock):
    """Those who give up leave the line wherever they stand, and the others keep their order."""
    set_breaker(NAME, CircuitBreaker(failures=1, cool_down=10.0, buffer=20))
    await opened()
    await senders.send(*range(20))
    for number in range(1, 20, 2):
        senders.scopes[number].cancel()
    await wait_all_tasks_blocked()
    assert 10 == delivery_statistics().waiting
    got = []
    spawn(collect, got, name=NAME)
    await trio.sleep(11)
    assert list(range(0, 20, 2)) == got
    nothing_left()
