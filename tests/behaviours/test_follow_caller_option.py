"""Where `follow_caller` is set: on a handler, or on a class of servers; and where it means nothing."""

import pytest
import trio
import trio.testing

from nursery_otp import CallTimeout, GenServer, NoProcess, call, caller_gone, current_runtime, start, stop
from tests.behaviours.stage import Follower, Puppet, Stage, endless


class OneHandler(Puppet):
    """Only one of the handlers follows its caller."""

    @call(follow_caller=True)
    async def follow(self):
        await endless(self)

    @call(follow_caller=False)
    async def insist(self):
        await trio.sleep(10)
        self.note("insisted")


class Sub(OneHandler):
    pass


class SubFollower(OneHandler):
    follow_caller = True


@pytest.mark.parametrize("kind", [OneHandler, Sub])
async def test_set_on_a_handler(autojump_clock, kind):
    """`@call(follow_caller=True)` is about this handler only, also in a subclass."""
    diary = []
    async with Stage():
        ref = await start(kind, diary)
        for work in (kind.follow, kind.insist):
            with pytest.raises(CallTimeout):
                await work.within(2)(ref)
        await stop(ref)

    assert ["init", ("cancelled", 2, True), "insisted"] == diary[:3]


async def test_set_on_the_server(autojump_clock):
    """Set on the class it is about all call handlers, also of requests made through a base class."""
    diary = []
    async with Stage():
        ref = await start(SubFollower, diary)
        for work in (OneHandler.insist, SubFollower.insist):
            with pytest.raises(CallTimeout):
                await work.within(2)(ref)
        await stop(ref)

    assert "insisted" not in diary


async def test_plain_handler_with_the_option():
    """A plain handler under `follow_caller` works; there is nothing in it to cancel."""

    class Plain(GenServer):
        @call(follow_caller=True)
        def get(self):
            return 5

    async with Stage():
        assert 5 == await Plain.get(await start(Plain))


async def test_caller_gone_elsewhere():
    """Outside of a call handler nobody's caller has gone."""
    assert not caller_gone()
    async with Stage():
        ref = await start(Puppet)

        assert not await Puppet.ask(ref, lambda _server: caller_gone())


async def test_dead_server_and_deadline(autojump_clock):
    """A following call to nobody fails at once, as any."""
    async with Stage():
        ref = await start(Follower)
        await stop(ref)
        with pytest.raises(NoProcess):
            await Follower.ask(ref, None)

        assert 0 == trio.current_time()


async def test_no_time_at_all(autojump_clock):
    """A limit of 0 sends the request, which is dropped when it is read."""
    diary = []
    async with Stage():
        ref = await start(Follower, diary)
        with pytest.raises(CallTimeout):
            await Follower.ask.within(0)(ref, lambda server: server.note("started"))
        await stop(ref, drain=True)

        assert {"expired before it was handled": 1} == current_runtime().ledger().dropped
    assert "started" not in diary
