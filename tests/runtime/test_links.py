"""Links: processes that end together, unless they trap exits; and exit signals by themselves."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    Exit,
    Failed,
    Name,
    NoProcess,
    NotInProcess,
    Shutdown,
    Stop,
    current_ref,
    current_runtime,
    kill,
    link,
    mailbox,
    process_info,
    send_exit,
    send_nowait,
    spawn,
    spawn_link,
    trap_exits,
    unlink,
)
from tests.runtime.boxes import drain
from tests.runtime.helpers import as_process, as_task, idle


async def ending(reason):
    """A process that ends at once."""
    await trio.lowlevel.checkpoint()
    raise Stop(reason)


async def linked_to(*targets):
    """A process that is linked to others and does nothing."""
    for target in targets:
        link(target)
    await idle()


async def settled(*refs):
    """The exit reasons once nothing happens any more."""
    await wait_all_tasks_blocked()
    return [ref.exit_reason for ref in refs]


# ------------------------------------------------------------------------------------- ends of a link


@pytest.mark.parametrize("reason", [Failed("boom"), SHUTDOWN, Shutdown("why"), KILLED])
async def test_abnormal_end(tree, reason):
    """An abnormal end, shutdown and killed included, ends the linked process with the same reason."""
    other = spawn(idle)
    ref = spawn(linked_to, other)
    await wait_all_tasks_blocked()
    send_exit(other, reason)

    assert [reason, reason] == await settled(other, ref)


@pytest.mark.parametrize("direction", ["linker", "linked"])
async def test_both_directions(tree, direction):
    """A link has no direction."""
    other = spawn(idle)
    ref = spawn(linked_to, other)
    await wait_all_tasks_blocked()
    kill(ref if direction == "linker" else other)

    assert [KILLED, KILLED] == await settled(other, ref)


async def test_normal_end(tree):
    """A normal end does not end the linked process."""
    other = spawn(ending, NORMAL)
    ref = spawn(linked_to, other)
    await wait_all_tasks_blocked()

    assert [NORMAL, None] == await settled(other, ref)
    assert frozenset() == process_info(ref).links


@pytest.mark.parametrize("reason", [Failed("boom"), NORMAL, KILLED])
@as_process
async def test_trapping(tree, reason):
    """A process that traps exits gets `Exit(source, reason)` instead, whatever the reason."""
    trap_exits()
    other = spawn_link(ending, reason)

    assert Exit(other, reason) == await mailbox().receive()
    assert frozenset() == process_info(current_ref()).links


async def test_chain(tree):
    """An end travels along a chain of links up to a process that traps exits, with the first reason."""
    first = spawn(idle)
    second = spawn(linked_to, first)
    third = spawn(linked_to, second)
    trapping = spawn(linked_to, third, trap_exits=True)
    beyond = spawn(linked_to, trapping)
    await wait_all_tasks_blocked()
    send_exit(first, "boom")

    assert [Failed("boom")] * 3 + [None] * 2 == await settled(first, second, third, trapping, beyond)
    assert [Exit(third, Failed("boom"))] == drain(trapping._process.mailbox)


async def test_ring(tree):
    """A ring of links, and a pair within it, ends as a whole, each process once."""
    refs = [spawn(idle) for _ in range(3)]
    refs.append(spawn(linked_to, *refs))
    refs.append(spawn(linked_to, *refs))
    await wait_all_tasks_blocked()
    assert 7 == len(current_runtime().links())
    kill(refs[1])

    assert [KILLED] * 5 == await settled(*refs)
    assert () == current_runtime().links()


@as_process
async def test_link_twice(tree):
    """Linking twice is linking once."""
    trap_exits()
    other = spawn(idle)
    link(other)
    link(other)
    assert ((current_ref(), other),) == current_runtime().links()
    kill(other)
    await other.wait()

    assert [Exit(other, KILLED)] == drain(mailbox())


@as_process
async def test_link_to_oneself(tree):
    """A link to oneself is none."""
    link(current_ref())

    assert frozenset() == process_info(current_ref()).links


@as_process
async def test_link_to_the_dead(tree):
    """Linking with a process that has ended is `NoProcess`; if one traps exits, it is `Exit(NOPROC)` instead."""
    other = spawn(idle)
    kill(other)
    await other.wait()
    with pytest.raises(NoProcess, match="link"):
        link(other)
    trap_exits()
    link(other)

    assert [Exit(other, NOPROC)] == drain(mailbox())


@as_process
async def test_link_by_name(tree):
    """A name leads to the process behind it; where nobody is, it is `NoProcess` in any case."""
    trap_exits()
    other = spawn(idle, name=Name("other"))
    link(Name("other"))

    assert frozenset({other}) == process_info(current_ref()).links
    with pytest.raises(NoProcess):
        link(Name("nobody"))


# ------------------------------------------------------------------------------------------- unlink


@as_process
async def test_unlink(tree):
    """Without the link nobody is told; both ends forget it, and doing it again does nothing."""
    trap_exits()
    other = spawn_link(idle)
    unlink(other)
    unlink(other)
    unlink(Name("nobody"))
    assert frozenset() == process_info(other).links == process_info(current_ref()).links
    kill(other)
    await other.wait()

    assert [] == drain(mailbox())


@as_process
async def test_unlink_by_the_other_side(tree):
    """Either side can undo a link."""
    here = current_ref()

    async def other():
        unlink(here)
        raise Stop("boom")

    assert Failed("boom") == await spawn_link(other).wait()


@as_process
async def test_unlink_and_flush(tree):
    """A queued `Exit` stays when the link is undone; `flush` removes those of that process, and no others."""
    trap_exits()
    one, other = spawn_link(idle), spawn_link(idle)
    send_nowait(current_ref(), "message")
    for ref in (one, other):
        kill(ref)
        await ref.wait()
    unlink(one)
    assert 3 == process_info(current_ref()).queue_length
    unlink(one, flush=True)

    assert ["message", Exit(other, KILLED)] == drain(mailbox())
    assert {"flushed": 1} == current_runtime().ledger().dropped


# ------------------------------------------------------------------------------------ exit signals


@as_process
async def test_exit_signal(tree):
    """`send_exit` names its sender to who traps exits; a task of a process is a part of it."""
    ref = spawn(idle, trap_exits=True)
    send_exit(ref, "boom")

    async def task():
        send_exit(ref, NORMAL)

    await as_task(task)

    assert [Exit(current_ref(), Failed("boom")), Exit(current_ref(), NORMAL)] == drain(ref._process.mailbox)


async def test_exit_signal_from_outside(tree):
    """From outside of any process the source is None."""
    ref = spawn(idle, trap_exits=True)
    send_exit(ref, KILLED)

    assert [Exit(None, KILLED)] == drain(ref._process.mailbox)


async def test_signal_to_nobody(tree):
    """Signals to a name that nobody holds, or to the dead, do nothing."""
    send_exit(Name("nobody"), "boom")
    kill(Name("nobody"))
    ref = spawn(idle)
    await wait_all_tasks_blocked()
    kill(ref)
    await ref.wait()
    kill(ref)
    send_exit(ref, "boom")

    assert KILLED == ref.exit_reason
    assert 0 == current_runtime().ledger().sent


async def test_signals_by_name(tree):
    """Signals find their target by name, too."""
    one, other = spawn(idle, name=Name("one")), spawn(idle, name=Name("other"))
    send_exit(Name("one"), "boom")
    kill(Name("other"))

    assert [Failed("boom"), KILLED] == await settled(one, other)


@as_process
async def test_trap_exits(tree):
    """`trap_exits` tells the previous setting, and can be switched off again."""
    assert trap_exits() is False
    assert trap_exits() is True
    assert trap_exits(False) is True
    assert trap_exits(False) is False


async def test_trap_exits_at_spawn(tree):
    """A process can be spawned trapping, so that no signal comes too early."""
    ref = spawn(idle, trap_exits=True)
    send_exit(ref, "before the first step")
    await wait_all_tasks_blocked()

    assert ref.alive
    assert process_info(ref).trap_exits


async def test_interrupted_before_trapping(tree):
    """A signal that arrived before the process began to trap exits has its effect."""

    async def process():
        await wait_all_tasks_blocked()
        send_exit(current_ref(), "boom")
        trap_exits()
        await idle()

    assert Failed("boom") == await spawn(process).wait()


@pytest.mark.parametrize("function", [lambda: link(None), lambda: unlink(None), trap_exits])
async def test_outside_of_a_process(tree, function):
    """Links are about the current process: outside of one there is none."""
    with pytest.raises(NotInProcess):
        function()


async def test_no_address(tree):
    """What is no address is a TypeError that says what one is."""
    with pytest.raises(TypeError, match=r"not an address: 5 \(expected a Ref, a Name, or an object with whereis"):
        send_exit(5, "boom")
