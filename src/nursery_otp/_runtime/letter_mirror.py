"""What is in the dead-letter queue, written down in a store, so that it survives the end of the program.

Changes are collected as numbers of letters, and written in batches by a worker thread, one batch at a time; what
changes meanwhile is the next batch. So the event loop pays for a number in a dict, and a thousand letters cost one
transaction. The thread makes data of messages as well: a message that its owner changes after it was sent is stored as
it is when its turn comes.

Trouble with the store never reaches whoever sends: letters stay in memory, and the batch that failed is tried again,
together with what came since. Nothing here is lost when the process that writes is killed, as what it had in hand goes
back to what is waiting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from nursery_otp._policy.letters import (
    LetterRecord,
    LetterStore,
)
from nursery_otp._policy.restarts import Backoff
from nursery_otp._runtime import log
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.letter_entries import Entry, Raw
from nursery_otp._runtime.letter_writing import Batch, Task, Writer, Written
from nursery_otp.errors import StoreError

if TYPE_CHECKING:
    from nursery_otp._runtime.letter_box import LetterBox

T = TypeVar("T")

BATCH = 2_000
"""Letters in one transaction: enough to share its cost, few enough to be soon over."""
PATIENCE = Backoff(initial=1.0, maximum=60.0)
"""How long to leave a store alone that failed."""
NEW, CHANGED = True, False


@protected
class Mirror:
    """The dead-letter queue's connection to its store."""

    def __init__(self, queue: LetterBox, store: LetterStore) -> None:
        self.store = store
        self.queue = queue
        self.not_stored: dict[int, str] = {}
        self.pending: dict[int, bool] = {}  # what the store does not know yet; the queue puts new letters in
        self._writing: dict[int, bool] = {}
        self._gone: dict[int, str] = {}  # ids of letters that the store still has to forget
        self._news = trio.Event()  # set and replaced whenever a batch has been written, or could not be
        self._thread = trio.CapacityLimiter(1)  # of our own: whatever else keeps threads busy does not hold us up
        self._turn = trio.Lock()
        self._opened = False
        self._closed = False
        self._failures = 0
        self._not_before = -math.inf
        self.idle: trio.lowlevel.Task | None = None

    # ------------------------------------------------------------------------------- what is to be done

    @property
    def waiting(self) -> int:
        """How many changes are not in the store yet."""
        return len(self.pending) + len(self._writing)

    @property
    def name(self) -> str:
        """What the store is called in reports."""
        return str(self.store)

    def is_durable(self, number: int) -> bool:
        """Whether the store has this letter."""
        return not (self.pending.get(number) is NEW or self._writing.get(number) is NEW or number in self.not_stored)

    def changed(self, number: int) -> None:
        """A letter is not what it was."""
        if number not in self.not_stored:
            self.pending.setdefault(number, CHANGED)
            self.wake()

    def removed(self, number: int) -> None:
        """A letter has left the queue."""
        never_tried = self.pending.get(number) is NEW and not self._failures
        if self.not_stored.pop(number, None) is not None or never_tried:
            self.pending.pop(number, None)  # the store never heard of it
            return
        self._gone[number] = self.queue.ids[number]
        self.pending[number] = CHANGED
        self.wake()

    def wake(self) -> None:
        task, self.idle = self.idle, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    # ------------------------------------------------------------------------------------- opening

    async def open(self) -> None:
        """Connect, and take over what is there. Lasting trouble is raised; other trouble may pass."""
        async with self._turn:
            await self._open()

    async def _open(self) -> None:
        try:
            opened = await self._in_thread(self.store.open)
        except Exception as error:
            if isinstance(error, StoreError) and error.lasting:
                raise
            self._failed(error)
            return
        self._opened = True
        queue = self.queue
        queue.ids.change_prefix(str(opened.epoch), queue.last + 1)
        decode = self.store.decode
        queue.adopt((record.id, Entry.loaded(record, queue.offset, decode)) for record in opened.letters)
        self._worked()

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run something that blocks. It is waited for even if this is cancelled, so its outcome is always known."""
        return await trio.to_thread.run_sync(function, *args, limiter=self._thread)

    def _writer(self) -> Writer:
        return Writer(self.store, self.queue.ids, self.queue.key_of(""), self.queue.offset)

    # ------------------------------------------------------------------------------------- writing

    async def serve(self) -> None:
        """Write what there is to write, until cancelled: the body of a process."""
        while True:
            if not self.pending:
                await self._sleep(math.inf)
            elif self._not_before > self.queue.runtime.now():
                await self._sleep(self._not_before)
            else:
                await self.write()

    async def _sleep(self, until: float) -> None:
        if until < math.inf:
            await trio.sleep_until(until)
            return

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self.idle = None
            return trio.lowlevel.Abort.SUCCEEDED

        self.idle = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    async def write(self) -> bool:
        """Write one batch; False if the store is out of order."""
        async with self._turn:
            if not self._opened:
                try:
                    await self._open()
                except StoreError as error:  # it was somewhere else when the tree started
                    self._failed(error)
            if not self._opened:
                return False
            return await self._write(self._take()) if self.pending else True

    def _take(self) -> Batch:
        """The next batch, as it is now."""
        if len(self.pending) <= BATCH:
            self._writing = dict(self.pending)
            self.pending.clear()
        else:
            self._writing = {number: self.pending.pop(number) for number in list(islice(self.pending, BATCH))}
        queue, letters = self.queue, self.queue.letters
        fresh: list[tuple[int, Raw]] = []
        tasks: list[Task] = []
        for number, new in self._writing.items():
            kept = letters.get(number)
            if type(kept) is tuple:
                fresh.append((number, kept))
            elif isinstance(kept, Entry):
                tasks.append(Task(number, queue.ids[number], kept.snapshot(), new))
            elif number in self._gone:
                tasks.append(Task(number, self._gone[number], None, new))
        return Batch(fresh, tasks)

    async def _write(self, batch: Batch) -> bool:
        began = self.queue.runtime.now()
        try:
            written = await self._in_thread(self._writer().save, batch)
        except Exception as error:
            self._failed(error)
            return False
        else:
            self._done(batch, written, began)
            return True
        finally:
            # Also if this process is killed: what is not known to be written is written again.
            self._put_back()
            self._tell()

    def _put_back(self) -> None:
        """In front of what has come since; what the store has not seen stays new to it, whatever happened since."""
        writing, self._writing = self._writing, {}
        if writing:
            later = {number: new or writing.get(number, False) for number, new in self.pending.items()}
            self.pending.clear()
            self.pending |= {**writing, **later}

    def _tell(self) -> None:
        """Wake everybody who waits for what comes of a batch."""
        news, self._news = self._news, trio.Event()
        news.set()

    def _done(self, batch: Batch, written: Written, began: float) -> None:
        queue = self.queue
        self._writing = {}
        for task in batch.tasks:
            if task.kept is None:
                self._gone.pop(task.number, None)
            elif task.kept.answered and isinstance(entry := queue.letters.get(task.number), Entry):
                entry.answered = False
        self._report_not_stored(written.not_stored)
        self._worked()
        emit = queue.runtime.telemetry.letters_stored
        if emit is not None:
            emit({"letters": written.letters, "duration": queue.runtime.now() - began}, {"store": self.name})
        if written.found is not None:
            self._merge(written.found)

    def _report_not_stored(self, problems: dict[int, str]) -> None:
        problems = {number: problem for number, problem in problems.items() if number in self.queue.letters}
        if not problems:
            return
        self.not_stored.update(problems)
        first = next(iter(problems))
        log.write(
            "warning",
            "dead_letters_not_storable",
            letters=len(problems),
            first=self.queue.ids[first],
            problem=problems[first],
            hint="they are kept in memory, and are gone when the program ends",
        )

    # ------------------------------------------------------------------------------- what others did

    async def refresh(self) -> None:
        """Look what others have done to the file."""
        if not self._opened or self._closed:
            await trio.lowlevel.checkpoint()
            return
        async with self._turn:
            try:
                found = await self._in_thread(self._writer().look)
            except Exception as error:
                self._failed(error)
                return
            if found is not None:
                self._merge(found)

    def _merge(self, found: Iterable[LetterRecord]) -> None:
        """Letters that somebody asked for are sent; those that somebody has removed from the file are gone."""
        queue = self.queue
        there = {record.id: record for record in found}
        for number in list(queue.letters):
            record = there.get(queue.ids[number])
            if record is None:
                if self.is_durable(number):
                    queue.remove(number, "purged")
            elif record.requested:
                entry = queue.entry(number)
                if not entry.requested and not entry.answered:  # if answered, the store has yet to be told
                    queue.retrying.request(number)

    # --------------------------------------------------------------------------------- being waited for

    async def wait_saved(self, number: int) -> None:
        """Wait until this change is in the store, unless that is out of order."""
        await trio.lowlevel.checkpoint()
        while (number in self.pending or number in self._writing) and self._works():
            await self._news.wait()

    def _works(self) -> bool:
        return not self._closed and self._not_before <= self.queue.runtime.now()

    async def flush(self) -> bool:
        """Write until nothing is left to write; False if that is not possible now."""
        await trio.lowlevel.checkpoint()
        while self.waiting:
            if self._closed or not await self.write():
                return False
        return True

    async def close(self) -> None:
        """The tree has ended: write what is left, report what could not be written, and let go of the store."""
        await self.flush()
        self._closed = True
        self._tell()
        lost = sum(new and number in self.queue.letters for number, new in self.pending.items())
        if lost:
            log.write("error", "dead_letters_lost", store=self.name, letters=lost)
        if self._opened:
            self._opened = False
            try:
                await self._in_thread(self.store.close)
            except Exception as error:
                log.write("warning", "dead_letter_store_not_closed", store=self.name, exc_info=error)

    # -------------------------------------------------------------------------------------- trouble

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        runtime = self.queue.runtime
        self._not_before = runtime.now() + PATIENCE.delay(self._failures, runtime.random.random())
        self._tell()
        if self._failures > 1:
            return  # an outage is reported once
        log.write(
            "error",
            "dead_letter_store_failed",
            store=self.name,
            error=str(error),
            hint="dead letters are kept in memory until it works again",
        )
        emit = runtime.telemetry.store_failed
        if emit is not None:
            emit({"waiting": self.waiting}, {"store": self.name, "error": error})

    def _worked(self) -> None:
        failures, self._failures = self._failures, 0
        self._not_before = -math.inf
        if not failures:
            return
        log.write("info", "dead_letter_store_recovered", store=self.name, failures=failures)
        emit = self.queue.runtime.telemetry.store_recovered
        if emit is not None:
            emit({"waiting": self.waiting}, {"store": self.name})
