"""`call_with_timeout`: calls whose request is a value."""

import math

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from nursery_otp import (
    CallTimeout,
    GenServer,
    InvalidSpec,
    Message,
    Name,
    NoProcess,
    Timeouts,
    UnknownOperation,
    call,
    call_with_timeout,
    cast,
    current_runtime,
    mailbox,
    override_timeouts,
    spawn,
    start,
    trap_exits,
)
from tests.behaviours.stage import Stage


class Clerk(GenServer):
    """A server that answers, or does not in time."""

    @call
    def add(self, a, b=1):
        return a + b

    @call
    async def slow(self, seconds):
        await trio.sleep(seconds)
        return "done"

    @call(follow_caller=True)
    async def follow(self, diary):
        try:
            await trio.sleep_forever()
        finally:
            diary.append(trio.current_time())

    @cast
    def note(self):
        pass


class Junior(Clerk):
    """The same handlers."""


async def waited(*args, **options):
    """How long `call_with_timeout` waits until it gives up."""
    begun = trio.current_time()
    with pytest.raises(CallTimeout):
        await call_with_timeout(*args, **options)
    return trio.current_time() - begun


async def test_same_as_the_client_function():
    """It gives what the call gives, by `Ref` and by `Name`."""
    async with Stage():
        ref = await start(Clerk, name=Name[Clerk]("clerk"))
        for target in (ref, Name[Clerk]("clerk")):
            assert 3 == await call_with_timeout(target, Clerk.add.message(1, 2))
            assert 5 == await call_with_timeout(target, Clerk.add.message(1, b=4), within=1)
            assert 2 == await call_with_timeout(target, Message("add", (1,)), within=math.inf)
        with assert_checkpoints():
            await call_with_timeout(ref, Clerk.add.message(1))


async def test_limit(autojump_clock):
    """The limit is that of the policy for the operation of the server that is there, unless one is given."""
    policy = Timeouts(rules={Clerk.slow: 2, Junior: 3, Junior.slow: 1})
    async with Stage(timeouts=policy):
        clerk, junior = await start(Clerk), await start(Junior)
        request = Clerk.slow.message(100)
        assert [2, 1] == [await waited(clerk, request), await waited(junior, request)]
        assert 7 == await waited(clerk, request, within=7)
        assert 0 == await waited(clerk, request, within=0)
        with override_timeouts(rules={Clerk.slow: 4}):
            assert 4 == await waited(clerk, request)
        assert {("Clerk.slow", "call"): 4, ("Junior.slow", "call"): 1} == current_runtime().limits.fired


async def test_limit_of_what_no_class_knows(autojump_clock):
    """A process that is no server, and a name that nobody has now, are known by their labels."""

    async def deaf():
        trap_exits()
        async for _ in mailbox():
            pass

    async with Stage(timeouts=Timeouts(rules={"deaf.ask": 2, "ask": 3})):
        assert 2 == await waited(spawn(deaf), Message("ask"))
        assert 1 == await waited(spawn(deaf), Message("ask"), within=1)
        with pytest.raises(NoProcess, match=r"^ask: no process at nobody; "):
            await call_with_timeout(Name("nobody"), Message("ask"))
        clerk = await start(Clerk)
        with pytest.raises(UnknownOperation, match=r"has no handler for Clerk\.ask"):
            await call_with_timeout(clerk, Message("ask"))
        with pytest.raises(UnknownOperation, match=r"has no handler for Clerk\.note"):
            await call_with_timeout(clerk, Clerk.note.message())


async def test_a_plain_function_answers():
    """A plain function finds the call in its mailbox, with the request as a value."""

    async def answering():
        async for request in mailbox():
            request.reply(request.message)

    async with Stage():
        assert Message("ask", (1,)) == await call_with_timeout(spawn(answering), Message("ask", (1,)))


async def test_follow_caller(autojump_clock):
    """A handler that follows its caller ends with it, as under the client function."""
    diary = []
    async with Stage():
        clerk = await start(Clerk)
        assert 2 == await waited(clerk, Clerk.follow.message(diary), within=2)
        await wait_all_tasks_blocked()

    assert [2] == diary


@pytest.mark.parametrize("message", ["add", ("add", (1,), {}), None, Clerk.add, Clerk])
async def test_wrong_message(message):
    """Only a request as a value can be sent; the error says how to make one."""
    async with Stage():
        clerk = await start(Clerk)
        before = current_runtime().ledger()
        with pytest.raises(
            InvalidSpec, match=r"^message=.*: must be a request as a value, made with Server.operation.m"
        ):
            await call_with_timeout(clerk, message)
        assert before == current_runtime().ledger()


async def test_wrong_arguments():
    """Wrong arguments and limits are refused before anything is sent."""
    async with Stage():
        clerk = await start(Clerk)
        before = current_runtime().ledger()
        with pytest.raises(TypeError, match=r"^Clerk\.add\(\): too many positional arguments$"):
            await call_with_timeout(clerk, Message("add", (1, 2, 3)))
        with pytest.raises(InvalidSpec, match="within=-1"):
            await call_with_timeout(clerk, Clerk.add.message(1), within=-1)
        assert before == current_runtime().ledger()


@pytest.mark.parametrize("operation", [5, None, ["add"], b"add"])
async def test_operation_is_text(operation):
    """A request whose operation is no text cannot be made, so that nobody gets one."""
    with pytest.raises(InvalidSpec, match=r"^operation=.*: must be the name of an operation, as text$"):
        Message(operation, (), {})


async def test_client_function_of_a_base(autojump_clock):
    """The class in the client function decides, not the server; without a client function the server's class does."""
    async with Stage(timeouts=Timeouts(rules={Junior: 1, Clerk: 2})):
        junior = await start(Junior)
        assert 1 == await waited(junior, Clerk.slow.message(100))
        for client, limit in ((Clerk.slow, 2), (Junior.slow, 1)):
            begun = trio.current_time()
            with pytest.raises(CallTimeout):
                await client(junior, 100)
            assert limit == trio.current_time() - begun
