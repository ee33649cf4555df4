"""A store of dead letters for tests: a disk that survives its store, and everything that can go wrong with it."""

import json
import threading

from nursery_otp import AddLetter, CannotStore, OpenedStore, RemoveLetter, StoreError, UpdateLetter, check_letter


class Disk:
    """What is left when the program has ended."""

    def __init__(self):
        self.letters = {}
        self.epoch = 0
        self.version = 0  # counts what others than the store did
        self.writes = []

    def by_hand(self, identity, **changes):
        """What a command line does: change a letter, or remove it (no changes)."""
        if changes:
            self.letters[identity] = self.letters[identity]._replace(**changes)
        else:
            del self.letters[identity]
        self.version += 1


class FakeStore:
    """Keeps letters on a disk. `trouble` is raised by what it names; `gate` holds `write` back until it is set."""

    def __init__(self, disk=None):
        self.disk = disk or Disk()
        self.trouble = {}
        self.gate = None
        self.began = threading.Event()
        self.seen = None
        self.is_open = False
        self.opened = 0
        self.threads = set()

    def __str__(self):
        return "fake store"

    def _step(self, what):
        self.threads.add(threading.current_thread())
        if what in self.trouble:
            raise self.trouble[what]

    def open(self):
        self._step("open")
        assert not self.is_open
        self.is_open = True
        self.opened += 1
        self.disk.epoch += 1
        self.seen = self.disk.version
        return OpenedStore(self.disk.epoch, tuple(self.disk.letters.values()))

    def write(self, changes):
        self.began.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        self._step("write")
        assert self.is_open
        letters = dict(self.disk.letters)
        for change in changes:
            if not isinstance(change, RemoveLetter):
                check_letter(change.letter)
            match change:
                case AddLetter(letter):
                    letters[letter.id] = letter
                case UpdateLetter(letter, answered):
                    if letter.id in letters:
                        asked = letters[letter.id].requested and not answered
                        letters[letter.id] = letter._replace(requested=letter.requested or asked)
                case RemoveLetter(identity):
                    letters.pop(identity, None)
        self.disk.letters = letters
        self.disk.writes.append(changes)

    def changed(self):
        self._step("changed")
        return self.seen != self.disk.version

    def reload(self):
        self._step("reload")
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


FULL = StoreError("fake store", "disk full")
FOREIGN = StoreError("fake store", "not a store of letters", lasting=True)
