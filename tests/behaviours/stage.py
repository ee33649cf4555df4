"""What the tests of this folder share: a tree that checks itself, and a server that does what it is told."""

import inspect
import math
from types import TracebackType
from typing import Any

import trio
import trio.testing

from nursery_otp import (
    GenServer,
    Later,
    Refuse,
    Runtime,
    Stop,
    SupervisorHandle,
    answer,
    call,
    caller_gone,
    cast,
    current_runtime,
    open_supervisor,
)


class Stage:
    """`open_supervisor` that is shut down with its block, and whose books must balance afterwards."""

    runtime: Runtime

    def __init__(self, children=(), **options: Any) -> None:
        self._tree = open_supervisor(children, **options)

    async def __aenter__(self) -> SupervisorHandle:
        self.supervisor = await self._tree.__aenter__()
        self.runtime = current_runtime()
        return self.supervisor

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if kind is None:
            self.supervisor.shutdown()
        absorbed = await self._tree.__aexit__(kind, error, traceback)  # noqa: ASYNC102 - which shields itself
        ledger = self.runtime.ledger()
        assert ledger.balanced, ledger
        assert 0 == ledger.queued
        return absorbed


def play(act, server):
    """What the test put into a message: a function of the server, or a plain value."""
    return act(server) if callable(act) else act


class Puppet(GenServer):
    """Writes down each callback, and does in it what the test says.

    A message (or an argument of `Continue`) that can be called is called with the server, and its result is what the
    callback returns. Other messages are only written down.
    """

    def __init__(self, diary=None, *, label="", init=None, terminate=None):
        self.diary = [] if diary is None else diary
        self.label = label
        self.on_init = init
        self.on_terminate = terminate

    def note(self, *entry):
        self.diary.append((self.label, *entry) if self.label else entry if len(entry) > 1 else entry[0])

    async def init(self):
        self.note("init")
        return await settle(play(self.on_init, self))

    @call
    def ask(self, act):
        return play(act, self)

    @call
    async def ask_async(self, act):
        return await settle(play(act, self))

    @cast
    def tell(self, act):
        return self._react("tell", act)

    @cast
    async def tell_async(self, act):
        return await settle(self._react("tell_async", act))

    def handle_info(self, message):
        return self._react("info", message)

    def handle_continue(self, argument):
        return self._react("continue", argument)

    def _react(self, callback, act):
        if callable(act):
            return act(self)
        self.note(callback, act)
        return None

    async def terminate(self, reason):
        self.note("terminate", reason)
        await settle(play(self.on_terminate, self))


class Follower(Puppet):
    """A puppet whose work ends with its caller."""

    follow_caller = True


class Trapper(Puppet):
    """A puppet that traps exits."""

    trap_exits = True


async def settle(value):
    """The value, or what awaiting it gives."""
    return await value if inspect.isawaitable(value) else value


def pause(seconds=math.inf):
    """A message that keeps the server busy."""

    async def act(_server):
        await trio.sleep(seconds)

    return act


def crash(_server=None):
    """A handler's bug."""
    raise ValueError("boom")


async def outcome_of(awaitable):
    """What an await gave: its value, or the exception that it raised."""
    try:
        return await awaitable
    except Exception as error:
        return error


async def note_outcome(diary, entry, awaitable):
    """Write down what an await gave, together with a word to know it by."""
    diary.append((entry, await outcome_of(awaitable)))


def error_in(reason):
    """The text of the exception that a process crashed with."""
    return f"{type(reason.error).__name__}: {reason.error}"


class Counter(GenServer):
    """A server that counts."""

    def __init__(self, value=0):
        self.value = value

    @call
    def add(self, amount):
        """Add."""
        self.value += amount
        return self.value

    @call
    async def slowly(self, amount):
        await trio.sleep(1)
        return self.add(amount)

    @cast
    def reset(self):
        self.value = 0

    @call
    def refuse(self):
        raise Refuse(KeyError("no"))

    @call
    def finish(self):
        return answer(self.value, then=Stop())

    @call
    def put_off(self):
        self.later = Later()
        return self.later.pending()


async def endless(server):
    """Work until cancelled, and write down when and why that was."""
    begun = trio.current_time()
    try:
        await trio.sleep_forever()
    finally:
        server.note("cancelled", trio.current_time() - begun, caller_gone())
