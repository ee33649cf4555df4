"""Looking into a running server, changing it, and holding it."""

import pytest
import trio
import trio.testing

from nursery_otp import (
    NORMAL,
    SHUTDOWN,
    BadReturn,
    Exit,
    Failed,
    MailboxOptions,
    Name,
    Stop,
    get_state,
    get_status,
    process_info,
    replace_state,
    resume,
    send_after,
    send_exit,
    send_nowait,
    spawn,
    start,
    start_link,
    stop,
    suspend,
)
from tests.behaviours.stage import Puppet, Stage, Trapper


def add_word(word):
    def change(server):
        server.word = word
        return server

    return change


# ------------------------------------------------------------------------------------ reading, changing


async def test_get_state_is_a_copy():
    """`get_state` gives a shallow copy of the server object: changing it does not change the server."""
    async with Stage():
        ref = await start(Puppet, ["shared"])
        state = await get_state(ref)
        state.label = "changed"

        assert isinstance(state, Puppet)
        assert "" == await Puppet.ask(ref, lambda server: server.label)
        assert state.diary is await Puppet.ask(ref, lambda server: server.diary)


async def test_replace_state():
    """`replace_state` puts what the function returns in the place of the server object."""
    async with Stage():
        ref = await start(Puppet)
        new = await replace_state(ref, add_word("new"))

        assert "new" == new.word
        assert "new" == await Puppet.ask(ref, lambda server: server.word)
        assert new is not (await Puppet.ask(ref, lambda server: server))


async def test_replace_state_by_another_object():
    """The function may return an object of its own, also of a subclass."""

    class Better(Puppet):
        word = "better"

    async with Stage():
        ref = await start(Puppet)
        await replace_state(ref, lambda server: Better(server.diary))

        assert "better" == await Puppet.ask(ref, lambda server: server.word)


def raise_key_error(_server):
    raise KeyError("no")


def change_then_fail(server):
    server.label = "spoilt"
    raise KeyError("no")


@pytest.mark.parametrize("function", [raise_key_error, change_then_fail])
async def test_replace_state_fails(function):
    """If the function raises, the server is unharmed and unchanged, and the error goes to who asked."""
    async with Stage():
        ref = await start(Puppet)
        with pytest.raises(KeyError):
            await replace_state(ref, function)

        assert "" == await Puppet.ask(ref, lambda server: server.label)


@pytest.mark.parametrize("value", [None, 5, Puppet, "state"])
async def test_replace_state_by_something_else(value):
    """What is no such server cannot be its state."""
    async with Stage():
        ref = await start(Puppet)
        with pytest.raises(TypeError) as caught:
            await replace_state(ref, lambda _server: value)

        assert f"replace_state: the function returned {value!r}, not a Puppet" == str(caught.value)
        assert ref.alive


async def test_get_status():
    """The status: who, whether it runs, how much waits, and what the server shows of itself."""

    class Secretive(Puppet):
        def format_status(self, status):
            return status | {"state": "secret"}

    async with Stage() as supervisor:
        ref = await supervisor.start(Secretive, name=Name("secretive"))
        await suspend(ref)
        send_nowait(ref, 1)
        send_nowait(ref, 2)
        status = await get_status(Name[Secretive]("secretive"))

        assert (ref, Name("secretive"), "suspended", 2, "secret") == (
            status.ref,
            status.name,
            status.state,
            status.queue_length,
            status.server,
        )
        await resume(ref)
        assert "running" == (await get_status(ref)).state


async def test_format_status_fails():
    """A `format_status` that raises harms nobody but the one who asked."""

    class Shy(Puppet):
        def format_status(self, status):
            raise KeyError("shy")

    async with Stage():
        ref = await start(Shy)
        with pytest.raises(KeyError):
            await get_status(ref)

        assert ref.alive


async def test_format_status_returns_rubbish():
    """What `format_status` returns has to be the dict it got, or another one."""

    class Careless(Puppet):
        def format_status(self, status):
            return None

    async with Stage():
        ref = await start(Careless)
        with pytest.raises(BadReturn, match=r"Careless\.format_status"):
            await get_status(ref)

        assert ref.alive


# ---------------------------------------------------------------------------------- suspend, resume


@pytest.mark.parametrize("kind", ["lean", "channel"])
async def test_suspend(kind):
    """A suspended server reads nothing but system requests; resumed, it reads all in order."""
    diary = []
    async with Stage():
        ref = await start(Puppet, diary, mailbox=MailboxOptions(kind=kind))
        await suspend(ref)
        for number in range(3):
            Puppet.tell(ref, number)
            send_nowait(ref, number)
        request = Puppet.ask.request(ref, lambda _server: "answer")
        send_after(0, ref, "tick")
        await get_state(ref)
        await trio.testing.wait_all_tasks_blocked()

        assert ["init"] == diary
        assert not request.done
        await resume(ref)
        assert "answer" == await request.receive()
        await stop(ref, drain=True)

    mail = [entry for number in range(3) for entry in (("tell", number), ("info", number))]
    assert ["init", *mail, ("info", "tick"), ("terminate", NORMAL)] == diary


async def test_suspend_waits_its_turn():
    """A system request is served in the order of the queue: what was sent before it is handled before it."""
    diary = []
    async with Stage():
        ref = await start(Puppet, diary)
        for number in range(100):
            Puppet.tell(ref, number)
        await suspend(ref)

        assert 101 == len(diary)


async def test_suspend_does_not_nest():
    """Suspended twice, resumed once: it runs. Resuming a running server does nothing."""
    async with Stage():
        ref = await start(Puppet)
        await suspend(ref)
        await suspend(ref)
        await resume(ref)
        await resume(ref)

        assert "runs" == await Puppet.ask(ref, lambda _server: "runs")


async def test_status_of_a_suspended_process():
    """`process_info` shows the suspension."""
    async with Stage():
        ref = await start(Puppet)
        await suspend(ref)
        assert "suspended" == process_info(ref).status
        await resume(ref)
        assert "running" == process_info(ref).status


async def test_replace_state_overtakes():
    """All system requests overtake what lies in the mailbox of a suspended server."""
    async with Stage():
        ref = await start(Puppet)
        await suspend(ref)
        request = Puppet.ask.request(ref, lambda server: server.word)
        await replace_state(ref, add_word("patched"))
        await resume(ref)

        assert "patched" == await request.receive()


@pytest.mark.parametrize("drain", [False, True])
async def test_stop_overtakes(drain):
    """A stop overtakes what lies in the mailbox of a suspended server, with and without draining."""
    diary = []
    async with Stage():
        ref = await start(Puppet, diary)
        await suspend(ref)
        send_nowait(ref, "never read")
        await stop(ref, drain=drain)

    assert ["init", ("terminate", NORMAL)] == diary


async def test_parents_exit_overtakes():
    """The parent's end ends a suspended server that traps exits, whatever lies in its mailbox."""
    diary = []

    async def parent():
        ref = await start_link(Trapper, diary)
        await suspend(ref)
        send_nowait(ref, "never read")
        raise Stop("parent ends")

    async with Stage():
        await spawn(parent).wait()
        await trio.testing.wait_all_tasks_blocked()

    assert ["init", ("terminate", Failed("parent ends"))] == diary


async def test_strangers_exit_does_not_overtake():
    """An exit signal of somebody else is a message like others for a suspended, trapping server."""
    diary = []
    async with Stage():
        ref = await start(Trapper, diary)
        await suspend(ref)
        send_exit(ref, "stranger")
        await trio.testing.wait_all_tasks_blocked()

        assert ["init"] == diary
        await resume(ref)
        await stop(ref, drain=True)
    assert ("info", Exit(None, Failed("stranger"))) == diary[1]


async def test_supervisor_stops_a_suspended_child():
    """A supervisor's stop does not wait for anybody to resume the child."""
    diary = []
    async with Stage() as supervisor:
        ref = await supervisor.start(Puppet, diary)
        await suspend(ref)
        Puppet.tell(ref, "never read")

    assert ["init", ("terminate", SHUTDOWN)] == diary


@pytest.mark.parametrize("overflow", ["block", "reject", "drop_newest", "drop_oldest"])
async def test_full_mailbox(overflow):
    """System requests always find room: a suspended server with a full mailbox can be looked at, and resumed."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Puppet, mailbox=MailboxOptions(capacity=1, overflow=overflow))
        await suspend(ref)
        send_nowait(ref, "only one")
        assert "suspended" == (await get_status(ref)).state
        await resume(ref)
        assert "running" == (await get_status(ref)).state
