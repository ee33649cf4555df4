"""Small steps from one state to the next."""

import pytest

from nursery_otp._policy import changes
from nursery_otp._policy.decide import initial
from nursery_otp._policy.specs import SupervisorFlags
from tests.policy.builders import snapshot, spec


def state_of(*children, **flags):
    """A state with these children."""
    return initial(SupervisorFlags(**flags), children)


def test_insert():
    """A new child is last and does not run; the state before does not know it."""
    old = state_of(spec("a"))
    known = snapshot(old)

    new = changes.insert(old, "b", added := spec("b"))

    child = changes.child_of(new, "b")
    assert ("b", added, 1, "stopped", None) == (child.key, child.spec, child.position, child.status, child.handle)
    assert known == snapshot(old)


def test_update_counts_restarting():
    """The number of restarting children follows every change."""
    state = state_of(spec("a"))
    restarting = changes.update(state, changes.child_of(state, "a"), status="restarting")

    assert (0, 1) == (state.restarting, restarting.restarting)
    again = changes.update(restarting, changes.child_of(restarting, "a"), attempts=2)
    assert 1 == again.restarting
    assert 0 == changes.update(again, changes.child_of(again, "a"), status="running", handle=1).restarting
    assert 0 == changes.remove(again, changes.child_of(again, "a")).restarting


@pytest.mark.parametrize(
    ("child", "flags", "known"),
    [
        (spec("a"), {}, True),
        (spec("a", "transient"), {}, True),
        (spec("a", "temporary"), {}, False),
        (spec("a"), {"strategy": "simple_one_for_one"}, False),
    ],
)
def test_forget(child, flags, known):
    """A child that is down for good stays known, unless it is temporary or dynamic."""
    state = state_of(child, **flags)
    state = changes.update(state, changes.child_of(state, "a"), status="running", handle=object())

    state = changes.forget(state, changes.child_of(state, "a"))

    assert known == ("a" in state.children)
    if known:
        left = changes.child_of(state, "a")
        assert ("stopped", None, False) == (left.status, left.handle, left.returning)


def test_child_of_nobody():
    """Asking for a child that there is not is a mistake of the program."""
    with pytest.raises(LookupError, match="no child 'b' in this supervisor"):
        changes.child_of(state_of(spec("a")), "b")


@pytest.mark.parametrize(
    ("strategy", "group"),
    [("one_for_one", "b"), ("one_for_all", "abc"), ("rest_for_one", "bc"), ("simple_one_for_one", "b")],
)
def test_group_of(strategy, group):
    """Who is restarted together with the middle one of three."""
    state = state_of(*map(spec, "abc"), strategy=strategy)

    assert list(group) == [child.key for child in changes.group_of(state, changes.child_of(state, "b"))]


def test_running_keys():
    """The running ones, last started first."""
    state = state_of(*map(spec, "abc"))
    for key in "ac":
        state = changes.update(state, changes.child_of(state, key), status="running", handle=key)

    assert ("c", "a") == changes.running_keys(state.ordered())
