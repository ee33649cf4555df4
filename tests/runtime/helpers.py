"""Processes and servers that the tests of the runtime use."""

import functools
from contextlib import contextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Crashed,
    GenServer,
    Later,
    Normal,
    call,
    cast,
    current_runtime,
    kill,
    mailbox,
    monitor,
    shutdown_scope,
    spawn,
)


async def idle():
    """A process that does nothing until it is told to end."""
    await trio.sleep_forever()


async def ended(ref):
    """End a process."""
    kill(ref)
    await ref.wait()


async def collect(into: list[Any]):
    """A process that puts every message it gets into a list."""
    while True:
        into.append(await mailbox().receive())


def as_process(test):
    """Run an async test as a process of the tree that its fixture `tree` has opened."""

    @functools.wraps(test)
    async def run(**fixtures):
        await inside(test, fixtures)

    return run


async def inside(function, options=None, **spawn_options):
    """The value of an async function that runs as a process; its crash is raised here."""
    values = []

    async def body():
        values.append(await function(**(options or {})))

    reason = await spawn(body, **spawn_options).wait()
    match reason:
        case Normal():
            return values[0]
        case Crashed(error):
            raise error
        case _:
            raise AssertionError(f"the process ended: {reason}")


async def as_task(function, *args):
    """Run an async function as a task in a nursery, and wait for it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(function, *args)
        await trio.lowlevel.checkpoint()


@contextmanager
def cancelled():
    """A block in which every checkpoint raises `Cancelled`."""
    with trio.CancelScope() as scope:
        scope.cancel()
        yield scope


def nothing_left_of_calls(ref):
    """No debt, no alarm, no message, and a balanced ledger."""
    assert not ref._process.owed
    assert [] == current_runtime().alarms.armed()
    ledger = current_runtime().ledger()
    assert ledger.balanced
    assert 0 == ledger.queued


async def watcher(*targets, tag=None):
    """A process that watches others and does nothing."""

    async def watching():
        watches.extend(monitor(target, tag=tag) for target in targets)
        await idle()

    watches = []
    ref = spawn(watching)
    await wait_all_tasks_blocked()
    return ref, watches


class Worker:
    """A process that works inside of a `shutdown_scope` and then cleans up for a second."""

    def __init__(self):
        self.log = []

    async def __call__(self):
        with shutdown_scope() as scope:
            self.log.append("work")
            await idle()
        self.log.append(("stopped", scope.cancelled_caught))
        await trio.sleep(1)
        self.log.append("clean")


class Desk(GenServer):
    """A server that answers at once, later, or never, and remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.pending: dict[Any, Later[Any]] = {}

    @call
    def echo(self, value: Any) -> Any:
        self.seen.append(value)
        return value

    @call
    async def slow(self, seconds: float) -> str:
        self.seen.append("begun")
        await trio.sleep(seconds)
        self.seen.append("done")
        return "slow"

    @call
    def put_off(self, key: Any) -> Any:
        later = Later[Any]()
        self.pending[key] = later
        return later.pending()

    @call
    async def run(self, function: Any) -> Any:
        """Run any async function as a handler."""
        return await function()

    @call
    def history(self) -> list[Any]:
        return list(self.seen)

    @cast
    def settle(self, key: Any, value: Any) -> None:
        self.pending.pop(key).reply(value)

    @cast
    def note(self, value: Any) -> None:
        self.seen.append(value)

    def handle_info(self, message: Any) -> None:
        self.seen.append(message)


class OtherDesk(Desk):
    """The same handlers."""
