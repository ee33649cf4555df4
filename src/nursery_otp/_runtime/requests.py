"""Requests that are sent now and awaited later, alone or the first of many."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Generic, TypeVar, cast

import trio

from nursery_otp._policy import checks
from nursery_otp._runtime.calls import Call, checked_limit
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.tracing import context_for
from nursery_otp.errors import CallTimeout, OTPError

R = TypeVar("R")
L = TypeVar("L")


class Request(Generic[R]):
    """A call whose answer is waited for elsewhere; made by `Server.operation.request(address, ...)`.

    OTP: what `gen_server:send_request/2` returns.
    """

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def done(self) -> bool:
        """Whether the answer, or the failure, is there (or the request has been given up)."""
        return self._call.done

    async def receive(self, *, within: float = math.inf) -> R:
        """The answer. After `within` seconds the request is given up and `CallTimeout` raised.

        OTP: `gen_server:receive_response/2`.
        """
        return cast("R", await self._call.sleep_within(checked_limit(within), keep=False))

    async def wait(self, *, within: float = math.inf) -> R:
        """The answer. After `within` seconds `CallTimeout` is raised, and one can wait again.

        OTP: `gen_server:wait_response/2`.
        """
        return cast("R", await self._call.sleep_within(checked_limit(within), keep=True))

    def __repr__(self) -> str:
        return f"<Request {self._call.label} to {self._call.address}{', done' if self.done else ''}>"


@protected
def send_request(call: Call) -> Request[Any]:
    """Send a call without waiting; what fails at once fails when the answer is asked for."""
    call.keep_result = True
    tracer = call.runtime.telemetry.tracer
    if tracer is not None:
        call.context = context_for(call.runtime.telemetry, "call", call.address, call.message, call.receiver)
    try:
        call.dispatch(math.inf)
    except OTPError as error:
        call.fail(error)
    return Request(call)


@protected
class RequestCollection(Generic[R, L]):
    """Requests that are under way, each with a label, answered in the order in which the answers come.

    OTP: request id collections (`gen_server:reqids_new/0` and so on).
    """

    def __init__(self) -> None:
        self._labels: dict[Call, L] = {}
        self._finished: deque[Call] = deque()
        self._task: trio.lowlevel.Task | None = None

    def __len__(self) -> int:
        return len(self._labels)

    def __repr__(self) -> str:
        return f"<RequestCollection of {len(self)}>"

    def add(self, request: Request[R], label: L) -> None:
        """Put a request into the collection."""
        checks.instance("request", request, Request, "must be a Request")
        call = request._call
        self._labels[call] = label
        call.listener = self._notify
        if call.done:
            self._finished.append(call)

    def _notify(self, call: Call) -> None:
        self._finished.append(call)
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    async def receive(self, *, within: float = math.inf) -> tuple[R, L]:
        """The next answer with the label of its request, which leaves the collection.

        A request that failed raises its error here, with the label as a note, and leaves the collection too. After
        `within` seconds without an answer `CallTimeout` is raised; the requests stay. An empty collection is a
        `LookupError`. OTP: `gen_server:wait_response/3`.
        """
        if not self._labels:
            raise LookupError("no request is left in the collection")
        limit = checked_limit(within)
        await trio.lowlevel.checkpoint_if_cancelled()
        call = self._next()
        if call is None:
            with trio.CancelScope(deadline=trio.current_time() + limit):  # noqa: ASYNC912 - _next is None at first
                while (call := self._next()) is None:
                    await self._sleep()
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
        if call is None:
            raise CallTimeout("receive", self, within)
        return self._answer_of(call)

    def _next(self) -> Call | None:
        """The request that was done first of those that are here still."""
        while self._finished:
            call = self._finished.popleft()
            if call in self._labels:
                return call
        return None

    async def _sleep(self) -> None:
        if self._task is not None:
            raise trio.BusyResourceError("another task waits for this collection")
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _answer_of(self, call: Call) -> tuple[R, L]:
        label = self._labels.pop(call)
        call.listener = None
        try:
            return cast("R", call.result()), label
        except Exception as error:
            error.add_note(f"answer to the request {label!r}")
            raise
