"""Starting, stopping, killing, and the calls of a supervisor with static children, decision by decision."""

import pytest

from nursery_otp._policy import supervision as s
from nursery_otp._policy.exits import KILLED, NORMAL, SHUTDOWN, Failed, Shutdown
from tests.policy.builders import BOOM, Run, spec

# ----------------------------------------------------------------------------------------------- start


def test_children_start_in_order():
    """Each child starts when the one before it is up; then the supervisor is ready."""
    a, b = spec("a"), spec("b")
    run = Run([a, b])

    assert [s.StartChild("a", a)] == run.begin()
    assert [s.StartChild("b", b)] == run.ok()
    assert [s.Ready()] == run.ok()
    assert {"a": "running", "b": "running"} == run.statuses()


def test_no_children():
    """A supervisor without children is ready at once, and lives on."""
    run = Run()

    assert [s.Ready()] == run.begin()
    assert run.finished is None


def test_failed_start_rolls_back():
    """When a child does not start, those that are up are stopped in reverse order, and the start has failed."""
    run = Run([spec("a"), spec("b"), spec("c")])
    run.begin()
    run.ok()
    run.ok()

    (stop,) = run.fail(BOOM)

    assert s.StopChild("b", run.handle("b"), 5.0) == stop
    assert [s.Report("start_failed", "c", BOOM, 0, 9, "the supervisor does not start")] == run.reports
    (stop,) = run.stopped()
    assert "a" == stop.key
    assert [s.Finish(Shutdown(s.FailedToStart("c", BOOM)))] == run.stopped()


def test_first_child_fails():
    """There is nothing to roll back when the first child does not start; nothing else is started."""
    run = Run([spec("a"), spec("b")])
    run.begin()

    assert [s.Finish(Shutdown(s.FailedToStart("a", BOOM)))] == run.fail()


@pytest.mark.parametrize("restart", ["permanent", "transient"])
def test_ignored_start_keeps_the_specification(restart):
    """A child that declines to start is no failure; it stays known, stopped, and can be asked again."""
    run = Run([spec("a", restart), spec("b")])
    run.begin()
    run.ignore()
    run.ok()

    assert {"a": "stopped", "b": "running"} == run.statuses()
    assert "already_present" == run.call(s.AddChild(1, spec("a"))).answer
    run.feed(s.RestartChild(2, "a"))
    (reply,) = run.ok()
    assert s.Reply(2, "ok", run.handle("a")) == reply


def test_ignored_temporary_child_vanishes():
    """A temporary child that declines to start leaves nothing."""
    run = Run([spec("a", "temporary"), spec("b")])
    run.begin()
    run.ignore()
    run.ok()

    assert {"b": "running"} == run.statuses()


# ------------------------------------------------------------------------------------------------ stop


def test_stop_in_reverse_order():
    """A request to stop takes the children down one after another, last started first, each within its own limit."""
    run = Run([spec("a", shutdown="kill"), spec("b"), spec("c", shutdown=0.5)]).up()

    (stop,) = run.feed(s.StopRequest(SHUTDOWN))
    assert s.StopChild("c", run.handle("c"), 0.5) == stop
    (stop,) = run.stopped()
    assert s.StopChild("b", run.handle("b"), 5.0) == stop
    (stop,) = run.stopped()
    assert s.StopChild("a", run.handle("a"), "kill") == stop
    assert [s.Finish(SHUTDOWN)] == run.stopped()


def test_stop_without_children():
    """There may be nothing to stop; the reason of the end is the one asked for."""
    assert [s.Finish(Failed("asked"))] == Run().up().feed(s.StopRequest(Failed("asked")))


def test_stop_passes_over_those_that_are_down():
    """Only what runs is stopped."""
    run = Run([spec("a"), spec("b", "transient"), spec("c")]).up()
    run.exits("b", NORMAL)
    run.feed(s.StopRequest(SHUTDOWN))

    assert ["-c", "-a"] == run.work_off()
    assert SHUTDOWN == run.finished


def test_kill_takes_all_at_once():
    """A killed supervisor keeps no order and gives no grace; it ends as killed."""
    run = Run([spec("a"), spec("b")]).up()

    (stops,) = run.feed(s.Kill())

    expected = s.StopChildren(tuple(s.StopChild(key, run.handle(key), "kill") for key in "ba"))
    assert expected == stops
    assert [s.Finish(KILLED)] == run.stopped()


def test_kill_in_the_middle_of_a_start():
    """The start under way is abandoned to the shell; the supervisor stops only what it has."""
    run = Run([spec("a"), spec("b")])
    run.begin()
    run.ok()

    (stops,) = run.feed(s.Kill())

    assert ["a"] == [stop.key for stop in stops.children]
    assert [s.Finish(KILLED)] == run.stopped()


def test_kill_in_the_middle_of_a_stop():
    """A supervisor that stops in order can be killed; what is being stopped is among what it kills."""
    run = Run([spec("a"), spec("b")]).up()
    run.feed(s.StopRequest(SHUTDOWN))

    (stops,) = run.feed(s.Kill())

    assert ["b", "a"] == [stop.key for stop in stops.children]
    assert [s.Finish(KILLED)] == run.stopped()


def test_stop_request_with_reason_killed():
    """Being asked to end as killed is being killed."""
    run = Run([spec("a")]).up()

    (stops,) = run.feed(s.StopRequest(KILLED))

    assert ["kill"] == [stop.limit for stop in stops.children]


# ----------------------------------------------------------------------------------------------- calls


def test_add():
    """A new child is the last in the order."""
    run = Run([spec("a")]).up()
    new = spec("b")

    assert [s.StartChild("b", new)] == run.feed(s.AddChild(1, new))
    (reply,) = run.ok()
    assert s.Reply(1, "ok", run.handle("b")) == reply
    assert {"a": "running", "b": "running"} == run.statuses()


def test_add_fails():
    """A child that cannot be started leaves no specification, and nobody retries."""
    run = Run().up()
    run.feed(s.AddChild(1, spec("a")))

    assert [s.Reply(1, "failed", reason=BOOM)] == run.fail(BOOM)
    assert {} == run.statuses()
    assert "start_failed" == run.reports[0].note


@pytest.mark.parametrize(("restart", "known"), [("permanent", True), ("transient", True), ("temporary", False)])
def test_add_ignored(restart, known):
    """A new child that declines stays known, unless it is temporary."""
    run = Run().up()
    run.feed(s.AddChild(1, spec("a", restart)))

    assert [s.Reply(1, "ignored")] == run.ignore()
    assert known == ("a" in run.state.children)


def test_add_known_id():
    """An id is taken, by a running child or by a specification."""
    run = Run([spec("a"), spec("b", "transient")]).up()
    run.exits("b", NORMAL)

    assert s.Reply(1, "already_started", run.handle("a")) == run.call(s.AddChild(1, spec("a")))
    assert s.Reply(2, "already_present") == run.call(s.AddChild(2, spec("b")))


def test_terminate():
    """A child stopped by call stays known and stopped; it is not restarted."""
    run = Run([spec("a"), spec("b")]).up()

    (stop,) = run.feed(s.TerminateChild(1, "b"))
    assert s.StopChild("b", run.handle("b"), 5.0) == stop
    assert [s.Reply(1, "ok")] == run.stopped()
    assert {"a": "running", "b": "stopped"} == run.statuses()
    assert s.Reply(2, "ok") == run.call(s.TerminateChild(2, "b")), "once more is fine"


def test_terminate_temporary():
    """A temporary child stopped by call is forgotten."""
    run = Run([spec("a", "temporary")]).up()
    run.feed(s.TerminateChild(1, "a"))
    run.stopped()

    assert {} == run.statuses()
    assert "not_found" == run.call(s.TerminateChild(2, "a")).answer


def test_restart_child():
    """A stopped child can be started again by call; it keeps its place in the order."""
    run = Run([spec("a"), spec("b")]).up()
    run.feed(s.TerminateChild(1, "a"))
    run.stopped()

    run.feed(s.RestartChild(2, "a"))
    (reply,) = run.ok()

    assert s.Reply(2, "ok", run.handle("a")) == reply
    run.feed(s.StopRequest(SHUTDOWN))
    assert ["-b", "-a"] == run.work_off()


def test_restart_child_fails():
    """A failing restart_child is answered and not retried; the child stays as it was."""
    run = Run([spec("a")]).up()
    run.feed(s.TerminateChild(1, "a"))
    run.stopped()
    run.feed(s.RestartChild(2, "a"))

    assert [s.Reply(2, "failed", reason=BOOM)] == run.fail(BOOM)
    assert {"a": "stopped"} == run.statuses()
    assert () == run.state.window.times


def test_restart_child_ignored():
    """restart_child of a child that declines is answered so; it stays known."""
    run = Run([spec("a")]).up()
    run.feed(s.TerminateChild(1, "a"))
    run.stopped()
    run.feed(s.RestartChild(2, "a"))

    assert [s.Reply(2, "ignored")] == run.ignore()
    assert {"a": "stopped"} == run.statuses()


def test_delete():
    """Only what does not run can be deleted; an id that is added again is the last in the order."""
    run = Run([spec("a"), spec("b")]).up()

    assert "running" == run.call(s.DeleteChild(1, "a")).answer
    run.feed(s.TerminateChild(2, "a"))
    run.stopped()
    assert s.Reply(3, "ok") == run.call(s.DeleteChild(3, "a"))
    run.feed(s.AddChild(4, spec("a")))
    run.ok()
    run.feed(s.StopRequest(SHUTDOWN))
    assert ["-a", "-b"] == run.work_off()


@pytest.mark.parametrize("call", [s.TerminateChild, s.RestartChild, s.DeleteChild])
def test_unknown_id(call):
    """Nothing is known of an id that was never added."""
    assert s.Reply(1, "not_found") == Run([spec("a")]).up().call(call(1, "?"))


def test_restart_child_that_runs():
    """restart_child is refused for a child that runs."""
    assert s.Reply(1, "running") == Run([spec("a")]).up().call(s.RestartChild(1, "a"))


def test_between_death_and_notice():
    """Until the supervisor hears of a death it takes the child for running; a call first makes the death stale."""
    run = Run([spec("a")]).up()
    dead = run.handle("a")

    assert s.Reply(1, "already_started", dead) == run.call(s.AddChild(1, spec("a")))
    assert "running" == run.call(s.DeleteChild(2, "a")).answer
    run.feed(s.TerminateChild(3, "a"))
    run.stopped()
    assert [] == run.feed(s.Exited("a", dead, BOOM, 0.0))
    assert {"a": "stopped"} == run.statuses()
    assert [] == run.reports


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_calls_are_outside_the_restart_logic(strategy):
    """Calls never count, never cause a group restart, never an automatic shutdown."""
    children = [spec("a", "transient", significant=True), spec("b", "transient", significant=True)]
    run = Run(children, strategy=strategy, auto_shutdown="any_significant").up()

    run.feed(s.TerminateChild(1, "a"))
    assert ["-a"] == run.work_off()
    run.feed(s.RestartChild(2, "a"))
    assert ["!a"] == run.work_off("a")
    run.feed(s.AddChild(3, spec("c")))
    assert ["!c"] == run.work_off("c")

    assert () == run.state.window.times
    assert run.finished is None
