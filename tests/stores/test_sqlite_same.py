"""Whether a SQLite file is the one that the store had open before."""

import shutil

import pytest

from nursery_otp import AddLetter, LetterRecord, StoreError
from nursery_otp.stores import SQLiteStore

LETTER = LetterRecord("1-1", "name", "worker", "null", "noproc")


def test_same(tmp_path):
    """A file that was closed and opened again is the same, and so is one that another program has opened meanwhile."""
    store = SQLiteStore(tmp_path / "letters.sqlite")
    assert not store.open().same
    store.close()
    other = SQLiteStore(tmp_path / "letters.sqlite")
    other.open()
    other.close()
    assert store.open().same
    store.close()


@pytest.mark.parametrize("noticed", [True, False])
def test_removed(tmp_path, noticed):
    """A file that was removed, and made again, is not the same, whether that was seen while it was open or not."""
    path = tmp_path / "letters.sqlite"
    store = SQLiteStore(path)
    store.open()
    if not noticed:
        store.close()
    path.unlink()
    if noticed:
        with pytest.raises(StoreError, match="removed"):
            store.write([AddLetter(LETTER)])
    store.close()
    assert not store.open().same
    store.close()


def test_older_copy(tmp_path):
    """A copy of an earlier day, also if it was written over the file itself, is not the same."""
    path, copy = tmp_path / "letters.sqlite", tmp_path / "copy"
    store = SQLiteStore(path)
    store.open()
    store.close()
    shutil.copy(path, copy)
    store.open()
    store.close()
    path.write_bytes(copy.read_bytes())
    assert not store.open().same
    store.close()
