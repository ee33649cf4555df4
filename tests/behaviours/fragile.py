"""Servers that crash when they are asked to, and whoever writes down the reports of it."""

import pytest
from trio.testing import wait_all_tasks_blocked

from nursery_otp import GenServer, call, cast, current_runtime, send_nowait

SECRET = "hunter2"  # noqa: S105 - a made-up one


class Fragile(GenServer):
    """Crashes when asked to."""

    def __init__(self, password=SECRET):
        self.password = password
        self.count = 0

    @call
    def divide(self, by):
        return 1 / by

    @cast
    def drop(self, _what):
        raise KeyError("dropped")

    def handle_info(self, message):
        raise LookupError(message)


class Discreet(Fragile):
    """Shows neither its password nor anybody's argument."""

    def format_status(self, status):
        return {"state": {"count": self.count}, "message": "a message"}


@pytest.fixture
def reports():
    """All crash reports of the trees that `watch` was called in."""
    return []


@pytest.fixture
def watch(reports):
    def attach():
        bus = current_runtime().telemetry
        bus.attach(
            ("nursery_otp", "process", "crashed"), lambda _name, _measured, about: reports.append(about["report"])
        )

    return attach


def entries(caplog):
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("process_crashed")]


async def crash(ref, how="call"):
    if how == "call":
        with pytest.raises(Exception, match="ended before it answered"):
            await Fragile.divide(ref, 0)
    elif how == "cast":
        Fragile.drop(ref, "plate")
    else:
        send_nowait(ref, "boo")
    await ref.wait()
    await wait_all_tasks_blocked()


class Awkward(Fragile):
    """Its `format_status` does what the test says."""

    def __init__(self, does):
        super().__init__()
        self.does = does

    def format_status(self, status):
        return self.does(status)


async def explode():
    raise ValueError("boom")
