"""Which tree and which process code belongs to: what is inherited, what is not, and the errors outside."""

from contextvars import ContextVar

import pytest
import trio

from nursery_otp import (
    Name,
    NoRuntime,
    NotInProcess,
    OTPError,
    current_ref,
    current_runtime,
    demonitor,
    link,
    mailbox,
    monitor,
    open_supervisor,
    send_interval,
    shutdown_scope,
    spawn,
    spawn_link,
    spawn_monitor,
    start,
    start_link,
    start_monitor,
    trap_exits,
    unlink,
    whereis,
)
from tests.runtime.helpers import Desk, idle, inside

ABOUT_ONESELF = {
    "current_ref": current_ref,
    "mailbox": mailbox,
    "trap_exits": trap_exits,
    "link": lambda: link(None),
    "unlink": lambda: unlink(None),
    "monitor": lambda: monitor(None),
    "demonitor": lambda: demonitor(None),
    "shutdown_scope": shutdown_scope,
    "spawn_link": lambda: spawn_link(idle),
    "spawn_monitor": lambda: spawn_monitor(idle),
}


@pytest.mark.parametrize("function", ABOUT_ONESELF)
async def test_not_in_a_process(tree, function):
    """The block of a tree is no process: functions about the current one say so, by name."""
    with pytest.raises(NotInProcess, match=rf"^{function}\(\) is about the process that calls it") as caught:
        ABOUT_ONESELF[function]()

    assert isinstance(caught.value, OTPError)
    assert isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize("function", [start_link, start_monitor])
async def test_not_in_a_process_async(tree, function):
    """The same for those that are awaited; nothing has been started."""
    with pytest.raises(NotInProcess, match=function.__name__):
        await function(Desk)

    assert 1 == len(current_runtime().processes())


async def test_no_tree():
    """Outside of a tree there is no runtime: the error says what to do."""
    for function in (current_runtime, lambda: spawn(idle), lambda: send_interval(1, Name("x"), 1)):
        with pytest.raises(NoRuntime, match="use it inside 'async with open_supervisor"):
            function()
    with pytest.raises(NoRuntime):
        await start(Desk)
    with pytest.raises(NoRuntime):
        await Desk.echo(Name("desk"), 1)
    with pytest.raises(NoRuntime):
        Desk.note(Name("desk"), 1)


async def test_after_the_tree():
    """After the block everything is as it was before it."""
    async with open_supervisor() as outer:
        runtime = current_runtime()
        async with open_supervisor() as inner:
            assert current_runtime() is not runtime
            inner.shutdown()
        assert runtime is current_runtime()
        outer.shutdown()
    with pytest.raises(NoRuntime):
        current_runtime()


async def test_tasks_of_a_process(tree):
    """Tasks that a process starts in its nurseries belong to it."""
    seen = []

    async def task():
        seen.append((current_ref(), mailbox()))

    async def process():
        await task()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task)
            nursery.start_soon(task)

    ref = spawn(process)
    await ref.wait()

    assert [(ref, ref._process.mailbox)] * 3 == seen


async def test_process_of_a_process(tree):
    """A process that another one spawns is itself, in the same tree."""
    seen = []

    async def inner():
        seen.append((current_ref(), current_runtime()))

    async def outer():
        ref = spawn(inner)
        seen.append((ref, current_runtime()))
        await ref.wait()

    await spawn(outer).wait()

    assert seen[0] == seen[1]


async def test_context_variables(tree):
    """A process starts with a copy of a context, so that what it sets is nobody else's business."""
    variable = ContextVar("variable", default="default")

    async def setting():
        variable.set("set")
        return variable.get()

    async def looking():
        return variable.get()

    assert "set" == await inside(setting)
    assert "default" == await inside(looking) == variable.get()


async def test_task_that_outlives_its_process(tree, nursery):
    """A task of a foreign nursery that outlives the process it came from is in no process any more."""
    ended = trio.Event()
    errors = []

    async def straggler():
        await ended.wait()
        try:
            current_ref()
        except NotInProcess as error:
            errors.append(error)

    async def process():
        nursery.start_soon(straggler)

    await spawn(process).wait()
    ended.set()
    await trio.testing.wait_all_tasks_blocked()

    assert 1 == len(errors)


async def test_task_that_outlives_its_tree(nursery):
    """A task that outlives the tree it came from can start nothing there: `NoRuntime`, and nothing is left."""
    ended = trio.Event()
    errors = []

    async def straggler():
        runtime = current_runtime()
        await ended.wait()
        for starting in (lambda: spawn(idle, name=Name("late")), lambda: start(Desk, name=Name("later"))):
            try:
                await starting()
            except NoRuntime as error:
                errors.append(str(error))
        runtime.check_empty()
        assert whereis(Name("late")) is None

    async with open_supervisor() as tree:
        nursery.start_soon(straggler)
        await trio.testing.wait_all_tasks_blocked()
        tree.shutdown()
    ended.set()
    await trio.testing.wait_all_tasks_blocked()

    assert 2 == len(errors)


async def test_tree_in_a_process(tree):
    """A process can open a tree of its own: inside its block the code belongs to that one, and is no process."""

    async def process():
        outside = current_ref(), current_runtime()
        async with open_supervisor() as own:
            with pytest.raises(NotInProcess):
                current_ref()
            assert current_runtime() is not outside[1]
            assert 1 == await Desk.echo(await own.start(Desk), 1)
            own.shutdown()
        return outside == (current_ref(), current_runtime())

    assert await inside(process)
