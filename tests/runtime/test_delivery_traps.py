"""What supervised delivery easily gets wrong, each with a delivery that does: the check finds the difference."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp import (
    BroadcastFailed,
    Down,
    InvalidSpec,
    MailboxOptions,
    Message,
    Name,
    NoProcess,
    ProcessDown,
    broadcast,
    current_runtime,
    dead_letters,
    is_normal,
    kill,
    mailbox,
    monitor,
    open_supervisor,
    send,
    send_nowait,
    spawn,
)
from tests.runtime.helpers import Desk, idle

QUEUE = Name("dead-letter-queue")


class Naive:
    """Delivery as one would write it first, and as it was written."""

    async def send(self, ref, message):
        """Send, and see whether the target is still there a moment later."""
        send_nowait(ref, message)
        await trio.sleep(0.1)
        if not ref.alive:
            raise ProcessDown(ref, ref.exit_reason, ref)

    async def send_handled(self, ref, message):
        """Delivered is what the mailbox took."""
        send_nowait(ref, message)

    async def send_again(self, find, message):
        """A target that ends has not handled the message: the next one gets it."""
        for _ in range(3):
            ref = find()
            watch = monitor(ref)
            send_nowait(ref, message)
            with trio.move_on_after(5):
                down = await mailbox().receive()
                assert isinstance(down, Down)
                assert down.monitor is watch
                continue
            return

    async def send_within(self, ref, message, seconds):
        """Give up when it takes too long, and leave the message where it is."""
        done = trio.Event()
        send_nowait(ref, Message("run_and_tell", (message, done)))
        with trio.fail_after(seconds):
            await done.wait()

    async def send_or_bury(self, name, message):
        """The queue is a process that somebody has to start, and is told by a message."""
        try:
            send_nowait(name, message)
        except NoProcess:
            send_nowait(QUEUE, message)

    async def broadcast_to_all(self, refs, message):
        """One after the other; the first that fails ends it."""
        for ref in refs:
            send_nowait(ref, message)

    async def broadcast(self, refs, message, strategy):
        """The strategy matters when everything has been sent."""
        for ref in refs:
            send_nowait(ref, message)
        if strategy not in ("best_effort", "all_or_nothing"):
            raise InvalidSpec("strategy", strategy, "is unknown")


class Ours:
    """Delivery as it is."""

    async def send(self, ref, message):
        await send(ref, message)

    async def send_handled(self, ref, message):
        await send(ref, message, confirm="handled")

    async def send_again(self, find, message):
        class Target:
            def whereis(self):
                return find()

        await send(Target(), message, confirm="handled", retries=2, on_error="ignore")

    async def send_within(self, ref, message, seconds):
        await send(ref, message, confirm="handled", within=seconds)

    async def send_or_bury(self, name, message):
        await send(name, message, on_error="dead_letter")

    async def broadcast_to_all(self, refs, message):
        await broadcast(refs, message, strategy="all_or_nothing")

    async def broadcast(self, refs, message, strategy):
        await broadcast(refs, message, strategy=strategy)


# --------------------------------------------------------------------------------------------- the traps


async def no_guessing(delivery):
    """A send to whoever works takes no time."""
    began = trio.current_time()
    await delivery.send(spawn(idle), 1)
    return trio.current_time() == began


async def slow_is_no_error(delivery):
    """That the handling of a message takes long, or is the end of its process, is no error of a send."""

    async def slow():
        await mailbox().receive()
        await trio.sleep(0.05)

    try:
        await delivery.send(spawn(slow), 1)
    except ProcessDown:
        return False
    return True


async def handled_once(delivery):
    """Whoever has handled a message and ended in peace has handled it: nobody gets it again."""
    handled = []

    async def once():
        handled.append(await mailbox().receive())

    await inside(delivery.send_again, lambda: spawn(once), "order")
    return ["order"] == handled


async def dies_after_accepting(delivery):
    """Whoever dies after it has accepted a message has not handled it."""

    async def accepts_and_dies():
        await mailbox().receive()
        raise ValueError("planted")

    try:
        await delivery.send_handled(spawn(accepts_and_dies), 1)
    except ProcessDown as error:
        return not is_normal(error.reason)
    return False


async def reported_is_not_handled(delivery):
    """What its sender was told has failed is not handled later."""
    handled = []

    class Slow(Desk):
        async def handle_info(self, message):
            if isinstance(message, float):
                await trio.sleep(message)
            else:
                handled.append(message)

    slow = spawn(Slow)
    send_nowait(slow, 3.0)
    with pytest.raises(trio.TooSlowError):
        await delivery.send_within(slow, "late", 1.0)
    await trio.sleep(5)
    return [] == handled


async def fresh_application(delivery):
    """The message is in the dead-letter queue when the call returns, in a tree in which nobody started anything."""
    try:
        await delivery.send_or_bury(Name("nobody"), "hello")
    except NoProcess:
        return False
    return ["hello"] == [letter.message for letter in dead_letters()]


async def nobody_has_it(delivery):
    """A broadcast to all that fails leaves nobody with the message."""
    fine, full = spawn(idle), spawn(idle, mailbox=MailboxOptions(capacity=1, overflow="reject"))
    send_nowait(full, "first")
    with pytest.raises((BroadcastFailed, trio.WouldBlock)):
        await delivery.broadcast_to_all([fine, full], "all")
    return 0 == len(fine._process.mailbox)


async def unknown_strategy(delivery):
    """An unknown strategy is an error before anything is sent."""
    ref = spawn(idle)
    with pytest.raises(InvalidSpec):
        await delivery.broadcast([ref], 1, "most")
    return 0 == len(ref._process.mailbox)


async def inside(function, *args):
    """Run it as a process."""
    reason = await spawn(function, *args).wait()
    assert is_normal(reason), reason


TRAPS = (
    *(no_guessing, slow_is_no_error, handled_once, dies_after_accepting, reported_is_not_handled),
    *(fresh_application, nobody_has_it, unknown_strategy),
)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
@pytest.mark.parametrize(("kind", "holds"), [(Naive, False), (Ours, True)])
def test_trap(trap, kind, holds):
    """The naive delivery falls into the trap, ours does not."""

    async def main():
        async with open_supervisor() as tree:
            verdict = await trap(kind())
            for ref in current_runtime().processes()[1:]:
                kill(ref)
            await wait_all_tasks_blocked()
            assert current_runtime().ledger().balanced
            tree.shutdown()
        return verdict

    assert holds is trio.run(main, clock=MockClock(autojump_threshold=0))
