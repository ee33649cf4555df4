"""Ops of a process scenario that need no other process to answer: messages, signals, links, monitors, names.

Each is a function of the process that runs it; `ACTIONS` has them by their names in a scenario. A plain function never
blocks, an async one may.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import trio

from nursery_otp import (
    AlreadyNamed,
    Name,
    NameTaken,
    NoProcess,
    Stop,
    current_ref,
    demonitor,
    kill,
    link,
    monitor,
    process_info,
    register,
    send_after,
    send_exit,
    send_nowait,
    spawn,
    spawn_link,
    spawn_monitor,
    trap_exits,
    unlink,
    unregister,
    whereis,
)
from tests.conformance.process_actor import actor
from tests.conformance.process_terms import Json, ScriptError, ScriptThrow, read, read_reason, seconds
from tests.conformance.process_world import Op, Process

Spec = dict[str, Json]
BADARG = ["error", "badarg"]


def log(process: Process, value: Json) -> None:
    process.log("log", value)


# Messages and time


def send(process: Process, target: str, message: Json) -> None:
    try:
        send_nowait(process.target(target), read(message))
    except NoProcess:
        process.log("send", target, BADARG)


def later_send(process: Process, delay: float, target: str, message: Json) -> None:
    send_after(seconds(delay), process.target(target), read(message))


def reply(process: Process, saved: str, value: Json) -> None:
    if saved in process.world.saved:
        process.world.saved[saved].reply(read(value))


async def sleep(_: Process, milliseconds: float) -> None:
    await trio.sleep(seconds(milliseconds))


async def gate(process: Process, name: str) -> None:
    process.world.gates[name] = trio.Event()
    await process.world.gates[name].wait()


def open_gate(process: Process, name: str) -> None:
    if name in process.world.gates:
        process.world.gates.pop(name).set()


# Ends and signals


def exit_with(_: Process, reason: Json) -> None:
    raise Stop(read_reason(reason))


def error(_: Process, term: Json) -> None:
    raise ScriptError(read(term))


def throw(_: Process, term: Json) -> None:
    raise ScriptThrow(read(term))


async def exit_to(process: Process, target: str, reason: Json) -> None:
    """An exit signal. One to the process itself works at its next checkpoint, which is here."""
    address = process.target(target)
    if reason == "kill":
        kill(address)
    else:
        send_exit(address, read_reason(reason))
    await trio.lowlevel.checkpoint_if_cancelled()


def trap(_: Process, enabled: bool) -> None:
    trap_exits(enabled)


def alive(process: Process, target: str) -> None:
    process.log("alive", target, process.ref(target).alive)


# Plain processes


def born(process: Process, name: str, spec: Spec | None = None) -> None:
    child = process.child(name, spec)
    process.world.enter(name, spawn(actor, child))


def born_linked(process: Process, name: str, spec: Spec | None = None) -> None:
    child = process.child(name, spec)
    process.world.enter(name, spawn_link(actor, child))


def born_monitored(process: Process, label: str, name: str, spec: Spec | None = None) -> None:
    child = process.child(name, spec)
    ref, monitor_ = spawn_monitor(actor, child)
    process.world.enter(name, ref)
    process.world.label(label, monitor_)


# Links and monitors


def linked(process: Process, target: str) -> None:
    try:
        link(process.target(target))
    except NoProcess:
        process.log("link", target, ["error", "noproc"])


def linked_or_crash(process: Process, target: str) -> None:
    try:
        link(process.target(target))
    except NoProcess:
        raise ScriptError("noproc") from None


def unlinked(process: Process, target: str) -> None:
    unlink(process.target(target))


def links(process: Process) -> None:
    known = filter(process.world.knows, process_info(current_ref()).links)
    process.log("links", sorted(map(process.show, known)))


def monitored(process: Process, label: str, target: str) -> None:
    process.world.label(label, monitor(process.target(target)))


def demonitored(process: Process, label: str, options: Sequence[str] = ()) -> None:
    active = ended_watch(process, label, flush="flush" in options)
    if "info" in options:
        process.log("demonitor", label, active)


def ended_watch(process: Process, label: str, *, flush: bool) -> bool:
    if label not in process.world.monitors:
        raise ScriptError("badarg")
    try:
        return demonitor(process.world.monitors[label], flush=flush)
    except ValueError:  # another process's watch: in OTP nothing happens
        return False


def monitors(process: Process) -> None:
    targets = (monitor_.target for monitor_ in process_info(current_ref()).monitors)
    process.log("monitors", sorted(map(process.show, targets)))


# Names


def registered(process: Process, name: str, target: str) -> None:
    if name == "undefined" or target.startswith("@"):
        process.log("register", name, BADARG)
    else:
        named(process, "register", name, lambda: register(Name[Any](name), process.ref(target)))


def unregistered(process: Process, name: str) -> None:
    named(process, "unregister", name, lambda: unregister(Name[Any](name)))


def named(process: Process, op: str, name: str, change: Callable[[], None]) -> None:
    try:
        change()
    except (NameTaken, NoProcess, AlreadyNamed):
        process.log(op, name, BADARG)
    else:
        process.log(op, name, ["ok", True])


def found(process: Process, name: str) -> None:
    ref = whereis(Name[Any](name))
    process.log("whereis", name, "undefined" if ref is None else process.show(ref))


ACTIONS: dict[str, Op] = {
    "log": log,
    "send": send,
    "send_after": later_send,
    "reply": reply,
    "sleep": sleep,
    "gate": gate,
    "open": open_gate,
    "exit": exit_with,
    "error": error,
    "throw": throw,
    "exit_to": exit_to,
    "trap": trap,
    "alive": alive,
    "spawn": born,
    "spawn_link": born_linked,
    "spawn_monitor": born_monitored,
    "link": linked,
    "link_nocatch": linked_or_crash,
    "unlink": unlinked,
    "links": links,
    "monitor": monitored,
    "demonitor": demonitored,
    "monitors": monitors,
    "register": registered,
    "unregister": unregistered,
    "whereis": found,
}
