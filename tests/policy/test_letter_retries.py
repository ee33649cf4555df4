"""Which letters go, and in which order: nobody is overtaken."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nursery_otp._policy.dead_letters import AutomaticRetry
from nursery_otp._policy.letter_retries import Candidate, Round, due_at, next_round, state_after_failure
from nursery_otp._policy.restarts import Backoff

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        number=st.just(0),
        line=st.sampled_from("abc"),
        state=st.sampled_from(["waiting", "waiting", "exhausted"]),
        due=st.integers(0, 9),
        wanted=st.booleans(),
    ),
    max_size=12,
).map(lambda found: [each._replace(number=number) for number, each in enumerate(found)])


def plan_round(candidates, now, busy=()):
    """The round with all of them."""
    planned = Round(now, set(busy))
    for each in candidates:
        planned.consider(each)
    return planned


def naive_round(candidates, now, busy=()):
    """What is due goes, whoever waits in front of it."""
    lines = {}
    for each in candidates:
        if each.state == "waiting" and each.due <= now:
            lines.setdefault(each.line, []).append(each.number)
    return lines


def overtakes(lines, candidates):
    """Whether a letter goes while an older one of its line, that is not exhausted, stays."""
    going = {number for line in lines.values() for number in line}
    return any(
        mine.line == other.line and mine.number < other.number
        for mine in candidates
        if mine.number not in going and mine.state == "waiting"
        for other in candidates
        if other.number in going
    )


def test_order():
    """Letters of a line go in the order in which they came; different lines have nothing to do with each other."""
    candidates = [Candidate(number, "ab"[number % 2], "waiting", 0.0) for number in range(5)]

    assert {"a": [0, 2, 4], "b": [1, 3]} == plan_round(candidates, 0.0).lines


def test_not_due():
    """A letter that is not due holds back those behind it, and says when to look again."""
    candidates = [
        Candidate(1, "a", "waiting", 0.0),
        Candidate(2, "a", "waiting", 7.0),
        Candidate(3, "a", "waiting", 0.0),
        Candidate(4, "b", "waiting", 9.0),
    ]

    planned = plan_round(candidates, 5.0)
    assert ({"a": [1]}, [2, 3, 4], 7.0) == (planned.lines, planned.left, planned.next_due)
    assert overtakes(naive_round(candidates, 5.0), candidates)


def test_exhausted():
    """An exhausted letter holds nobody back, and goes only if it is wanted."""
    candidates = [Candidate(1, "a", "exhausted", 0.0), Candidate(2, "a", "waiting", 0.0)]

    planned = plan_round(candidates, 0.0)
    assert ({"a": [2]}, [], math.inf) == (planned.lines, planned.left, planned.next_due)
    assert {"a": [1, 2]} == plan_round([candidates[0]._replace(wanted=True), candidates[1]], 0.0).lines


def test_being_handled():
    """A letter that is being handled holds back those behind it, and nobody knows for how long."""
    candidates = [Candidate(1, "a", "waiting", math.inf), Candidate(2, "a", "waiting", 0.0)]
    planned = plan_round(candidates, 5.0)

    assert ({}, [1, 2], math.inf, True) == (planned.lines, planned.left, planned.next_due, planned.blocked)


def test_busy():
    """A line in which somebody is retrying is left alone; a line in the plan is one until that is over."""
    candidates = [Candidate(1, "a", "waiting", 0.0), Candidate(2, "b", "waiting", 0.0), Candidate(3, "a", "waiting", 9)]
    busy = {"a"}
    planned = Round(0.0, busy)
    for each in candidates:
        planned.consider(each)

    assert ({"b": [2]}, [1, 3], math.inf) == (planned.lines, planned.left, planned.next_due)
    assert planned.blocked
    assert {"a", "b"} == busy
    planned.over()
    assert {"a"} == busy


@given(CANDIDATES, st.integers(0, 9), st.sets(st.sampled_from("abc")))
def test_rounds(candidates, now, busy):
    """Whatever there is: nobody is overtaken, what goes is due, and nothing that could go stays."""
    planned = plan_round(candidates, now, busy)
    lines, next_due = planned.lines, planned.next_due
    going = [number for line in lines.values() for number in line]
    by_number = {each.number: each for each in candidates}
    free = [each for each in candidates if each.line not in busy]

    assert not overtakes(lines, free)
    assert sorted([*going, *planned.left]) == [
        each.number for each in candidates if each.state == "waiting" or each.number in going
    ]
    assert all(by_number[number].due <= now and by_number[number].line not in busy for number in going)
    assert all(line == sorted(line) for line in lines.values())
    assert next_due > now
    for line in {each.line for each in free}:
        able = [each for each in free if each.line == line and (each.state == "waiting" or each.wanted)]
        stay = [each for each in able if each.number not in going]
        assert not stay or stay[0].due > now


@pytest.mark.parametrize(
    ("attempts", "before", "after"),
    [
        (4, "waiting", "waiting"),
        (5, "waiting", "exhausted"),
        (9, "waiting", "exhausted"),
        (2, "exhausted", "exhausted"),
    ],
)
def test_state_after_failure(attempts, before, after):
    """With the last attempt a letter is exhausted, and stays so."""
    assert after == state_after_failure(attempts, before, 5)


def test_no_limit():
    """Without a limit a letter is never exhausted."""
    assert "waiting" == state_after_failure(10**6, "waiting", math.inf)


def test_due():
    """A letter waits for its age first, and then longer after each attempt."""
    options = AutomaticRetry(min_age=10, backoff=Backoff(initial=1, factor=2, maximum=100, jitter=0))

    assert [10, 10, 24, 28] == [
        due_at(options, 0.0, last, attempts, 0.5) for last, attempts in [(0.0, 1), (5.0, 2), (20.0, 3), (20.0, 4)]
    ]


def test_jitter():
    """The chance decides within the jitter of the backoff."""
    options = AutomaticRetry(backoff=Backoff(initial=10, jitter=0.5))

    assert [5, 10] == [due_at(options, 0.0, 0.0, 1, chance) for chance in (0.0, 0.5)]


def test_next_round():
    """Rounds keep their distance; when nothing is due earlier, the next one waits for it."""
    assert [30, 45, math.inf] == [next_round(0.0, 30.0, due) for due in (7.0, 45.0, math.inf)]
