"""Programs with trouble: `python -m tests.stores.trouble NAME FILE`, each in a process of its own."""

import os
import resource
import signal
import sys

import pytest

from nursery_otp import StoreError
from nursery_otp.stores import SQLiteStore
from tests.stores.letters import add, letter

LONG = '"' + "x" * 100_000 + '"'
NOBODY = 65534
MOST = 700_000  # bytes


def fill(store):
    """Write until it fails; the error, and what was acknowledged."""
    done = []
    for number in range(1000):
        batch = [letter(10 * number + each, message=LONG) for each in range(3)]
        try:
            store.write(add(*batch))
        except StoreError as error:
            return error, done
        done += batch
    raise AssertionError("it does not fill")


def limited(path):
    """A process whose files may not grow beyond a limit, until it is lifted."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = SQLiteStore(path)
    store.open()
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, hard))
    error, done = fill(store)
    assert not error.lasting
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert done == store.reload()
    store.write(add(letter(9999)))
    assert [*done, letter(9999)] == store.reload()
    store.close()


def as_nobody(path):
    """A user who may read the file, but not write it."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setuid(NOBODY)
    with pytest.raises(StoreError, match="make the file and its directory writable") as caught:
        SQLiteStore(path).open()
    assert not caught.value.lasting


if __name__ == "__main__":
    {"limited": limited, "as_nobody": as_nobody}[sys.argv[1]](sys.argv[2])
