"""`explain` for what is no process: a cancellation, an error, a name; and where such things lead to."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    KILLED,
    CallExited,
    GenServer,
    Name,
    NoProcess,
    NoRuntime,
    ProcessDown,
    RestartLimitReached,
    Supervisor,
    SupervisorEnded,
    call,
    child,
    current_runtime,
    explain,
    kill,
    open_supervisor,
    send,
    send_exit,
    spawn,
    start,
    start_link,
    stop,
    whereis,
)
from nursery_otp._runtime.causes import INCIDENTS_KEPT, Causes, mark
from tests.runtime.helpers import Desk, idle


async def fail():
    raise ValueError("boom")


def kinds(target):
    """What the incidents are, the latest first."""
    explanation = explain(target)
    assert explanation.complete
    return [incident.kind for incident in explanation.incidents]


async def test_cancelled(tree):
    """The `Cancelled` that ends a process leads to who ended it."""
    found = []

    async def process():
        try:
            await idle()
        except trio.Cancelled as error:
            found.append(str(explain(error)))
            raise

    ref = spawn(process)
    await wait_all_tasks_blocked()
    kill(ref)
    await ref.wait()

    first, because = found[0].splitlines()
    assert "cancelled: <process#2>: killed" == first
    assert "  because it was killed at test_explaining_errors.py:" in because


async def test_body_is_cancelled():
    """The block that is cancelled because its tree gave up is told of the crash."""
    found = []
    with pytest.raises(RestartLimitReached):
        async with open_supervisor([child(fail)], max_restarts=0):
            try:
                await idle()
            except trio.Cancelled as error:
                found.append(explain(error))
                raise

    assert "cancelled: the root supervisor has ended" == found[0].incidents[0].text
    assert "crash" == found[0].root.kind


async def test_foreign_cancelled(tree):
    """A `Cancelled` that the library has nothing to do with has no cause here."""
    with trio.CancelScope() as scope:
        scope.cancel(reason="elsewhere")
        try:
            await idle()
        except trio.Cancelled as error:
            text = str(explain(error))
            raise

    assert "cancelled: elsewhere" == text


async def test_caller_gone(tree):
    """A handler that is cancelled with its caller leads to what ended that."""
    found = []

    class Follower(Desk):
        @call(follow_caller=True)
        async def work(self):
            try:
                await idle()
            except trio.Cancelled as error:
                found.append(kinds(error))
                raise

    server = await start(Follower)
    caller = spawn(Follower.work, server)
    await wait_all_tasks_blocked()
    kill(caller)
    await caller.wait()
    await wait_all_tasks_blocked()

    assert [["cancelled", "caller", "kill"]] == found
    assert server.alive


async def test_call_exited(tree):
    """The error of a call leads to what ended the server, and so does the crash of a caller because of it."""

    class Front(Desk):
        @call
        async def ask(self, other):
            try:
                await Desk.run(other, fail)
            except CallExited as error:
                raise LookupError("no answer") from error

    front, back = await start(Front), await start(Desk)
    with pytest.raises(CallExited) as caught:
        await Front.ask(front, back)

    assert ["crash", "crash"] == kinds(front)
    assert ["error", "crash", "crash"] == kinds(caught.value)
    assert ["error"] == kinds(ValueError())


async def test_error_of_another_tree():
    """An error leads to its own tree wherever it is looked at; a crash because of it is told in that tree alone."""
    async with open_supervisor() as one:
        desk = await start(Desk)
        with pytest.raises(CallExited) as caught:
            await Desk.run(desk, fail)
        async with open_supervisor() as two:
            kill(spawn(idle))
            assert ["error", "crash"] == kinds(caught.value)
            assert 0 == current_runtime().causes.of_error(caught.value)
            two.shutdown()
        one.shutdown()


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("use", [send, lambda target, _: Desk.echo(target, 1)])
async def test_errors_about_the_dead(tree, named, use):
    """Whoever finds that a process has ended is told why by the error, and so is whoever looks at his crash."""
    name = Name[Desk]("desk")
    desk = await tree.start(Desk, name=name, restart="temporary")
    with pytest.raises(CallExited):
        await Desk.run(desk, fail)
    await wait_all_tasks_blocked()

    async def user():
        await use(name if named else desk, 1)

    with pytest.raises((ProcessDown, NoProcess)) as caught:
        await user()
    by = spawn(user)
    await by.wait()

    assert ["error", "crash"] == kinds(caught.value)
    assert ["crash", "crash"] == kinds(by)
    assert explain(desk).root == explain(caught.value).root == explain(by).root


async def test_error_about_one_who_is_about_to_end(tree):
    """A process that has been killed, but has not ended yet, is explained like one that has."""
    desk = spawn(idle)
    await wait_all_tasks_blocked()
    kill(desk)
    assert desk.alive

    assert ["error", "kill"] == kinds(ProcessDown(desk, KILLED, desk))
    assert ["exit", "kill"] == kinds(desk)
    assert "is about to end: killed" in str(explain(desk))


async def test_nothing_is_known_of_a_name(tree):
    """A name that nobody ever held leads nowhere."""
    with pytest.raises(NoProcess) as caught:
        await send(Name("nobody"), 1)

    assert ["error"] == kinds(caught.value)


def test_the_error_of_a_tree():
    """Outside of its block there is no tree any more, and still its error leads to the crash."""

    async def limit():
        async with open_supervisor([child(fail)], max_restarts=0):
            await idle()

    async def killed():
        async with open_supervisor() as supervisor:
            supervisor.shutdown(KILLED)

    with pytest.raises(RestartLimitReached) as reached:
        trio.run(limit)
    with pytest.raises(SupervisorEnded) as ended:
        trio.run(killed)
    with pytest.raises(NoRuntime):
        explain(ValueError())

    assert ["error", "exit", "limit", "crash"] == kinds(reached.value)
    assert ["error", "exit", "stop"] == kinds(ended.value)
    assert "shutdown() was called at test_explaining_errors.py:" in str(explain(ended.value))


def test_circular_errors():
    """Errors that are each other's cause do no harm."""
    error = ValueError()
    error.__cause__ = error

    assert 0 == Causes(lambda: 0.0).of_error(error)


async def test_parent(tree):
    """A server that traps exits ends with its parent: that is no crash of its own, and leads to the parent's."""

    class Trapper(Desk):
        trap_exits = True

    started, reports = [], []
    current_runtime().telemetry.attach(("nursery_otp", "process", "crashed"), lambda *event: reports.append(event))

    async def parent():
        started.append(await start_link(Trapper))
        raise ValueError("boom")

    await spawn(parent).wait()
    await started[0].wait()

    assert ["exit", "crash"] == kinds(started[0])
    assert 1 == len(reports)


async def test_trapped_signal(tree):
    """The same for a signal that somebody sent; who only got news of a normal end left no trace."""
    from nursery_otp import Stop, link, mailbox, trap_exits

    async def process(peer):
        trap_exits()
        link(peer)
        await mailbox().receive()
        signal = await mailbox().receive()
        raise Stop(signal.reason)

    ref = spawn(process, spawn(trio.lowlevel.checkpoint))
    await wait_all_tasks_blocked()
    assert 0 == len(current_runtime().causes)
    send_exit(ref, "because")
    await ref.wait()

    assert ["exit", "signal"] == kinds(ref)


class Slow(Desk):
    """Does not stop."""

    async def terminate(self, reason):
        await idle()


async def test_overrun(autojump_clock):
    """A child that was killed because it did not stop in time says so, and what it was to stop for."""
    async with open_supervisor([child(Slow, id="slow", shutdown=2)]) as supervisor:
        (ref,) = [info.ref for info in await supervisor.which_children()]
        await supervisor.terminate_child("slow")
        supervisor.shutdown()

    assert ["exit", "kill", "stop", "request"] == kinds(ref)
    assert "it had not stopped 2 s after it was asked to" == explain(ref).incidents[1].text


async def test_overrun_of_dynamic_children(autojump_clock):
    """The same for children that are stopped all at once; each has its own limit."""
    async with open_supervisor(strategy="simple_one_for_one") as supervisor:
        refs = [await supervisor.start(factory, shutdown=3) for factory in (Slow, Desk)]
        supervisor.shutdown()

    assert ["exit", "kill", "stop", "stop"] == kinds(refs[0])
    assert ["exit", "stop", "stop"] == kinds(refs[1])


async def test_restarted_supervisor(tree):
    """The children of a supervisor that was restarted are there again because of what ended it."""

    class Squad(Supervisor):
        max_restarts = 0

        def children(self):
            return [child(Desk, name=Name("desk"))]

    await tree.start(Squad)
    with pytest.raises(CallExited):
        await Desk.run(Name("desk"), fail)
    await wait_all_tasks_blocked()

    assert ["start", "restart", "exit", "limit", "crash"] == kinds(Name("desk"))


async def test_name(tree):
    """A name that nobody holds stands for who held it last, unless that simply returned."""
    name = Name("worker")
    ref = spawn(idle, name=name)
    kill(ref)
    await ref.wait()

    assert ["name", "exit", "kill"] == kinds(name)
    assert whereis(name) is None

    await spawn(trio.lowlevel.checkpoint, name=name).wait()
    with pytest.raises(NoProcess):
        explain(name)


def test_names_are_bounded():
    """Of the names that nobody holds only the latest are known."""
    causes = Causes(lambda: 0.0)
    for number in range(1, 10_001):
        causes.note_name(f"name {number}", number)

    assert len(causes._names) <= 2_000
    assert (0, 10_000) == (causes.last_of("name 1"), causes.last_of("name 10000"))


def test_a_full_history_is_not_searched():
    """To forget the oldest incident costs the same however many are remembered, and leaves nothing to collect."""
    causes = Causes(lambda: 0.0)
    for _ in range(2 * INCIDENTS_KEPT + 5):
        number = causes.record("exit", "text")

    assert INCIDENTS_KEPT == len(causes)
    assert 5 * INCIDENTS_KEPT == len(causes._ring)
    assert not any(isinstance(part, tuple | list | dict) for part in causes._ring)
    assert causes.get(number - INCIDENTS_KEPT) is None
    assert number - INCIDENTS_KEPT + 1 == causes.get(number - INCIDENTS_KEPT + 1).number
    assert [None, None] == [causes.get(0), causes.get(number + 1)]


def test_mark():
    """A text with a mark gives its number back as long as the incident is remembered."""
    causes = Causes(lambda: 0.0)
    number = causes.record("exit", "text")

    assert ("killed", number) == causes.read("killed" + mark(number))
    assert [("killed", 0)] * 2 == [causes.read("killed"), causes.read("killed [incident 99]")]


async def test_stop_scopes(tree):
    """The scope of a polite stop leads to who asked for it as well."""
    from nursery_otp import shutdown_scope

    found = []

    async def process():
        with shutdown_scope():
            try:
                await idle()
            except trio.Cancelled as error:
                found.append(kinds(error))
                raise

    ref = spawn(process)
    await wait_all_tasks_blocked()
    await stop(ref)

    assert [["cancelled", "stop"]] == found


class Plain(GenServer):
    """Nothing but a server."""


async def test_nothing_is_remembered_of_what_is_normal(tree):
    """Starts, calls and normal ends leave no trace."""
    desk = await tree.start(Desk)
    await Desk.echo(desk, 1)
    await spawn(Desk.echo, desk, 2).wait()
    await tree.start(Plain)

    assert 0 == len(current_runtime().causes)
