"""Waits before restarts, for all strategies: what is down meanwhile, what may end the wait, and when it grows."""

import pytest

from nursery_otp._policy import supervision as s
from nursery_otp._policy.exits import NORMAL, SHUTDOWN, Shutdown
from nursery_otp._policy.restarts import Backoff
from tests.policy.builders import BOOM, Run, limit_of, spec

BACKOFF = Backoff(initial=1.0, factor=2.0, maximum=5.0, jitter=0, stable_after=60.0)
STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]


def slow(id, restart="permanent", backoff=BACKOFF):
    """A child with a backoff."""
    return spec(id, restart, backoff=backoff)


def retry_of(actions):
    """The retry that was asked for."""
    (retry,) = actions
    assert isinstance(retry, s.RetryLater)
    return retry


# ------------------------------------------------------------------------------------- what waits for it


def test_first_crash_waits():
    """The restart after the first crash waits for `initial`; it is counted by then, and not once more later."""
    run = Run([slow("a"), spec("b")]).up()

    assert [s.RetryLater("a", 1, counted=True, delay=1.0)] == run.exits("a")
    assert {"a": "restarting", "b": "running"} == run.statuses()
    run.now = 1.0
    run.retry("a", counted=True)
    assert ["+a"] == run.work_off()
    assert (0.0,) == run.state.window.times


def test_failed_restart_waits():
    """A failed restart waits too, longer; the next attempt is counted when it is made."""
    run = Run([slow("a")]).up()
    run.exits("a")
    run.retry("a", counted=True)

    assert [s.RetryLater("a", 2, counted=False, delay=2.0)] == run.fail()
    run.now = 3.0
    run.retry("a")
    assert ["+a"] == run.work_off()
    assert (0.0, 3.0) == run.state.window.times


def test_one_for_all_is_down_meanwhile():
    """All others are taken down at once, in reverse order, and come back with the child after its wait."""
    run = Run([spec("a"), slow("b"), spec("t", "temporary"), spec("c")], strategy="one_for_all").up()

    run.exits("b")

    assert ["-c", "-t", "-a"] == run.work_off()
    assert {"a": "returning", "b": "restarting", "c": "returning"} == run.statuses()
    run.retry("b", counted=True)
    assert ["+a", "+b", "+c"] == run.work_off()


def test_rest_for_one_is_down_meanwhile():
    """Those after the child are down while it waits, those before it are not."""
    run = Run([spec("a"), slow("b"), spec("c")], strategy="rest_for_one").up()

    run.exits("b")

    assert ["-c"] == run.work_off()
    assert {"a": "running", "b": "restarting", "c": "returning"} == run.statuses()
    run.retry("b", counted=True)
    assert ["+b", "+c"] == run.work_off()


def test_the_wait_begins_when_the_others_are_down():
    """The retry is asked for after the last stop."""
    run = Run([slow("a"), spec("b")], strategy="one_for_all").up()

    (stop,) = run.exits("a")
    assert "b" == stop.key
    assert 1.0 == retry_of(run.stopped()).delay


def test_dynamic_child_waits():
    """A dynamic child waits and keeps its place and its handle meanwhile."""
    run = Run(strategy="simple_one_for_one", max_children=1).up()
    run.feed(s.AddChild(1, slow(None)))
    run.ok()
    old = run.handle(0)

    assert [s.RetryLater(0, 1, counted=True, delay=1.0)] == run.exits(0)
    assert "max_children" == run.call(s.AddChild(2, slow(None))).answer
    assert old is run.handle(0)
    run.retry(0, counted=True)
    assert ["+0"] == run.work_off()


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_sibling_without_backoff(strategy):
    """The wait is the child's own: a sibling without backoff is restarted at once."""
    run = Run([slow("a"), spec("b")], strategy=strategy).up()

    run.exits("b")

    assert "+b" == run.work_off()[-1]


def test_transient_and_temporary():
    """Only a restart waits: a normal end of a transient child and any end of a temporary one ask for nothing."""
    run = Run([slow("a", "transient"), slow("b", "temporary")]).up()

    assert [] == run.exits("a", NORMAL)
    assert [] == run.exits("b", BOOM)


def test_absorbed_while_an_earlier_one_waits():
    """rest_for_one: a child that waits is taken over by the wait of one before it, and cannot come up first."""
    run = Run([slow("db", backoff=Backoff(initial=10.0, jitter=0)), slow("cache")], strategy="rest_for_one").up()
    cache = retry_of(run.exits("cache"))
    assert 10.0 == retry_of(run.exits("db")).delay

    assert {"db": "restarting", "cache": "returning"} == run.statuses()
    assert [] == run.feed(s.Retry("cache", cache.number, cache.counted, 1.0))
    run.retry("db", counted=True)
    assert ["+db", "+cache"] == run.work_off()


def test_exit_of_one_taken_down_is_stale():
    """A sibling that died while it was being taken down has no restart of its own."""
    run = Run([slow("a"), spec("b")], strategy="one_for_all").up()
    dead = run.handle("b")
    run.exits("a")
    run.stopped()

    assert [] == run.feed(s.Exited("b", dead, BOOM, 0.0))
    assert 1 == len(run.state.window.times)


def test_earlier_sibling_restarts_the_waiting_one():
    """A group restart of a child before it brings the waiting one back at once; its own retry is void."""
    run = Run([spec("a"), slow("b")], strategy="rest_for_one").up()
    retry = retry_of(run.exits("b"))
    run.exits("a")

    assert ["+a", "+b"] == run.work_off()
    assert [] == run.feed(s.Retry("b", retry.number, retry.counted, 1.0))


# --------------------------------------------------------------------------------------- what ends it


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_stop_during_the_wait(strategy):
    """A request to stop does not wait for the backoff; only those that run are stopped."""
    run = Run([spec("a"), slow("b"), spec("c")], strategy=strategy).up()
    run.exits("b")
    down = run.work_off()
    run.feed(s.StopRequest(SHUTDOWN))

    assert {"-a", "-c"} == {*down, *run.work_off()}
    assert SHUTDOWN == run.finished
    assert {"a": "stopped", "b": "stopped", "c": "stopped"} == run.statuses()


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_terminate_during_the_wait(strategy):
    """terminate_child ends the wait and the restart, and those taken down with it stay down."""
    run = Run([spec("a"), slow("b"), spec("c")], strategy=strategy).up()
    run.exits("b")
    run.work_off()
    expected = {key: "stopped" if status != "running" else status for key, status in run.statuses().items()}

    assert s.Reply(1, "ok") == run.call(s.TerminateChild(1, "b"))

    assert expected == run.statuses()
    assert [] == run.feed(s.Retry("b", 1, counted=True, now=1.0))
    assert 0 == run.state.restarting


def test_terminate_dynamic_child_during_the_wait():
    """A waiting dynamic child is named by its last incarnation; ending it frees its place."""
    run = Run(strategy="simple_one_for_one", max_children=1).up()
    run.feed(s.AddChild(1, slow(None)))
    run.ok()
    old = run.handle(0)
    run.exits(0)
    run.feed(s.AddChild(2, slow(None), wait=True))

    reply, start = run.feed(s.TerminateChild(3, 0, old))

    assert s.Reply(3, "ok") == reply
    assert isinstance(start, s.StartChild)
    assert 0 == run.state.restarting


def test_kill_during_the_wait():
    """A supervisor can be killed while a child waits."""
    run = Run([slow("a"), spec("b")]).up()
    run.exits("a")

    (stops,) = run.feed(s.Kill())

    assert ["b"] == [stop.key for stop in stops.children]


def test_calls_during_the_wait():
    """Calls are served meanwhile, and the child counts as restarting."""
    run = Run([slow("a")]).up()
    run.exits("a")

    assert "restarting" == run.call(s.RestartChild(1, "a")).answer
    assert "restarting" == run.call(s.DeleteChild(2, "a")).answer
    assert "already_present" == run.call(s.AddChild(3, slow("a"))).answer
    run.feed(s.AddChild(4, spec("b")))
    assert ["+b"] == run.work_off()


def test_restart_child_of_a_returning_one():
    """One taken down may be started by call before the wait is over; the retry then restarts it with the group."""
    run = Run([slow("a"), spec("b")], strategy="one_for_all").up()
    run.exits("a")
    run.work_off()
    run.feed(s.RestartChild(1, "b"))
    assert ["+b"] == run.work_off()
    run.retry("a", counted=True)

    assert ["-b", "+a", "+b"] == run.work_off()


def test_auto_shutdown_during_the_wait():
    """A significant child that waits is active; the last other one that ends does not shut the supervisor down."""
    children = [spec("x", "transient", significant=True, backoff=BACKOFF), spec("y", "transient", significant=True)]
    run = Run(children, auto_shutdown="all_significant").up()
    run.exits("x")

    assert [] == run.exits("y", NORMAL)
    run.retry("x", counted=True)
    run.ok()
    assert [s.Finish(Shutdown(s.AutoShutdown("x")))] == run.exits("x", NORMAL)


# ----------------------------------------------------------------------------------------- how long


def test_waits_grow_up_to_the_maximum():
    """Each restart in a row waits longer, whether the child crashed or did not start, up to the maximum."""
    run = Run([slow("a")], max_restarts=99).up()
    delays = [retry_of(run.exits("a")).delay]
    for _ in range(2):
        run.retry("a", counted=True)
        delays.append(retry_of(run.fail()).delay)
    run.retry("a")
    run.ok()
    delays.append(retry_of(run.exits("a")).delay)

    assert [1.0, 2.0, 4.0, 5.0] == delays


@pytest.mark.parametrize(("lived", "delay"), [(59.9, 2.0), (60.0, 1.0), (100.0, 1.0)])
def test_stable_child_starts_again(lived, delay):
    """A child that stayed up for `stable_after` seconds since its last start begins at `initial` again."""
    run = Run([slow("a")]).up()
    run.now = 30.0
    run.exits("a")
    run.now = 1000.0
    run.retry("a", counted=True)
    run.ok()
    run.now += lived

    assert delay == retry_of(run.exits("a")).delay


def test_failed_attempts_do_not_make_stable():
    """Time spent on failing restarts is not time up."""
    run = Run([slow("a")]).up()
    run.now = 10.0
    run.exits("a")
    run.now = 500.0
    run.retry("a", counted=True)

    assert 2.0 == retry_of(run.fail()).delay


@pytest.mark.parametrize(("chance", "delay"), [(0.0, 0.5), (0.5, 1.0), (0.75, 1.25)])
def test_chance(chance, delay):
    """The event's chance decides about the jitter, for crashes and for failed restarts."""
    backoff = Backoff(initial=1.0, factor=1.0, jitter=0.5)
    run = Run([slow("a", backoff=backoff)]).up()

    assert delay == retry_of(run.exits("a", chance=chance)).delay
    run.retry("a", counted=True)
    assert delay == retry_of(run.fail(chance=chance)).delay


def test_limit_before_the_wait():
    """A crash past the limit ends the supervisor at once, without a wait."""
    run = Run([slow("a"), spec("b")], max_restarts=0).up()
    run.exits("a")

    assert ["-b"] == run.work_off()
    assert "a" == limit_of(run.finished).child_id


def test_waits_keep_a_failing_child_below_the_limit():
    """What backoff is for: a child that fails for a while does not use up the limit."""
    run = Run([slow("a")], max_restarts=2, period=4.0).up()
    run.exits("a")
    for pause in (1.0, 2.0, 4.0, 5.0, 5.0):
        run.now += pause
        run.retry("a", counted=pause == 1.0)
        run.fail()

    assert run.finished is None


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_backoff_no_wait(strategy):
    """Without a backoff a failed restart is retried at once, as in OTP."""
    run = Run([] if strategy == "simple_one_for_one" else [spec(0)], strategy=strategy).up()
    if run.state.flags.dynamic:
        run.feed(s.AddChild(1, spec(None)))
        run.ok()
    run.exits(0)

    assert [s.RetryLater(0, 1, counted=False, delay=0.0)] == run.fail()
