"""Call sites: file and line of the code that asked for a monitor, from wherever it did, and no frame kept alive."""

import contextlib
import functools
import gc
import inspect
import weakref

import pytest
import trio

from nursery_otp import (
    GenServer,
    MonitorOptions,
    StartFailed,
    call,
    current_ref,
    kill,
    list_monitors,
    monitor,
    monitored,
    open_supervisor,
    spawn,
    spawn_monitor,
    start_monitor,
)
from nursery_otp._runtime import call_sites
from tests.runtime.helpers import Desk, as_process, idle, inside


def line(offset=0):
    """This file, and the line that this is called from, or one near to it."""
    return f"{__file__}:{inspect.currentframe().f_back.f_lineno + offset}"


@as_process
async def test_monitor(tree):
    """`monitor` names the line that called it."""
    ref = spawn(idle)
    watch = monitor(ref)
    assert line(-1) == watch.call_site


@as_process
async def test_several_lines(tree):
    """A call that is written over several lines is where it begins."""
    watch = monitor(
        spawn(idle),
        tag="tag",
    )
    assert line(-4) == watch.call_site


@as_process
async def test_several_on_a_line(tree):
    """The place is that of the call and not of where the function has got to since."""
    ref = spawn(idle)
    watches = [monitor(ref), monitor(ref)]
    expected = line(-1)
    watches.append(monitor(ref))
    assert [expected, expected, line(-1)] == [watch.call_site for watch in watches]


def test_every_position():
    """The line is the one that Python has for the position, wherever in the code that is."""
    code = test_several_lines.__wrapped__.__code__
    lines = {2 * index: place[0] for index, place in enumerate(code.co_positions()) if place[0] is not None}
    assert len(set(lines.values())) > 4

    for position, number in lines.items():
        assert f"{__file__}:{number}" == call_sites.describe(code, position)


def test_place():
    """The line of the user's that is running, with as many folders as are asked for."""
    here = line().rpartition(":")[2]
    shown = [call_sites.place(), call_sites.place(folders=1)]

    assert [f"test_call_sites.py:{int(here) + 1}", f"runtime/test_call_sites.py:{int(here) + 1}"] == shown
    assert "x.py:1" == call_sites.place(("/a/x.py", 1))


def test_no_lines():
    """Code without lines is where it begins."""
    code = compile("f(1)", "made up", "eval").replace(co_linetable=b"", co_firstlineno=7)

    assert "made up:7" == call_sites.describe(code, 2)


@as_process
async def test_helper(tree):
    """A monitor made by a helper names the line in the helper; one handed to C code, the line that called that."""
    ref = spawn(idle)

    def helper():
        def nested():
            return monitor(ref), line()

        return nested()

    watch, expected = helper()
    assert expected == watch.call_site
    (watch,) = map(functools.partial(monitor, tag=1), [ref])
    assert line(-1) == watch.call_site


@as_process
async def test_spawn_monitor(tree):
    """`spawn_monitor` names the line that called it."""
    _, watch = spawn_monitor(idle, tag="spawned")
    assert (line(-1), "spawned") == (watch.call_site, watch.tag)


@as_process
async def test_start_monitor(tree):
    """`start_monitor` names the line that awaited it, though it is a coroutine."""
    _, watch = await start_monitor(Desk, tag="started")
    assert (line(-1), "started") == (watch.call_site, watch.tag)


@as_process
async def test_start_monitor_in_a_coroutine(tree):
    """The line is the innermost that awaits, also when the coroutine is made elsewhere and awaited deep down."""

    async def await_it(starting):
        result = await starting
        return result, line(-1)

    async def deeper(starting):
        return await await_it(starting)

    (_, watch), expected = await deeper(start_monitor(Desk))
    assert expected == watch.call_site


@as_process
async def test_monitored(tree):
    """`monitored` names the line of the block, also when the block is one of a stack."""
    ref = spawn(idle)
    with monitored(ref) as watch:
        assert line(-1) == watch.call_site
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(monitored(ref))
        assert line(-1) == watch.call_site


async def test_handlers(tree):
    """In the handler of a server, plain or async, it is the line of the handler."""

    class Watcher(GenServer):
        def init(self):
            self.first = monitor(target), line()

        @call
        def plain(self):
            return monitor(target), line()

        @call
        async def waiting(self):
            await trio.lowlevel.checkpoint()
            return monitor(target), line()

        def handle_info(self, message):
            message.append((monitor(target), line()))

        @call
        def results(self):
            return self.first

    target = spawn(idle)
    ref = await tree.start(Watcher)
    for way in (Watcher.plain, Watcher.waiting, Watcher.results):
        watch, expected = await way(ref)
        assert expected == watch.call_site


@as_process
async def test_dead_targets(tree):
    """A monitor that is over at once has a call site as well."""
    ref = spawn(idle)
    kill(ref)
    await ref.wait()
    watch = monitor(ref)
    assert line(-1) == watch.call_site
    watch = monitor(current_ref())
    assert line(-1) == watch.call_site


@as_process
async def test_again_and_again(tree):
    """The line is right however often the code has run (the interpreter rewrites what runs often)."""
    ref = spawn(idle)

    def make(number):
        with monitored(ref, tag=number) as watch:
            return watch.call_site, line(-1)

    sites = {make(number) for number in range(2000)}
    assert [True] == [site == expected for site, expected in sites]


@pytest.mark.parametrize("stacks", [False, True])
async def test_no_frame_is_kept(stacks):
    """A monitor keeps nothing alive of those who were waiting for it to be made."""

    class Thing:
        pass

    def caller(ref):
        thing = Thing()
        things.append(weakref.ref(thing))
        return monitor(ref), monitored(ref)

    async def body():
        kept.append(caller(spawn(idle)))
        assert [None] == [thing() for thing in things]

    things, kept = [], []
    gc.disable()
    try:
        async with open_supervisor(monitors=MonitorOptions(stacks=stacks)) as supervisor:
            await inside(body)
            supervisor.shutdown()
    finally:
        gc.enable()


async def test_stacks():
    """With the option `stacks` a monitor has the text of the whole stack, which ends with its call site."""

    def helper():
        return monitor(spawn(idle))

    async def body():
        watch = helper()
        assert "return monitor(spawn(idle))" in watch.stack[-1]
        assert "watch = helper()" in watch.stack[-2]
        assert watch.call_site.rpartition(":")[2] in watch.stack[-1]
        assert any("trio" in text for text in watch.stack)
        with monitored(spawn(idle)) as watch:
            assert "with monitored(spawn(idle)) as watch" in watch.stack[-1]
        _, watch = await start_monitor(Desk)
        assert "await start_monitor(Desk)" in watch.stack[-1]
        _, watch = spawn_monitor(idle)
        assert "spawn_monitor(idle)" in watch.stack[-1]

    async with open_supervisor(monitors=MonitorOptions(stacks=True)) as supervisor:
        await inside(body)
        supervisor.shutdown()


@as_process
async def test_no_stacks(tree):
    """Without the option there is none."""
    assert monitor(spawn(idle)).stack is None


@as_process
async def test_failed_start(tree):
    """A `start_monitor` that fails leaves no monitor."""

    async def fail(task_status):
        raise ValueError

    with pytest.raises(StartFailed):
        await start_monitor(fail, tag="failing")
    assert () == list_monitors()
