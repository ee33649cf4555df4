"""Addresses: a ref is one incarnation, a name whoever holds it, and anything with `whereis` will do."""

from functools import partial

import pytest
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    NORMAL,
    Name,
    NoProcess,
    Ref,
    Via,
    kill,
    link,
    monitor,
    process_info,
    send,
    send_after,
    send_exit,
    send_nowait,
    spawn,
    stop,
    stop_nowait,
    whereis,
)
from tests.runtime.boxes import drain
from tests.runtime.helpers import Desk, as_process, idle


class Pool:
    """A via address: the first of its processes that is alive."""

    def __init__(self, *refs):
        self.refs = refs

    def whereis(self):
        return next((ref for ref in self.refs if ref.alive), None)


async def test_refs_have_identity(tree):
    """Two processes have two refs, with numbers of their own; a ref is a key."""
    one, other = spawn(idle), spawn(idle)

    assert one != other
    assert one.pid < other.pid
    assert {one: 1, other: 2}[other] == 2
    assert isinstance(one, Ref)


async def test_ref_is_one_incarnation(tree):
    """A restarted child has a new ref; the old one never comes to mean the new process."""
    old = await tree.start(Desk, name=Name("desk"))
    kill(old)
    await wait_all_tasks_blocked()
    new = whereis(Name("desk"))

    assert new is not old
    assert (False, True) == (old.alive, new.alive)
    assert 1 == await Desk.echo(Name("desk"), 1)
    with pytest.raises(NoProcess):
        await Desk.echo(old, 1)


async def test_repr_of_processes(tree):
    """A process is shown by its function or class, its number, and its name."""

    class Callable:
        async def __call__(self):
            await idle()

    assert "<idle#2>" == repr(spawn(idle))
    assert "<idle#3 'x'>" == repr(spawn(idle, name=Name("x")))
    assert "<Callable#4>" == repr(spawn(Callable()))
    assert "<idle#5>" == repr(spawn(partial(partial(idle))))
    assert "<Desk#6>" == repr(await tree.start(Desk))


@as_process
async def test_via_is_an_address(tree):
    """Everything that takes an address takes a via, and looks it up at that moment."""
    first, second = await tree.start(Desk, restart="temporary"), await tree.start(Desk, restart="temporary")
    pool = Pool(first, second)
    assert isinstance(pool, Via)
    assert first is process_info(pool).ref
    await send(pool, 1)
    send_nowait(pool, 2)
    Desk.note(pool, 3)
    assert [1, 2, 3] == await Desk.history(pool)

    link(pool)
    assert first is monitor(pool).ref
    stop_nowait(pool)
    await first.wait()
    assert [] == await Desk.history(pool)
    await stop(pool)
    assert NORMAL == second.exit_reason


async def test_via_that_leads_nowhere(tree):
    """A via without a process is as a name that nobody holds."""
    nowhere = Pool()
    with pytest.raises(NoProcess):
        send_nowait(nowhere, 1)
    with pytest.raises(NoProcess):
        stop_nowait(nowhere)
    with pytest.raises(NoProcess):
        await send(nowhere, 1)
    with pytest.raises(NoProcess):
        await Desk.echo(nowhere, 1)
    with pytest.raises(NoProcess):
        process_info(nowhere)
    Desk.note(nowhere, 1)
    send_exit(nowhere, "boom")
    kill(nowhere)


async def test_via_is_looked_up_late(tree, autojump_clock):
    """A timer looks its via up when the message is due."""
    first, second = spawn(idle), spawn(idle)
    send_after(1, Pool(first, second), "late")
    kill(first)
    await first.wait()
    autojump_clock.jump(2)
    await wait_all_tasks_blocked()

    assert ["late"] == drain(second._process.mailbox)


@pytest.mark.parametrize("wrong", [None, 5, "name", object(), Pool, idle])
@pytest.mark.parametrize(
    "use",
    [
        lambda address: send_nowait(address, 1),
        lambda address: send_exit(address, "boom"),
        lambda address: Desk.note(address, 1),
        lambda address: Desk.echo.request(address, 1),
        lambda address: send_after(1, address, 1),
        kill,
        stop_nowait,
        process_info,
    ],
)
async def test_no_address(tree, use, wrong):
    """What is no address is refused at once, by everything that takes one."""
    with pytest.raises(TypeError, match="not an address"):
        use(wrong)
