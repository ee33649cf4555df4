"""What a shell may rely on: outcomes belong to actions, states stay valid; and how services end."""

import pytest

from nursery_otp._policy import supervision as s
from nursery_otp._policy.decide import decide, initial
from nursery_otp._policy.exits import NORMAL, SHUTDOWN, Shutdown
from nursery_otp._policy.specs import SupervisorFlags
from tests.policy.builders import BOOM, Run, spec

# ------------------------------------------------------------------------------------------- protocol


@pytest.mark.parametrize(
    "event",
    [s.Stopped(), s.Started("a", object(), 0.0), s.Ignored("a"), s.Failed("a", BOOM)],
    ids=lambda event: type(event).__name__,
)
def test_outcome_of_nothing(event):
    """An outcome of an action that is not under way is a mistake of the shell, and is said to be one."""
    run = Run([spec("a")]).up()

    with pytest.raises(LookupError, match="under way"):
        run.feed(event)


def test_outcome_of_another_start():
    """The start of one child cannot be over while another is being started."""
    run = Run([spec("a"), spec("b")])
    run.begin()

    with pytest.raises(LookupError, match="no start of 'b' is under way"):
        run.feed(s.Started("b", object(), 0.0))


def test_start_before_the_stop_is_over():
    """A start cannot be over while the stops before it are not."""
    run = Run([spec("a"), spec("b")], strategy="one_for_all").up()
    run.exits("a")

    with pytest.raises(LookupError, match="no start of 'a' is under way"):
        run.feed(s.Started("a", object(), 0.0))


def test_old_states_stay_valid():
    """A state can be decided upon again, long after its successors."""
    state = initial(SupervisorFlags(), [spec("a")])
    first, _ = decide(state, s.Begin())
    handle = object()
    second, _ = decide(first, s.Started("a", handle, 1.0))
    third, _ = decide(second, s.TerminateChild(1, "a"))
    fourth, _ = decide(third, s.Stopped())

    assert "stopped" == fourth.children.get("a").status
    assert "running" == second.children.get("a").status
    assert "stopped" == first.children.get("a").status
    other, actions = decide(first, s.Failed("a", BOOM))
    assert s.Finish(Shutdown(s.FailedToStart("a", BOOM))) == actions[-1]
    assert handle is third.children.get("a").handle
    assert None is other.children.get("a").handle


# ------------------------------------------------------------------------------------------- services


def test_services_are_not_needed():
    """When only services are left, the supervisor stops them, in reverse order."""
    run = Run([spec("log", service=True), spec("bus", service=True), spec("job", "transient")]).up()

    assert [] == run.feed(s.StopServices())
    run.exits("job", NORMAL)
    run.feed(s.StopServices())

    assert ["-bus", "-log"] == run.work_off()
    assert SHUTDOWN == run.finished


def test_nobody_is_needed():
    """Without any children the supervisor stops when the services are told to."""
    assert [s.Finish(SHUTDOWN)] == Run().up().feed(s.StopServices())


def test_services_wait_for_a_restarting_child():
    """A child between two attempts of its restart will be back: the services stay."""
    run = Run([spec("log", service=True), spec("job")]).up()
    run.exits("job")
    run.fail()

    assert "restarting" == run.child("job").status
    assert [] == run.feed(s.StopServices())


def test_services_wait_for_a_returning_child():
    """A child that was taken down together with a restarting service will be back too."""
    run = Run([spec("log", service=True), spec("job")], strategy="one_for_all").up()
    run.exits("log")
    assert ["-job", "!log"] == run.work_off("log")

    assert {"log": "restarting", "job": "returning"} == run.statuses()
    assert [] == run.feed(s.StopServices())
    run.feed(s.TerminateChild(1, "log"))
    run.feed(s.StopServices())
    assert SHUTDOWN == run.finished
