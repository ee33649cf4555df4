"""The collector for Prometheus: groups instead of processes, scrapes in a thread, counters that only grow."""

import sys
import threading
from itertools import count

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    GenServer,
    InvalidSpec,
    Name,
    call,
    cast,
    child,
    current_runtime,
    kill,
    open_supervisor,
    send,
    send_nowait,
    spawn,
    start,
)
from nursery_otp.prometheus import RuntimeCollector


class Counter(GenServer):
    @call
    def add(self, amount):
        return amount

    @call
    async def sleep(self):
        await trio.sleep(10)

    @cast
    def crash(self):
        raise KeyError


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def collector(registry):
    collector = RuntimeCollector()
    registry.register(collector)
    return collector


@pytest.fixture
async def tree(collector):
    async with open_supervisor([child(Counter, name=Name("counter"))], max_restarts=10**9) as supervisor:
        collector.watch()
        yield supervisor
        supervisor.shutdown()


def samples(registry):
    """What a scrape says: the values by name and labels."""
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    names = [family.name for family in families]
    assert len(set(names)) == len(names)
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def value(registry, name, **labels):
    """One of them."""
    return registry.get_sample_value(f"nursery_otp_{name}", {"tree": "main", **labels})


async def test_groups(tree, registry):
    """The processes of a group are one time series, however many they are and were."""
    for _ in range(5):
        await start(Counter)
    ref = spawn(trio.sleep_forever)
    for _ in range(3):
        send_nowait(ref, 1)
    Counter.crash(Name[Counter]("counter"))
    await wait_all_tasks_blocked()

    assert 6 == value(registry, "processes", group="Counter")
    assert 7 == value(registry, "processes_started_total", group="Counter")
    assert 1 == value(registry, "processes_ended_total", group="Counter", reason="crashed")
    assert 3 == value(registry, "mailbox_messages", group="sleep_forever")
    assert 3 == value(registry, "mailbox_longest", group="sleep_forever")
    assert 1 == value(registry, "messages_handled_total", group="Counter")
    assert 1 == value(registry, "restarts_total", supervisor="root")


async def test_whole(tree, registry, autojump_clock):
    """Letters, sends, timeouts, monitors and breakers are those of the whole tree."""
    Counter.crash(Name[Counter]("nobody"))
    await send(Name("nobody"), 1, on_error="ignore")
    await send(Name("counter"), 1)
    with pytest.raises(trio.TooSlowError):
        await Counter.sleep.within(1)(Name[Counter]("counter"))

    assert 1 == value(registry, "dead_letters_total", reason="noproc")
    assert 1 == value(registry, "letters")
    assert 1 == value(registry, "sends_total", outcome="delivered")
    assert 1 == value(registry, "sends_total", outcome="NoProcess")
    assert 0 == value(registry, "send_retries_total")
    assert 1 == value(registry, "timeouts_fired_total", operation="Counter.sleep", kind="call")
    assert 0 == value(registry, "monitors")
    assert 0 == value(registry, "circuit_breakers", position="open")


async def test_limit_reached(registry, collector):
    """A supervisor that gives up is counted."""
    with pytest.raises(Exception, match="restart"):
        async with open_supervisor([child(Counter, name=Name("counter"))], max_restarts=0):
            collector.watch()
            Counter.crash(Name[Counter]("counter"))
            await trio.sleep_forever()

    assert 1 == value(registry, "restart_limits_total", supervisor="root")


async def test_two_trees(registry, collector):
    """Two runtimes are told apart by a label, in the same families."""
    async with open_supervisor([child(Counter)]) as one:
        end = collector.watch(tree="one")
        async with open_supervisor([child(Counter), child(Counter, id="other")]) as two:
            collector.watch(tree="two")
            found = samples(registry)
            two.shutdown()
        end()
        left = samples(registry)
        one.shutdown()
    alive = "nursery_otp_processes", ("group", "Counter")

    assert (1, 2) == (found[*alive, ("tree", "one")], found[*alive, ("tree", "two")])
    assert (*alive, ("tree", "one")) not in left


async def test_watch_is_checked(tree, collector):
    """One label is for one runtime; what cannot be part of a metric is refused."""
    with pytest.raises(InvalidSpec, match="is the label of a runtime that is watched already"):
        collector.watch()
    with pytest.raises(InvalidSpec, match="must be a text"):
        collector.watch(tree="")
    with pytest.raises(InvalidSpec, match="prefix"):
        RuntimeCollector("no good")


async def test_end_twice(tree, registry, collector):
    """Ending it twice ends nothing else."""
    end = collector.watch(tree="second")
    end()
    collector.watch(tree="second")
    end()

    assert value(registry, "processes", group="Counter") == 1
    assert any(("tree", "second") in sample for sample in samples(registry))


async def test_no_label_per_process(tree, registry):
    """A thousand processes make no more time series than one."""
    before = len(samples(registry))
    for _ in range(1000):
        await start(Counter)

    assert before == len(samples(registry))


async def test_scrape_in_a_thread(tree, registry):
    """A scrape runs in another thread while processes come and go: no error, and counters only grow."""
    over, problems, scrapes = threading.Event(), [], []

    def scrape():
        before = {}
        try:
            while not over.is_set():
                now = samples(registry)
                problems.extend(
                    key for key, old in before.items() if key[0].endswith("_total") and now.get(key, -1) < old
                )
                before = now
                scrapes.append(now)
        except Exception as error:
            problems.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        for number in count():
            if number >= 300 and (len(scrapes) >= 5 or problems):
                break
            kind = type(f"Kind{number % 60}", (Counter,), {})
            ref = await start(kind)
            await kind.add(ref, 1)
            kill(ref)
            await ref.wait()
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval)

    assert [] == problems
    assert len(scrapes) > 3


async def test_scrape_while_the_loop_is_stuck(tree, registry):
    """A scrape answers while the event loop does not."""
    found = []
    thread = threading.Thread(target=lambda: found.append(value(registry, "processes", group="Counter")))
    thread.start()
    thread.join()  # blocks the loop

    assert [1] == found


async def test_tree_that_has_ended(registry, collector):
    """The numbers of a tree that has ended stay, until somebody ends the watching."""
    async with open_supervisor([child(Counter)]) as supervisor:
        end = collector.watch()
        runtime = current_runtime()
        supervisor.shutdown()
    await trio.lowlevel.checkpoint()

    assert runtime.closed
    assert 0 == value(registry, "processes", group="Counter")
    assert 1 == value(registry, "processes_started_total", group="Counter")
    end()
    assert {} == samples(registry)
