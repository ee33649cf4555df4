"""Fixtures of the tests of stores."""

import pytest

from nursery_otp.stores import SQLiteStore


@pytest.fixture
def path(tmp_path):
    """A file that is not there yet."""
    return tmp_path / "letters.sqlite"


@pytest.fixture
def store(path):
    """An open store."""
    store = SQLiteStore(path)
    store.open()
    yield store
    store.close()
