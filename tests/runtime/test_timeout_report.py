"""How the timeouts of a tree fare: what has fired, what was observed, and what it looks like."""

import functools
import math
import sys

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp import (
    CallExited,
    CallTimeout,
    MissingExtra,
    Name,
    NoProcess,
    OperationTimeouts,
    Refuse,
    Stop,
    Timeouts,
    call,
    call_with_timeout,
    cast,
    current_runtime,
    get_state,
    get_status,
    get_timeout,
    observe_timeouts,
    open_supervisor,
    override_timeouts,
    send,
    stop,
    timeout_report,
)
from nursery_otp._policy.events import ROOT
from nursery_otp._runtime import timeout_observation
from nursery_otp._runtime.limits import Limits
from nursery_otp._runtime.registry import Registry
from nursery_otp._runtime.telemetry import Telemetry
from nursery_otp._runtime.timeout_observation import LONGEST, Observation, headroom
from tests.runtime.helpers import Desk, idle


class Clerk(Desk):
    """A desk that can also refuse, and is told to be slow."""

    @call
    async def refuse(self, seconds):
        await trio.sleep(seconds)
        raise Refuse(ValueError("no"))

    @cast
    async def be_slow(self, seconds):
        await trio.sleep(seconds)


@pytest.fixture
async def clerk(tree):
    """A server."""
    return await tree.start(Clerk, restart="temporary")


async def test_nothing_yet(tree):
    """A tree in which nothing was called has nothing to report."""
    report = timeout_report()

    assert () == report.lines
    assert 0 == len(report)
    assert "operation  kind  limit  fired  observed  p50  p99  headroom" == str(report)
    with pytest.raises(LookupError, match=r"^nothing is known about the call of 'Clerk\.echo'$"):
        report.line("Clerk.echo")


async def test_limits_and_counts(clerk, autojump_clock):
    """Each operation that was called has its limit and how often that, or an explicit one, has passed."""
    await Clerk.echo(clerk, 1)
    for client in (Clerk.put_off, Clerk.put_off, Clerk.put_off.within(1), Clerk.run.within(1)):
        with pytest.raises(CallTimeout):
            await client(clerk, idle)

    assert [
        OperationTimeouts(operation="Clerk.echo", kind="call", limit=5, fired=0),
        OperationTimeouts(operation="Clerk.put_off", kind="call", limit=5, fired=3),
        OperationTimeouts(operation="Clerk.run", kind="call", limit=5, fired=1),
        OperationTimeouts(operation="Clerk.run", kind="handler", limit=math.inf, fired=0),
    ] == list(timeout_report())


async def test_rules_that_hold_for_nothing(autojump_clock):
    """A rule that no operation has used is told: for one that is misspelt nothing else would be different."""
    rules = {"Clrek.echo": 1, "*.nothing": 2, Desk.slow: 3, Clerk: "long", "*.echo": 4, "echo": 5, "nobody.send": 6}
    policy = Timeouts(rules=rules, handler_rules={"Clerk.run": 7, "Clerk.ruin": 8})
    async with open_supervisor(timeouts=policy) as tree:
        before = timeout_report().unused
        clerk = await tree.start(Clerk)
        await Clerk.echo(clerk, 1)
        await Clerk.run(clerk, trio.lowlevel.checkpoint)
        report = timeout_report()
        with override_timeouts(rules={"Clrek.echo": 9}):
            changed = timeout_report().unused
        with pytest.raises(NoProcess):
            await send(Name("nobody"), 1)
        after = timeout_report().unused
        tree.shutdown()

    unused = ["rules['Clrek.echo'] = 1", "rules['*.nothing'] = 2", "rules[Desk.slow] = 3", "rules['nobody.send'] = 6"]
    assert 9 == len(before)
    assert (*unused, "handler_rules['Clerk.ruin'] = 8") == report.unused
    assert str(report).endswith("\nnot used so far: rules['nobody.send'] = 6\nnot used so far: " + report.unused[-1])
    assert "rules['Clrek.echo'] = 9" in changed
    assert (*unused[:-1], "handler_rules['Clerk.ruin'] = 8") == after


async def test_limits_are_those_of_now(clerk):
    """A report shows the limits in force, with all the rules that a call would find."""
    await Clerk.echo(clerk, 1)
    with override_timeouts(rules={Desk.echo: 2}):
        assert 2 == timeout_report().line("Clerk.echo").limit
    assert 5 == timeout_report().line("Clerk.echo").limit


async def test_what_is_only_known_by_its_label(tree):
    """What was counted but never asked for is looked up by its text."""
    current_runtime().limits.count_fired("Desk.eu.send", "send", 1)
    with override_timeouts(rules={"Desk.*.send": 3}):
        line = timeout_report().line("Desk.eu.send", "send")

    assert (3, 1) == (line.limit, line.fired)


class Junior(Clerk):
    """The same handlers; rules for its base hold for it as well."""


async def use_within(junior):
    with pytest.raises(CallTimeout):
        await Junior.slow.within(0.1)(junior, 3)


async def use_request(junior):
    with pytest.raises(CallTimeout):
        await Junior.slow.request(junior, 3).receive(within=0.1)


async def use_message(junior):
    with pytest.raises(CallTimeout):
        await call_with_timeout(junior, Clerk.slow.message(3), within=0.1)


@pytest.mark.parametrize("use", [use_within, use_request, use_message])
async def test_limit_of_what_was_only_called_with_another(autojump_clock, use):
    """The limit in a report is the policy's with all of its rules, although every call so far had one of its own."""
    async with open_supervisor(timeouts=Timeouts(rules={Clerk: 30})) as tree:
        await use(await tree.start(Junior))
        line = timeout_report().line("Junior.slow")
        assert (30, 1) == (line.limit, line.fired)
        assert line.limit == get_timeout(Junior.slow)
        tree.shutdown()


async def test_limit_of_system_calls(autojump_clock):
    """So it is for system calls, with and without a limit of their own."""
    async with open_supervisor(timeouts=Timeouts(rules={Clerk: 30})) as tree:
        junior = await tree.start(Junior)
        await get_state(junior)
        await get_status(junior, within=1)
        assert [30, 30] == [timeout_report().line(f"Junior.{name}").limit for name in ("get_state", "get_status")]
        tree.shutdown()


# ----------------------------------------------------------------------------------------- observing


async def test_limit_of_what_was_only_observed(autojump_clock):
    """So it is for handlers that are no coroutines, and for sends: they are observed, but nothing asks for a limit."""
    async with open_supervisor(timeouts=Timeouts(rules={Clerk: 30}, handler_rules={Clerk: 20})) as tree:
        junior = await tree.start(Junior)
        with observe_timeouts():
            await Junior.echo(junior, 1)
            await send(junior, "x", confirm="handled", within=1)
        report = timeout_report()
        assert (20, 1) == (report.line("Junior.echo", "handler").limit, report.line("Junior.echo", "handler").observed)
        assert 30 == report.line("Junior.send", "send").limit
        tree.shutdown()


async def test_observing(clerk, autojump_clock):
    """Within the block it is measured how long calls and handlers take; percentiles are exact to 1 %."""
    await Clerk.slow(clerk, 4)
    with observe_timeouts():
        for _ in range(99):
            await Clerk.slow(clerk, 0.1)
        await Clerk.slow(clerk, 2)
        await Clerk.echo(clerk, 1)
        Clerk.be_slow(clerk, 3)
        await Clerk.echo(clerk, 1)
    await Clerk.slow(clerk, 4)
    report = timeout_report()

    for kind in ("call", "handler"):
        line = report.line("Clerk.slow", kind)
        assert 100 == line.observed
        assert 0.1 == pytest.approx(line.p50, rel=0.01)
        assert 0.1 == pytest.approx(line.p99, rel=0.01)
    assert 50 == pytest.approx(report.line("Clerk.slow").headroom, rel=0.01)
    assert math.inf == report.line("Clerk.slow", "handler").headroom
    assert 3 == pytest.approx(report.line("Clerk.be_slow", "handler").p99, rel=0.01)
    assert (2, math.inf) == (
        report.line("Clerk.echo").observed,
        timeout_report().line("Clerk.echo", "handler").headroom,
    )


async def test_what_is_observed(clerk, autojump_clock):
    """A limit that passed counts with its length and a refusal is an answer; other failures are no durations."""
    with observe_timeouts():
        with pytest.raises(CallTimeout):
            await Clerk.put_off.within(2)(clerk, 1)
        with pytest.raises(CallTimeout):
            await Clerk.put_off.within(0)(clerk, 1)
        with pytest.raises(ValueError, match="no"):
            await Clerk.refuse(clerk, 1)
        with trio.move_on_after(1):
            await Clerk.put_off(clerk, 1)
        await stop(clerk)
        with pytest.raises(NoProcess):
            await Clerk.put_off(clerk, 1)
    report = timeout_report()

    assert 1 == report.line("Clerk.put_off").observed
    assert 2 == pytest.approx(report.line("Clerk.put_off").p99, rel=0.01)
    assert 2.5 == pytest.approx(report.line("Clerk.put_off").headroom, rel=0.01)
    assert (1, 1) == (report.line("Clerk.refuse").observed, report.line("Clerk.refuse", "handler").observed)


async def test_what_is_observed_of_handlers(tree, autojump_clock):
    """A handler that its limit stops counts with that, one that ends its server as others do; a crash does not."""
    with override_timeouts(handler_rules={Clerk: 3}), observe_timeouts():
        for seconds, outcome in ((9, None), (1, ValueError("x")), (2, Stop("enough"))):
            clerk = await tree.start(Clerk, restart="temporary")
            with pytest.raises(CallExited):
                await Clerk.run(clerk, functools.partial(finish, seconds, outcome))
    line = timeout_report().line("Clerk.run", "handler")

    assert (2, 1) == (line.observed, line.fired)
    assert (2, 3) == (pytest.approx(line.p50, rel=0.01), pytest.approx(line.p99, rel=0.01))


async def finish(seconds, outcome):
    """Raise after a while."""
    await trio.sleep(seconds)
    raise outcome


async def test_sends_are_observed(tree):
    """Sends are told by their spans, under the name of the recipient."""
    from nursery_otp import Name

    with observe_timeouts():
        bus = current_runtime().telemetry
        bus.emit(
            (ROOT, "send", "stop"), {"duration": 0.5}, {"recipient": Name("x"), "message_type": "str", "result": "ok"}
        )
    assert 0.5 == pytest.approx(timeout_report().line("x.send", "send").p99, rel=0.01)


async def test_observers_may_overlap(clerk):
    """The last one to leave ends it; what was measured stays, and is added to by the next."""
    first, second = observe_timeouts(), observe_timeouts()
    first.__enter__()
    second.__enter__()
    with pytest.raises(RuntimeError, match="in use already; make another one"):
        first.__enter__()
    await Clerk.echo(clerk, 1)
    first.__exit__(None, None, None)
    await Clerk.echo(clerk, 1)
    second.__exit__(None, None, None)
    await Clerk.echo(clerk, 1)
    assert 2 == timeout_report().line("Clerk.echo").observed
    with first:
        await Clerk.echo(clerk, 1)

    assert 3 == timeout_report().line("Clerk.echo").observed


async def test_nobody_listens_while_nobody_observes(clerk):
    """Outside of the block nothing listens to calls, so that nothing is built for them."""
    bus = current_runtime().telemetry
    slots = ("call", "handle", "send")
    assert [None, None, None] == [getattr(bus, slot) for slot in slots]
    with observe_timeouts():
        assert None not in [getattr(bus, slot) for slot in slots]
    assert [None, None, None] == [getattr(bus, slot) for slot in slots]


async def test_without_the_package(tree, monkeypatch):
    """Without the package nothing is observed, and the error says what to install."""
    for name in ("hdrh", "hdrh.histogram"):
        monkeypatch.setitem(sys.modules, name, None)
    text = r"^observe_timeouts\(\) needs the package hdrhistogram: pip install 'nursery_otp\[observe\]'$"
    with pytest.raises(MissingExtra, match=text) as caught:
        observe_timeouts().__enter__()

    assert isinstance(caught.value, ImportError)
    assert ("hdrhistogram", "observe") == (caught.value.package, caught.value.extra)
    assert None is current_runtime().telemetry.call
    assert () == timeout_report().lines


durations = st.lists(st.floats(0, 2 * LONGEST), min_size=1, max_size=60)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(durations)
def test_percentiles(values):
    """Percentiles are those of the sorted durations, within 1 % and a microsecond; very long ones are cut off."""
    bus = Telemetry(lambda: 0.0, lambda _error: None)
    observation = Observation(Limits(Timeouts(), bus, Registry()))
    observation.begin()
    about = {"operation": "a.b", "target": None, "caller": None, "result": "ok"}
    for value in values:
        bus.emit((ROOT, "call", "stop"), {"duration": value}, about)
    observation.end()

    ordered = sorted(min(value, LONGEST) for value in values)
    for share in (50, 99):
        exact = ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]
        assert exact == pytest.approx(observation.percentile("a.b", "call", share), rel=0.011, abs=2e-6)
    assert len(values) == observation.count("a.b", "call")


def test_histograms_are_bounded(monkeypatch):
    """Operations beyond the bound are observed together."""
    monkeypatch.setattr(timeout_observation, "TABLE_SIZE", 3)
    bus = Telemetry(lambda: 0.0, lambda _error: None)
    observation = Observation(Limits(Timeouts(), bus, Registry()))
    observation.begin()
    for number in range(10):
        about = {"operation": f"a.b{number}", "target": None, "caller": None, "result": "ok"}
        bus.emit((ROOT, "call", "stop"), {"duration": 1}, about)

    assert 4 == len(observation.operations())
    assert 7 == observation.count("(others)", "call")


def test_headroom():
    """How many times the limit is what nearly all need."""
    assert None is headroom(5, None)
    assert 10 == headroom(5, 0.5)
    assert math.inf == headroom(math.inf, 0.5)
    assert math.inf == headroom(5, 0)


async def test_table(autojump_clock):
    """As text a report is a table."""
    async with open_supervisor(timeouts=Timeouts(rules={Desk.run: math.inf})) as tree:
        clerk = await tree.start(Clerk)
        with observe_timeouts():
            await Clerk.slow(clerk, 0.25)
            await Clerk.run(clerk, trio.lowlevel.checkpoint)
        assert """\
operation   kind        limit  fired  observed     p50     p99  headroom
Clerk.run   call     no limit      0         1     0 s     0 s       inf
Clerk.run   handler  no limit      0         1     0 s     0 s       inf
Clerk.slow  call          5 s      0         1  0.25 s  0.25 s        20
Clerk.slow  handler  no limit      0         1  0.25 s  0.25 s       inf""" == str(timeout_report())
        tree.shutdown()
