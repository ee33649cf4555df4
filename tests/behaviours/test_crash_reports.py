"""The report of a crash: exactly one, when it is decided what follows, and without what a server wants to hide."""

import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nursery_otp import (
    Backoff,
    BadReturn,
    CrashReport,
    GenServer,
    Name,
    RestartLimitReached,
    Stop,
    Supervisor,
    call,
    cast,
    current_runtime,
    get_status,
    kill,
    link,
    mailbox,
    monitor,
    open_supervisor,
    send_exit,
    send_nowait,
    spawn,
    start,
    stop_nowait,
)
from nursery_otp import child as spec

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


async def test_redacted(reports, watch, caplog):
    """What `format_status` leaves out is in no entry: neither state nor message."""
    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Discreet)
        Discreet.drop(ref, "my token")
        await ref.wait()
        await wait_all_tasks_blocked()
        supervisor.shutdown()

    assert ("'a message'", "{'count': 0}") == (reports[0].message, reports[0].state)
    assert SECRET not in entries(caplog)[0]
    assert "my token" not in entries(caplog)[0]


class Awkward(Fragile):
    """Its `format_status` does what the test says."""

    def __init__(self, does):
        super().__init__()
        self.does = does

    def format_status(self, status):
        return self.does(status)


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


async def explode():
    raise ValueError("boom")


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


class Sore(GenServer):
    """Crashes when it is stopped."""

    def terminate(self, _reason):
        raise ValueError("sore")


async def test_crash_while_stopped(reports, watch):
    """A crash in `terminate` is reported, although its supervisor does not care why the child ends."""
    async with open_supervisor([spec(Sore)]) as supervisor:
        watch()
        supervisor.shutdown()

    assert ["its supervisor was stopping it"] == [report.decision for report in reports]


async def test_supervisor_killed(reports, watch):
    """Crashes that a killed supervisor has not read are reported all the same."""

    gate = trio.Event()

    async def fails():
        await gate.wait()
        raise ValueError("late")

    class Crew(Supervisor):
        def children(self):
            return [spec(fails, id="a"), spec(fails, id="b")]

    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Crew, restart="temporary")
        gate.set()
        kill(ref)
        await ref.wait()
        supervisor.shutdown()

    assert 2 >= len(reports)
    assert all(report.decision for report in reports)


async def test_what_is_no_crash(reports, watch, caplog):
    """Who fails on purpose, is killed or asked to stop has not crashed."""

    async def fails():
        raise Stop("on purpose")

    async with open_supervisor() as supervisor:
        watch()
        await (await supervisor.start(fails, restart="temporary")).wait()
        victim = await supervisor.start(trio.sleep_forever, restart="temporary")
        kill(victim)
        await victim.wait()
        supervisor.shutdown()

    assert ([], []) == (reports, entries(caplog))


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


async def test_storm(reports, watch, caplog, autojump_clock):
    """However many crash, and whenever: as many reports as crashes."""
    crashes = []

    async def worker():
        runtime = current_runtime()
        await trio.sleep(runtime.random.random())
        crashes.append(1)
        raise ValueError("storm")

    caplog.set_level(logging.CRITICAL, "nursery_otp")
    with pytest.raises(RestartLimitReached):
        async with open_supervisor(
            [spec(worker, id=n) for n in range(20)], strategy="rest_for_one", max_restarts=300, period=1000, seed=1
        ):
            watch()
            await trio.sleep_forever()

    assert len(crashes) > 300
    assert len(reports) == len(crashes)


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


async def test_one_crash_one_report(reports, watch, caplog):
    """Who is ended by a signal, or asked to stop, has not crashed, although the reason has an error in it."""
    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Fragile, restart="temporary")

        async def linked():
            link(ref)
            await trio.sleep_forever()

        bystanders = [spawn(linked) for _ in range(3)]
        await wait_all_tasks_blocked()
        Fragile.drop(ref, "plate")
        for bystander in bystanders:
            assert isinstance((await bystander.wait()).error, KeyError)
        signalled, asked, server = spawn(trio.sleep_forever), spawn(trio.sleep_forever), await start(Fragile)
        await wait_all_tasks_blocked()
        send_exit(signalled, ValueError("x"))
        stop_nowait(asked, ValueError("x"))
        stop_nowait(server, ValueError("x"))
        for other in (signalled, asked, server):
            await other.wait()
        await wait_all_tasks_blocked()
        supervisor.shutdown()

    assert ["Message(drop('plate'))"] == [report.message for report in reports]
    assert 1 == len(entries(caplog))


async def test_crash_while_asked_to_stop(reports, watch):
    """A crash of its own is reported, also if the process was asked to stop for another one."""
    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Sore, restart="temporary")
        stop_nowait(ref, ValueError("x"))
        await ref.wait()
        await wait_all_tasks_blocked()
        supervisor.shutdown()

    assert ["sore"] == [str(report.error) for report in reports]


async def test_stray_cancellation(reports, watch):
    """A `Cancelled` of no scope is a crash like any other, and is reported like any other."""
    kept = []

    async def catch():
        try:
            await trio.sleep_forever()
        except trio.Cancelled as error:
            kept.append(error)
            raise

    async def stray():
        await trio.lowlevel.checkpoint()
        raise kept[0]

    with trio.move_on_after(0):
        await catch()
    async with open_supervisor() as supervisor:
        watch()
        await (await supervisor.start(stray, restart="temporary")).wait()
        supervisor.shutdown()

    assert [trio.Cancelled] == [type(report.error) for report in reports]


@pytest.mark.parametrize(
    "end", [lambda ref: send_exit(ref, ValueError("told")), lambda ref: stop_nowait(ref, ValueError("told"))]
)
async def test_told_to(reports, watch, end):
    """Who ends with an error because somebody said so has not crashed; nor has who is linked to one that did."""

    async def linked(peer):
        link(peer)
        await trio.sleep_forever()

    async with open_supervisor() as supervisor:
        watch()
        ref = await supervisor.start(Fragile, restart="temporary")
        peer = spawn(linked, ref)
        await wait_all_tasks_blocked()
        end(ref)
        await peer.wait()
        culprit = await supervisor.start(Fragile, restart="temporary")
        peer = spawn(linked, culprit)
        await wait_all_tasks_blocked()
        await crash(culprit)
        await peer.wait()
        supervisor.shutdown()

    assert [repr(culprit)] == [report.process for report in reports]


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
