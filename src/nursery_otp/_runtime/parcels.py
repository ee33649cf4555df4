"""A parcel: a message whose sender waits, for the next incarnation, for room, or until it has been handled.

It is a call without an answer. A confirmed parcel lies in the mailbox itself, so that the end of its recipient fails it
at once; of one that is only to be accepted the mailbox gets the message alone. What a parcel comes to is a value, None
or the error, as it may be tried again. Until somebody handles it, a parcel can be taken back, and always is when its
sender is told that it failed: what is reported as not delivered is never handled later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import outcome
import trio

from nursery_otp._policy.exits import is_normal, safe_str
from nursery_otp._runtime.calls import Call
from nursery_otp._runtime.context import process_of_task
from nursery_otp._runtime.cycles import deadlock, keeper_of
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.messages import Envelope, MessageInfo
from nursery_otp._runtime.refs import Name, find
from nursery_otp.errors import DeliveryTimeout, MailboxFull, NoProcess, ProcessDown

if TYPE_CHECKING:
    from nursery_otp._runtime.gates import Passage
    from nursery_otp._runtime.process import Process

SEND = "send"


@protected
class Parcel(Call):
    """One attempt to deliver one message; `confirmed` if it has to be handled, and not only accepted."""

    __slots__ = ("confirmed", "content", "hint", "info", "passage", "void")

    ledger_word = SEND

    def __init__(
        self,
        address: Any,
        content: object,
        info: MessageInfo | None = None,
        *,
        confirmed: bool,
        context: Any = None,
        hint: Process | None = None,
    ) -> None:
        super().__init__(SEND, SEND, (), {}, address)
        self.content = content
        self.context = context
        self.info = info
        self.confirmed = confirmed
        self.passage: Passage | None = None
        self.hint = hint  # who was at the address, a moment ago
        self.void = False  # taken back, though it lies in the mailbox still

    @property
    def message(self) -> Any:
        """The message that was sent."""
        return self.content

    def __repr__(self) -> str:
        return f"<parcel to {safe_str(self.address)}{', done' if self.done else ''}>"

    # ------------------------------------------------------------------------------------- its way

    async def deliver(self, limit: float) -> Exception | None:
        """Try it, for so many seconds at most: None if it arrived, or the error."""
        await trio.lowlevel.checkpoint_if_cancelled()
        caller = self.caller = process_of_task()
        self.limit = limit
        try:
            self._go()
            if self.done:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return self.failure()
            self.runtime.alarms.arm(self.runtime.alarms.now() + limit, self)
            self._task = trio.lowlevel.current_task()
            error: Exception | None = await trio.lowlevel.wait_task_rescheduled(self._abort)
        finally:
            if caller is not None:
                caller.waits_for = None
        return error

    def start(self, limit: float) -> None:
        """The same for somebody who listens to what becomes of several; see `failure`."""
        self.limit = limit
        self.deadline = self.runtime.alarms.now() + limit
        self.keep_result = True
        self._go()
        if not self.done:
            self.runtime.alarms.arm(self.deadline, self)

    def failure(self) -> Exception | None:
        """What became of a parcel that is done and whose sender did not sleep."""
        error: Exception | None = _value_of(self._result)
        return error

    def afterwards(self, listen: Callable[[Parcel], None]) -> None:
        """Tell what became of it in the end; its sender has stopped waiting while it was being handled."""
        if self.done:
            listen(self)
        else:
            self.listener = listen  # type: ignore[assignment]  # it is called with this parcel

    def _go(self) -> None:
        breakers = self.runtime.breakers
        if breakers.in_use:
            breakers.send_off(self)
        else:
            self.set_out()

    def set_out(self) -> None:
        """Go to the recipient, or wait at the name that a supervisor keeps for it."""
        registry = self.runtime.registry
        name = self.address.text if isinstance(self.address, Name) else None
        hint, self.hint = self.hint, None
        try:
            if name is not None:
                process = registry.find(name)
            else:
                process = find(self.address) if hint is None or hint.doomed else hint
        except Exception as error:  # a Via of the user's
            self.fail(error)
            return
        if name is not None and self.wait_for_restart and registry.wait_for(name, self):
            if not self._wait(keeper_of(registry, self.address)):
                registry.stop_waiting(name, self)
        elif process is None:
            self.fail(NoProcess(self.address, SEND))
        else:
            self.bind(process)

    def bind(self, process: Process) -> None:
        """Go to this process."""
        if self.done:
            return
        self.process = process
        mailbox = process.mailbox
        if process.doomed or mailbox.closed:
            self.fail(self.lost(process))
        elif mailbox.overflow == "drop_newest" and len(mailbox) >= mailbox.capacity:
            process.overflowed()
            self.fail(self.lost(process))  # what would be dropped at once is better off with its sender
        elif not self.confirmed:
            self._hand_over(process, self.item())
        elif self._wait(process):
            self._hand_over(process, self)

    def _hand_over(self, process: Process, item: object) -> None:
        if process.offer(item):
            self.admitted()
        elif process.mailbox.overflow != "block":
            process.overflowed()
            self.fail(self.lost(process))
        elif self._wait(process):
            process.mailbox.queue_up(item, self)

    def _wait(self, awaited: Process | None) -> bool:
        """From now on the sender waits for this process; False, and over, if that would be for ever."""
        cycle = deadlock(SEND, self.caller, awaited) if self.certain else None
        if cycle is not None:
            self.fail(cycle)
            return False
        if self.caller is not None and not self.keep_result:
            self.caller.waits_for = self
        return True

    @property
    def certain(self) -> bool:
        """Whether only the recipient can end the wait. Room in its mailbox may come from others, too."""
        return self.confirmed or self.process is None or not self.process.mailbox.may_shrink

    def item(self) -> object:
        """What the mailbox gets of a parcel that need not be handled."""
        if self.info is None and self.context is None:
            return self.content
        return Envelope(self.content, self.context, self.info)

    # --------------------------------------------------------------------------------- what becomes of it

    def fail(self, error: BaseException) -> bool:
        """It has not arrived."""
        return self.settle(outcome.Value(error))

    def take(self, result: outcome.Outcome[Any]) -> None:
        """The sender's side."""
        passage, self.passage = self.passage, None
        super().take(result)
        if passage is not None:
            passage.over(_value_of(result))

    def admitted(self) -> None:
        """It is in the mailbox, which is all that was wanted unless it is to be confirmed."""
        if not self.confirmed:
            self.reply(None)

    def lost(self, process: Process) -> Exception:
        """Why it will not be read."""
        return why_lost(self.address, process)

    def orphaned(self, process: Process) -> None:
        """The process ended while it handled this. If it did so by itself and in peace, it was done with it."""
        if process.reason is not None and is_normal(process.reason) and process.interrupted is None:
            self.reply(None)
        else:
            self.fail(self.lost(process))

    def owe(self) -> None:
        """A parcel that is being handled is not among the debts: the process knows what it handles."""

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        self.abandon()
        return trio.lowlevel.Abort.SUCCEEDED

    @property
    def handling(self) -> bool:
        """Whether it is being handled, which nobody can take back."""
        return not self.done and self.process is not None and self.process.handling is self

    def on_alarm(self) -> None:
        """The limit has passed. Whoever listens hears the outcome of what is being handled, once it is there."""
        if self.done:
            return
        self.runtime.limits.send_fired(self.address, self.limit)
        handling = self.handling
        if not handling or self.keep_result:
            self._withdraw()
        wanted = "handled" if self.confirmed else "accepted"
        self.take(outcome.Value(DeliveryTimeout(self.address, self.limit, wanted, handling=handling)))

    def abandon(self) -> None:
        """The sender was cancelled."""
        if self.done:
            return
        if self.handling and not self.keep_result:
            self.runtime.alarms.disarm(self)
        else:
            self._withdraw()
        passage, self.passage = self.passage, None
        if passage is not None:
            passage.given_up()
        if self.listener is not None:
            self.listener(self)

    def _withdraw(self) -> None:
        """Take it back from wherever it lies or waits, unless it is being handled."""
        process, handling = self.process, self.handling
        self.close()
        if process is None:
            if self.passage is not None and self.passage.leave(self):
                self.passage = None
            elif isinstance(self.address, Name):
                self.runtime.registry.stop_waiting(self.address.text, self)
        elif not handling and not process.mailbox.leave_line(self):
            process.mailbox.take_back(self)


def why_lost(address: Any, process: Process) -> Exception:
    """Why a process does not take a message, or will not read it."""
    reason = process.reason or (process.interrupted if process.doomed else None)
    if reason is not None:
        return ProcessDown(address, reason, process.ref)
    if process.mailbox.closed:
        return NoProcess(address, SEND)
    return MailboxFull(process.ref, process.mailbox.bound)


def _value_of(result: outcome.Outcome[Any] | None) -> Any:
    """`unwrap` works only once."""
    return result.value if isinstance(result, outcome.Value) else None
