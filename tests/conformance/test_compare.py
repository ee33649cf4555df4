"""The comparators accept what their format leaves open, and nothing else."""

from typing import Any

import pytest

from tests.conformance.compare import MISSING, Difference, process_difference, supervisor_difference

Json = Any
A, B, C = ["exit", "a", 1, "boom"], ["exit", "b", 1, "boom"], ["start", "a", 2, "ok"]


def step(**changes: Json) -> Json:
    return {"op": "exit", "ret": "ok", "events": [A, C], "alive": ["a#2"], "up": True} | changes


def first_what(wanted: Json, got: Json) -> str | None:
    difference = supervisor_difference([wanted], [got])
    return None if difference is None else difference.what


# -------------------------------------------------------------------------------------------------------- supervisors


def test_same_supervisor_trace() -> None:
    """Equal steps are the same."""
    assert supervisor_difference([step()], [step()]) is None


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"ret": "not_alive"}, "ret"),
        ({"events": [C, A]}, "event 0"),
        ({"events": [A]}, "event 1"),
        ({"events": [A, C, B]}, "event 2"),
        ({"alive": []}, "alive"),
        ({"up": False}, "up"),
        ({"queued": {"q": "ok"}}, "answer to the queued call q"),
    ],
)
def test_any_change_is_a_difference(changes: Json, what: str) -> None:
    """Each part of a step is compared."""
    assert what == first_what(step(), step(**changes))


def test_difference_says_where() -> None:
    """The text names the step, its op, and both sides."""
    difference = supervisor_difference([step(), step()], [step(), step(up=False)])

    assert difference == Difference(1, "exit", "up", True, False)
    assert str(difference) == "step 1 (exit), up: expected true, got false"


def test_missing_event_is_named() -> None:
    """An event that did not happen is shown as nothing."""
    assert f"event 1: expected {[*C]}, got {MISSING}".replace("'", '"') in str(
        supervisor_difference([step()], [step(events=[A])])
    )


def test_missing_steps() -> None:
    """A trace that ends early differs, though all it has is right."""
    difference = supervisor_difference([step(), step()], [step()])

    assert difference is not None
    assert difference.what == "number of steps"


@pytest.mark.parametrize("got", [[A, B, C], [B, A, C]])
def test_any_order_of_events(got: Json) -> None:
    """The members of `any` come in any order, the rest in its own."""
    assert first_what(step(events=[{"any": [A, B]}, C]), step(events=got)) is None


@pytest.mark.parametrize("got", [[A, C, B], [A, B], [A, A, C], [C, A, B]])
def test_any_is_not_anything(got: Json) -> None:
    """The members of `any` are next to each other, each as often as written."""
    assert first_what(step(events=[{"any": [A, B]}, C]), step(events=got)) is not None


@pytest.mark.parametrize(("got", "same"), [([A, B, C], True), ([B, A, C], True), ([C, A, B], False)])
def test_sequence_in_any_keeps_its_order(got: Json, *, same: bool) -> None:
    """A member may be a sequence, through which the others interleave."""
    assert same == (first_what(step(events=[{"any": [[A, C], B]}]), step(events=got)) is None)


@pytest.mark.parametrize("got", [[1, 2], [2, 1], {"any": [2, 1]}])
def test_unordered_return(got: Json) -> None:
    """A returned `any` is a list without order."""
    assert first_what(step(ret={"any": [1, 2]}), step(ret=got)) is None


@pytest.mark.parametrize("got", [[1], [1, 1], [1, 2, 2], "ok", None])
def test_unordered_return_differs(got: Json) -> None:
    """... with exactly these members."""
    assert first_what(step(ret={"any": [1, 2]}), step(ret=got)) == "ret"


def test_ordered_return() -> None:
    """A plain list keeps its order."""
    assert first_what(step(ret=[1, 2]), step(ret=[2, 1])) == "ret"


def test_unordered_queued_answer() -> None:
    """Answers to queued calls may be unordered, too."""
    assert first_what(step(queued={"q": {"any": [1, 2]}}), step(queued={"q": [2, 1]})) is None
    assert first_what(step(queued={"q": {"any": [1, 2]}}), step(queued={"q": [2]})) is not None


@pytest.mark.parametrize(
    ("elapsed", "what"), [(19, None), (30.5, None), ([19, 40], None), (18.9, "elapsed_ms"), (41, "elapsed_ms")]
)
def test_elapsed_time(elapsed: Json, what: str | None) -> None:
    """A measured time has to be within the limits; limits repeated are as good."""
    assert what == first_what(step(elapsed_ms=[19, 40]), step(elapsed_ms=elapsed))


def test_nowait_step_shows_only_its_return() -> None:
    """Of a step that does not settle, only `ret` counts."""
    wanted = {"op": "wait", "ret": None, "nowait": True}

    assert first_what(wanted, {"op": "wait", "ret": None, "events": [A]}) is None
    assert first_what(wanted, {"op": "wait", "ret": 1}) == "ret"


# ---------------------------------------------------------------------------------------------------------- processes


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ([{"a": [["msg", 1]]}, {}], [{"a": [["msg", 1]]}]),
        ([{}], [{"a": []}]),
        ([{"a": [{"any": [["msg", 1], ["msg", 2]]}, ["msg", 3]]}], [{"a": [["msg", 2], ["msg", 1], ["msg", 3]]}]),
    ],
)
def test_same_process_trace(wanted: Json, got: Json) -> None:
    """Silent processes and silent steps may be left out; `any` has no order."""
    assert process_difference(wanted, got) is None


@pytest.mark.parametrize(
    ("wanted", "got", "what"),
    [
        ([{"a": [["msg", 1]]}], [{}], "event 0"),
        ([{}], [{"a": [["msg", 1]]}], "event 0"),
        ([{}], [{}, {"a": [["msg", 1]]}], "event 0"),
        ([{"a": [["msg", 1], ["msg", 2]]}], [{"a": [["msg", 2], ["msg", 1]]}], "event 0"),
        ([{"a": [{"any": [["msg", 1], ["msg", 2]]}]}], [{"a": [["msg", 1]]}], "events 0..1"),
        ([{"a": [["msg", 1]]}], [{"a": [["msg", True]]}], "event 0"),
    ],
)
def test_different_process_trace(wanted: Json, got: Json, what: str) -> None:
    """An event too few, too many, out of order or different."""
    difference = process_difference(wanted, got)

    assert difference is not None
    assert what == difference.what
    assert difference.op == "process a"
