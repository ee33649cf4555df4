"""Dead letters that are sent again by the clock, by a service that nobody sees and that may crash."""

import math

import trio

from nursery_otp import (
    AutomaticRetry,
    Backoff,
    CircuitBreaker,
    DeadLetterOptions,
    DeliveryOptions,
    current_runtime,
    dead_letters,
    kill,
    open_supervisor,
    register,
    send,
    spawn,
)
from tests.runtime.helpers import collect, idle
from tests.runtime.letter_queue import NO_JITTER, A, B, bury, check_sums, one_slow, service, tree_with


def automatic(**options):
    """A tree that retries by itself every ten seconds."""
    return tree_with(retry=AutomaticRetry(**({"interval": 10, "backoff": NO_JITTER} | options)))


async def test_automatic(autojump_clock):
    """What is due is sent again without anybody asking, and reaches who has come meanwhile."""
    async with automatic() as tree:
        got = []
        bury(1, recipient=A)
        await trio.sleep(25)
        assert 3 == dead_letters()[0].attempts
        spawn(collect, got, name=A)
        await trio.sleep(10)
        assert [1] == got
        assert 0 == len(dead_letters())
        check_sums()
        tree.shutdown()


async def test_nothing_to_do(autojump_clock):
    """While no letter waits, there is no timer: a clock that jumps finds nothing to jump to."""
    async with automatic() as tree:
        began = trio.current_time()
        bury(1, recipient=A)
        await dead_letters().purge()
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(1e6):
            await trio.sleep_forever()
        assert 1e6 == trio.current_time() - began
        rounds = dead_letters().retrying._last_round
        assert rounds - began <= 20
        tree.shutdown()


async def test_backoff(autojump_clock):
    """The distance between attempts grows, until the letter is exhausted."""
    times = []
    backoff = Backoff(initial=10, factor=3, maximum=1000, jitter=0)
    async with automatic(interval=1, backoff=backoff) as tree:
        began = trio.current_time()
        telemetry = current_runtime().telemetry
        with telemetry.attached(("nursery_otp", "letter", "retried"), lambda *_: times.append(trio.current_time())):
            bury(1, recipient=A)
            await trio.sleep(10_000)
        assert "exhausted" == dead_letters()[0].state
        tree.shutdown()

    assert [10, 40, 130, 400] == [round(time - began) for time in times]


async def test_busy_line_is_not_forgotten(autojump_clock):
    """Letters of a recipient that somebody is busy with are due when that is over, whatever the others wait for."""
    backoff = Backoff(initial=10, factor=100, maximum=1e5, jitter=0)
    async with automatic(interval=1, backoff=backoff) as tree:
        bury(2, recipient=B)
        await trio.sleep(50)  # it is due in a thousand seconds now
        bury(1, recipient=A)
        slow, got = spawn(one_slow, name=A), []
        await trio.sleep(8)  # 1 is due in two seconds
        with trio.move_on_after(4):
            await dead_letters().retry(recipient=A)
        kill(slow)
        await slow.wait()
        spawn(collect, got, name=A)
        await trio.sleep(20)
        assert [1] == got
        tree.shutdown()


async def test_open_breaker(autojump_clock):
    """While the circuit breaker of a recipient is open nothing is tried, and no attempt used up."""
    breaker = CircuitBreaker(failures=1, cool_down=3600)
    delivery, letters = DeliveryOptions(breaker=breaker), DeadLetterOptions(retry=AutomaticRetry())
    async with open_supervisor(delivery=delivery, dead_letters=letters) as tree:
        got = []
        await send(A, "hello", on_error="dead_letter")
        spawn(collect, got, name=A)
        await trio.sleep(3000)
        report = await dead_letters().retry()
        assert ["CircuitOpen"] == [why.split(":")[0] for why in report.failed.values()]
        assert ("waiting", 1, 0) == (dead_letters()[0].state, dead_letters()[0].attempts, check_sums().attempts)
        await trio.sleep(700)
        assert ["hello"] == got
        assert 1 == check_sums().delivered
        tree.shutdown()


async def test_min_age(autojump_clock):
    """A letter is left alone until it has its age."""
    async with automatic(interval=1, min_age=100) as tree:
        got = []
        spawn(collect, got, name=A)
        bury(1, recipient=A)
        await trio.sleep(99)
        assert [] == got
        await trio.sleep(2)
        assert [1] == got
        tree.shutdown()


async def test_new_letter_is_due_first(autojump_clock):
    """A letter that comes while nothing is due for long does not wait for the others."""
    backoff = Backoff(initial=10, factor=100, maximum=1e5, jitter=0)
    async with automatic(interval=1, backoff=backoff) as tree:
        bury(1, recipient=A)
        await trio.sleep(50)  # 1 is due in a thousand seconds now
        bury(2, recipient=B)
        await trio.sleep(15)
        assert [2, 2] == [letter.attempts for letter in dead_letters()]
        tree.shutdown()


async def test_hidden(autojump_clock):
    """What serves the queue is not a part of the tree: no process, no pid, no message of it can be seen."""
    async with automatic() as tree:
        runtime = current_runtime()
        assert (tree.ref,) == runtime.processes()
        assert 2 == spawn(idle).pid
        assert 0 == runtime.ledger().sent
        assert () == await tree.which_children()
        assert ["InlineSupervisor", "retry_dead_letters"] == [
            process.label for process in runtime.services.table.values()
        ]
        tree.shutdown()
    runtime.check_empty()
    runtime.services.check_empty()


async def test_no_services():
    """A tree that needs none has none."""
    async with open_supervisor() as tree:
        assert current_runtime().services is None
        tree.shutdown()


async def test_killed_while_retrying(autojump_clock):
    """The service that retries may be killed at any time: nothing is lost, and it comes back."""
    async with automatic() as tree:
        got = []
        slow = spawn(one_slow, name=A)
        bury(1, 2, recipient=A)
        await trio.sleep(12)
        assert "retrying" == dead_letters()[0].state
        ref = service("retry_dead_letters")
        kill(ref)
        await ref.wait()
        assert ["retrying", "waiting"] == [letter.state for letter in dead_letters()]  # it is being handled still
        kill(slow)
        await slow.wait()
        assert ["waiting", "waiting"] == [letter.state for letter in dead_letters()]
        spawn(collect, got, name=A)
        await trio.sleep(20)
        assert [1, 2] == got
        check_sums()
        tree.shutdown()


async def test_crashes_again_and_again(autojump_clock, monkeypatch):
    """A fault in the service costs it a restart, however often; letters are safe, and the tree does not notice."""
    async with automatic(interval=1) as tree:
        got, crashes = [], []
        queue = dead_letters()
        healthy = queue.retrying._plan

        async def broken(*_args, **_options):
            crashes.append(trio.current_time())
            raise RuntimeError("planted")

        monkeypatch.setattr(queue.retrying, "_plan", broken)
        bury(1, recipient=A)
        await trio.sleep(500)
        monkeypatch.setattr(queue.retrying, "_plan", healthy)
        spawn(collect, got, name=A)
        await trio.sleep(60)
        tree.shutdown()

    assert len(crashes) > 5
    assert [1] == got


async def test_renamed(tree):
    """A letter follows the name, not the process that had it."""
    got = []
    ref = spawn(collect, got)
    bury(1, recipient=A)
    register(A, ref)
    await dead_letters().retry()

    assert [1] == got


def test_limits():
    """The options for automatic retries are those of the design."""
    options = AutomaticRetry()

    assert (30.0, 16) == (options.interval, options.concurrency)
    assert (5, 86_400.0) == (DeadLetterOptions().max_attempts, DeadLetterOptions().expire_after)
    assert math.inf > options.backoff.maximum
