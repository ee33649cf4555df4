"""Whose fault it is that a send failed, and whose breaker an address has that is dead, odd or gone."""

import gc

import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CircuitBreaker,
    CircuitOpen,
    MailboxOptions,
    NoProcess,
    ProcessDown,
    current_runtime,
    delivery_statistics,
    kill,
    send,
    send_nowait,
    set_breaker,
    spawn,
)
from nursery_otp._runtime import breakers as module
from tests.runtime.breaking import NAME, POLICY, STRICT, Nowhere, nothing_left, opened, senders, tree
from tests.runtime.helpers import Desk, collect, idle

__all__ = ["senders", "tree"]  # fixtures, for pytest


# ----------------------------------------------------------------------------------- whose fault it is


async def test_stale_ref(tree, autojump_clock):
    """Sends to an incarnation that has ended say nothing about the one that holds the name now."""
    old = await tree.start(Desk, name=NAME)
    kill(old)
    await old.wait()
    await trio.sleep(1)
    for _ in range(3):
        assert isinstance((await send(old, 1, on_error="ignore")).error, ProcessDown)
    assert {} == delivery_statistics().breakers
    assert await send(NAME, 1, confirm="handled")


async def test_stale_ref_in_line(senders, autojump_clock):
    """One that ends while a send to it waits in line cannot be the probe for the next one."""
    first = spawn(idle, name=NAME, mailbox=MailboxOptions(capacity=1, overflow="reject"))
    send_nowait(first, "filler")
    assert not await send(NAME, 1, on_error="ignore")
    await senders.send("old", to=first)
    await senders.send("new")
    assert 2 == delivery_statistics().waiting
    kill(first)
    await first.wait()
    got = []
    spawn(collect, got, name=NAME)
    await trio.sleep(11)
    assert ["new"] == got
    assert {"old": ProcessDown, "new": type(None)} == senders.errors
    nothing_left()


async def test_dead_process_has_none(senders, autojump_clock):
    """A process without a name that has ended needs no breaker: who waits is told, and nothing is kept or shown."""
    current_runtime().breakers._default = CircuitBreaker(failures=1, cool_down=10.0, buffer=5)
    ref = spawn(idle)
    await wait_all_tasks_blocked()
    await senders.send("under way", to=ref, confirm="handled")
    kill(ref)
    await wait_all_tasks_blocked()
    assert {"under way": ProcessDown} == senders.errors
    for _ in range(3):
        assert isinstance((await send(ref, 1, on_error="ignore")).error, ProcessDown)
    nothing_left()
    set_breaker(ref, POLICY)
    assert ref not in current_runtime().breakers._own


async def test_died_later(tree, autojump_clock):
    """Nor is one shown that has ended since its breaker opened."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1, overflow="reject"))
    send_nowait(ref, "filler")
    set_breaker(ref, POLICY)
    assert not await send(ref, 1, on_error="ignore")
    assert {ref: "open"} == delivery_statistics().breakers
    kill(ref)
    await ref.wait()
    assert {} == delivery_statistics().breakers
    assert 0 == current_runtime().breakers.positions()["open"]


# ----------------------------------------------------------------------------- addresses that are odd


async def test_same_id(tree, monkeypatch, autojump_clock):
    """The breaker of an address that cannot be a key is nobody else's, whatever comes to lie in its place."""
    monkeypatch.setattr(module, "id", lambda _whom: 7, raising=False)
    one, other = Nowhere(), Nowhere()
    set_breaker(one, STRICT)
    for _ in range(2):
        assert isinstance((await send(other, 1, on_error="ignore")).error, NoProcess)
    assert isinstance((await send(one, 1, on_error="ignore")).error, NoProcess)
    assert isinstance((await send(one, 1, on_error="ignore")).error, CircuitOpen)
    del one
    current_runtime().breakers._gates.clear()
    gc.collect()
    for _ in range(2):
        assert isinstance((await send(Nowhere(), 1, on_error="ignore")).error, NoProcess)


async def test_gone_is_forgotten(tree, monkeypatch, autojump_clock):
    """Breakers of addresses that nobody has any more are not kept for ever."""
    monkeypatch.setattr(module, "MANY", 10)
    breakers = current_runtime().breakers
    breakers._prune_at = 10
    for _ in range(100):
        set_breaker(Nowhere(), STRICT)
    assert len(breakers._own) <= 20


async def test_no_weak_reference(tree, autojump_clock):
    """An address that nobody can refer to weakly has its breaker all the same."""

    class Slotted(Nowhere):
        __slots__ = ()

    class Tight:
        __slots__ = ()
        __hash__ = None
        whereis = Nowhere.whereis

    for address in (Slotted(), Tight()):
        set_breaker(address, STRICT)
        await opened(address)
        assert isinstance((await send(address, 1, on_error="ignore")).error, CircuitOpen)


async def test_shown(tree, autojump_clock):
    """The statistics show an address that cannot be a key by its `repr`."""
    nowhere = Nowhere()
    set_breaker(nowhere, STRICT)
    await opened(nowhere)
    assert {repr(nowhere): "open"} == delivery_statistics().breakers


async def test_broken_repr(tree, senders, autojump_clock):
    """An address that cannot be shown neither breaks its breaker nor the senders."""

    class Broken(Nowhere):
        target = None

        def __repr__(self):
            raise ZeroDivisionError

        def whereis(self):
            return self.target

    broken, got = Broken(), []
    set_breaker(broken, POLICY)
    ref = spawn(collect, got)
    gate = current_runtime().breakers.gate_at(broken)
    gate._move(module.machine.failed(POLICY, gate.state, 0, now=0.0))
    assert "open" in repr(gate)
    broken.target = ref
    await senders.send("probe", to=broken)
    await trio.sleep(11)
    assert ["probe"] == got
    nothing_left()
