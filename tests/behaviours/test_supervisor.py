"""Supervisors as classes: their flags and children, how they start, and how they are reached and ended."""

import logging

import pytest
import trio
import trio.testing

from nursery_otp import (
    KILLED,
    SHUTDOWN,
    CallExited,
    Crashed,
    FailedToStart,
    GenServer,
    Ignore,
    InvalidSpec,
    Name,
    NoProcess,
    Shutdown,
    StartFailed,
    StartIgnored,
    Stop,
    Supervisor,
    SupervisorHandle,
    child,
    current_ref,
    current_runtime,
    kill,
    process_info,
    send_exit,
    send_nowait,
    spawn,
    start,
    start_link,
    stop,
    trap_exits,
    whereis,
)
from tests.behaviours.stage import Puppet, Stage, error_in, outcome_of
from tests.behaviours.teams import Labelled, Team, refs, team_of

# ----------------------------------------------------------------------------------------- starting


async def test_start_stop():
    """Children start in the order given and stop in the reverse order, each with its terminate."""
    diary = []
    async with Stage() as supervisor:
        ref = await supervisor.start(Team, 3, diary)
        handle = SupervisorHandle(ref)

        assert [1, 2, 3] == list(await refs(handle))
        assert "supervisor" == (await supervisor.which_children())[0].kind
    assert [(1, "init"), (2, "init"), (3, "init")] == diary[:3]
    assert [(number, "terminate", SHUTDOWN) for number in (3, 2, 1)] == diary[3:]
    assert SHUTDOWN == ref.exit_reason


async def test_flags_in_init():
    """The flags may be class attributes or be set by `__init__`."""
    diary = []
    async with Stage() as supervisor:
        handle = SupervisorHandle(await supervisor.start(team_of(2, diary, strategy="one_for_all", max_restarts=5)))
        before = await refs(handle)
        send_exit(before[1], "boom")
        await before[2].wait()
        after = await refs(handle)

    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


async def test_misspelt_flags():
    """A flag of another name is an error where the class or a subclass is made, or of an object where it starts."""

    class Mixin:
        restart_strategy = "one_for_all"

    with pytest.raises(TypeError, match=r"Bad.restart_strategy .* it is called 'strategy'"):
        type("Bad", (Mixin, Supervisor), {})
    with pytest.raises(TypeError, match=r"Worse.max_childern .* it is called 'max_children'"):
        type("Worse", (Team,), {"max_childern": 5})

    class Forgetful(Supervisor):
        def __init__(self):
            self.intensity = 5

    async with Stage() as supervisor:
        with pytest.raises(StartFailed) as caught:
            await supervisor.start(Forgetful)

    assert "Forgetful.intensity would never be used by a Supervisor: it is called 'max_restarts'" in str(
        caught.value.__cause__
    )


async def test_no_children():
    """A supervisor without children is one."""

    class Empty(Supervisor):
        pass

    async with Stage() as supervisor:
        handle = SupervisorHandle(await supervisor.start(Empty))

        assert () == await handle.which_children()
        assert (await handle.start(Puppet)).alive


async def test_children_may_be_any_iterable():
    """`children` may be a generator; it runs in the supervisor's process, once."""
    seen = []

    class Lazy(Supervisor):
        def children(self):
            seen.append(current_ref())
            yield child(Puppet)
            yield child(Puppet)

    async with Stage() as supervisor:
        ref = await supervisor.start(Lazy)

        assert ["Puppet", "Puppet-2"] == list(await refs(SupervisorHandle(ref)))
    assert [ref] == seen


@pytest.mark.parametrize("where", ["__init__", "children", "flags"])
async def test_definition_fails(where):
    """An exception while the definition is made is a failed start with it as the cause."""

    class Broken(Supervisor):
        def __init__(self):
            if where == "__init__":
                raise KeyError(where)

        def flags(self):
            if where == "flags":
                raise KeyError(where)
            return super().flags()

        def children(self):
            raise KeyError("children")

    async with Stage() as supervisor:
        for begin in (supervisor.start, start):
            with pytest.raises(StartFailed) as caught:
                await begin(Broken)

            assert f"KeyError: '{where}'" == error_in(caught.value.reason)
        assert (supervisor.ref,) == current_runtime().processes()


async def test_definition_declines_or_stops():
    """`children` may raise `Ignore` or `Stop`."""

    class Shy(Supervisor):
        def children(self):
            raise Ignore

    class Stopping(Supervisor):
        def children(self):
            raise Stop("not today")

    async with Stage() as supervisor:
        with pytest.raises(StartIgnored):
            await supervisor.start(Shy)
        with pytest.raises(StartFailed) as caught:
            await supervisor.start(Stopping)

        assert Stop("not today").reason == caught.value.reason


BAD_DEFINITIONS = [
    ({"strategy": "all_for_one"}, "strategy='all_for_one': must be one of 'one_for_one', "),
    ({"max_restarts": -1}, "max_restarts=-1: must be a whole number >= 0 or math.inf"),
    ({"period": 0}, "period=0: must be a number of seconds > 0"),
    ({"auto_shutdown": True}, "auto_shutdown=True: must be one of 'never', "),
    ({"max_children": 3}, "max_children=3: only a simple_one_for_one supervisor has a limit"),
    ({"children": lambda: None}, "children=None: must be child specifications"),
    ({"children": lambda: [Puppet]}, "must be a ChildSpec; make one with child(factory, *args)"),
    ({"children": lambda: [child(Puppet, id=1), child(Puppet, id=1)]}, "id=1: duplicate id"),
    (
        {"children": lambda: [child(Puppet, restart="temporary", significant=True)]},
        "significant=True: the supervisor's auto_shutdown is 'never'",
    ),
    ({"strategy": "simple_one_for_one"}, "a simple_one_for_one supervisor has one template at most"),
]


@pytest.mark.parametrize(("attributes", "text"), BAD_DEFINITIONS, ids=lambda v: v if isinstance(v, str) else "")
async def test_bad_definition(attributes, text):
    """A definition that does not hold is found before any child is started."""
    async with Stage() as supervisor:
        diary = []
        with pytest.raises(StartFailed) as caught:
            await supervisor.start(team_of(2, diary, **attributes))

        assert isinstance(caught.value.__cause__, InvalidSpec)
        assert text in str(caught.value.__cause__)
        assert [] == diary


class Failing(GenServer):
    def __init__(self):
        raise ValueError("cannot start")


@pytest.mark.parametrize("begin", ["supervised", "alone"])
async def test_child_does_not_start(begin):
    """A child that does not start fails the start of its supervisor; those before it are stopped in reverse order."""
    diary = []

    class Partly(Team):
        def children(self):
            return [*super().children(), child(Failing, id="bad"), child(Labelled, 9, diary, id=9)]

    async with Stage() as supervisor:
        with pytest.raises(StartFailed) as caught:
            await (supervisor.start if begin == "supervised" else start)(Partly, 2, diary)

        match caught.value.reason:
            case Shutdown(FailedToStart("bad", Crashed(ValueError()))):
                pass
            case other:
                raise AssertionError(other)
        assert [(1, "init"), (2, "init"), (2, "terminate", SHUTDOWN), (1, "terminate", SHUTDOWN)] == diary
        assert (supervisor.ref,) == current_runtime().processes()


async def test_child_that_declines():
    """A child that declines to start does not keep its supervisor from starting."""

    class Shy(GenServer):
        def __init__(self):
            raise Ignore

    class Mixed(Supervisor):
        def children(self):
            return [
                child(Shy, id="kept"),
                child(Shy, id="forgotten", restart="temporary"),
                child(Puppet, id="runs"),
            ]

    async with Stage() as supervisor:
        handle = SupervisorHandle(await supervisor.start(Mixed))
        infos = await handle.which_children()

    assert [("kept", "stopped"), ("runs", "running")] == [(info.id, info.status) for info in infos]


# -------------------------------------------------------------------------------- links, names, messages


async def test_named_supervisor():
    """A supervisor may have a name; a call by it while it is restarted waits."""
    async with Stage() as supervisor:
        name = Name[Team]("team")
        ref = await supervisor.start(Team, name=name)
        assert ref is whereis(name)
        kill(ref)
        await ref.wait()

        assert [1, 2] == [info.id for info in await SupervisorHandle(name).which_children()]
        assert ref is not whereis(name)


async def test_parents_end():
    """A supervisor started with a link stops its children in order when its parent ends."""
    diary = []
    started = []

    async def parent():
        started.append(await start_link(Team, 2, diary))
        raise Stop("parent ends")

    async with Stage():
        await spawn(parent).wait()
        reason = await started[0].wait()

    assert Stop("parent ends").reason == reason
    assert [(2, "terminate", SHUTDOWN), (1, "terminate", SHUTDOWN)] == diary[2:]


async def test_strangers_signals():
    """A supervisor traps exits: signals of others do not end it, and odd messages are logged, not fatal."""
    async with Stage() as supervisor:
        ref = await supervisor.start(Team, 1)
        send_exit(ref, "whatever")
        send_nowait(ref, "hello")

        assert [1] == list(await refs(SupervisorHandle(ref)))


async def test_odd_messages_are_logged(caplog):
    """A message to a supervisor is nobody's: it is logged."""
    async with Stage() as supervisor:
        with caplog.at_level(logging.WARNING):
            send_nowait(supervisor.ref, "hello")
            await supervisor.which_children()

    assert "unexpected_message" in caplog.text
    assert "'hello'" in caplog.text


async def test_stop_with_reason():
    """`stop` ends a supervisor in order, with the reason asked for."""
    diary = []
    async with Stage():
        ref = await start(Team, 2, diary)
        await stop(ref, "done")

    assert Stop("done").reason == ref.exit_reason
    assert [(2, "terminate", SHUTDOWN), (1, "terminate", SHUTDOWN)] == diary[2:]


async def test_killed():
    """A killed supervisor leaves nobody behind; its children are killed, too, without terminate."""
    diary = []
    async with Stage() as supervisor:
        ref = await start(Team, 3, diary)
        children = list((await refs(SupervisorHandle(ref))).values())
        kill(ref)

        assert KILLED == await ref.wait()
        assert [KILLED] * 3 == [child.exit_reason for child in children]
        assert (supervisor.ref,) == current_runtime().processes()
    assert [(1, "init"), (2, "init"), (3, "init")] == diary


async def test_child_has_no_link():
    """A child is no peer: it does not end with a signal when its supervisor does, but by being stopped."""
    seen = []

    async def worker():
        trap_exits()
        seen.append(process_info(current_ref()).links)
        await trio.sleep_forever()

    async with Stage() as supervisor:
        await supervisor.start(worker, shutdown="kill")
        await trio.testing.wait_all_tasks_blocked()

    assert [frozenset()] == seen


async def test_supervisor_cannot_ask_itself():
    """A child that asks its supervisor for something while that starts it is told that this would wait for ever."""
    errors = []

    class Curious(GenServer):
        def __init__(self, address):
            self.address = address

        async def init(self):
            errors.append(await outcome_of(SupervisorHandle(self.address).which_children()))

    async with Stage(name=Name("top")) as supervisor:
        await supervisor.start(Curious, Name("top"))

    assert ["Deadlock"] == [type(error).__name__ for error in errors]


async def test_reasons_are_logged(caplog):
    """Each restart is reported with the child, the reason and how much of the limit is used."""
    with caplog.at_level(logging.INFO):
        async with Stage(max_restarts=3) as supervisor:
            ref = await supervisor.start(Puppet, id="x")
            kill(ref)
            await ref.wait()
            await supervisor.which_children()

    (line,) = [record.getMessage() for record in caplog.records if "child_terminated" in record.getMessage()]
    for part in ("child='x'", "reason='killed'", "restarts=1", "allowed=3"):
        assert part in line


async def test_error_of_a_call_to_a_crashing_child():
    """A call by ref fails with the end of the incarnation; by name it reaches the next one."""
    async with Stage(max_restarts=3) as supervisor:
        name = Name[Puppet]("x")
        ref = await supervisor.start(Puppet, name=name)
        kill(ref)
        by_ref = await outcome_of(Puppet.ask(ref, "?"))
        by_name = await outcome_of(Puppet.ask(name, "answer"))

    assert isinstance(by_ref, NoProcess | CallExited)
    assert "answer" == by_name
