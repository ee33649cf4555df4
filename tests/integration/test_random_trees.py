"""Whatever happens to a tree of whatever shape: it ends, every call ends, no message is lost, and nothing is left."""

from __future__ import annotations

import os
from typing import Any

import trio
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    AlreadyNamed,
    AlreadyPresent,
    AlreadyStarted,
    CallExited,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    Crashed,
    Deadlock,
    DeliveryTimeout,
    Failed,
    InvalidSpec,
    MailboxFull,
    MailboxOverflow,
    MaxChildrenReached,
    NameTaken,
    NoProcess,
    Normal,
    NotForDynamic,
    ProcessDown,
    Ref,
    RestartLimitReached,
    Runtime,
    StartFailed,
    StartIgnored,
    StartTimeout,
    StopTimeout,
    SupervisorEnded,
    SupervisorHandle,
    UnknownOperation,
    current_runtime,
    explain,
    get_state,
    get_status,
    kill,
    register,
    resume,
    send,
    send_exit,
    send_nowait,
    start,
    stop,
    suspend,
    unregister,
)
from nursery_otp._behaviours.server_loop import ServerLoop
from nursery_otp._behaviours.supervisor_loop import SupervisorLoop
from nursery_otp._policy.delivery import CONFIRM
from tests.integration.actors import CALL_ERRORS, Boom, Worker, World
from tests.integration.laboratory import Tree, assert_sound, run_program
from tests.integration.programs import At, Leaf, Program

EXAMPLES = int(os.environ.get("RANDOM_TREES", "100"))
ROOTS = {"crash", "kill", "signal", "stop", "request", "exit", "overflow"}
SEND_ERRORS = (MailboxFull, NoProcess, ProcessDown, DeliveryTimeout, Deadlock)
CHILD_ERRORS = (
    *(AlreadyPresent, AlreadyStarted, ChildNotFound, ChildRestarting, ChildRunning, InvalidSpec, MaxChildrenReached),
    *(NotForDynamic, StartFailed, StartIgnored, NoProcess, CallExited, Deadlock, UnknownOperation),
)
SEND_ERRORS = (NoProcess, ProcessDown, MailboxFull, DeliveryTimeout, Deadlock)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=(Phase.generate, Phase.shrink))
@given(st.randoms(use_true_random=False))
def test_random_trees(chance):
    """After the block nothing is left, at every quiet moment the books balance, and everybody gets an answer."""
    program = Program.by(chance)
    note(program)
    check(program)


def check(program: Program) -> None:
    """Run it, and see that nobody had a problem."""
    world = World()
    run_program(_play, world, program, seed=program.seed)
    assert [] == world.problems


async def _play(world: World, program: Program) -> None:
    async with trio.open_nursery() as clients:
        with trio.CancelScope() as outside:
            try:
                await _block(world, program, clients, outside)
            except* (RestartLimitReached, SupervisorEnded, StartFailed, Boom):
                pass
        await wait_all_tasks_blocked()
        assert 0 == world.waiting, "somebody still waits for an answer"


async def _block(world: World, program: Program, clients: trio.Nursery, outside: trio.CancelScope) -> None:
    children = program.tree.specs(world, "root")
    ends = Ends()
    with ends:
        await _run(world, program, clients, outside, children, ends)


async def _run(
    world: World, program: Program, clients: trio.Nursery, outside: trio.CancelScope, children: Any, ends: Ends
) -> None:
    async with Tree(children, shutdown=False, **program.tree.flags) as supervisor:
        ends.watch(current_runtime())
        stage = Stage(world, clients)
        for event, pause in program.events:
            stage.perform(event)
            await stage.rest(pause)
        match program.ending:
            case "shutdown":
                supervisor.shutdown()
            case "wait":
                clients.start_soon(_shut_down_later, supervisor)
            case "error":
                raise Boom
            case "cancel":
                outside.cancel()
                await trio.lowlevel.checkpoint()
            case "kill root":
                kill(supervisor.address)
            case "stop root":
                supervisor.shutdown("enough")


class Ends:
    """All ends of processes, and what is said of them: each has a cause, and each crash is reported once."""

    def __init__(self) -> None:
        self.refs: list[Ref[Any]] = []
        self.reported: list[str] = []

    def watch(self, runtime: Runtime) -> None:
        runtime.on_exit(lambda ref, _reason: self.refs.append(ref))
        runtime.telemetry.attach(
            ("nursery_otp", "process", "crashed"),
            lambda _name, _measured, about: self.reported.append(about["report"].process),
        )

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_error: object) -> None:
        for ref in self.refs:
            explanation = explain(ref)
            first, root = explanation.incidents[0], explanation.root
            assert explanation.complete
            assert first.text.startswith(_label(repr(ref)))
            if not isinstance(ref.exit_reason, Normal | Failed | Crashed):
                assert root.kind in ROOTS, f"{ref}: {explanation}"
        crashed = [ref for ref in self.refs if ref._process.started and _is_crash(ref)]
        assert sorted(_label(repr(ref)) for ref in crashed) == sorted(map(_label, self.reported))


def _label(text: str) -> str:
    """What stays of the repr of a ref when the refs in its reason end as well."""
    return text.split(" ended", 1)[0]


def _is_crash(ref: Ref[Any]) -> bool:
    reason, process = ref.exit_reason, ref._process
    if not isinstance(reason, Crashed) or any(reason.error is fatal for fatal in process.runtime.fatal):
        return False
    told = reason is process.interrupted or reason is process.asked
    return isinstance(reason.error, MailboxOverflow) or not told


async def _shut_down_later(supervisor: SupervisorHandle) -> None:
    await trio.sleep(20)
    supervisor.shutdown()


class Stage:
    """Where things happen to a tree."""

    def __init__(self, world: World, clients: trio.Nursery) -> None:
        self._world = world
        self._clients = clients

    def _at(self, place: At) -> Ref[Any]:
        living = current_runtime().processes()
        wanted = [ref for ref in living if place.kind in {"", _kind_of(ref)}] or living
        return wanted[-1 - place.index % max(1, len(wanted) - 1)]  # the root only if it is alone

    def _real(self, value: Any) -> Any:
        """The same order, with processes instead of places."""
        if isinstance(value, At):
            return self._at(value)
        return tuple(map(self._real, value)) if isinstance(value, tuple) else value

    def _ask(self, what: str, doing: Any, errors: tuple[type[Exception], ...], patience: float) -> None:
        """Let a client of its own wait for it, as long as its patience lasts."""

        async def client() -> None:
            with trio.move_on_after(patience):
                await self._world.client(what, doing, errors)

        self._clients.start_soon(client)

    async def rest(self, pause: str | float) -> None:
        match pause:
            case "none":
                return
            case "step":
                await trio.lowlevel.checkpoint()
            case "settle":
                await assert_sound()
            case seconds:
                await trio.sleep(seconds)

    def perform(self, happening: Any) -> None:
        if not current_runtime().processes():
            return
        match self._real(happening):
            case "order", ref, order:
                try:
                    send_nowait(ref, order)
                except MailboxFull:
                    pass
            case "cast", ref, order:
                Worker.do(ref, order)
            case "kill", ref:
                kill(ref)
            case "exit", ref, reason:
                send_exit(ref, reason)
            case "names", ref, name:
                _rename(ref, name)
            case something:
                self._request(something)

    def _request(self, happening: Any) -> None:
        match happening:
            case "call", ref, order, limit, patience:
                self._ask("call", Worker.work.within(limit)(ref, order), CALL_ERRORS, patience)
            case "follow", ref, order, limit, patience:
                self._ask("follow", Worker.follow.within(limit)(ref, order), CALL_ERRORS, patience)
            case "call by name", name, order, limit, patience:
                self._ask("call by name", Worker.work.within(limit)(name, order), CALL_ERRORS, patience)
            case "send", ref, order, patience:
                confirm = CONFIRM[len(order) % 2]
                self._ask("send", send(ref, order, confirm=confirm, within=3.0), SEND_ERRORS, patience)
            case "stop", ref, reason, drain, limit, patience:
                asking = stop(ref, reason, drain=drain, within=limit)
                self._ask("stop", asking, (NoProcess, CallExited, StopTimeout), patience)
            case "system", ref, word, patience:
                function = {"suspend": suspend, "resume": resume, "get_state": get_state, "get_status": get_status}[
                    word
                ]
                self._ask(word, function(ref), (*CALL_ERRORS, TypeError), patience)
            case "start alone", Leaf(factory, options), limit, patience:
                starting = start(
                    factory, self._world, "", within=limit, name=options["name"], mailbox=options["mailbox"]
                )
                errors = (StartFailed, StartIgnored, StartTimeout, AlreadyStarted, NameTaken)
                self._ask("start", starting, errors, patience)
            case _:
                self._request_child(happening)

    def _request_child(self, happening: Any) -> None:
        ref = happening[1]
        handle, patience = SupervisorHandle(ref), happening[-1]
        if _kind_of(ref) == "leaf":
            return
        match happening:
            case "start", _, Leaf() as leaf, when_full, _:
                starting = handle.start_child(leaf.spec(self._world, ""), when_full=when_full)
                self._ask("start_child", starting, CHILD_ERRORS, patience)
            case "look", _, _:
                self._ask("which_children", handle.which_children(), CHILD_ERRORS, patience)
                self._ask("count_children", handle.count_children(), CHILD_ERRORS, patience)
            case ("terminate" | "restart" | "delete") as verb, _, index, _:
                self._ask(verb, _on_some_child(handle, verb, index), CHILD_ERRORS, patience)


def _kind_of(ref: Ref[Any]) -> str:
    behaviour = ref._process.behaviour
    if isinstance(behaviour, SupervisorLoop):
        return "supervisor"
    return "server" if isinstance(behaviour, ServerLoop) else "leaf"


async def _on_some_child(handle: SupervisorHandle, verb: str, index: int) -> None:
    children = await handle.which_children()
    if children:
        chosen = children[index % len(children)]
        await getattr(handle, f"{verb}_child")(chosen.id if chosen.id is not None else chosen.ref)


def _rename(ref: Ref[Any], name: Any) -> None:
    try:
        register(name, ref)
    except (NameTaken, AlreadyNamed):
        try:
            unregister(name)
        except NoProcess:
            pass
