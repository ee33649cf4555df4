"""The report of a crash: who, what it was handling, its state, and what its supervisor does about it."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Backoff,
    CrashReport,
    Name,
    RestartLimitReached,
    mailbox,
    open_supervisor,
    send_nowait,
    spawn,
    start,
)
from nursery_otp import child as spec
from tests.behaviours.fragile import Fragile, crash, entries, explode, reports, watch

__all__ = ["reports", "watch"]  # fixtures, for pytest


@pytest.mark.parametrize(
    ("how", "message"),
    [("call", "Message(divide(0))"), ("cast", "Message(drop('plate'))"), ("info", "'boo'")],
)
async def test_one_report(reports, watch, caplog, how, message):
    """A crash is one entry and one event, both with who, what it was handling, its state, and what follows."""
    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Fragile, name=Name[Fragile]("fragile"))
        await crash(ref, how)
        supervisor.shutdown()

    [report] = reports
    assert isinstance(report, CrashReport)
    assert ("fragile", 1, "root/fragile", message) == (report.name, report.incarnation, report.path, report.message)
    assert "{'password': 'hunter2', 'count': 0}" == report.state
    assert ("restarted", 1, 1) == (report.decision, report.restarts, report.allowed)
    [entry] = entries(caplog)
    assert all(text in entry for text in ("Fragile#2", "incarnation=1", message.strip("'"), "decision='restarted'"))


@pytest.mark.parametrize(
    ("options", "child_options", "decision"),
    [
        ({}, {"restart": "temporary"}, "not restarted: temporary"),
        ({"strategy": "one_for_all"}, {}, "restarted with its group"),
        ({}, {"backoff": Backoff(initial=0.5, jitter=0)}, "restarted after 0.5 s"),
    ],
)
async def test_decisions(reports, watch, autojump_clock, options, child_options, decision):
    """The report says what the supervisor does."""
    async with open_supervisor([spec(trio.sleep_forever)], **options) as supervisor:
        watch()
        ref = await supervisor.start(Fragile, **child_options)
        await crash(ref)
        supervisor.shutdown()

    assert [decision] == [report.decision for report in reports]


async def test_giving_up(reports, watch):
    """The crash that is one too many says so; each crash before it has a report of its own."""
    with pytest.raises(RestartLimitReached):
        async with open_supervisor(max_restarts=2) as supervisor:
            watch()
            await supervisor.start(explode)
            await trio.sleep_forever()

    decisions = [report.decision for report in reports]
    assert ["restarted", "restarted", "restart limit reached: the supervisor ends"] == decisions
    assert [1, 2, 3] == [report.incarnation for report in reports]


async def test_no_supervisor(reports, watch):
    """A process without a supervisor is reported at once."""
    async with open_supervisor() as supervisor:
        watch()
        await spawn(explode).wait()
        await crash(await start(Fragile))
        supervisor.shutdown()

    assert ["no supervisor"] * 2 == [report.decision for report in reports]
    assert ["explode", "Fragile"] == [report.path for report in reports]


async def test_plain_function(reports, watch):
    """A plain function is handling what it received last, until it asks for the next message."""

    async def reader(at_once):
        await mailbox().receive()
        if not at_once:
            with trio.move_on_after(0):
                await mailbox().receive()
        raise ValueError("bad message")

    async with open_supervisor() as supervisor:
        watch()
        for at_once in (True, False):
            ref = spawn(reader, at_once)
            send_nowait(ref, {"order": 7})
            await ref.wait()
        supervisor.shutdown()

    assert ["{'order': 7}", None] == [report.message for report in reports]


async def test_path_of_odd_ids(reports, watch):
    """Ids that are not text tell children apart as well."""
    async with open_supervisor() as supervisor:
        watch()
        for identity in (("shard", 3), 4):
            ref = await supervisor.start(explode, id=identity, restart="temporary")
            await ref.wait()
        await wait_all_tasks_blocked()
        supervisor.shutdown()

    assert ["root/('shard', 3)", "root/explode-4"] == [report.path for report in reports]
