"""Monitors against a model: whatever processes do and however they end, lists, statistics and tables agree."""

import contextlib
from collections import Counter

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp import (
    Down,
    MonitorOptions,
    Name,
    StartFailed,
    current_runtime,
    demonitor,
    kill,
    list_monitors,
    mailbox,
    monitor,
    monitor_stats,
    monitored,
    open_supervisor,
    send_exit,
    send_nowait,
    spawn,
    spawn_monitor,
    start_monitor,
)

TAGS = (None, "a", "ab", ("a",), 0)
LEAK_AFTER = 10.0
NUMBER = st.integers(0, 7)
WAYS = ("monitor", "monitor", "monitor", "monitored", "by_name", "spawn_monitor", "start_monitor", "failed_start")
ENDS = ("kill", "exit", "return", "crash")
STEPS = st.one_of(
    st.tuples(st.just("spawn"), NUMBER, NUMBER, NUMBER),
    st.tuples(st.sampled_from(WAYS), NUMBER, NUMBER, NUMBER),
    st.tuples(st.sampled_from(WAYS), NUMBER, NUMBER, NUMBER),
    st.tuples(st.sampled_from(["demonitor", "demonitor", "leave", *ENDS]), NUMBER, NUMBER, NUMBER),
    st.tuples(st.just("pass"), st.sampled_from([0, 1, 4, 11]), NUMBER, NUMBER),
)


class Actor:
    """A process that does what it is told, and notes every `Down`."""

    def __init__(self):
        self.downs = []
        self.blocks = contextlib.ExitStack()
        self.ref = None

    async def __call__(self):
        with self.blocks:
            async for message in mailbox():
                match message:
                    case Down():
                        self.downs.append(message.monitor)
                    case "return":
                        return
                    case function:
                        await function()


@attrs.define(eq=False)
class Record:
    """What the model knows of a monitor."""

    watch: object
    owner: object
    target: object
    tag: object
    created_at: float
    scoped: bool = False
    cause: str | None = None
    ended_at: float = float("inf")


class World:
    """Actors, their monitors, and everything that they can do."""

    def __init__(self, clock):
        self.clock = clock
        self.actors = []
        self.records = []

    @property
    def now(self):
        return self.clock.current_time()

    @property
    def alive(self):
        return [actor for actor in self.actors if actor.ref.alive]

    def active(self):
        return [record for record in self.records if record.cause is None]

    async def tell(self, actor, function):
        """Have an actor do something, and wait until it has."""
        send_nowait(actor.ref, function)
        await wait_all_tasks_blocked()
        assert actor.ref.alive

    def new_actor(self):
        """An actor that is to be started, and its name."""
        self.actors.append(Actor())
        return self.actors[-1], Name(f"actor-{len(self.actors)}")

    def note(self, watch, owner, target, tag, **more):
        """A monitor has been made."""
        record = Record(watch, owner, target, tag, self.now, **more)
        self.records.append(record)
        if target is None or not target.ref.alive:
            self.ended(record, "target")
        return record

    def ended(self, record, cause):
        record.cause, record.ended_at = cause, self.now

    # --------------------------------------------------------------------------------------- steps

    async def step(self, kind, first, second, third):
        if kind in ("spawn", "pass"):
            await getattr(self, f"do_{kind}")(first)
        elif self.alive:
            actor = self.alive[first % len(self.alive)]
            await getattr(self, f"do_{kind}")(actor, second, TAGS[third % len(TAGS)])
        await wait_all_tasks_blocked()

    async def do_spawn(self, _):
        actor, name = self.new_actor()
        actor.ref = spawn(actor, name=name)

    async def do_pass(self, seconds):
        self.clock.jump(seconds)

    async def watch(self, owner, index, tag, make, **more):
        """Watch any actor but itself, living or dead."""
        others = [actor for actor in self.actors if actor is not owner]
        if others:
            target = others[index % len(others)]

            async def act():
                self.note(make(target), owner, target, tag, **more)

            await self.tell(owner, act)

    async def do_monitor(self, owner, index, tag):
        await self.watch(owner, index, tag, lambda target: monitor(target.ref, tag=tag))

    async def do_by_name(self, owner, index, tag):
        target = self.alive[index % len(self.alive)]
        name = target.ref.name

        async def act():
            watch = monitor(name, tag=tag)
            if target is not owner:
                self.note(watch, owner, target, tag)

        await self.tell(owner, act)

    async def do_monitored(self, owner, index, tag):
        def enter(target):
            return owner.blocks.enter_context(monitored(target.ref, tag=tag))

        await self.watch(owner, index, tag, enter, scoped=True)

    async def do_spawn_monitor(self, owner, _, tag):
        async def act():
            actor, name = self.new_actor()
            actor.ref, watch = spawn_monitor(actor, tag=tag, name=name)
            self.note(watch, owner, actor, tag)

        await self.tell(owner, act)

    async def do_start_monitor(self, owner, _, tag):
        async def act():
            actor, name = self.new_actor()
            actor.ref, watch = await start_monitor(actor.__call__, tag=tag, name=name)
            self.note(watch, owner, actor, tag)

        await self.tell(owner, act)

    async def do_failed_start(self, owner, _, tag):
        async def fail(task_status):
            raise ValueError

        async def act():
            with contextlib.suppress(StartFailed):
                await start_monitor(fail, tag=tag)
            self.note(None, owner, None, tag)

        await self.tell(owner, act)

    async def do_demonitor(self, owner, index, _):
        mine = [record for record in self.records if record.owner is owner and record.watch is not None]
        if mine:
            record = mine[index % len(mine)]

            async def act():
                assert (record.cause is None) == demonitor(record.watch)
                if record.cause is None:
                    self.ended(record, "demonitor")

            await self.tell(owner, act)

    def close_blocks(self, owner):
        """The blocks of an actor are left, so what is on of them ends."""
        for record in self.active():
            if record.owner is owner and record.scoped:
                self.ended(record, "demonitor")

    async def do_leave(self, owner, *_):
        async def act():
            owner.blocks.close()
            self.close_blocks(owner)

        await self.tell(owner, act)

    async def end(self, actor, act):
        """An end: the blocks are left first, then who watches it is told, then its own monitors go."""
        act()
        await actor.ref.wait()
        self.close_blocks(actor)
        for record in self.active():
            if record.target is actor or record.owner is actor:
                self.ended(record, "target" if record.target is actor else "owner")

    async def do_kill(self, actor, *_):
        await self.end(actor, lambda: kill(actor.ref))

    async def do_exit(self, actor, *_):
        await self.end(actor, lambda: send_exit(actor.ref, "signal"))

    async def do_return(self, actor, *_):
        await self.end(actor, lambda: send_nowait(actor.ref, "return"))

    async def do_crash(self, actor, *_):
        await self.end(actor, lambda: send_nowait(actor.ref, None))

    # -------------------------------------------------------------------------------------- checks

    def check(self):
        self.check_lists()
        self.check_statistics()
        self.check_tables()
        self.check_downs()

    def check_lists(self):
        active = self.active()

        def listed(records):
            return tuple(record.watch for record in records)

        assert listed(active) == list_monitors()
        for tag in TAGS:
            assert listed(r for r in active if r.tag == tag) == list_monitors(tag=tag)
        for actor in self.actors:
            owned = [r for r in active if r.owner is actor]
            watched = [r for r in active if r.target is actor]
            assert listed(owned) == list_monitors(owner=actor.ref)
            assert listed(watched) == list_monitors(target=actor.ref)
            assert listed(r for r in owned if r.tag == "a") == list_monitors(owner=actor.ref, tag="a")
        for age in (0, 1, 5):
            assert listed(r for r in active if self.now - r.created_at >= age) == list_monitors(older_than=age)
        for r in active:
            assert (r.owner.ref, r.target.ref, r.tag) == (r.watch.owner, r.watch.ref, r.watch.tag)
            assert (r.created_at, self.now - r.created_at) == (r.watch.created_at, r.watch.age)

    def check_statistics(self):
        causes = Counter(record.cause for record in self.records)
        found = monitor_stats()
        assert found.created == len(self.records)
        assert causes == Counter(
            {
                None: found.active,
                "demonitor": found.cleaned_by_demonitor,
                "target": found.cleaned_by_target,
                "owner": found.cleaned_by_owner,
            }
        )
        ages = [min(self.now, record.ended_at) - record.created_at for record in self.records]
        assert sum(age >= 1.1 * LEAK_AFTER for age in ages) <= found.leaks
        assert found.leaks <= sum(age >= LEAK_AFTER for age in ages)

    def check_tables(self):
        """Each active monitor is in the tables of its two processes, nothing else is in any, and the dead have none."""
        runtime = current_runtime()
        living = set(runtime.table.values())
        from_owners = [(process, watch) for process in living for watch in process.monitors or ()]
        from_targets = [(process, watch) for process in living for watch in process.watchers or ()]
        active = self.active()
        assert {(r.owner.ref._process, r.watch) for r in active} == set(from_owners)
        assert {(r.target.ref._process, r.watch) for r in active} == set(from_targets)
        assert len(active) == len(from_owners) == len(from_targets)
        for actor in self.actors:
            if not actor.ref.alive:
                process = actor.ref._process
                assert process not in living
                assert not process.monitors
                assert not process.watchers

    def check_downs(self):
        """Each living owner has had exactly one `Down` of each monitor whose target has ended."""
        for actor in self.alive:
            due = Counter(r.watch for r in self.records if r.owner is actor and r.cause == "target" and r.watch)
            assert due == Counter(actor.downs)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(STEPS, min_size=15, max_size=60))
def test_model(steps):
    """At every step lists, statistics and the tables of the processes agree with the model."""
    clock = MockClock()
    trio.run(play, clock, [("spawn", 0, 0, 0)] * 3 + steps, clock=clock)


async def play(clock, steps):
    """A tree with actors that watch each other, and end."""
    async with open_supervisor(monitors=MonitorOptions(leak_after=LEAK_AFTER)) as tree:
        world = World(clock)
        for step in steps:
            await world.step(*step)
            world.check()
        clock.autojump_threshold = 0
        tree.shutdown()
    runtime_after = world.actors[0].ref._process.runtime
    runtime_after.check_empty()
    assert 0 == runtime_after.monitor_manager.active
