"""The first part of a broadcast to all or to nobody: everybody is found, and their circuit breakers let it pass.

A half-open breaker lets only one through at a time, so that its leave is something to hold while others are waited for.
Those of one broadcast are taken one after the other in the order of the gates, which is the same for all; so two
broadcasts never wait for each other. A closed breaker lets everybody through, and is passed at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
import outcome
import trio

from nursery_otp._policy.delivery import SendOptions, Strategy
from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.gates import Gate
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import MessageInfo
from nursery_otp._runtime.parcels import Parcel
from nursery_otp._runtime.process import Process

BATCH = 100
"""How many recipients are seen to between two checkpoints."""


@attrs.frozen
class Order:
    """What a broadcast is to do."""

    recipients: tuple[Any, ...]
    message: object
    info: MessageInfo | None
    strategy: Strategy
    options: SendOptions

    @property
    def correlation_id(self) -> str | None:
        """What the message belongs to."""
        return None if self.info is None else self.info.correlation_id

    def limit_of(self, parcel: Parcel) -> float:
        """How long it may take with this recipient, in seconds."""
        within = self.options.within
        return parcel.runtime.limits.of_send(parcel.address) if within is None else within


@protected
class Search(Parcel):
    """A parcel that only looks where it would have to go, and there keeps the leave of the circuit breaker."""

    __slots__ = ("away", "found", "gate", "on_departure")

    def __init__(self, address: Any, content: object, caller: Process | None) -> None:
        super().__init__(address, content, confirmed=False)
        self.caller = caller
        self.keep_result = True
        self.away = False
        self.gate: Gate | None = None
        self.on_departure: Callable[[Search], None] | None = None

    @property
    def in_line(self) -> bool:
        """Whether it stands in front of a gate."""
        return not (self.done or self.away)

    def depart(self) -> None:
        """Set out without asking the breaker."""
        self.set_out()
        self.wait()

    def wait(self) -> None:
        """From now on its limit counts."""
        if not self.done:
            self.runtime.alarms.arm(self.deadline, self)

    def set_out(self) -> None:
        """Go and look."""
        self.away = True
        super().set_out()
        if self.on_departure is not None:
            self.on_departure(self)

    def bind(self, process: Process) -> None:
        """This is where it would have to go."""
        if self.done:
            return
        if process.doomed or process.mailbox.closed:
            self.fail(self.lost(process))
        else:
            self.found = process
            self.reply(None)

    def take(self, result: outcome.Outcome[Any]) -> None:
        """The sender's side; the breaker is told later what became of it."""
        Call.take(self, result)

    def over(self, error: BaseException | None, *, guilty: bool = False) -> None:
        """The broadcast is over; `guilty` if this recipient was in its way."""
        passage, self.passage = self.passage, None
        if passage is None:
            return
        if error is None or (guilty and isinstance(error, Exception)):
            passage.over(error)
        else:
            passage.given_up()


Obstacle: TypeAlias = tuple[Search, Any]
"""Who is in everybody's way, and the error that says why."""


@protected
class Sleeper:
    """The task of a broadcast: it sleeps until what it waits for has happened, or until something is in the way."""

    __slots__ = ("_task", "obstacle")

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None
        self.obstacle: Obstacle | None = None

    async def until(self, happened: Callable[[], bool]) -> None:
        """Sleep until that is so, unless it is, or there is an obstacle."""
        while self.obstacle is None and not happened():
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def wake(self, obstacle: Obstacle | None = None) -> None:
        """Something has happened that was waited for, or that nobody hoped for."""
        self.obstacle = self.obstacle or obstacle
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)


@protected
class Finding:
    """All searches of a broadcast. Those that one gate concerns pass it together, as what comes of them is one."""

    __slots__ = ("_left", "_order", "_searches", "_sleeper", "_together", "_turns")

    def __init__(self, order: Order, searches: list[Search], sleeper: Sleeper) -> None:
        self._left = len(searches)
        self._order = order
        self._searches = searches
        self._sleeper = sleeper
        self._together: dict[Gate, list[Search]] = {}
        self._turns: list[tuple[int, int, Gate, Search]] = []  # who may have to wait for a gate, and for which

    async def run(self) -> None:
        """Find everybody, or an obstacle."""
        for number, search in enumerate(self._searches, start=1):
            self._start(search)
            await self._breathe(number)
            if self._sleeper.obstacle is not None:
                return
        # Every broadcast goes through the gates in this order, so that no two of them wait for each other. Each of
        # these is kept from now on, so that no other gate with another number takes its place.
        for number, (_, _, gate, search) in enumerate(sorted(self._turns, key=lambda turn: turn[:2]), start=1):
            self._pass(gate, search)
            await self._sleeper.until(lambda search=search: not search.in_line)  # type: ignore[misc]
            await self._breathe(number)
            if self._sleeper.obstacle is not None:
                return
        await self._sleeper.until(lambda: self._left == 0)

    @staticmethod
    async def _breathe(number: int) -> None:
        if number % BATCH == 0:
            await trio.lowlevel.checkpoint()

    def _start(self, search: Search) -> None:
        search.listener = self._found
        search.limit = self._order.limit_of(search)
        search.deadline = search.runtime.alarms.now() + search.limit
        gate = search.gate = search.runtime.breakers.gate_at(search.address)
        if gate is None:
            search.depart()
        elif gate in self._together:
            self._join(search, self._together[gate])
        else:
            gate.keep()
            self._together[gate] = [search]
            search.on_departure = self._departed
            self._approach(gate, search)

    def _join(self, search: Search, others: list[Search]) -> None:
        others.append(search)
        if others[0].away:
            search.depart()

    def _approach(self, gate: Gate, search: Search) -> None:
        if gate.is_open_to_all:
            self._pass(gate, search)
            return
        refusal = gate.refusal()
        if refusal is not None:
            search.fail(refusal)
        else:
            self._turns.append((id(search.runtime), gate.number, gate, search))

    def _pass(self, gate: Gate, search: Search) -> None:
        gate.send_off(search)
        search.wait()

    def _departed(self, first: Search) -> None:
        if first.gate is not None:
            for search in self._together[first.gate][1:]:
                search.depart()
        self._sleeper.wake()

    def _found(self, search: Any) -> None:
        self._left -= 1
        error = search.failure()
        self._sleeper.wake(None if error is None else (search, error))

    def end(self) -> None:
        """Nobody looks any more. What the gates gave leave for, they are told later."""
        for search in self._searches:
            search.listener = search.on_departure = None
        for search in self._searches:  # which may let others go, and whoever hears of that may let some of these go
            search.abandon()
        together, self._together = self._together, {}
        for gate in together:
            gate.let_go()
