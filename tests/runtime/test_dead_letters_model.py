"""Whatever happens to dead letters, each is delivered, still there, or counted as given up; the store agrees."""

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp import (
    AutomaticRetry,
    Backoff,
    DeadLetterOptions,
    LetterEvent,
    MailboxOptions,
    Name,
    current_runtime,
    dead_letters,
    kill,
    mailbox,
    open_supervisor,
    send_nowait,
    spawn,
)
from tests.runtime.letter_queue import check_sums
from tests.runtime.letter_stores import FULL, Disk, FakeStore

NAMES = [Name(text) for text in "abc"]
NUMBER = st.integers(0, 7)
KINDS = [
    *(
        "bury",
        "bury",
        "send",
        "add",
        "spawn",
        "spawn",
        "kill",
        "retry",
        "retry",
        "retry_one",
        "retry_cancelled",
        "retry_behind",
    ),
    *("purge_one", "purge_reason", "refresh", "jump", "trouble", "heal", "request", "remove_by_hand", "kill_service"),
    *("trouble_after", "another_disk"),
]
STEPS = st.tuples(st.sampled_from(KINDS), NUMBER, NUMBER)
GIVEN_UP = ("purged", "expired", "evicted")


class World:
    """One program that runs several times on one disk."""

    def __init__(self, clock):
        self.clock = clock
        self.disk = Disk()
        self.store = None
        self.nursery = None
        self.number = 0
        self.added = set()
        self.received = []
        self.given_up = set()
        self.unwanted = set()
        self.holders = {}

    # what processes do ---------------------------------------------------------------------------

    async def holder(self, temper):
        """A process that handles everything, crashes on every third message, or never gets ready with one."""
        while True:
            message = await mailbox().receive()
            if temper == "crashing" and message % 3 == 0:
                raise ValueError(message)
            self.received.append(message)
            if temper == "slow":
                await trio.sleep(100)

    async def listener(self):
        """A process that notes what leaves the queue undelivered."""
        dead_letters().subscribe()
        async for event in mailbox():
            assert isinstance(event, LetterEvent)
            assert event.kind != "purged" or event.letter.message in self.unwanted
            if event.kind in GIVEN_UP:
                self.given_up.add(event.letter.message)

    # steps ---------------------------------------------------------------------------------------

    def new(self):
        self.number += 1
        self.added.add(self.number)
        return self.number

    async def bury(self, name, _):
        current_runtime().sent += 1
        dead_letters().bury(NAMES[name % 3], self.new(), "noproc")

    async def send(self, name, _):
        ref = self.holders.get(name % 3)
        if ref is not None and not ref.alive:
            send_nowait(ref, self.new())

    async def add(self, name, reason):
        await self.limited(dead_letters().add, NAMES[name % 3], self.new(), f"reason {reason % 2}")

    async def spawn(self, name, temper):
        ref = self.holders.get(name % 3)
        if ref is None or not ref.alive:
            temper = ("steady", "crashing", "slow")[temper % 3]
            self.holders[name % 3] = spawn(
                self.holder, temper, name=NAMES[name % 3], mailbox=MailboxOptions(capacity=3, overflow="reject")
            )
            await wait_all_tasks_blocked()

    async def kill(self, name, _):
        ref = self.holders.get(name % 3)
        if ref is not None:
            kill(ref)
            await ref.wait()

    async def retry(self, name, reason):
        filters = [{}, {"recipient": NAMES[name % 3]}, {"reason": f"reason {reason % 2}"}, {"state": "exhausted"}]
        await self.limited(dead_letters().retry, **filters[(name + reason) % 4])

    async def retry_one(self, index, _):
        letters = dead_letters().list()
        if letters:
            await self.limited(dead_letters().retry, letters[index % len(letters)].id)

    async def limited(self, function, *args, **options):
        """Do something that waits for slow processes, or for its limit, in another task; and let the time pass."""
        async with trio.open_nursery() as nursery:
            done = trio.Event()

            async def run():
                await function(*args, **options)
                done.set()

            nursery.start_soon(run)
            for _ in range(1000):
                await wait_all_tasks_blocked(0.0002)  # threads take real time
                if done.is_set():
                    return
                self.clock.jump(6)
            raise AssertionError("never over")

    async def retry_behind(self, *_):
        self.nursery.start_soon(dead_letters().retry)
        await wait_all_tasks_blocked()

    async def retry_cancelled(self, turns, _):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(dead_letters().retry)
                for _ in range(20 * turns):
                    await trio.lowlevel.checkpoint()
                scope.cancel()

    async def purge_one(self, index, _):
        letters = dead_letters().list()
        if letters:
            self.unwanted.add(letters[index % len(letters)].message)
            await self.limited(dead_letters().purge, letters[index % len(letters)].id)

    async def purge_reason(self, reason, _):
        self.unwanted |= {letter.message for letter in dead_letters().list(reason=f"reason {reason % 2}")}
        await self.limited(dead_letters().purge, reason=f"reason {reason % 2}")

    async def refresh(self, *_):
        await dead_letters().refresh()

    async def jump(self, seconds, more):
        self.clock.jump(seconds * (200 if more == 0 else 3))

    async def trouble(self, *_):
        self.store.trouble["write"] = FULL

    async def trouble_after(self, *_):
        self.store.trouble["written"] = FULL

    async def another_disk(self, empty, _):
        self.disk = self.store.disk = Disk() if empty % 2 else self.disk.copy()

    async def heal(self, *_):
        self.store.trouble.clear()

    async def request(self, index, _):
        if self.disk.letters:
            self.disk.by_hand([*self.disk.letters][index % len(self.disk.letters)], requested=True)

    async def remove_by_hand(self, index, _):
        if self.disk.letters:
            await dead_letters().flush()
            ids = [*self.disk.letters]
            if ids:
                self.unwanted.add(int(self.disk.letters[ids[index % len(ids)]].message))
                self.disk.by_hand(ids[index % len(ids)])
                await dead_letters().refresh()

    async def kill_service(self, *_):
        table = current_runtime().services.table
        for process in [*table.values()]:
            if process.label != "InlineSupervisor":
                kill(process.ref)

    # what has to hold --------------------------------------------------------------------------

    async def check(self):
        await wait_all_tasks_blocked()
        check_sums()
        assert current_runtime().ledger().balanced
        left = {letter.message for letter in dead_letters()}
        await wait_all_tasks_blocked()
        assert self.added == left | {*self.received} | self.given_up, "a letter has disappeared"
        for name in NAMES:
            line = [letter.message for letter in dead_letters().list(recipient=name)]
            assert line == sorted(line)

    def check_disk(self):
        """Nobody writes any more, and the store worked in the end."""
        assert [letter.id for letter in dead_letters()] == list(self.disk.letters)
        for letter in dead_letters():
            record = self.disk.letters[letter.id]
            assert letter.durable
            assert (str(letter.message), letter.attempts, letter.state) == (
                record.message,
                record.attempts,
                record.state,
            )

    async def run(self, steps, automatic):
        """One run of the program."""
        self.store = FakeStore(self.disk)
        self.holders = {}
        retry = AutomaticRetry(interval=10, backoff=Backoff(initial=5, maximum=100)) if automatic else None
        options = DeadLetterOptions(store=self.store, capacity=12, max_attempts=3, expire_after=3000, retry=retry)
        async with open_supervisor(dead_letters=options) as tree, trio.open_nursery() as self.nursery:
            spawn(self.listener)
            await wait_all_tasks_blocked()
            for kind, first, second in FIRST + steps:
                await getattr(self, kind)(first, second)
                await self.check()
            self.store.trouble.clear()
            for ref in self.holders.values():
                kill(ref)
            await self.limited(trio.sleep, 300)  # services that were killed come back, and retries come to their end
            assert await dead_letters().flush()
            await self.check()
            queue = dead_letters()
            assert set() == queue.retrying.busy
            assert not any(letter.state == "retrying" for letter in queue)
            if not any(letter.requested for letter in queue):
                self.check_disk()
            tree.shutdown()
        queue.runtime.check_empty()
        queue.runtime.services.check_empty()


FIRST = [("spawn", 0, 0), ("spawn", 1, 1), ("bury", 0, 0), ("bury", 1, 0), ("spawn", 2, 2), ("add", 2, 0)]


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.lists(st.lists(STEPS, min_size=15, max_size=40), min_size=1, max_size=3), st.booleans())
def test_letters(runs, automatic):
    """Over several runs of a program: nothing disappears, nobody is overtaken, and the disk has what the queue has."""

    async def main():
        world = World(clock)
        for steps in runs:
            await world.run(steps, automatic)

    clock = MockClock()
    trio.run(main, clock=clock)
