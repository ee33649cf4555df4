"""The scripted GenServer: every callback logs, runs its script's ops and returns what the script says.

A script's outcome, whether returned or thrown, is first put together as the term that OTP's callback would return, and
then read as OTP reads it; so a valid term that is thrown counts as returned, and an invalid one is a bad return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from nursery_otp import (
    BadReturn,
    Continue,
    ExitReason,
    GenServer,
    Idle,
    Ignore,
    Later,
    Stop,
    answer,
    call,
    cast,
    current_ref,
    trap_exits,
)
from tests.conformance.process_terms import Json, ScriptThrow, read, reason_of, seconds, show_reason
from tests.conformance.process_world import Process

Script: TypeAlias = Mapping[str, Json]
Term: TypeAlias = object
Shape: TypeAlias = Callable[[list[Json], Term], Term]


class ScriptedServer(GenServer):
    """`state` is the state of the scripted server: a term."""

    def __init__(self, process: Process) -> None:
        process.world.enter(process.name, current_ref(), "server")
        trap_exits(process.traps)
        self.process = process
        self.state = read(process.spec.get("state", 0))

    async def init(self) -> Any:
        self.process.log("init")
        script = self.process.spec.get("init", {})
        return self._started(await self._outcome(script, ["ok"], initial))

    @call
    async def request(self, message: object) -> object:
        self.process.log("handle_call", self.process.show(message))
        script = self.process.script(message)
        later: Later[object] = Later()
        if "save" in script:
            self.process.world.saved[script["save"]] = later
        return self._replied(await self._outcome(script, ["reply", "ok"], usual), later)

    @cast
    async def order(self, message: object) -> Any:
        return await self._handle("handle_cast", message)

    async def handle_info(self, message: object) -> Any:
        return await self._handle("handle_info", message)

    async def handle_continue(self, argument: object) -> Any:
        return await self._handle("handle_continue", argument)

    async def terminate(self, reason: ExitReason) -> None:
        self.process.log("terminate", show_reason(reason, self.process.world))
        self.process.world.terminates(current_ref(), reason)
        script = self.process.spec.get("on", {}).get("terminate", {})
        try:
            await self.process.run(script.get("do", []))
        except ScriptThrow:
            pass  # a throw is a return, and what terminate returns does not matter

    async def _handle(self, event: str, message: object) -> Any:
        self.process.log(event, self.process.show(message))
        return self._continued(await self._outcome(self.process.script(message), ["noreply"], usual))

    async def _outcome(self, script: Script, default: list[Json], shape: Shape) -> Term:
        """What OTP's callback would return after running `script`."""
        try:
            await self.process.run(script.get("do", []))
        except ScriptThrow as thrown:
            return thrown.term
        state = read(script["state"]) if "state" in script else self.state
        return shape(script.get("ret", default), state)

    def _started(self, term: Term) -> Any:
        match term:
            case ("ok", state):
                return self._become(state)
            case ("ok", state, extra):
                return self._become(state, extra)
            case "ignore":
                raise Ignore
            case ("stop", reason):
                return Stop(reason_of(reason))
            case _:
                return term

    def _replied(self, term: Term, later: Later[object]) -> object:
        match term:
            case ("reply", value, state):
                return answer(value, then=self._become(state))
            case ("reply", value, state, extra):
                return answer(value, then=self._become(state, extra))
            case ("noreply", state):
                return later.pending(then=self._become(state))
            case ("noreply", state, extra):
                return later.pending(then=self._become(state, extra))
            case ("stop", reason, state):
                self._become(state)
                raise Stop(reason_of(reason))
            case ("stop", reason, value, state):
                self._become(state)
                return answer(value, then=Stop(reason_of(reason)))
            case _:
                raise BadReturn("request", term, "a return of handle_call")  # returned, it would be a reply

    def _continued(self, term: Term) -> Any:
        match term:
            case ("noreply", state):
                return self._become(state)
            case ("noreply", state, extra):
                return self._become(state, extra)
            case ("stop", reason, state):
                self._become(state)
                return Stop(reason_of(reason))
            case _:
                return term

    def _become(self, state: object, extra: Term = "infinity") -> Continue | Idle | None:
        """Take the new state; the instruction that `extra` stands for."""
        self.state = state
        match extra:
            case "infinity" | "hibernate":
                return None
            case ("continue", argument):
                return Continue(argument)
            case _:
                return Idle(seconds(extra))


def initial(ret: list[Json], state: Term) -> Term:
    """The `ret` of an init script as the term that OTP's init would return."""
    match ret:
        case ["ignore"]:
            return "ignore"
        case ["stop", reason]:
            return ("stop", read(reason))
        case _:
            return usual(ret, state)


def usual(ret: list[Json], state: Term) -> Term:
    """The `ret` of any other script as OTP's return term, with the state where OTP has it."""
    match ret:
        case ["bad", value]:
            return read(value)
        case ["stop_reply", reason, value]:
            return ("stop", read(reason), read(value), state)
        case ["stop", reason]:
            return ("stop", read(reason), state)
        case ["reply", value, *extra]:
            return ("reply", read(value), state, *map(read, extra))
        case [word, *extra]:
            return (word, state, *map(read, extra))
        case _:
            raise ValueError(f"not a return: {ret}")
