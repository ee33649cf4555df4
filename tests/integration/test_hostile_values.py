"""Messages, exceptions, addresses and callables that behave as badly as Python lets them."""

from __future__ import annotations

import functools
import types
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    CallExited,
    Down,
    Failed,
    GenServer,
    Killed,
    MailboxOptions,
    Name,
    NoProcess,
    Normal,
    Refuse,
    StartFailed,
    Stop,
    call,
    cast,
    child,
    current_ref,
    current_runtime,
    demonitor,
    get_state,
    kill,
    link,
    mailbox,
    monitor,
    process_info,
    register,
    send,
    send_after,
    send_exit,
    send_nowait,
    spawn,
    start,
    stop,
    stop_nowait,
    unlink,
    unregister,
    whereis,
)
from tests.integration.laboratory import Tree, run_program


class Spite:
    """Raises wherever an object may be asked something."""

    def _refuse(self, *_args: object) -> Any:
        raise ValueError("do not touch me")

    __repr__ = __str__ = __eq__ = __ne__ = __hash__ = __bool__ = __len__ = __iter__ = __lt__ = _refuse  # type: ignore[assignment]
    __format__ = __contains__ = __call__ = __enter__ = __exit__ = __copy__ = __reduce__ = _refuse  # type: ignore[assignment]
    __getattr__ = _refuse


class SpitefulError(Exception):
    """An exception that cannot be shown or compared."""

    def _refuse(self, *_args: object) -> Any:
        raise ValueError("do not touch me")

    __repr__ = __str__ = __eq__ = __hash__ = __bool__ = _refuse  # type: ignore[assignment]


class Keeper(GenServer):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.kept: list[object] = []

    @call
    def swap(self, value: object) -> object:
        self.kept.append(value)
        return value

    @cast
    def keep(self, value: object) -> None:
        self.kept.append(value)

    def handle_info(self, message: object) -> None:
        self.kept.append(message)

    @call
    def count(self) -> int:
        return len(self.kept)

    @call
    def crash(self) -> None:
        raise SpitefulError

    @call
    def refuse(self) -> None:
        raise Refuse(SpitefulError())

    @call
    def stop(self) -> None:
        raise Stop(Spite())


class Plain(GenServer):
    """Has no handle_info of its own."""

    @call
    def ping(self) -> str:
        return "pong"


def in_tree(function: Any) -> Any:
    """Run a test in a tree of its own, which gets it as its argument."""

    @functools.wraps(function)
    def test(*args: Any) -> None:
        async def program() -> None:
            async with Tree(max_restarts=100) as supervisor:
                await function(supervisor, *args)

        run_program(program)

    del test.__wrapped__  # pytest would ask for a fixture called supervisor
    return test


@in_tree
async def test_messages(supervisor):
    """A message that hates being looked at is delivered by call, cast, send, timer, and as a dead letter."""
    ref = await supervisor.start(Keeper)
    spite = Spite()
    assert spite is await Keeper.swap(ref, spite)
    Keeper.keep(ref, spite)
    send_nowait(ref, spite)
    await send(ref, spite)
    send_after(0.1, ref, spite)
    assert send_after(0.2, ref, spite).cancel() is not False
    await trio.sleep(1)
    assert 5 == await Keeper.count(ref)
    assert spite is (await get_state(ref)).kept[0]
    dead = spawn(trio.lowlevel.checkpoint)
    await dead.wait()
    send_nowait(dead, spite)
    assert spite is current_runtime().dead_letters[-1].message


@in_tree
async def test_unexpected_messages(supervisor):
    """Neither a server without handle_info nor a supervisor minds a message that cannot be shown."""
    ref = await supervisor.start(Plain)
    send_nowait(ref, Spite())
    send_nowait(supervisor.ref, Spite())
    assert "pong" == await Plain.ping(ref)
    await supervisor.count_children()
    assert 1 == supervisor.ref.pid


@in_tree
async def test_full_mailboxes(supervisor):
    """Overflow, withdrawal and blocking do not compare messages."""

    async def sleeper():
        await trio.sleep(5)

    for overflow in ("drop_newest", "drop_oldest", "block"):
        for kind in ("lean", "channel"):
            for confirm in ("enqueued", "handled"):
                options = MailboxOptions(capacity=1, overflow=overflow, kind=kind)
                ref = await supervisor.start(sleeper, restart="temporary", mailbox=options)
                for _ in range(3):
                    with trio.move_on_after(0.1):
                        await send(ref, Spite(), confirm=confirm, metadata={"spite": Spite()}, on_error="dead_letter")


@in_tree
async def test_exceptions(supervisor):
    """A crash with an exception that cannot be shown is a crash like any other, for everybody who hears of it."""
    reasons: list[Any] = []

    async def watcher(ref: Any) -> None:
        monitor(ref)
        link(ref)
        reasons.append((await mailbox().receive()).reason)
        reasons.append((await mailbox().receive()).reason)

    ref = await supervisor.start(Keeper)
    await supervisor.start(watcher, ref, restart="temporary", trap_exits=True)
    await wait_all_tasks_blocked()
    with pytest.raises(SpitefulError):
        await Keeper.refuse(ref)
    with pytest.raises(CallExited) as caught:
        await Keeper.crash(ref)
    await wait_all_tasks_blocked()
    assert [SpitefulError] * 2 == [type(reason.error) for reason in reasons]
    assert SpitefulError is type(caught.value.__cause__)
    assert "SpitefulError" in str(caught.value)
    for anything in (ref, ref.exit_reason, caught.value, current_runtime()):
        assert isinstance(f"{anything!r} {anything}", str)


@in_tree
async def test_reasons(supervisor):
    """Any object will do as a reason."""
    ref = await supervisor.start(Keeper, restart="transient")
    with pytest.raises(CallExited):
        await Keeper.stop(ref)
    await wait_all_tasks_blocked()
    (info,) = await supervisor.which_children()
    send_exit(info.ref, Spite())
    await wait_all_tasks_blocked()
    (info,) = await supervisor.which_children()
    spite = Spite()
    await stop(info.ref, spite)
    assert isinstance(info.ref.exit_reason, Failed)
    assert spite is info.ref.exit_reason.detail
    assert "Spite" in repr(info.ref)


@in_tree
async def test_failing_start(supervisor):
    """A start that fails with an exception that cannot be shown says so."""

    async def fails(*, task_status):
        raise SpitefulError

    for starting in (start, supervisor.start):
        with pytest.raises(StartFailed) as caught:
            await starting(fails)
        assert "SpitefulError" in str(caught.value)


class Bad:
    """A way to a process that leads nowhere."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def whereis(self) -> Any:
        return self.answer()


def _raise() -> None:
    raise KeyError("lost")


USES = [
    lambda via: send_nowait(via, 1),
    lambda via: Keeper.keep(via, 1),
    lambda via: Keeper.count(via),
    lambda via: send(via, 1),
    lambda via: stop(via),
    lambda via: stop_nowait(via),
    lambda via: send_exit(via, "x"),
    kill,
    monitor,
    link,
    unlink,
    lambda via: get_state(via),
    lambda via: send_after(1, via, "x"),
    process_info,
]


@pytest.mark.parametrize(
    ("answer", "error"), [(_raise, KeyError), (lambda: "garbage", TypeError), (lambda: Name("x"), TypeError)]
)
@pytest.mark.parametrize("use", USES)
def test_via(use, answer, error):
    """An address whose lookup fails is the error of the one who uses it, and says what is wrong."""

    async def inside() -> None:
        with pytest.raises(error) as caught:
            result = use(Bad(answer))
            if isinstance(result, types.CoroutineType):
                await result
        assert "_process" not in str(caught.value)
        raise Stop("refused")

    async def program():
        async with Tree() as supervisor:
            ref = await supervisor.start(inside, restart="temporary")
            assert Failed("refused") == await ref.wait()

    run_program(program)


@in_tree
async def test_via_that_fails_later(supervisor):
    """A timer whose address cannot be looked up when it is due loses its message, and nobody else's."""
    answers = iter([None])
    lost = send_after(1, Bad(lambda: next(answers)), "lost")
    ref = await supervisor.start(Keeper)
    send_after(2, ref, "kept")
    await trio.sleep(3)
    assert 1 == await Keeper.count(ref)
    assert not lost.active


@in_tree
async def test_via_that_moves(supervisor):
    """Each use looks the address up anew; a request stays with the process it was sent to."""
    refs = [await supervisor.start(Keeper, id=number) for number in range(2)]
    via = Bad(lambda: refs[0])
    await Keeper.swap(via, 1)
    refs.reverse()
    await Keeper.swap(via, 1)
    assert [1, 1] == [await Keeper.count(ref) for ref in refs]
    refs[:] = [None]
    with pytest.raises(NoProcess):
        await Keeper.count(via)


@in_tree
async def test_monitor_of_a_name_that_moves(supervisor):
    """A monitor by name stays with the process it found, and tells the name."""
    name = Name[Keeper]("moving")
    first, second = [await supervisor.start(Keeper, id=number, restart="temporary") for number in range(2)]
    heard: list[Down] = []

    async def watcher() -> None:
        register(name, first)
        watches = [monitor(name)]
        unregister(name)
        register(name, second)
        watches.append(monitor(name))
        assert [first, second] == [watch.ref for watch in watches]
        assert whereis(name) is second
        kill(second)
        heard.append(await mailbox().receive())
        watches.append(monitor(name))
        heard.append(await mailbox().receive())
        assert demonitor(watches[0])
        assert [watches[1], watches[2]] == [down.monitor for down in heard]

    ref = await supervisor.start(watcher, restart="temporary")
    assert Normal() == await ref.wait()
    assert [Killed(), "noproc"] == [heard[0].reason, str(heard[1].reason)]
    assert {name} == {down.target for down in heard}


def test_shared_exception():
    """An exception object that many processes raise stays usable, and does not grow with each of them."""
    shared = ValueError("shared")

    async def crash():
        raise shared

    def length() -> int:
        traceback, count = shared.__traceback__, 0
        while traceback is not None:
            traceback, count = traceback.tb_next, count + 1
        return count

    async def program():
        async with Tree() as supervisor:
            lengths = []
            for _ in range(50):
                ref = await supervisor.start(crash, restart="temporary")
                reason = await ref.wait()
                assert reason.error is shared
                lengths.append(length())
            return lengths

    lengths = run_program(program)
    assert lengths[-1] <= 5, lengths


def test_exception_between_trees():
    """The same exception ends a process, fails a call, and leaves a block, without getting mixed up."""
    shared = SpitefulError()

    async def crash():
        raise shared

    async def program():
        with pytest.raises(BaseException) as caught:
            async with Tree([child(crash)], max_restarts=0, shutdown=False):
                await trio.sleep_forever()
        assert caught.value.__cause__ is shared
        async with Tree() as supervisor:
            ref = await supervisor.start(crash, restart="temporary")
            assert (await ref.wait()).error is shared
            assert current_ref is not None

    run_program(program)
