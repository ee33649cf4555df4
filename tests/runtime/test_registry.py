"""Names: one holder each, one per process, free when the holder ends, kept while a child is being restarted."""

import pickle

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    AlreadyNamed,
    AlreadyStarted,
    Backoff,
    InvalidSpec,
    Name,
    NameTaken,
    NoProcess,
    NoRuntime,
    current_ref,
    current_runtime,
    kill,
    open_supervisor,
    register,
    send_nowait,
    spawn,
    spawn_link,
    start,
    stop_nowait,
    unregister,
    whereis,
)
from tests.runtime.boxes import drain
from tests.runtime.helpers import Desk, as_process, idle

NAME = Name("name")


async def ended(ref):
    """End a process."""
    kill(ref)
    await ref.wait()


# --------------------------------------------------------------------------------------- name values


def test_names_are_values():
    """Names with equal texts are equal, and one key; they can be pickled and cannot be changed."""
    assert Name("a") == Name("a") != Name("b")
    assert "a" != Name("a")
    assert 1 == len({Name("a"), Name("a")})
    assert Name("a") == pickle.loads(pickle.dumps(Name("a")))
    assert ("a", "Name('a')") == (str(Name("a")), repr(Name("a")))
    with pytest.raises(AttributeError):
        Name("a").text = "b"
    with pytest.raises(AttributeError):
        del Name("a").text


@pytest.mark.parametrize("text", ["", None, 5, b"name"])
def test_invalid_names(text):
    """A name is a text that is not empty."""
    with pytest.raises(InvalidSpec, match="name="):
        Name(text)


# ------------------------------------------------------------------------------- register, unregister


async def test_register(tree):
    """A name leads to its holder, and the holder knows its name."""
    ref = spawn(idle)
    assert (None, None) == (whereis(NAME), ref.name)
    register(NAME, ref)

    assert (ref, NAME) == (whereis(NAME), ref.name)
    assert {"name": ref} == current_runtime().names()


async def test_unregister(tree):
    """Without its name a process goes on, and the name is free."""
    ref = spawn(idle, name=NAME)
    unregister(NAME)
    assert (None, None, {}) == (whereis(NAME), ref.name, current_runtime().names())
    assert ref.alive
    register(NAME, spawn(idle))
    register(Name("new"), ref)

    assert ref is whereis(Name("new"))


async def test_name_taken(tree):
    """A name has one holder: a second one is refused, and nothing changes."""
    holder, other = spawn(idle, name=NAME), spawn(idle)
    with pytest.raises(NameTaken, match="name 'name' is taken by <idle#2 'name'>") as caught:
        register(NAME, other)

    assert (NAME, holder) == (caught.value.name, caught.value.holder)
    assert (holder, None) == (whereis(NAME), other.name)


async def test_register_again(tree):
    """To give a process the name that it has is an error as well, as in OTP."""
    ref = spawn(idle, name=NAME)
    with pytest.raises(NameTaken):
        register(NAME, ref)

    assert ref is whereis(NAME)


async def test_already_named(tree):
    """A process has one name at most."""
    ref = spawn(idle, name=NAME)
    with pytest.raises(AlreadyNamed, match="is registered as 'name' already; unregister that first"):
        register(Name("second"), ref)

    assert {"name": ref} == current_runtime().names()


async def test_nobody_to_register(tree):
    """The dead get no names, and a name that nobody holds cannot be taken away."""
    ref = spawn(idle)
    await ended(ref)
    with pytest.raises(NoProcess, match="register: no process at"):
        register(NAME, ref)
    with pytest.raises(NoProcess, match="unregister: no process at name"):
        unregister(NAME)

    assert {} == current_runtime().names()


@pytest.mark.parametrize("name", ["name", None, 5])
async def test_wrong_kind_of_name(tree, name):
    """A text is not a name: the error says what would be."""
    ref = spawn(idle)
    for function in (lambda: register(name, ref), lambda: unregister(name), lambda: spawn(idle, name=name or 0)):
        with pytest.raises(InvalidSpec, match="must be a Name"):
            function()


async def test_end_of_the_holder(tree):
    """When its holder ends, a name is free."""
    ref = spawn(idle, name=NAME)
    await ended(ref)
    assert whereis(NAME) is None
    heir = spawn(idle, name=NAME)

    assert heir is whereis(NAME)


async def test_end_of_a_former_holder(tree):
    """The end of a process does not take away a name that has gone on to another."""
    former = spawn(idle, name=NAME)
    unregister(NAME)
    heir = spawn(idle, name=NAME)
    await ended(former)

    assert heir is whereis(NAME)


# ----------------------------------------------------------------------------- starting under a name


@as_process
async def test_nothing_is_spawned_under_a_taken_name(tree):
    """Whoever starts something under a name that is taken gets an error, and nothing has been started."""
    holder = spawn(idle, name=NAME)
    before = current_runtime().processes()
    for spawning in (spawn, spawn_link):
        with pytest.raises(NameTaken):
            spawning(idle, name=NAME)
    with pytest.raises(AlreadyStarted, match="'name' is started already") as caught:
        await start(Desk, name=NAME)

    assert holder is caught.value.ref
    assert before == current_runtime().processes()
    assert () == current_runtime().links()


async def test_name_during_init(tree):
    """A process holds its name from before its first step, as `init` may tell others of it."""
    found = []

    class Server(Desk):
        def init(self):
            found.append((whereis(NAME), current_ref()))

    ref = await start(Server, name=NAME)
    assert [(ref, ref)] == found


async def test_failed_start_frees_the_name(tree):
    """A start that fails leaves no name behind."""

    class Server(Desk):
        def init(self):
            raise ValueError

    with pytest.raises(Exception, match="failed to start"):
        await start(Server, name=NAME)

    assert {} == current_runtime().names()


# --------------------------------------------------------------------------------------- reservation


async def restarting_child(tree, **options):
    """A child under a name, which has crashed and is not restarted before ten seconds are over."""
    ref = await tree.start(Desk, name=NAME, backoff=Backoff(initial=10.0, jitter=0.0), **options)
    kill(ref)
    await wait_all_tasks_blocked()
    return ref


async def test_reservation(tree, autojump_clock):
    """While a child is being restarted nobody holds its name, and nobody else can take it."""
    old = await restarting_child(tree)
    assert whereis(NAME) is None
    assert {"name": None} == current_runtime().names()
    with pytest.raises(NameTaken, match="a child that <root#1> is restarting"):
        register(NAME, spawn(idle))
    with pytest.raises(NameTaken):
        spawn(idle, name=NAME)
    with pytest.raises(NameTaken):
        await start(Desk, name=NAME)
    await trio.sleep(11)

    assert old is not whereis(NAME) is not None


async def test_messages_to_a_reserved_name(tree, autojump_clock):
    """A plain message does not wait for a restart: nobody is there, `NoProcess`."""
    await restarting_child(tree)
    with pytest.raises(NoProcess):
        send_nowait(NAME, 1)


async def test_end_of_a_reservation(tree, autojump_clock):
    """A child that will not come back keeps no name."""
    await restarting_child(tree)
    await tree.terminate_child("name")
    assert {} == current_runtime().names()

    heir = spawn(idle, name=NAME)
    assert heir is whereis(NAME)


@pytest.mark.parametrize("restart", ["temporary", "transient"])
async def test_no_reservation_without_a_restart(tree, restart):
    """A child that ends for good frees its name."""
    ref = await tree.start(Desk, name=NAME, restart=restart)
    if restart == "temporary":
        kill(ref)
    else:
        stop_nowait(ref)
    await wait_all_tasks_blocked()

    assert {} == current_runtime().names()


async def test_unregistered_child(tree, autojump_clock):
    """A child may lose its name while it runs: then nobody holds it, and nobody waits for a restart of its holder."""
    ref = await tree.start(Desk, name=NAME)
    unregister(NAME)
    with pytest.raises(NoProcess):
        await Desk.echo(NAME, 1)
    assert 0 == trio.current_time()
    register(NAME, ref)

    assert 1 == await Desk.echo(NAME, 1)


# --------------------------------------------------------------------------------- where names are valid


async def test_name_without_a_tree():
    """A name means something inside a tree only."""
    for function in (lambda: whereis(NAME), lambda: unregister(NAME), lambda: send_nowait(NAME, 1)):
        with pytest.raises(NoRuntime, match="the name 'name' needs a running supervision tree"):
            function()


async def test_two_trees(autojump_clock):
    """Two trees in one `trio.run` have their own names, and each process finds those of its own tree."""
    found = {}

    async def own_tree(label, ready, done):
        async with open_supervisor() as tree:

            async def look():
                found[label] = (whereis(NAME), current_ref())

            await tree.start(look, name=NAME, restart="temporary")
            ready.set()
            await done.wait()

    ready = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(own_tree, "one", *ready)
        nursery.start_soon(own_tree, "two", *reversed(ready))

    assert {"one", "two"} == set(found)
    assert all(holder is itself for holder, itself in found.values())
    assert found["one"] != found["two"]


async def test_unregister_keeps_the_mail(tree):
    """What was sent by name before the name was taken away has arrived."""
    ref = spawn(idle, name=NAME)
    send_nowait(NAME, 1)
    unregister(NAME)

    assert [1] == drain(ref._process.mailbox)
