"""What somebody gets who is new to servers and supervisors: errors that name the mistake and the remedy."""

import functools

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CallExited,
    GenServer,
    InvalidSpec,
    Later,
    Name,
    SupervisorEnded,
    call,
    cast,
    child,
    current_runtime,
    open_supervisor,
    send,
    send_nowait,
    spawn,
    start,
)


class Counter(GenServer):
    def __init__(self, start=0):
        self.value = start

    @call
    def add(self, amount):
        self.value += amount
        return self.value

    @call
    def take(self, *amounts, **named):
        return amounts, named

    @cast
    def put(self, amount):
        self.value = amount


class Bare:
    """A class whose base has been forgotten."""

    def add(self, amount):
        return amount


class Awaited:
    """A class whose objects can be awaited is as good as a function."""

    def __await__(self):
        yield from trio.lowlevel.checkpoint().__await__()


@pytest.fixture
async def tree():
    async with open_supervisor() as supervisor:
        yield supervisor
        supervisor.shutdown()


# ------------------------------------------------------------------------------------------ starting


async def test_class_without_base(tree):
    """A class that is neither a server nor a supervisor is refused wherever it is given, before anything starts."""
    problem = "Bare'>: is neither a GenServer nor a Supervisor; derive the class from one"
    for use in (lambda: child(Bare), lambda: spawn(Bare)):
        with pytest.raises(InvalidSpec, match=problem):
            use()
    for begin in (tree.start, start):
        with pytest.raises(InvalidSpec, match=problem):
            await begin(Bare)
    assert () == await tree.which_children()


async def test_other_factories(tree):
    """Classes of awaitables, partial functions and callable objects are processes as before."""
    for index, factory in enumerate((Awaited, functools.partial(trio.sleep, 0), Counter)):
        await tree.start(factory, id=index, restart="temporary")


async def test_keyword_for_the_server(tree):
    """A keyword argument that is for the server is an error of `start`, which says how arguments are given."""
    with pytest.raises(TypeError) as caught:
        await tree.start(Counter, start=3)
    assert str(caught.value).startswith("start() got an unexpected keyword argument 'start'")
    assert str(caught.value).endswith("; arguments for Counter are given by position")


async def test_misspelt_option(tree):
    """A misspelt option is an error that has the right one."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'restarts'; did you mean 'restart'"):
        await tree.start(Counter, restarts="temporary")


@pytest.mark.parametrize("option", ["restart", "shutdown", "kind", "mailbox", "when_full", "name"])
async def test_options(tree, option):
    """All the options of `child` are options of `start`."""
    value = {
        "restart": "temporary",
        "shutdown": 3,
        "kind": "worker",
        "mailbox": child(Counter).mailbox,
        "when_full": "wait",
        "name": Name("counter"),
    }[option]
    assert (await tree.start(Counter, **{option: value})).alive


def test_duplicate_name():
    """An id that nobody gave says where it comes from."""
    name = Name("counter")
    with pytest.raises(InvalidSpec) as caught:
        open_supervisor([child(Counter, name=name), child(Counter, name=name)])
    assert (
        "id='counter': duplicate id: each child of a supervisor needs its own (it comes from name=Name('counter'))"
        == (str(caught.value))
    )
    with pytest.raises(InvalidSpec, match=r"needs its own$"):
        open_supervisor([child(Counter, id="a"), child(Counter, id="a")])


# ----------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize("client", [Counter.add, Counter.put])
@pytest.mark.parametrize("args", [(1,), ("counter",)])
async def test_no_address(tree, client, args):
    """If the address is forgotten, the first thing that is said is that what is there is none."""
    with pytest.raises(TypeError, match=rf"^Counter\.\w+\(\): not an address: {args[0]!r} \(expected a Ref"):
        await client(*args)


async def test_wrong_keyword(tree):
    """A keyword that the handler does not have is named, and the argument that lacks because of it is not."""
    ref = await tree.start(Counter)
    for client in (Counter.add, Counter.put):
        with pytest.raises(
            TypeError, match=r"\(\): got an unexpected keyword argument 'amuont'; did you mean 'amount'"
        ):
            await client(ref, amuont=1)
    with pytest.raises(TypeError, match=r"^Counter\.add\(\): got an unexpected keyword argument 'n'$"):
        Counter.add.message(n=1)
    with pytest.raises(TypeError, match="missing a required argument: 'amount'"):
        await Counter.add(ref)
    with pytest.raises(TypeError, match="too many positional arguments"):
        await Counter.add(ref, 1, 2)
    with pytest.raises(TypeError, match="multiple values for argument 'amount'"):
        await Counter.add(ref, 1, amount=2)
    assert ((), {"n": 1}) == await Counter.take(ref, n=1)


@pytest.mark.parametrize("how", ["send", "handled", "send_nowait"])
async def test_client_as_message(tree, caplog, how):
    """A client function that is sent reaches no handler; the log says what to write in its stead."""
    ref = await tree.start(Counter)
    if how == "send_nowait":
        send_nowait(ref, Counter.add)
    else:
        await send(ref, Counter.add, confirm="enqueued" if how == "send" else "handled")
    await wait_all_tasks_blocked()
    assert "advice='this is a client function; a request as a message is Counter.add.message(...)'" in caplog.text


async def test_coroutine_as_message(tree, caplog):
    """So does a coroutine, such as a call that is not awaited."""
    ref = await tree.start(Counter)
    coroutine = Counter.add(ref, 1)
    await send(ref, coroutine, confirm="handled")
    coroutine.close()
    assert "this is a coroutine; a request as a message is made as in Counter.add.message(1)" in caplog.text


async def test_any_message(tree, caplog):
    """Other messages are logged without advice."""
    await send(await tree.start(Counter), "hello", confirm="handled")
    assert "received=\"'hello'\"" in caplog.text
    assert "advice" not in caplog.text


# -------------------------------------------------------------------------------------------- Later


class Clerk(GenServer):
    """Makes a `Later` wherever it is told to."""

    def __init__(self, where=""):
        self.where = where
        self.kept = []

    def _keep(self, where):
        if where == self.where:
            self.kept.append(Later())

    def init(self):
        self._keep("init")

    @call
    def ask(self):
        later = Later()
        self.kept.append(later)
        return later.pending()

    @call
    def last(self):
        return self.kept[-1].reply("nobody waits")

    @cast
    def note(self):
        self._keep("cast")

    def handle_info(self, message):
        self._keep("info")


@pytest.mark.parametrize("where", ["cast", "info"])
async def test_later_for_nobody(tree, where, autojump_clock):
    """A `Later` outside of a call is an error there and then, also if there was a call before."""
    ref = await tree.start(Clerk, where, restart="temporary")
    request = Clerk.ask.request(ref)
    await send(ref, Clerk.note.message() if where == "cast" else "message")
    with trio.fail_after(60):
        reason = await ref.wait()
    assert "Later() is for handlers of calls, and Clerk is handling none" == str(reason.error)
    with pytest.raises(CallExited):
        await request.receive()


async def test_later_in_init(tree):
    """So it is in `init`."""
    with pytest.raises(Exception, match="Later"):
        await tree.start(Clerk, "init")


async def test_later_for_a_message(tree):
    """A call that is sent as a message has nobody to answer, and its handler need not know that."""
    ref = await tree.start(Clerk)
    await send(ref, Clerk.ask.message(), confirm="handled")
    send_nowait(ref, Clerk.ask.message())
    assert await Clerk.last(ref)


async def test_later_in_a_function(tree):
    """In a plain function, as in a test of a handler, it keeps what it is given."""
    kept = []

    async def function():
        later = Later()
        later.reply(7)
        kept.append(later.value)

    await spawn(function).wait()
    assert [7] == kept


# --------------------------------------------------------------------------------------- ending, crashes


@pytest.mark.parametrize("reason", [5, 0.5, True])
async def test_shutdown_with_a_number(tree, reason):
    """A number is no reason to shut down: it was meant as a limit."""
    with pytest.raises(InvalidSpec, match=f"reason={reason}: is a number and no reason; the limits are those of the"):
        tree.shutdown(reason)
    assert tree.ref.alive


async def test_text_of_the_end():
    """A tree that ends in a way nobody asked for says so once."""
    with pytest.raises(SupervisorEnded) as caught:
        async with open_supervisor() as tree:
            tree.shutdown("no more money")
    assert "the root supervisor ended: failed('no more money')" == str(caught.value)


class Closed(GenServer):
    """Without attributes, and with nothing to show."""

    @cast
    def fail(self, _secret):
        raise KeyError("closed")


class Discreet(Closed):
    def __init__(self):
        self.secret = "secret"  # noqa: S105 - a made-up one

    def format_status(self, status):
        return dict.fromkeys(status, "***")


async def report_of(kind, message):
    reports = []
    async with open_supervisor() as tree:
        current_runtime().telemetry.attach(
            ("nursery_otp", "process", "crashed"), lambda _name, _measured, about: reports.append(about["report"])
        )
        ref = await tree.start(kind, restart="temporary")
        await send(ref, message)
        await ref.wait()
        await wait_all_tasks_blocked()
        tree.shutdown()
    [report] = reports
    return report


async def test_nothing_to_show():
    """The state of a server without attributes is an empty dict, and no address in memory."""
    assert "{}" == (await report_of(Closed, Closed.fail.message(1))).state


async def test_texts_as_they_are(caplog):
    """What `format_status` puts in the place of something is shown as it is, without quotes of its own."""
    report = await report_of(Discreet, Discreet.fail.message("secret"))
    assert ("***", "***", "KeyError: ***") == (report.message, report.state, str(report.error))
    assert "last_message='***' state='***'" in caplog.text
    assert "secret" not in caplog.text


async def test_texts_of_others():
    """A text that is the message itself has its quotes."""

    class Loud(Closed):
        def handle_info(self, message):
            raise KeyError(message)

    assert "'boo'" == (await report_of(Loud, "boo")).message


async def test_unexpected_text(tree, caplog):
    """So it is in the log entry of a message that nobody expects."""
    await send(await tree.start(Discreet), "secret", confirm="handled")
    assert "received='***'" in caplog.text
