"""Broadcasts to all or to nobody in any history of sends, ends and cancellations; a naive one is found out."""

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp import BroadcastFailed, broadcast, current_runtime, kill, open_supervisor, send
from tests.runtime.atomic import messages, process
from tests.runtime.boxes import OURS

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("broadcast"), st.lists(st.integers(0, 3), max_size=5), st.sampled_from([1.0, 50.0])),
        st.tuples(st.just("take"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("fill"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("cancel"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("pass"), st.sampled_from([0, 2]), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3]), min_size=4, max_size=4), st.sampled_from(OURS), STEPS)
def test_all_or_nothing(sizes, kind, steps):
    """In any history: a broadcast that returned is with all its recipients, every other one with none of them."""
    clock = MockClock()
    trio.run(play, clock, sizes, kind, steps, clock=clock)


async def play(clock, sizes, kind, steps):
    """Some processes and any number of broadcasts; what each got is what was read and what is left."""
    got = {}
    async with open_supervisor() as tree:
        refs = [process(kind, capacity=size) for size in sizes]
        boxes = [ref._process.mailbox for ref in refs]
        await wait_all_tasks_blocked()
        tasks, ended = [], set()
        read = [[] for _ in refs]
        async with trio.open_nursery() as nursery:
            for number, (step, index, seconds) in enumerate(steps):
                if step == "broadcast":
                    task = Numbered(number, [refs[each] for each in index], seconds)
                    tasks.append(task)
                    nursery.start_soon(task.run)
                elif step == "take" and index not in ended and len(boxes[index]):
                    read[index].append(boxes[index].receive_nowait())
                elif step == "fill" and index not in ended and boxes[index].offer("filler"):
                    pass
                elif step == "end" and index not in ended and number > 20:
                    ended.add(index)
                    read[index] += boxes[index].items()
                    kill(refs[index])
                elif step == "cancel" and tasks:
                    tasks[index % len(tasks)].scope.cancel()
                elif step == "pass":
                    await wait_all_tasks_blocked()
                    if index:
                        clock.jump(index)
                        await wait_all_tasks_blocked()
            clock.autojump_threshold = 0
        for index, box in enumerate(boxes):
            if index not in ended:
                assert sizes[index] == box.capacity
                assert not box.line
                read[index] += box.items()
        for task in tasks:
            got[task] = [read[refs.index(ref)].count(task.number) for ref in task.recipients]
            wanted = [task.recipients.count(ref) for ref in task.recipients]
            assert got[task] == (wanted if task.done else [0] * len(wanted)), (task.number, got[task])
        assert current_runtime().ledger().balanced
        tree.shutdown()


class Numbered:
    """A broadcast whose message is its number."""

    def __init__(self, number, recipients, within):
        self.number, self.recipients, self.within = number, recipients, within
        self.scope = trio.CancelScope()
        self.done = False

    async def run(self):
        with self.scope:
            try:
                await broadcast(self.recipients, self.number, strategy="all_or_nothing", within=self.within)
                self.done = True
            except BroadcastFailed:
                return


async def test_naive_is_found():
    """The history check finds a broadcast that sends to one after the other."""
    async with open_supervisor() as tree:
        refs = process(), process(queued=2)
        await wait_all_tasks_blocked()

        async def naive():
            for ref in refs:
                await send(ref, "all")

        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(naive)
                await wait_all_tasks_blocked()
                scope.cancel()
        assert [1, 0] == messages(*refs)
        tree.shutdown()
