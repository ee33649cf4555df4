"""Wrong uses of the public API: each with the exact type and text of its error, and nothing done.

The folder `bad_input` has the table. A use is tried where it would be right: outside of any tree, in the body of one,
in a process, or in a call handler.
"""

import warnings
from contextlib import asynccontextmanager

import pytest
import trio

from nursery_otp import (
    BadReturn,
    Crashed,
    InvalidSpec,
    OTPError,
    StartFailed,
    current_runtime,
    mailbox,
    open_supervisor,
    spawn,
)
from tests.bad_input.anywhere import ANYWHERE
from tests.bad_input.in_a_process import IN_A_HANDLER, IN_A_PROCESS
from tests.bad_input.in_a_tree import IN_A_TREE
from tests.bad_input.world import Counter, Pool, Team, World
from tests.behaviours.stage import settle


def test_there_are_enough():
    """The table is not empty by mistake, and no case is there twice."""
    cases = [*ANYWHERE, *IN_A_TREE, *IN_A_PROCESS, *IN_A_HANDLER]
    names = [case.name for case in cases]

    assert 120 <= len(cases)
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]


def everything(runtime):
    """All that a wrong use could have changed."""
    return (
        runtime.processes(),
        runtime.names(),
        runtime.monitors(),
        runtime.links(),
        runtime.timers(),
        runtime.ledger(),
        list(runtime.dead_letters),
    )


async def try_it(case, world):
    """The error of a wrong use; the test fails if there is none."""
    result = None
    try:
        result = await settle(case.use(world))
    except Exception as error:
        return error
    finally:
        world.close()
    raise AssertionError(f"accepted: {result!r}")


def check(case, world, error):
    """It is exactly the error that the table says."""
    assert case.text.format_map(world.names()) == str(error)
    assert case.kind is type(error)
    if case.kind is InvalidSpec:
        assert isinstance(error, ValueError)
        assert str(error).startswith(f"{error.field}={error.value!r}: ")
        assert error.problem in str(error)


@pytest.mark.parametrize("case", ANYWHERE, ids=str)
async def test_anywhere(case):
    """Values are checked when they are made, without any tree."""
    world = World()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = await try_it(case, world)

    check(case, world, error)


@pytest.mark.parametrize("case", IN_A_TREE, ids=str)
async def test_in_a_tree(case, autojump_clock):
    """In the body of a tree nothing is sent, started or changed by a wrong use."""
    async with open_supervisor() as supervisor:
        world = await World.build(supervisor)
        before = everything(current_runtime()), await world.children()
        ledger_before = current_runtime().ledger()
        error = await try_it(case, world)
        await trio.testing.wait_all_tasks_blocked()

        assert ledger_before == current_runtime().ledger() or case.asks
        assert before[1] == await world.children()
        assert before[0][:5] == everything(current_runtime())[:5]
        assert 0 == await Counter.add(world.ref, 0)
        check(case, world, error)
        supervisor.shutdown()


@pytest.mark.parametrize("case", IN_A_PROCESS, ids=str)
async def test_in_a_process(case, autojump_clock):
    """The same in a process, which is not harmed either."""

    async def process(world):
        before = everything(current_runtime())
        check(case, world, await try_it(case, world))
        assert before == everything(current_runtime())
        assert 0 == mailbox().statistics().queued

    async with open_supervisor() as supervisor:
        world = await World.build(supervisor)
        ref = spawn(process, world)
        reason = await ref.wait()

        assert not isinstance(reason, Crashed), reason
        supervisor.shutdown()


@pytest.mark.parametrize("case", IN_A_HANDLER, ids=str)
async def test_in_a_handler(case, autojump_clock):
    """The same in a handler: it may catch the error, and its server and its caller are not harmed."""
    async with open_supervisor() as supervisor:
        world = await World.build(supervisor)
        error = await Counter.run(world.ref, lambda: try_it(case, world))

        assert 0 == await Counter.add(world.ref, 0)
        check(case, world, error)
        supervisor.shutdown()


# ------------------------------------------------- mistakes that can only be seen when the code has run


def no_coroutine():
    return 5


@asynccontextmanager
async def generator():
    yield 5


CRASHES = [
    (no_coroutine, "no_coroutine() returned 5: a process is an async function ('async def no_coroutine')"),
    (generator.__wrapped__, "generator() returned <async_generator object generator"),
]


@pytest.mark.parametrize(("function", "text"), CRASHES, ids=str)
async def test_not_an_async_function(function, text):
    """A process that is no async function crashes at once, and says how it has to be written."""
    async with open_supervisor() as supervisor:
        reason = await spawn(function).wait()

        assert TypeError is type(reason.error)
        assert str(reason.error).startswith(text)
        supervisor.shutdown()


FAILED_STARTS = [
    (lambda s: s.start(Counter, 1, 2, 3), TypeError, "takes from 1 to 2 positional arguments but 4 were given"),
    (lambda s: s.start(Team, lambda: None), InvalidSpec, "children=None: must be child specifications; make them"),
    (lambda s: s.start(Team, lambda: [Counter]), InvalidSpec, "must be a ChildSpec; make one with child(factory"),
    (lambda s: s.start(Pool, -1), InvalidSpec, "max_children=-1: must be a whole number >= 0 or math.inf"),
    (lambda s: s.start(Counter.with_init(5)), BadReturn, "returned 5; allowed: None, Continue, Idle or Stop"),
]


@pytest.mark.parametrize(("use", "kind", "text"), FAILED_STARTS)
async def test_failed_starts(use, kind, text):
    """A mistake inside of what is started is the cause of a failed start; nothing stays behind."""
    async with open_supervisor() as supervisor:
        with pytest.raises(StartFailed) as caught:
            await use(supervisor)

        assert kind is type(caught.value.__cause__)
        assert text in str(caught.value.__cause__)
        assert () == await supervisor.which_children()
        assert (supervisor.ref,) == current_runtime().processes()
        supervisor.shutdown()


def test_one_family():
    """The library's own errors have one base, besides what Python and Trio raise for the same mistakes."""
    kinds = {case.kind for case in [*ANYWHERE, *IN_A_TREE, *IN_A_PROCESS, *IN_A_HANDLER]}

    for kind in kinds:
        assert issubclass(kind, OTPError) or issubclass(
            kind, TypeError | ValueError | RuntimeError | LookupError | AttributeError | trio.WouldBlock
        )
