"""When a supervisor gives up, and when it shuts down by itself: OTP's rules, one by one."""

import pytest

from nursery_otp._policy import supervision as s
from nursery_otp._policy.errors import RestartLimitReached
from nursery_otp._policy.exits import NORMAL, Crashed, Shutdown
from tests.policy.builders import Run, limit_of, spec

GROUPS = ["one_for_all", "rest_for_one"]

# ------------------------------------------------------------------------------------ limit and window


def test_limit_ends_in_reverse_order():
    """Past the limit: the others are stopped in reverse order, the reason carries child, limit and last crash."""
    crash = ValueError("bad")
    run = Run([spec("a"), spec("b"), spec("c")], max_restarts=0, period=2.5).up()
    run.exits("b", Crashed(crash))

    assert ["-c", "-a"] == run.work_off()
    error = limit_of(run.finished)
    assert ("b", 0, 2.5) == (error.child_id, error.max_restarts, error.period)
    assert crash is error.__cause__


def test_limit_in_a_group():
    """Past the limit nobody of the group is started again; all are stopped once."""
    run = Run([spec("a"), spec("b")], strategy="one_for_all", max_restarts=0).up()
    run.exits("a")

    assert ["-b"] == run.work_off()


def test_cause_of_a_failing_restart():
    """When the restarts fail, the cause is the last failure, not the first crash."""
    last = OSError("still no disk")
    run = Run([spec("a")], max_restarts=1).up()
    run.exits("a", Crashed(ValueError("first")))
    run.fail(Crashed(last))
    run.retry("a")

    assert last is limit_of(run.finished).__cause__


def test_giving_up_without_an_exception():
    """A child that ended without an exception leaves none as the cause."""
    run = Run([spec("a")], max_restarts=0).up()
    run.exits("a", NORMAL)

    assert None is limit_of(run.finished).__cause__


def test_budget_is_shared():
    """The limit belongs to the supervisor, not to the child."""
    run = Run([spec("a"), spec("b")], max_restarts=1).up()
    run.exits("a")
    run.ok()
    run.exits("b")
    run.work_off()

    assert "b" == limit_of(run.finished).child_id


def test_window_slides():
    """Restarts count for one period each, to the instant: it neither starts anew nor forgets all at once."""
    run = Run([spec("a")], max_restarts=2, period=5.0).up()
    for run.now in (0.0, 4.0, 5.001, 9.001):
        run.exits("a")
        assert ["+a"] == run.work_off()
    run.now = 10.0
    run.exits("a")

    assert isinstance(limit_of(run.finished), RestartLimitReached)


def test_success_does_not_reset_the_window():
    """A restart that went well counts just the same."""
    run = Run([spec("a")], max_restarts=1).up()
    run.exits("a")
    run.ok()
    run.now = 5.0
    run.exits("a")

    assert isinstance(limit_of(run.finished), RestartLimitReached)


def test_retry_counts_at_its_own_time():
    """A retry is counted when it is made: by then the first attempt may have left the window."""
    run = Run([spec("a")], max_restarts=1, period=1.0).up()
    run.exits("a")
    run.fail()
    run.now = 1.5
    run.retry("a")

    assert ["+a"] == run.work_off()


def test_giving_up_is_no_crash():
    """A supervisor that gave up or shut down automatically ended normally for a transient parent."""
    run = Run([spec("n", "transient", kind="supervisor")]).up()

    assert [] == run.exits("n", Shutdown(RestartLimitReached("x", 1, 5.0)))
    assert {"n": "stopped"} == run.statuses()


# ---------------------------------------------------------------------------------- automatic shutdown


def significant(id, restart="transient"):
    """A significant child."""
    return spec(id, restart, significant=True)


@pytest.mark.parametrize("mode", ["any_significant", "all_significant"])
def test_auto_shutdown(mode):
    """The normal end of the only significant child stops the others in reverse order."""
    run = Run([spec("a"), significant("x"), spec("b")], auto_shutdown=mode).up()
    run.exits("x", NORMAL)

    assert ["-b", "-a"] == run.work_off()
    assert Shutdown(s.AutoShutdown("x")) == run.finished


def test_never():
    """Without automatic shutdown a significant child is like any other."""
    assert [] == Run([significant("x")]).up().exits("x", NORMAL)


def test_insignificant():
    """The end of a child that is not significant ends nobody."""
    assert [] == Run([spec("a", "transient"), significant("x")], auto_shutdown="any_significant").up().exits(
        "a", NORMAL
    )


def test_crash_of_significant_child():
    """A crash shuts down only if the child is temporary: a transient one comes back."""
    run = Run([significant("x"), significant("t", "temporary")], auto_shutdown="any_significant").up()
    run.exits("x")
    assert ["+x"] == run.work_off()

    run.exits("t")

    assert ["-x"] == run.work_off()
    assert Shutdown(s.AutoShutdown("t")) == run.finished


def test_all_significant_waits_for_the_last():
    """With all_significant the last active one decides; stopped by call, ignored or finished is not active."""
    children = [significant(name) for name in ("finished", "terminated", "ignored", "last")]
    run = Run(children, auto_shutdown="all_significant")
    run.begin()
    run.ok()
    run.ok()
    run.ignore()
    run.ok()
    assert [] == run.exits("finished", NORMAL)
    run.feed(s.TerminateChild(1, "terminated"))
    run.stopped()

    assert [s.Finish(Shutdown(s.AutoShutdown("last")))] == run.exits("last", NORMAL)


def test_restarting_counts_as_active():
    """A significant child between two attempts is active."""
    run = Run([significant("x"), significant("y")], auto_shutdown="all_significant").up()
    run.exits("x")
    run.fail()

    assert [] == run.exits("y", NORMAL)
    assert run.finished is None


@pytest.mark.parametrize("strategy", GROUPS)
def test_taken_down_by_the_strategy(strategy):
    """A significant child that a group restart takes down triggers nothing, not even a temporary one."""
    children = [spec("a"), significant("t", "temporary")]
    run = Run(children, strategy=strategy, auto_shutdown="any_significant").up()
    run.exits("a")

    assert ["-t", "+a"] == run.work_off()
    assert run.finished is None
