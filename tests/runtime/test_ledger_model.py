"""Whatever happens to messages, every one of them is accounted for, and in the end nothing is left of a tree."""

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp import (
    MailboxFull,
    MailboxOptions,
    Name,
    NameTaken,
    NoProcess,
    OTPError,
    current_runtime,
    demonitor,
    kill,
    link,
    mailbox,
    monitor,
    open_supervisor,
    send,
    send_after,
    send_exit,
    send_interval,
    send_nowait,
    spawn,
    stop_nowait,
    trap_exits,
    unlink,
    unregister,
)
from tests.runtime.helpers import Desk, collect, idle

NUMBER = st.integers(0, 7)
SPAWN = st.tuples(st.just("spawn"), st.sampled_from(["idle", "collect", "closing", "desk"]), NUMBER)
STEPS = st.one_of(
    SPAWN,
    st.tuples(
        st.sampled_from(
            [
                *("send_nowait", "send", "cast", "call", "put_off", "settle", "slow", "impatient"),
                *("send_after", "send_interval", "cancel_timer", "kill", "send_exit", "stop", "drain", "cancel_sender"),
                *("bind", "unbind", "unregister", "by_name"),
            ]
        ),
        NUMBER,
        NUMBER,
    ),
    st.tuples(st.sampled_from(["send_nowait", "send", "cast", "call", "by_name"]), NUMBER, NUMBER),
    st.tuples(st.just("pass"), st.sampled_from([0, 1, 3]), NUMBER),
)


async def closing():
    """A process that closes its mailbox after the first message, and ends after a while."""
    await mailbox().receive()
    await mailbox().aclose()
    await trio.sleep(2)


class Traffic:
    """Processes of all kinds, and everything that can be done to them and their mailboxes."""

    def __init__(self, tree, nursery, clock):
        self.tree, self.nursery, self.clock = tree, nursery, clock
        self.refs = [tree.ref]
        self.timers, self.scopes, self.watches = [], [], []
        self.number = 0

    def target(self, index):
        """One of the processes; the root supervisor has other things to do."""
        return self.refs[1:][index % (len(self.refs) - 1)] if len(self.refs) > 1 else Name("nobody")

    async def step(self, kind, first, second):
        self.number += 1
        try:
            await getattr(self, f"do_{kind}")(first, second)
        except (NoProcess, MailboxFull, NameTaken):
            return

    async def do_spawn(self, kind, options):
        overflow = ("block", "drop_newest", "drop_oldest", "reject", "crash")[options % 5]
        box = MailboxOptions(capacity=1 + options // 4, overflow=overflow, kind=("lean", "channel")[options % 2])
        name = Name(f"name-{options}") if options < 3 else None
        if kind == "desk":
            self.refs.append(await self.tree.start(Desk, mailbox=box, restart="temporary", shutdown=1))
        else:
            function, args = {"idle": (idle, ()), "collect": (collect, ([],)), "closing": (closing, ())}[kind]
            self.refs.append(spawn(function, *args, mailbox=box, name=name, trap_exits=options == 7))

    async def do_send_nowait(self, index, _):
        send_nowait(self.target(index), self.number)

    async def do_send(self, index, _):
        scope = trio.CancelScope()
        self.scopes.append(scope)
        self.nursery.start_soon(self.sender, self.target(index), self.number, scope)

    async def sender(self, target, message, scope):
        with scope:
            try:
                await send(target, message)
            except OTPError:
                return

    async def do_cancel_sender(self, index, _):
        if self.scopes:
            self.scopes[index % len(self.scopes)].cancel()

    async def do_cast(self, index, _):
        Desk.note(self.target(index), self.number)

    async def do_call(self, index, _):
        Desk.echo.request(self.target(index), self.number)

    async def do_put_off(self, index, key):
        Desk.put_off.request(self.target(index), key)

    async def do_settle(self, index, key):
        Desk.settle(self.target(index), key, self.number)  # a crash, if there is no such key

    async def do_slow(self, index, seconds):
        Desk.slow.request(self.target(index), seconds)

    async def do_impatient(self, index, seconds):
        self.nursery.start_soon(self.caller, self.target(index), seconds)

    async def caller(self, target, seconds):
        try:
            await Desk.slow.within(1)(target, seconds)
        except (OTPError, trio.TooSlowError):
            return

    async def do_send_after(self, index, seconds):
        self.timers.append(send_after(seconds, self.target(index), self.number))

    async def do_send_interval(self, index, seconds):
        self.timers.append(send_interval(1 + seconds, self.target(index), self.number))

    async def do_cancel_timer(self, index, _):
        if self.timers:
            self.timers[index % len(self.timers)].cancel()

    async def do_kill(self, index, _):
        kill(self.target(index))

    async def do_send_exit(self, index, _):
        send_exit(self.target(index), "signal")

    async def do_stop(self, index, _):
        stop_nowait(self.target(index))

    async def do_drain(self, index, _):
        stop_nowait(self.target(index), drain=True)

    async def do_bind(self, index, other):
        """A process that is linked to two others and watches them, reading nothing."""
        targets = self.target(index), self.target(other)

        async def bound():
            trap_exits(index > 3)
            watches = [monitor(target) for target in targets]
            for target in targets:
                link(target)
            await trio.sleep(1)
            demonitor(watches[0])
            unlink(targets[0], flush=True)
            await idle()

        self.refs.append(spawn(bound))

    async def do_unbind(self, index, _):
        kill(self.refs[-1] if len(self.refs) > 1 else self.target(index))

    async def do_unregister(self, index, _):
        unregister(Name(f"name-{index % 3}"))

    async def do_by_name(self, index, _):
        send_nowait(Name(f"name-{index % 3}"), self.number)

    async def do_pass(self, seconds, _):
        await wait_all_tasks_blocked()
        self.clock.jump(seconds)


def check_ledger(runtime):
    """The law of conservation, in total and for each process."""
    ledger = runtime.ledger()
    assert ledger.balanced, ledger
    for process in runtime.table.values():
        statistics = process.mailbox.statistics()
        assert 0 <= statistics.handled + statistics.queued <= statistics.sent
    letters = {letter.reason for letter in runtime.dead_letters}
    assert letters <= set(ledger.dead_lettered) | set(ledger.dropped)
    assert len(runtime.dead_letters) <= sum(ledger.dead_lettered.values()) + sum(ledger.dropped.values())


@settings(max_examples=80, derandomize=True, deadline=None)
@given(st.lists(SPAWN, min_size=2, max_size=5), st.lists(STEPS, min_size=20, max_size=60))
def test_conservation(spawns, steps):
    """In every quiescent moment sent = handled + queued + dead letters + dropped; in the end nothing is left."""
    clock = MockClock()
    trio.run(play, clock, spawns + steps, clock=clock)


async def play(clock, steps):
    """A tree with random traffic."""
    async with open_supervisor(max_restarts=1000) as tree, trio.open_nursery() as nursery:
        runtime = current_runtime()
        traffic = Traffic(tree, nursery, clock)
        for step in steps:
            await traffic.step(*step)
            if traffic.number % 3 == 0:
                await wait_all_tasks_blocked()
                check_ledger(runtime)
        clock.autojump_threshold = 0
        tree.shutdown()
    check_ledger(runtime)
    assert 0 == runtime.ledger().queued
    runtime.check_empty()
