"""`explain`: from what happened back to why."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CallExited,
    GenServer,
    MailboxOptions,
    Name,
    NoProcess,
    RestartLimitReached,
    Supervisor,
    call,
    child,
    current_runtime,
    explain,
    kill,
    link,
    open_supervisor,
    send_exit,
    send_nowait,
    spawn,
    stop,
)
from nursery_otp._runtime import causes


class Divider(GenServer):
    """Crashes when asked to divide by zero."""

    @call
    def divide(self, by):
        return 1 / by


async def idle():
    await trio.sleep_forever()


def kinds(explanation):
    return [incident.kind for incident in explanation.incidents]


async def test_returned(tree):
    """A process that returned has no cause but itself."""
    ref = spawn(trio.lowlevel.checkpoint)
    await ref.wait()

    assert "<checkpoint#2 ended: normal>: it returned" == str(explain(ref))


async def test_crash(tree):
    """A crash is its own cause, and names the message."""
    ref = await tree.start(Divider, restart="temporary")
    with pytest.raises(CallExited):
        await Divider.divide(ref, 0)

    explanation = explain(ref)

    assert ["crash"] == kinds(explanation)
    assert "ZeroDivisionError" in str(explanation)
    assert "while it handled Message(divide(0))" in str(explanation)


async def test_restart(tree):
    """An incarnation was started because its predecessor crashed."""
    old = await tree.start(Divider, name=Name[Divider]("divider"))
    with pytest.raises(CallExited):
        await Divider.divide(old, 0)
    assert 1 == await Divider.divide(Name[Divider]("divider"), 1)

    explanation = explain(Name[Divider]("divider"))

    assert ["start", "restart", "crash"] == kinds(explanation)
    first, *because = str(explanation).splitlines()
    assert "is alive, incarnation 2" in first
    assert all(line.startswith("  because ") for line in because)
    assert str(old) in because[-1]


@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (kill, "kill", "it was killed at test_explaining.py:"),
        (lambda ref: send_exit(ref, "boo"), "signal", "exit signal failed('boo') at test_explaining.py:"),
    ],
)
async def test_by_hand(tree, act, kind, text):
    """Who was killed or signalled was so by a line of code."""
    ref = spawn(idle)
    act(ref)
    await ref.wait()

    assert ["exit", kind] == kinds(explain(ref))
    assert text in explain(ref).root.text


async def test_by_a_process(tree):
    """If the code ran in a process, that is named too."""
    victim = spawn(idle)

    async def killer():
        kill(victim)

    by = spawn(killer)
    await victim.wait()

    assert f"it was killed by <killer#{by.pid}" in explain(victim).root.text


async def test_stop(tree):
    """A process that was asked to stop says by which line."""
    ref = await tree.start(Divider, restart="temporary")
    await stop(ref)

    assert ["exit", "stop"] == kinds(explain(ref))
    assert "it was asked to stop at test_explaining.py:" in explain(ref).root.text


async def test_links(tree):
    """Who dies of a link died of what the other died of, however far away that was."""
    refs = []

    async def linked(peer):
        if peer is not None:
            link(peer)
        await idle()

    for _ in range(4):
        refs.append(spawn(linked, refs[-1] if refs else None))
    await wait_all_tasks_blocked()
    kill(refs[0])
    await refs[-1].wait()

    assert ["exit"] * 4 + ["kill"] == kinds(explain(refs[-1]))


async def test_group():
    """A sibling that was stopped with its group was so because of the one that crashed."""
    async with open_supervisor([child(idle)], strategy="one_for_all") as supervisor:
        [sibling] = [info.ref for info in await supervisor.which_children()]
        ref = await supervisor.start(Divider)
        with pytest.raises(CallExited):
            await Divider.divide(ref, 0)
        await wait_all_tasks_blocked()

        assert ["exit", "stop", "crash"] == kinds(explain(sibling))
        assert str(ref) in explain(sibling).root.text
        supervisor.shutdown()


async def test_terminate_child(tree):
    """A child that was terminated was so by request."""
    ref = await tree.start(idle, id="idle")
    await tree.terminate_child("idle")

    assert ["exit", "stop", "request"] == kinds(explain(ref))
    assert "terminate_child" in explain(ref).root.text
    assert " at test_explaining.py:" in explain(ref).root.text


async def test_shutdown():
    """The end of a whole tree goes back to the line that called shutdown()."""
    async with open_supervisor([child(idle)]) as supervisor:
        [ref] = [info.ref for info in await supervisor.which_children()]
        supervisor.shutdown()

    assert ["exit", "stop", "stop"] == kinds(explain(ref))
    assert "shutdown() was called at test_explaining.py:" in explain(ref).root.text


async def test_body_fails():
    """The end of a tree whose block failed goes back to the exception of the block."""
    with pytest.raises(KeyError):
        async with open_supervisor([child(idle)]) as supervisor:
            [ref] = [info.ref for info in await supervisor.which_children()]
            raise KeyError("body")

    assert "the block of open_supervisor failed: KeyError('body')" == explain(ref).root.text


async def test_cancelled_from_outside():
    """The end of a tree that was cancelled goes back to that."""
    with trio.CancelScope() as scope:
        async with open_supervisor([child(idle)]) as supervisor:
            [ref] = [info.ref for info in await supervisor.which_children()]
            scope.cancel()
            await trio.lowlevel.checkpoint()

    assert "the block of open_supervisor was cancelled from outside" == explain(ref).root.text


class Team(Supervisor):
    """Two levels above the crash."""

    def children(self):
        return [child(Squad)]


class Squad(Supervisor):
    """Gives up at the first crash."""

    max_restarts = 0

    def children(self):
        return [child(crashing), child(idle, id="bystander")]


async def crashing():
    await trio.lowlevel.checkpoint()
    raise ValueError("the root of it all")


async def test_escalation():
    """When a limit escalates up to the root, everybody's end goes back to the first crash."""
    ends = []
    with pytest.raises(RestartLimitReached):
        async with open_supervisor([child(idle), child(Team)], max_restarts=0):
            current_runtime().on_exit(lambda ref, _reason: ends.append(ref))
            await trio.sleep_forever()

    assert len(ends) >= 5
    assert [] == [str(explain(ref)) for ref in ends if "the root of it all" not in explain(ref).root.text]


async def test_overflow(tree):
    """A process that crashed of an overflow says so."""
    ref = spawn(idle, mailbox=MailboxOptions(capacity=1, overflow="crash"))
    send_nowait(ref, 1)
    send_nowait(ref, 2)
    await ref.wait()

    first, because = str(explain(ref)).splitlines()
    assert "<idle#2 ended: crashed(MailboxOverflow('more than 1 messages in the mailbox'))>" == first
    assert "more than 1 messages were in its mailbox, the last of them was sent at test_explaining.py:" in because


async def test_forgotten(monkeypatch, autojump_clock):
    """What is too long ago is said to be forgotten; what is remembered stays within its bound."""
    monkeypatch.setattr(causes, "INCIDENTS_KEPT", 10)
    async with open_supervisor(max_restarts=1000) as supervisor:
        name = Name[Divider]("divider")
        await supervisor.start(Divider, name=name)
        for _ in range(50):
            with pytest.raises(CallExited):
                await Divider.divide(name, 0)
            await Divider.divide(name, 1)

        assert len(current_runtime().causes) == 10
        explanation = explain(name)
        assert explanation.complete
        assert ["start", "restart", "crash"] == kinds(explanation)
        old = spawn(idle)
        kill(old)
        await old.wait()
        for _ in range(20):
            other = spawn(idle)
            kill(other)
            await other.wait()
        assert not explain(old).complete
        assert "not remembered any more" in str(explain(old))
        supervisor.shutdown()


async def test_unknown(tree):
    """A name that nobody holds cannot be explained; what is no address is an error."""
    with pytest.raises(NoProcess, match="explain"):
        explain(Name("nobody"))
    with pytest.raises(TypeError, match="not an address"):
        explain("nobody")


async def test_two_trees():
    """A cause in another tree is told in words: numbers mean something else there."""
    async with open_supervisor() as one, open_supervisor() as two:
        first = await one.start(Divider, restart="temporary")

        async def linked():
            link(first)
            await idle()

        last = await two.start(linked, restart="temporary")
        with pytest.raises(CallExited):
            await Divider.divide(first, 0)
        await last.wait()
        explanation = explain(last)
        one.shutdown()
        two.shutdown()

    assert ["exit", "exit"] == kinds(explanation)
    assert "while it handled Message(divide(0))" in explanation.root.text


class Clumsy(GenServer):
    """Fails at its second start."""

    starts = 0

    def __init__(self):
        Clumsy.starts += 1
        if Clumsy.starts == 2:
            raise RuntimeError("cannot start")


async def test_failed_restart():
    """A start that failed on the way does not hide what it was all for."""
    Clumsy.starts = 0
    name = Name[Clumsy]("clumsy")
    async with open_supervisor(max_restarts=5) as supervisor:
        first = await supervisor.start(Clumsy, name=name, restart="transient")
        send_exit(first, "boo")
        await first.wait()
        await wait_all_tasks_blocked()
        explanation = explain(name)
        supervisor.shutdown()

    assert ["start", "restart", "exit", "restart", "exit", "signal"] == kinds(explanation)
    assert "exit signal failed('boo')" in explanation.root.text


def test_chain_ends():
    """Whatever the numbers say, a chain ends: a cause came before what it caused."""
    some = causes.Causes(lambda: 0.0)
    number = some.record("exit", "itself", 1)
    assert 1 == number
    assert 1 == len(some.chain(number)[0])
