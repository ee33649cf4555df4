"""Keys with open parts: what they match, which of two says more, and when that cannot be told."""

import copy
import itertools
import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp import ANY
from nursery_otp._policy.timeout_patterns import Glob, covers, is_open, literals, overlap, part_of, undecided

LETTERS = "abc"  # patterns use a and b: c stands for all letters that no pattern has
UNIVERSE = ["".join(word) for length in range(7) for word in itertools.product(LETTERS, repeat=length)]

QUICK = settings(max_examples=200, deadline=None, derandomize=True)

patterns = st.text("ab*", min_size=1, max_size=4).map(part_of)
texts = st.text(LETTERS, max_size=6)


def language(part):
    """All texts of the universe that a part matches, by the definition of `*` and in the most obvious way."""
    if part is ANY:
        return set(UNIVERSE)
    text = part.text if isinstance(part, Glob) else part
    wanted = re.compile("".join(".*" if letter == "*" else re.escape(letter) for letter in text))
    return {word for word in UNIVERSE if wanted.fullmatch(word)}


@QUICK
@given(patterns, texts)
def test_matching(pattern, text):
    """A text matches if the stars can be replaced so that it comes out."""
    assert (text in language(pattern)) == covers((pattern,), (text,))


@QUICK
@given(patterns, patterns)
def test_covering(wide, narrow):
    """One part covers another if it matches everything that the other one does."""
    assert (language(narrow) <= language(wide)) == covers((wide,), (narrow,))


@QUICK
@given(patterns, patterns)
def test_overlapping(one, other):
    """Two parts overlap if there is anything that both match."""
    assert bool(language(one) & language(other)) == overlap((one,), (other,))
    assert overlap((one,), (other,)) == overlap((other,), (one,))


keys = st.lists(patterns, min_size=1, max_size=2).map(tuple)


@QUICK
@given(keys, keys)
def test_several_parts(one, other):
    """Keys of several parts are covered and overlap part by part; of different lengths they have nothing in common."""
    same = len(one) == len(other)

    assert covers(one, other) == (same and all(covers((a,), (b,)) for a, b in zip(one, other, strict=False)))
    assert overlap(one, other) == (same and all(overlap((a,), (b,)) for a, b in zip(one, other, strict=False)))


@QUICK
@given(keys, keys)
def test_undecided(one, other):
    """It cannot be told which is more specific if they overlap, have as many literals, and neither covers the other."""
    assert undecided(one, other) == undecided(other, one)
    if undecided(one, other):
        assert literals(one) == literals(other)
        assert overlap(one, other)
    assert not undecided(one, one)


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        (("render", ANY), ("render", "page"), True),
        (("render", ANY), ("render", 7), True),
        (("render", ANY), ("render", "page", 7), False),
        (("render", ANY), ("render",), False),
        (("render", ANY), ("Render", "page"), False),
        ((ANY, 7), ("render", 7), True),
        ((ANY, 7), ("render", "7"), False),
        ((ANY, Glob("p*e")), ("render", "page"), True),
        ((ANY, Glob("p*e")), ("render", "pages"), False),
        ((ANY, Glob("p*e")), ("render", 7), False),
        ((Glob("*a*"), "x"), ("banana", "x"), True),
        ((Glob("ab*ba"), "x"), ("aba", "x"), False),
        ((Glob("a*"), "x"), (ANY, "x"), False),
        ((Glob("a*"), "x"), ("a.b*", "x"), True),
    ],
)
def test_examples(pattern, key, expected):
    """Parts are compared one by one; `ANY` takes everything, a glob only text."""
    assert expected == covers(pattern, key)


def test_parts():
    """A lone star is `ANY`, a run of stars is one, and what has no star is literal."""
    assert ANY is part_of("*")
    assert ANY is part_of("***")
    assert Glob("a*b*") == part_of("a**b***")
    assert "a*b" == str(part_of("a*b"))
    assert "ab" == part_of("ab")
    assert is_open((ANY, "x"))
    assert is_open(("x", Glob("*x")))
    assert not is_open(("x", 7))


def test_any_is_one_object():
    """`ANY` shows as it is written, and stays itself when copied and pickled."""
    assert "ANY" == repr(ANY)
    assert ANY is copy.deepcopy(ANY)
    assert ANY is pickle.loads(pickle.dumps(ANY))
