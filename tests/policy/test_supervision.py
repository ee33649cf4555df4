"""The vocabulary of decisions: how far a plan is, and the order of the children."""

from nursery_otp._policy import supervision as s
from nursery_otp._policy.decide import initial
from nursery_otp._policy.exits import Shutdown
from nursery_otp._policy.specs import SupervisorFlags
from tests.policy.builders import BOOM, spec


def test_plan():
    """A plan knows what is next: all stops, then all starts."""
    plan = s.Plan(s.Start(), stop=("b", "a"), start=("a", "b"))

    assert ("b", "a") == (plan.next_stop, plan.next_start)
    assert ("a", "b") == plan.to_start


def test_plan_under_way():
    """What is done is counted, not taken out: a long plan costs no more per step than a short one."""
    plan = s.Plan(s.Start(), ("b", "a"), ("a", "b"), stops_done=2, starts_done=1)

    assert (None, "b") == (plan.next_stop, plan.next_start)
    assert ("b",) == plan.to_start


def test_plan_done():
    """In the end nothing is next."""
    plan = s.Plan(s.Start(), start=(0,), starts_done=1)

    assert (None, None, ()) == (plan.next_stop, plan.next_start, plan.to_start)


def test_ordered():
    """Children are ordered by when they were added, not by their keys."""
    state = initial(SupervisorFlags(), [spec(key) for key in ("c", "a", "b")])

    assert ["c", "a", "b"] == [child.key for child in state.ordered()]
    assert [0, 1, 2] == [child.position for child in state.ordered()]


def test_initial():
    """A supervisor that has not begun has nothing running, waiting or counted."""
    state = initial(SupervisorFlags(max_restarts=3, period=2.0), [spec("a")])

    assert {"stopped"} == {child.status for child in state.children.values()}
    assert (None, (), 0, ()) == (state.plan, state.waiting, state.restarting, state.window.times)
    assert (3, 2.0) == (state.window.max_restarts, state.window.period)


def test_failed_to_start():
    """The text names the child that did not start, and why."""
    assert "FailedToStart('a': failed('boom'))" == repr(s.FailedToStart("a", BOOM))


def test_failed_to_start_in_a_deep_tree():
    """A failure far below is named by its path, however deep: the text does not depend on the stack."""
    reason = BOOM
    for level in range(5000):
        reason = Shutdown(s.FailedToStart(level, reason))

    assert str(reason).startswith("shutdown(FailedToStart(4999 > 4998 > ")
    assert str(reason).endswith(" > 1 > 0: failed('boom')))")


def test_failed_to_start_by_giving_up():
    """A child supervisor that ended for another reason of its own is where the path ends."""
    reason = Shutdown(s.FailedToStart("inner", Shutdown(s.AutoShutdown("x"))))

    assert "FailedToStart('outer' > 'inner': shutdown(AutoShutdown(child_id='x')))" == repr(
        s.FailedToStart("outer", reason)
    )


def test_chance_is_in_the_middle():
    """Events without a chance of their own ask for the wait without jitter."""
    events = (s.Failed("a", BOOM), s.Exited("a", 1, BOOM, 0.0), s.Retry("a", 1, counted=False, now=0.0))

    assert {0.5} == {event.chance for event in events}


def test_a_handle_is_dead_unless_known_alive():
    """terminate_child of an incarnation that nobody vouches for is one of a dead process."""
    assert False is s.TerminateChild(1, "a", object()).alive
