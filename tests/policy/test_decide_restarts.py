"""Who is restarted and with whom, and what happens when that fails: OTP's rules, one by one."""

import pytest

from nursery_otp._policy import supervision as s
from nursery_otp._policy.errors import RestartLimitReached
from nursery_otp._policy.exits import KILLED, NORMAL, SHUTDOWN, Crashed, Failed, Shutdown
from nursery_otp._policy.restarts import Backoff
from tests.policy.builders import BOOM, Run, limit_of, spec

ABNORMAL = [BOOM, KILLED, Failed(("shutdown", 1, 2)), Crashed(ValueError())]
NORMALLY = [NORMAL, SHUTDOWN, Shutdown("moved")]
GROUPS = ["one_for_all", "rest_for_one"]


# ----------------------------------------------------------------------------------- one_for_one, types


@pytest.mark.parametrize("reason", [*ABNORMAL, *NORMALLY], ids=str)
def test_permanent(reason):
    """A permanent child is restarted whatever it ended with, and that counts."""
    run = Run([spec("a"), spec("b")]).up()

    run.exits("a", reason)

    assert ["+a"] == run.work_off()
    assert (0.0,) == run.state.window.times


@pytest.mark.parametrize("reason", ABNORMAL, ids=str)
def test_transient_after_abnormal_end(reason):
    """A transient child is restarted after any end but normal, shutdown and shutdown(detail)."""
    run = Run([spec("a", "transient")]).up()

    run.exits("a", reason)

    assert ["+a"] == run.work_off()


@pytest.mark.parametrize("reason", NORMALLY, ids=str)
def test_transient_after_normal_end(reason):
    """A transient child that ended normally stays down and known; nothing is counted or reported."""
    run = Run([spec("a", "transient")]).up()

    assert [] == run.exits("a", reason)
    assert {"a": "stopped"} == run.statuses()
    assert () == run.state.window.times
    assert [] == run.reports


@pytest.mark.parametrize("reason", [*ABNORMAL, *NORMALLY], ids=str)
def test_temporary(reason):
    """A temporary child is never restarted; it is forgotten, and only a crash is reported."""
    run = Run([spec("a", "temporary"), spec("b")]).up()

    assert [] == run.exits("a", reason)
    assert {"b": "running"} == run.statuses()
    assert () == run.state.window.times
    assert len(run.reports) == (reason in ABNORMAL)


def test_reports():
    """Operators hear who ended, why, and how much of the limit is used up."""
    run = Run([spec("a")], max_restarts=1).up()
    run.exits("a")
    assert [s.Report("child_terminated", "a", BOOM, 1, 1, "restarted")] == run.reports
    run.fail()
    assert [s.Report("start_failed", "a", BOOM, 1, 1, "tried again")] == run.reports
    run.retry("a")
    assert [s.Report("limit_reached", "a", BOOM, 2, 1, "restart limit reached: the supervisor ends")] == run.reports


@pytest.mark.parametrize(
    ("specs", "options", "decision"),
    [
        ([spec("a")], {}, "restarted"),
        ([spec("a"), spec("b")], {"strategy": "one_for_all"}, "restarted with its group"),
        ([spec("a", backoff=Backoff(initial=0.5, jitter=0))], {}, "restarted after 0.5 s"),
        ([spec("a")], {"max_restarts": 0}, "restart limit reached: the supervisor ends"),
        ([spec("a", "temporary")], {}, "not restarted: temporary"),
        (
            [spec("a", "temporary", significant=True)],
            {"auto_shutdown": "any_significant"},
            "not restarted: temporary; the supervisor shuts down",
        ),
    ],
)
def test_decision(specs, options, decision):
    """The report of a crash says in words what is done about it."""
    run = Run(specs, **options).up()
    run.exits("a")
    assert decision == run.reports[0].decision


# ---------------------------------------------------------------------------------------------- groups


def test_one_for_all():
    """All others are stopped in reverse order, then all are started in order; one restart is counted."""
    run = Run([spec("a"), spec("b"), spec("c")], strategy="one_for_all").up()

    run.exits("b")

    assert ["-c", "-a", "+a", "+b", "+c"] == run.work_off()
    assert 1 == len(run.state.window.times)


def test_rest_for_one():
    """Those started after the one that ended are restarted with it; those before it are left alone."""
    run = Run([spec("a"), spec("b"), spec("c")], strategy="rest_for_one").up()

    run.exits("b")

    assert ["-c", "+b", "+c"] == run.work_off()


def test_group_restart_revives_stopped_siblings():
    """A finished, a terminated and an ignored sibling come back with the group."""
    children = [spec("finished", "transient"), spec("terminated"), spec("ignored"), spec("x")]
    run = Run(children, strategy="one_for_all")
    run.begin()
    run.ok()
    run.ok()
    run.ignore()
    run.ok()
    run.exits("finished", NORMAL)
    run.feed(s.TerminateChild(1, "terminated"))
    run.stopped()

    run.exits("x")

    assert ["+finished", "+terminated", "+ignored", "+x"] == run.work_off()


@pytest.mark.parametrize("strategy", GROUPS)
def test_group_restart_forgets_temporary_siblings(strategy):
    """Temporary siblings are taken down with the group and do not come back, specification and all."""
    run = Run([spec("x"), spec("t", "temporary"), spec("b")], strategy=strategy).up()

    run.exits("x")

    assert ["-b", "-t", "+x", "+b"] == run.work_off()
    assert {"x": "running", "b": "running"} == run.statuses()


def test_place_in_the_order():
    """A restarted child keeps its place, a deleted and added one is last."""
    run = Run([spec("a"), spec("b"), spec("c")], strategy="rest_for_one").up()
    run.exits("a")
    run.work_off()
    run.feed(s.TerminateChild(1, "a"))
    run.stopped()
    run.call(s.DeleteChild(2, "a"))
    run.feed(s.AddChild(3, spec("a")))
    run.ok()

    run.exits("c")

    assert ["-a", "+c", "+a"] == run.work_off()
    assert ["b", "c", "a"] == list(run.statuses())


@pytest.mark.parametrize("reason", [BOOM, NORMAL, KILLED], ids=str)
@pytest.mark.parametrize("second", [spec("b"), spec("b", "transient", significant=True)], ids=["plain", "significant"])
def test_deaths_that_pile_up_are_absorbed(second, reason):
    """A death that is noticed after its child was replaced is stale, whatever its reason: one restart for both."""
    flags = {"strategy": "one_for_all", "max_restarts": 1, "auto_shutdown": "any_significant"}
    run = Run([spec("a"), second], **flags).up()
    dead = run.handle("b")
    run.exits("a")
    run.work_off()

    assert [] == run.feed(s.Exited("b", dead, reason, 0.0))
    assert 1 == len(run.state.window.times)
    assert {"a": "running", "b": "running"} == run.statuses()


def test_rest_for_one_does_not_absorb_an_earlier_death():
    """The death of a child before the group is news: two restarts."""
    run = Run([spec("a"), spec("b")], strategy="rest_for_one").up()
    dead = run.handle("a")
    run.exits("b")
    assert ["+b"] == run.work_off()

    run.feed(s.Exited("a", dead, BOOM, 0.0))

    assert ["-b", "+a", "+b"] == run.work_off()
    assert 2 == len(run.state.window.times)


# -------------------------------------------------------------------------------------- failed restarts


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_failed_restarts_count_one_by_one(limit):
    """A limit of N means exactly N failing attempts, with 0 not even one; then the supervisor gives up."""
    run = Run([spec("a")], max_restarts=limit).up()
    attempts = 0
    run.exits("a")
    while run.finished is None:
        assert ["!a"] == run.work_off("a")
        attempts += 1
        run.retry("a")

    assert limit == attempts
    assert isinstance(limit_of(run.finished), RestartLimitReached)


def test_failed_restart_is_retried_from_the_end_of_the_queue():
    """The retry is asked for at once, not counted yet, and the supervisor is free for other things meanwhile."""
    run = Run([spec("a")], max_restarts=1).up()
    run.exits("a")

    assert [s.RetryLater("a", 1, counted=False, delay=0.0)] == run.fail()
    assert {"a": "restarting"} == run.statuses()
    assert 1 == run.state.restarting
    assert run.state.plan is None


def test_recovery_at_the_limit():
    """The last attempt that is allowed may succeed."""
    run = Run([spec("a")], max_restarts=2).up()
    run.exits("a")
    run.fail()
    run.retry("a")
    run.ok()

    assert {"a": "running"} == run.statuses()
    assert run.finished is None


def test_calls_between_attempts():
    """Between two attempts: delete and restart say restarting, start_child says already_present."""
    run = Run([spec("a")]).up()
    run.exits("a")
    run.fail()

    assert "restarting" == run.call(s.DeleteChild(1, "a")).answer
    assert "restarting" == run.call(s.RestartChild(2, "a")).answer
    assert "already_present" == run.call(s.AddChild(3, spec("a"))).answer


def test_terminate_ends_the_retry():
    """terminate_child between two attempts ends the retry; the one under way in the queue is void."""
    run = Run([spec("a")]).up()
    run.exits("a")
    (retry,) = run.fail()

    assert s.Reply(1, "ok") == run.call(s.TerminateChild(1, "a"))
    assert [] == run.feed(s.Retry("a", retry.number, retry.counted, 0.0))
    assert {"a": "stopped"} == run.statuses()
    assert 0 == run.state.restarting


def test_stop_between_attempts():
    """A request to stop between two attempts is obeyed, and stops nothing twice."""
    run = Run([spec("a"), spec("b")]).up()
    run.exits("a")
    run.fail()
    run.feed(s.StopRequest(SHUTDOWN))

    assert ["-b"] == run.work_off()
    assert SHUTDOWN == run.finished


def test_sibling_dies_between_attempts():
    """The exit of another child is handled before the retry."""
    run = Run([spec("a"), spec("b")]).up()
    run.exits("a")
    run.fail()
    run.exits("b")

    assert ["+b"] == run.work_off()
    assert {"a": "restarting", "b": "running"} == run.statuses()
    run.retry("a")
    assert ["+a"] == run.work_off()


def test_retry_is_void_after_a_group_restart():
    """A group restart that brings the child back makes its pending retry void."""
    run = Run([spec("a"), spec("b")], strategy="rest_for_one").up()
    run.exits("b")
    (retry,) = run.fail()
    run.exits("a")
    assert ["+a", "+b"] == run.work_off()

    assert [] == run.feed(s.Retry("b", retry.number, retry.counted, 0.0))
    assert 2 == len(run.state.window.times)


def test_only_the_latest_retry_counts():
    """A child whose restart failed twice has one valid retry: the second."""
    run = Run([spec("a")]).up()
    run.exits("a")
    (first,) = run.fail()
    run.retry("a")
    (second,) = run.fail()

    assert [] == run.feed(s.Retry("a", first.number, first.counted, 0.0))
    assert [] != run.feed(s.Retry("a", second.number, second.counted, 0.0))


def test_last_reason():
    """Why a child last ended or failed to start is known while it is being restarted."""
    run = Run([spec("a")]).up()
    run.exits("a", KILLED)
    assert KILLED == run.child("a").last
    run.fail(BOOM)
    assert BOOM == run.child("a").last


def test_ignored_restart():
    """A restart may be declined: the child stays down, known, and is not retried."""
    run = Run([spec("a")]).up()
    run.exits("a")

    assert [] == run.ignore()
    assert {"a": "stopped"} == run.statuses()


# ---------------------------------------------------------------------------- groups that fail half-way


def test_one_for_all_fails_half_way():
    """Nothing is rolled back; the retry is a group restart from the child that failed: all down, all up."""
    run = Run([spec("a"), spec("b"), spec("c")], strategy="one_for_all").up()
    run.exits("a")
    assert ["-c", "-b", "+a", "!b"] == run.work_off("b")
    assert {"a": "running", "b": "restarting", "c": "returning"} == run.statuses()

    run.retry("b")

    assert ["-a", "+a", "+b", "+c"] == run.work_off()
    assert 2 == len(run.state.window.times)


def test_rest_for_one_fails_half_way():
    """The retry leaves those before the one that failed alone."""
    run = Run([spec("a"), spec("b"), spec("c")], strategy="rest_for_one").up()
    run.exits("a")
    assert ["-c", "-b", "+a", "!b"] == run.work_off("b")

    run.retry("b")

    assert ["+b", "+c"] == run.work_off()


@pytest.mark.parametrize("strategy", GROUPS)
def test_terminate_ends_the_retry_of_a_group(strategy):
    """When the retry is ended, the rest of the group stays down too, and nobody expects it back."""
    run = Run([spec("a"), spec("b"), spec("c")], strategy=strategy).up()
    run.exits("a")
    run.work_off("b")

    run.call(s.TerminateChild(1, "b"))

    assert {"a": "running", "b": "stopped", "c": "stopped"} == run.statuses()


def test_one_retry_ends_while_another_goes_on():
    """Ending one of two retries leaves those expected back whom the other one covers."""
    run = Run([spec("a"), spec("b"), spec("c")], strategy="rest_for_one").up()
    run.exits("a")
    run.work_off("a")
    run.feed(s.RestartChild(1, "c"))
    run.ok()
    run.exits("c")
    run.work_off("c")
    assert {"a": "restarting", "b": "returning", "c": "restarting"} == run.statuses()

    run.call(s.TerminateChild(2, "c"))

    assert {"a": "restarting", "b": "returning", "c": "stopped"} == run.statuses()


@pytest.mark.parametrize("strategy", GROUPS)
def test_temporary_siblings_are_lost_on_the_first_pass(strategy):
    """Also when the group restart fails half-way, temporary siblings are gone for good."""
    run = Run([spec("a"), spec("t", "temporary"), spec("b")], strategy=strategy).up()
    run.exits("a")
    assert ["-b", "-t", "!a"] == run.work_off("a")
    run.retry("a")

    assert ["+a", "+b"] == run.work_off()


def test_deleted_while_expected_back():
    """A child that waits for a retry of another can be deleted: the retry does without it."""
    run = Run([spec("a"), spec("b")], strategy="one_for_all").up()
    run.exits("a")
    run.work_off("a")
    assert s.Reply(1, "ok") == run.call(s.DeleteChild(1, "b"))
    run.retry("a")

    assert ["+a"] == run.work_off()
