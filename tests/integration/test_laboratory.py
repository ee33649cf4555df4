"""The laboratory itself notices what it is there for."""

import pytest
import trio

from nursery_otp import child, current_runtime, send_nowait
from tests.integration.laboratory import Hung, Steps, Tree, assert_sound, run_program


async def idle():
    await trio.sleep_forever()


def test_result():
    """The value of the program comes back, and virtual time costs nothing."""

    async def program():
        await trio.sleep(100_000)
        return trio.current_time()

    assert 100_000 == run_program(program)


def test_hang_behind_a_shield():
    """A program that waits for ever behind a shield fails, with a picture of what it waits for."""

    async def program():
        with trio.CancelScope(shield=True):
            await idle()

    with pytest.raises(Hung, match=r"test_laboratory\.py"):
        run_program(program)


def test_running_in_circles():
    """A program that is always busy fails, too."""

    async def program():
        while True:
            await trio.lowlevel.cancel_shielded_checkpoint()

    with pytest.raises(Hung):
        run_program(program, steps=Steps(limit=1000))


def test_reproducible():
    """The same seed gives the same order of tasks, and some other seed another."""

    async def program():
        order = []
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(note, order, number)
        return order

    async def note(order, number):
        order.append(number)

    assert run_program(program, seed=1) == run_program(program, seed=1)
    assert 1 < len({tuple(run_program(program, seed=seed)) for seed in range(9)})


def test_unbalanced_ledger():
    """A message that disappears without being counted is noticed at once."""

    async def program():
        async with Tree([child(idle)]):
            ref = current_runtime().processes()[-1]
            send_nowait(ref, "hello")
            ref._process.mailbox._items.clear()
            with pytest.raises(AssertionError, match="Ledger"):
                await assert_sound()
            ref._process.mailbox.sent -= 1

    run_program(program)


def test_forgotten_alarm():
    """An alarm that nobody disarmed is noticed at the end of the tree."""

    class Waiter:
        alarm = 0

    async def program():
        with pytest.raises(AssertionError):
            async with Tree() as supervisor:
                current_runtime().alarms.arm(5000, Waiter())
                assert supervisor.ref.alive

    run_program(program)
