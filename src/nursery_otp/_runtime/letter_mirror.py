"""What is in the dead-letter queue, written down in a store, so that it survives the end of the program.

Changes are collected as numbers of letters, and written in batches by a worker thread, one batch at a time; what
changes meanwhile is the next batch. So the event loop pays for a number in a dict, and a thousand letters cost one
transaction. The thread makes data of messages as well: a message that its owner changes after it was sent is stored as
it is when its turn comes.

Trouble with the store never reaches whoever sends: letters stay in memory, and the batch that failed is tried again,
together with what came since. Nothing here is lost when the process that writes is killed, as what it had in hand goes
back to what is waiting.

The queue in memory is the truth, and a store that is opened again after trouble is compared with it: it may have the
batch that failed, and it may be another file in the place of the one that was there. Only what disappears from the same
file has been removed by somebody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import trio

from nursery_otp._policy.letters import LetterRecord, LetterStore, OpenedStore
from nursery_otp._policy.restarts import Backoff
from nursery_otp._runtime import log
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.letter_entries import Entry, Raw
from nursery_otp._runtime.letter_writing import Batch, Task, Writer, Written, open_again
from nursery_otp.errors import StoreError

if TYPE_CHECKING:
    from nursery_otp._runtime.letter_box import LetterBox

T = TypeVar("T")

BATCH = 2_000
"""Letters in one transaction: enough to share its cost, few enough to be soon over."""
PATIENCE = Backoff(initial=1.0, maximum=60.0)
"""How long to leave a store alone that failed."""
CHANGED, NEW, TRIED = 0, 1, 2
"""What the store does not know of a letter: how it stands now; that it exists; that, unless it has the batch that
failed. What is true about the last two is that the store does not have it, as far as one can tell."""

Connection: TypeAlias = Literal["closed", "open", "broken"]
"""Broken: it has to be closed and opened again, as something went wrong."""


@protected
class Mirror:
    """The dead-letter queue's connection to its store."""

    def __init__(self, queue: LetterBox, store: LetterStore) -> None:
        self.store = store
        self.queue = queue
        self.not_stored: dict[int, str] = {}
        self.pending: dict[int, int] = {}  # what the store does not know yet; the queue puts new letters in
        self._writing: dict[int, int] = {}
        self._gone: dict[int, str] = {}  # ids of letters that the store still has to forget
        self._news = trio.Event()  # set and replaced whenever a batch has been written, or could not be
        self._thread = trio.CapacityLimiter(1)  # of our own: whatever else keeps threads busy does not hold us up
        self._turn = trio.Lock()
        self._connection: Connection = "closed"
        self._taken_over = False  # whether the queue has what was in the store
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
        return not (self.pending.get(number) or self._writing.get(number) or number in self.not_stored)

    def changed(self, number: int) -> None:
        """A letter is not what it was."""
        if number not in self.not_stored:
            self.pending.setdefault(number, CHANGED)
            self.wake()

    def removed(self, number: int) -> None:
        """A letter has left the queue."""
        never_tried = self.pending.get(number) == NEW
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
            await self._connect()

    async def _connect(self) -> bool:
        held = self._connection == "broken"
        try:
            opened = await self._in_thread(open_again, self.store, held)
        except Exception as error:
            self._connection = "closed"
            if isinstance(error, StoreError) and error.lasting:
                raise
            self._failed(error)
            return False
        self._connection = "broken"  # until it has been seen to the end
        self._opened(opened)
        self._connection = "open"
        self._not_before = -math.inf
        if not self.pending:
            self._worked()
        self._tell()
        return True

    async def _reconnect(self) -> bool:
        try:
            return await self._connect()
        except StoreError as error:  # lasting, but it was something else when the tree started
            self._failed(error)
            return False

    def _opened(self, opened: OpenedStore) -> None:
        queue, decode = self.queue, self.store.decode
        queue.ids.change_prefix(str(opened.epoch), queue.last + 1)
        if self._taken_over:
            self._compare(opened)
        else:
            now, offset = queue.runtime.now(), queue.offset
            queue.adopt((record.id, Entry.loaded(record, now, offset, decode)) for record in opened.letters)
            self._taken_over = True

    def _compare(self, opened: OpenedStore) -> None:
        """What is there, after trouble, decides what there is to write."""
        queue, pending = self.queue, self.pending
        there = {record.id for record in opened.letters}
        for number, what in list(pending.items()):
            if number in self._gone:
                if self._gone[number] not in there:
                    del pending[number], self._gone[number]
            elif what and queue.ids[number] in there:  # the batch that failed had been written
                pending[number] = CHANGED
                if not isinstance(queue.letters[number], Entry):
                    del pending[number]  # it is as it was
        if not opened.same:
            lost = [number for number in queue.letters if self.is_durable(number) and queue.ids[number] not in there]
            every = pending | dict.fromkeys(lost, NEW)
            pending.clear()
            pending |= sorted(every.items())  # letters keep the place that they are added at
        self._merge(opened.letters)

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run something that blocks. It is waited for even if this is cancelled, so its outcome is always known."""
        return await trio.to_thread.run_sync(function, *args, limiter=self._thread)

    def _writer(self) -> Writer:
        return Writer(self.store, self.queue.ids, self.queue.key_of(""), self.queue.offset)

    # ------------------------------------------------------------------------------------- writing

    async def serve(self) -> None:
        """Write what there is to write, until cancelled: the body of a process."""
        while True:
            if self._connection == "open" and not self.pending:
                if not self._writing:
                    self._worked()
                await self._sleep()
            elif self._not_before > self.queue.runtime.now():
                with trio.CancelScope(deadline=self._not_before):
                    await self._news.wait()
            else:
                await self.write()

    async def _sleep(self) -> None:
        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self.idle = None
            return trio.lowlevel.Abort.SUCCEEDED

        self.idle = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    async def write(self) -> bool:
        """Write one batch; False if the store is out of order."""
        async with self._turn:
            if self._closed or (self._connection != "open" and not await self._reconnect()):
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
        for number, what in self._writing.items():
            kept = letters.get(number)
            if type(kept) is tuple:
                fresh.append((number, kept))
            elif isinstance(kept, Entry):
                tasks.append(Task(number, queue.ids[number], kept.snapshot(), bool(what)))
            elif number in self._gone:
                tasks.append(Task(number, self._gone[number], None, bool(what)))
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
        """In front of what has come since; what the store may not have seen stays so, whatever happened since."""
        writing, self._writing = self._writing, {}
        if writing:
            tried = {number: TRIED if what else CHANGED for number, what in writing.items()}
            later = {number: what or tried.get(number, CHANGED) for number, what in self.pending.items()}
            self.pending.clear()
            self.pending |= {**tried, **later}

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

    async def refresh(self, *, patient: bool = False) -> None:
        """Look what others have done to the file; if `patient`, not while the store is left alone after trouble."""
        async with self._turn:
            if self._closed or (patient and not self.works):
                return
            if self._connection != "open":
                await self._reconnect()
                return
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
        while (number in self.pending or number in self._writing) and self.works:
            await self._news.wait()

    async def wait_forgotten(self) -> None:
        """Wait until the store has forgotten all letters that are gone now, unless that is out of order."""
        left = set(self._gone)
        await trio.lowlevel.checkpoint()
        while (left := left & self._gone.keys()) and self.works:
            await self._news.wait()

    @property
    def works(self) -> bool:
        """Whether the store is in order, as far as one can tell, or its turn to be tried again has come."""
        return not self._closed and self._not_before <= self.queue.runtime.now()

    async def flush(self) -> bool:
        """Write until nothing is left to write; False if that is not possible now."""
        await trio.lowlevel.checkpoint()
        if self._connection == "open":
            await self.refresh()  # is it still the file that everything was written to?
        while not self._closed and (self.waiting or self._connection != "open"):
            if not await self.write():
                return False
        return not self.waiting

    async def close(self) -> None:
        """The tree has ended: write what is left, report what could not be written, and let go of the store."""
        if self.waiting or self._taken_over:  # else it is not worth the trouble of opening it
            await self.flush()
        async with self._turn:
            self._closed = True
            self._tell()
            lost = sum(what > CHANGED and number in self.queue.letters for number, what in self.pending.items())
            if lost:
                log.write("error", "dead_letters_lost", store=self.name, letters=lost)
            if self._connection != "closed":
                self._connection = "closed"
                try:
                    await self._in_thread(self.store.close)
                except Exception as error:
                    log.write("warning", "dead_letter_store_not_closed", store=self.name, exc_info=error)

    # -------------------------------------------------------------------------------------- trouble

    def _failed(self, error: Exception) -> None:
        if self._connection == "open":
            self._connection = "broken"
        self._failures += 1
        runtime = self.queue.runtime
        self._not_before = runtime.now() + PATIENCE.delay(self._failures, runtime.random.random())
        self._tell()
        self.wake()
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
