"""Where each file is, whatever happens to the workers."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from examples.survey.plan import STRIKES, Lost, Plan
from examples.survey.source_tree import SourceFile, in_order

A, B, C = FILES = [SourceFile(name, Path(name)) for name in ("a.py", "b.py", "c.py")]


def test_in_order():
    """Files are given out in their order, each once; then there is nothing."""
    plan = Plan[str](FILES)

    assert [A, B, C, None] == [plan.give(worker) for worker in "1234"]


def test_lost_file_goes_to_the_end():
    """What a killed worker had in hand comes back after the others, as often as that happens."""
    plan = Plan[str](FILES)

    for worker in "1234":
        assert plan.give(worker) == plan.lose(worker, at_fault=False).file
    assert [B, C, A] == list(plan.waiting)


def test_second_fault_is_the_last():
    """A file that crashed two workers is not given out again; kills in between do not count."""
    plan = Plan[str]([A])
    ends = []
    for at_fault in (False, True, False, True):
        plan.give("worker")
        ends.append(plan.lose("worker", at_fault=at_fault))

    assert [Lost(A, quarantined=False)] * 3 + [Lost(A, quarantined=True)] == ends
    assert plan.give("worker") is None


def test_nothing_in_hand():
    """The end of a worker that had nothing, or was done with it, is nobody's loss."""
    plan = Plan[str]([A])
    plan.give("worker")
    plan.finish("worker")

    assert plan.lose("worker", at_fault=True) is None
    assert plan.lose("stranger", at_fault=True) is None
    assert "<Plan: 0 waiting, 0 in hand>" == repr(plan)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["next", "killed", "crashed"])), max_size=60))
def test_no_file_is_ever_nowhere(steps):
    """After any step each file is waiting, in one hand, finished or quarantined: exactly one of these."""
    plan = Plan[int](FILES)
    settled = []
    for worker, step in steps:
        if step == "next":
            settled += [plan.in_hand[worker]] if worker in plan.in_hand else []
            plan.finish(worker)
            plan.give(worker)
        else:
            lost = plan.lose(worker, at_fault=step == "crashed")
            settled += [lost.file] if lost and lost.quarantined else []

        assert tuple(FILES) == in_order([*plan.waiting, *plan.in_hand.values(), *settled])
        assert all(count <= STRIKES for count in plan.faults.values())
