"""A store of dead letters for tests: a disk that survives its store, and everything that can go wrong with it."""

import json
import threading
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    AddLetter,
    CannotStore,
    DeadLetterOptions,
    OpenedStore,
    RemoveLetter,
    StoreError,
    UpdateLetter,
    check_letter,
    dead_letters,
    open_supervisor,
)


class Disk:
    """What is left when the program has ended."""

    def __init__(self):
        self.letters = {}
        self.epoch = 0
        self.version = 0  # counts the changes
        self.writes = []
        self.lock = threading.Lock()  # a store and a command line are never in the middle of something together

    def by_hand(self, identity, **changes):
        """What a command line does: change a letter, or remove it (no changes)."""
        with self.lock:
            if changes:
                self.letters[identity] = self.letters[identity]._replace(**changes)
            else:
                del self.letters[identity]
            self.version += 1

    def copy(self):
        """What a backup is."""
        copy = Disk()
        with self.lock:
            copy.letters, copy.epoch = dict(self.letters), self.epoch
        return copy


class FakeStore:
    """Keeps letters on a disk. `trouble` is raised by what it names, or after it (`written`).

    `gate` holds `write` back until it is set.

    Another `disk` may be put in the place of the one that it has: that is noticed when it is next used.
    """

    def __init__(self, disk=None):
        self.disk = disk or Disk()
        self.trouble = {}
        self.gate = None
        self.began = threading.Event()
        self.seen = None
        self.epoch = 0
        self._mounted = None
        self.is_open = False
        self.opened = 0
        self.threads = set()

    def __str__(self):
        return "fake store"

    def _step(self, what):
        self.threads.add(threading.current_thread())
        if what in self.trouble:
            raise self.trouble[what]
        if what in ("write", "changed", "reload"):
            assert self.is_open
            if self._mounted is not self.disk:
                raise GONE

    def open(self):
        self._step("open")
        assert not self.is_open
        self.is_open = True
        self.opened += 1
        same, self._mounted = self._mounted is self.disk, self.disk
        with self.disk.lock:
            self.epoch = self.disk.epoch = max(self.epoch, self.disk.epoch) + 1
            self.seen = self.disk.version
            return OpenedStore(self.epoch, tuple(self.disk.letters.values()), same)

    def write(self, changes):
        self.began.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        self._step("write")
        for change in changes:
            if not isinstance(change, RemoveLetter):
                check_letter(change.letter)
        with self.disk.lock:
            for change in changes:
                self._carry_out(change)
            self.disk.writes.append(changes)
            self.seen += self.seen == self.disk.version  # what this store does is no news to it
            self.disk.version += 1
        self._step("written")

    def _carry_out(self, change):
        letters = self.disk.letters
        match change:
            case AddLetter(letter):
                asked = letter.id in letters and letters[letter.id].requested
                letters[letter.id] = letter._replace(requested=letter.requested or asked)
            case UpdateLetter(letter, answered):
                if letter.id in letters:
                    asked = letters[letter.id].requested and not answered
                    letters[letter.id] = letter._replace(requested=letter.requested or asked)
            case RemoveLetter(identity):
                letters.pop(identity, None)

    def changed(self):
        self._step("changed")
        return self.seen != self.disk.version

    def reload(self):
        self._step("reload")
        with self.disk.lock:
            self.seen = self.disk.version
            return tuple(self.disk.letters.values())

    def encode(self, message):
        try:
            return json.dumps(message)
        except TypeError as error:
            raise CannotStore("message", str(error)) from None

    def decode(self, text):
        return json.loads(text)

    def close(self):
        self._step("close")
        self.is_open = False


GONE = StoreError("fake store", "there is another disk in its place")
FULL = StoreError("fake store", "disk full")
FOREIGN = StoreError("fake store", "not a store of letters", lasting=True)


async def settled():
    """Wait until nobody has anything to do: neither a task nor the thread that serves the store."""
    thread = dead_letters().mirror._thread
    await wait_all_tasks_blocked()
    while thread.borrowed_tokens:
        async with thread:
            pass
        await wait_all_tasks_blocked()


async def in_thread(event):
    """Wait for something that only the thread knows."""
    assert await trio.to_thread.run_sync(event.wait, 60)


@pytest.fixture
def disk():
    """What survives."""
    return Disk()


@pytest.fixture
def store(disk):
    """A store on that disk."""
    return FakeStore(disk)


@asynccontextmanager
async def tree_on(store, **options):
    """A tree with a store, that is shut down in the end."""
    async with open_supervisor(dead_letters=DeadLetterOptions(store=store, **options)) as tree:
        yield tree
        tree.shutdown()


def stored(disk):
    """The messages on the disk, as texts."""
    return [record.message for record in disk.letters.values()]
