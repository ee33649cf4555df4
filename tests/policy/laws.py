"""Take a decision, and check every law of `plan_laws.py` and `restart_laws.py`."""

from nursery_otp._policy import supervision as s
from nursery_otp._policy.decide import decide
from tests.policy import plan_laws, restart_laws
from tests.policy.builders import plain, snapshot
from tests.policy.steps import LAWS, Step

__all__ = ["plan_laws", "restart_laws", "taken"]


def taken(before: s.State, event: s.Event) -> Step:
    """Decide, check every law, and return the decision."""
    known = snapshot(before)
    after, actions = decide(before, event)
    step = Step(before, event, after, actions)
    found = (snapshot(after), plain(actions))
    again = decide(before, event)
    assert found == (snapshot(again[0]), plain(again[1])), "decide is not a function"
    assert known == snapshot(before), "decide changed the state that it was given"
    for check in LAWS:
        check(step)
    return step
