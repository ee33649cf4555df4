"""Whom a process works for: a tracer that carries it and writes everything down, and a server that tells it."""

import contextvars

import pytest
import trio

from nursery_otp import GenServer, Refuse, call, cast, open_supervisor, spawn

working_for: contextvars.ContextVar[str] = contextvars.ContextVar("working_for", default="nobody")


class Ledger:
    """A tracer that carries what its sender works for, and writes everything down."""

    def __init__(self):
        self.log = []

    def produce(self, message):
        about = working_for.get()
        if about == "nobody":
            return None
        self.log.append(("produce", message.kind, message.operation, about))
        return [about]

    def produced(self, context, error):
        self.log.append(("produced", *context, error))

    def enter(self, context, message):
        self.log.append(("enter", message.kind, message.operation, *context))
        return context, working_for.set(context[0])

    def leave(self, entered, error, *, restore):
        context, token = entered
        self.log.append(("leave", *context, error if error is None else type(error)))
        if restore:
            working_for.reset(token)
        else:
            self.log.append("elsewhere")

    def clear(self):
        working_for.set("nobody")

    def dump(self, context):
        return {"about": context[0]}

    def load(self, data):
        return [data["about"]] if isinstance(data, dict) and "about" in data else None


class Desk(GenServer):
    """A server that tells what it works for."""

    @call
    def who(self):
        return working_for.get()

    @call
    async def slowly(self):
        await trio.sleep(1)
        return working_for.get()

    @call
    async def ask(self, other):
        return await Desk.who(other)

    @call
    def refuse(self):
        raise Refuse(ValueError("no"))

    @cast
    def note(self, seen):
        seen.append(working_for.get())

    @cast
    def crash(self):
        raise KeyError("crash")

    @cast
    def start_another(self, seen):
        spawn(record_start, seen)

    def handle_info(self, message):
        message.append(working_for.get())


async def record_start(seen):
    """A process that tells what it works for when it begins."""
    seen.append(working_for.get())


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
async def tree(ledger):
    with trio.fail_after(60):
        async with open_supervisor(tracer=ledger) as supervisor:
            yield supervisor
            working_for.set("nobody")
            supervisor.shutdown()
