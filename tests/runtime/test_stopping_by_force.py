"""Kills against polite stops: who asks for more, wins."""

import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    kill,
    shutdown_scope,
    spawn,
    stop_nowait,
)
from tests.runtime.helpers import Worker, idle


async def test_kill_beats_a_polite_stop(tree, autojump_clock):
    """A kill ends the clean-up that a polite stop has left time for."""
    worker = Worker()
    ref = spawn(worker)
    await wait_all_tasks_blocked()
    stop_nowait(ref)
    await wait_all_tasks_blocked()
    assert ref.alive
    kill(ref)

    assert KILLED == await ref.wait()
    assert ["work", ("stopped", True)] == worker.log
    assert 0 == trio.current_time()


async def test_kill_ends_a_shutdown_scope(tree):
    """A kill does not stop at the `shutdown_scope`: nothing after it can wait."""
    worker = Worker()
    ref = spawn(worker)
    await wait_all_tasks_blocked()
    kill(ref)

    assert KILLED == await ref.wait()
    assert ["work"] == worker.log


async def test_polite_stop_after_a_kill(tree):
    """Asking politely afterwards does not make a kill polite: a crash in the clean-up is not the reason."""

    async def process():
        with shutdown_scope():
            try:
                await idle()
            finally:
                raise ValueError("clean-up")

    ref = spawn(process)
    await wait_all_tasks_blocked()
    kill(ref)
    stop_nowait(ref)

    assert KILLED == await ref.wait()


async def test_kill_beats_trapping(tree):
    """Trapping exits helps against a polite stop, not against a kill."""
    ref = spawn(idle, trap_exits=True)
    stop_nowait(ref)
    await wait_all_tasks_blocked()
    assert ref.alive
    kill(ref)

    assert KILLED == await ref.wait()
