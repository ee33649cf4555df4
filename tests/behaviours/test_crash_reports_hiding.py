"""What a server hides is in no report, entry or incident, however its `format_status` fails; and all are short."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    BadReturn,
    GenServer,
    cast,
    current_runtime,
    get_status,
    mailbox,
    monitor,
    open_supervisor,
    send_exit,
    spawn,
    stop_nowait,
)
from tests.behaviours.fragile import SECRET, Awkward, Discreet, crash, entries, reports, watch

__all__ = ["reports", "watch"]  # fixtures, for pytest


async def test_redacted(reports, watch, caplog):
    """What `format_status` leaves out is in no entry: neither state nor message."""
    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Discreet)
        Discreet.drop(ref, "my token")
        await ref.wait()
        await wait_all_tasks_blocked()
        supervisor.shutdown()

    assert ("a message", "{'count': 0}") == (reports[0].message, reports[0].state)
    assert SECRET not in entries(caplog)[0]
    assert "my token" not in entries(caplog)[0]


class Nasty:
    """Its repr raises."""

    def __repr__(self):
        raise ValueError("nasty")


def raises(_status):
    raise RuntimeError("no status")


@pytest.mark.parametrize(
    ("does", "shown"),
    [
        (raises, "(not shown: format_status raised RuntimeError)"),
        (lambda _status: None, "(not shown: format_status raised BadReturn)"),
        (lambda _status: {}, None),
        (lambda _status: {"state": Nasty()}, "<Nasty whose repr raised ValueError>"),
        (lambda _status: {"state": "x" * 1_000_000}, "(1,000,000 characters)"),
    ],
)
async def test_hostile_status(reports, watch, does, shown):
    """A `format_status` that fails is said to have failed, nothing is shown in its stead, and the report is short."""
    async with open_supervisor() as supervisor:
        watch()
        await crash(await supervisor.start(Awkward, does), "cast")
        supervisor.shutdown()

    [report] = reports
    assert (report.state is None) == (shown is None)
    assert shown is None or shown in report.state
    assert len(report.state or "") < 3_000
    assert SECRET not in str(report)


def everything(reports, caplog):
    """All that is told of the crashes anywhere: events, entries with their tracebacks, and incidents."""
    incidents = current_runtime().causes.remembered()
    return " ".join([*map(str, reports), caplog.text, *(incident.text for incident in incidents)])


def told(status):
    raise ValueError(f"bad {status}")


def missing(status):
    return {"state": status["state"][status["state"]["password"]]}


@pytest.mark.parametrize("does", [told, missing, lambda status: list(status.items())], ids=["told", "key", "list"])
async def test_secrets_of_a_failing_hook(reports, watch, caplog, does):
    """A hook that fails with what it was to hide in its hands: neither the error's text nor the value is shown."""
    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Awkward, does, restart="temporary")
        await crash(ref, "cast")
        assert SECRET not in everything(reports, caplog)
        supervisor.shutdown()

    assert "(not shown: format_status raised " in reports[0].state


async def test_status_of_a_wrong_kind():
    """Whoever asks for the status gets an error without the value that the hook has returned."""
    async with open_supervisor() as supervisor:
        ref = await supervisor.start(Awkward, lambda status: list(status.items()))
        with pytest.raises(BadReturn) as asked:
            await get_status(ref)
        assert SECRET not in f"{asked.value} {asked.value!r}"
        supervisor.shutdown()


class Lazy(dict):
    """A dict that fails when it is read."""

    def get(self, *_args):
        raise RuntimeError("get")

    def __contains__(self, _key):
        raise RuntimeError("contains")

    def __getitem__(self, _key):
        raise RuntimeError("item")

    def keys(self):
        raise RuntimeError("keys")


class Odd(str):
    """A key that fails when it is compared."""

    __hash__ = str.__hash__

    def __eq__(self, _other):
        raise RuntimeError("eq")


@pytest.mark.parametrize("does", [Lazy, lambda status: {**status, Odd("state"): 1}], ids=["dict", "key"])
async def test_hostile_dict(reports, watch, does):
    """What a hook returns may fail when it is read: the crash is reported, and everybody is told of the end."""
    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Awkward, does, restart="temporary")

        async def watching():
            monitored = monitor(ref)
            assert monitored == (await mailbox().receive()).monitor

        watcher = spawn(watching)
        await wait_all_tasks_blocked()
        await crash(ref, "cast")
        assert "normal" == str(await watcher.wait())
        assert supervisor.ref.alive
        runtime = current_runtime()
        supervisor.shutdown()

    assert 1 == len(reports)
    runtime.check_empty()


async def test_hook_that_exits(reports, watch):
    """A SystemExit of the hook ends the tree in order, after the end of the process has been told."""

    def exits(_status):
        raise SystemExit(4)

    with pytest.raises(SystemExit) as left:
        async with open_supervisor() as supervisor:
            watch()
            runtime = current_runtime()
            await crash(await supervisor.start(Awkward, exits, restart="temporary"), "cast")
            await trio.sleep_forever()

    assert 4 == left.value.code
    assert ["(not shown: format_status raised SystemExit)"] == [report.state for report in reports]
    runtime.check_empty()


class Chatty(GenServer):
    """Says a lot when it crashes."""

    @cast
    def boom(self, length):
        raise ValueError("x" * length)


async def test_incidents_are_short(caplog):
    """What is kept of incidents, and what is logged, does not grow with the texts of errors and reasons."""
    async with open_supervisor(max_restarts=100) as supervisor:
        chatty = await supervisor.start(Chatty)
        Chatty.boom(chatty, 1_000_000)
        await wait_all_tasks_blocked()
        other = await supervisor.start(trio.sleep_forever, restart="temporary")
        send_exit(other, "x" * 1_000_000)
        linked = spawn(trio.sleep_forever)
        stop_nowait(linked, "y" * 1_000_000)
        await wait_all_tasks_blocked()
        incidents = current_runtime().causes.remembered()
        assert 3 <= len(incidents)
        assert 5_000 > max(len(incident.text) for incident in incidents)
        supervisor.shutdown()

    assert 10_000 > max(len(record.getMessage()) for record in caplog.records)
