"""The mistakes that a timeout policy invites, each made by a naive one and not by ours.

The naive policy is how such a thing is written first: a table of texts, asked in the order in which it was filled.
Every trap is a check that it must fail.
"""

import itertools
import math

import pytest

from nursery_otp import ANY, Timeouts
from tests.policy.services import Child, Counter

LONGEST = 2**31 - 1  # milliseconds that a timer of the naive policy can hold


class NaivePolicy:
    """Compares keys as texts, takes the first rule that fits, and multiplies everything."""

    def __init__(self, *, default=5, rules=None, factor=1):
        self.default = default
        self.rules = {key if isinstance(key, tuple) else str(key): value for key, value in (rules or {}).items()}
        self.factor = factor

    def limit(self, identifier):
        name = identifier if isinstance(identifier, tuple) else str(identifier)
        for key, value in self.rules.items():
            if key == name or (isinstance(key, tuple) and isinstance(name, tuple) and self.fits(key, name)):
                return self.scaled(value)
            if isinstance(key, str) and isinstance(name, str) and key.startswith("*") and name.endswith(key[1:]):
                return self.scaled(value)
        return self.scaled(self.default)

    @staticmethod
    def fits(pattern, name):
        return all(part in (ANY, given) for part, given in zip(pattern, name, strict=False))

    def scaled(self, value):
        return min(int(min(value, 1e9) * 1000 * self.factor), LONGEST) / 1000


def a_rule_given_by_class_matches_that_class(policy):
    """Its operations, and those of its subclasses, have the limit of the class."""
    limits = policy(rules={Counter: 2})

    assert [2, 2, 2] == [limits.limit(each) for each in (Counter.divide, Counter.add, Child.divide)]


def a_pattern_of_two_does_not_match_three(policy):
    """A pattern matches keys of its own length, shorter and longer ones not."""
    limits = policy(rules={("data_processing", ANY): 2})

    assert 2 == limits.limit(("data_processing", "small"))
    assert 5 == limits.limit(("data_processing", "large", "slow"))
    assert 5 == limits.limit(("data_processing",))


def infinity_survives_the_factor(policy):
    """No limit is no limit, whatever it is multiplied by."""
    limits = policy(default=math.inf, rules={"a.b": math.inf}, factor=3)

    assert [math.inf, math.inf] == [limits.limit(each) for each in ("a.b", "c.d")]


def insertion_order_does_not_matter(policy):
    """Rules given in any order are the same policy."""
    rules = {"*.divide": 1, "Counter.divide": 2, "*.*": 3, "Counter": 4}
    found = {policy(rules=dict(order)).limit(Counter.divide) for order in itertools.permutations(rules.items())}

    assert {2} == found


def a_pattern_stays_within_its_parts(policy):
    """`*` does not reach over a dot: `*.check` is about two parts."""
    assert 5 == policy(rules={"*.check": 1}).limit("a.b.check")


TRAPS = [
    a_rule_given_by_class_matches_that_class,
    a_pattern_of_two_does_not_match_three,
    infinity_survives_the_factor,
    insertion_order_does_not_matter,
    a_pattern_stays_within_its_parts,
]


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
def test_trap(trap):
    """Our policy does not fall into the trap, and the naive one does."""
    trap(Timeouts)
    with pytest.raises(AssertionError):
        trap(NaivePolicy)
