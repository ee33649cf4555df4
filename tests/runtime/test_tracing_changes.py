"""A tracer that is set, taken off, replaced, broken, or not the only one: nobody else notices."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import InvalidSpec, Tracer, current_runtime, open_supervisor, send_after, send_nowait, spawn, start
from tests.runtime.working import Desk, Ledger, ledger, tree, working_for

__all__ = ["ledger", "tree"]  # fixtures, for pytest


def test_protocol():
    """The protocol is checked where a tracer is given: one without all methods is refused, and nothing changes."""
    assert isinstance(Ledger(), Tracer)
    with pytest.raises(InvalidSpec, match="must be a Tracer, with all of its methods"):
        open_supervisor(tracer=object())


async def test_set_tracer(tree, ledger):
    """A tracer can be set and taken off while everything runs."""
    runtime = current_runtime()
    assert runtime.tracer is ledger
    with pytest.raises(InvalidSpec, match="must be a Tracer"):
        runtime.set_tracer("no")
    ref = await start(Desk)
    runtime.set_tracer(None)
    working_for.set("me")

    assert "nobody" == await Desk.who(ref)
    assert runtime.tracer is None
    assert ledger.log == []


async def test_two_trees(ledger):
    """A tree without a tracer knows nothing of another tree's."""
    async with open_supervisor(tracer=ledger) as outer:
        there = await start(Desk)
        async with open_supervisor() as inner:
            working_for.set("me")
            here = await start(Desk)
            assert "me" == await Desk.who(there)
            logged = len(ledger.log)
            await Desk.who(here)
            assert logged == len(ledger.log)
            inner.shutdown()
        outer.shutdown()


async def test_another_tracer(tree, ledger, autojump_clock):
    """A context that is under way when the tracer changes is not given to the new one."""
    ref, seen = spawn(trio.sleep_forever), []
    desk = await start(Desk)
    working_for.set("me")
    send_after(1, desk, seen)
    new = Ledger()
    current_runtime().set_tracer(new)
    working_for.set("nobody")
    await trio.sleep(2)

    assert seen == ["nobody"]
    assert new.log == []
    assert ref.alive


@pytest.mark.parametrize("method", ["produce", "produced", "enter", "leave", "clear"])
async def test_broken_tracer(method, caplog):
    """A tracer that raises is taken off and reported, once; the processes do not notice."""
    broken = Ledger()

    def fail(*_args, **_options):
        raise ZeroDivisionError("in the tracer")

    setattr(broken, method, fail)
    async with open_supervisor(tracer=broken) as tree:
        ref, other = await start(Desk), await start(Desk)
        working_for.set("me")
        assert await Desk.ask(ref, other) in {"me", "nobody"}
        assert await Desk.ask(ref, other) in {"me", "nobody"}
        send_nowait(ref, [])
        await wait_all_tasks_blocked()
        assert ref.alive
        assert other.alive
        assert (current_runtime().tracer is None) == ("tracer_detached" in caplog.text)
        assert 1 >= caplog.text.count("tracer_detached")
        tree.shutdown()

    assert "in the tracer" in caplog.text
