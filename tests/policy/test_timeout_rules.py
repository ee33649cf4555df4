"""Which rule decides, against an oracle that tries everything; and rules that contradict each other."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp import ANY, InvalidSpec, Timeouts
from tests.policy.services import Child, Counter, Grandchild, Stranger, another_counter
from tests.policy.timeout_oracle import KEYS, OPERATIONS, decide, is_wrong

DEFAULT = 99.0

some_rules = st.dictionaries(st.sampled_from(KEYS), st.integers(1, 30), max_size=6)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(some_rules)
def test_precedence(rules):
    """For every operation the rule decides that the documentation says; contradictions are refused."""
    if is_wrong(rules):
        with pytest.raises(InvalidSpec):
            Timeouts(rules=rules)
        return
    policy = Timeouts(rules=rules, default=DEFAULT)

    for service, name in OPERATIONS:
        handle = getattr(service, name)
        assert decide(rules, service, name, DEFAULT) == policy.limit(handle), handle
        assert policy.limit(handle) == policy.explain(handle).seconds


@settings(max_examples=200, deadline=None, derandomize=True)
@given(some_rules, st.randoms(use_true_random=False))
def test_order_does_not_matter(rules, chance):
    """The same rules given in another order are the same policy: same limits, or the same error."""
    items = list(rules.items())
    chance.shuffle(items)

    assert outcome(rules) == outcome(dict(items))


def outcome(rules):
    """All limits of a policy, or that it is refused."""
    try:
        policy = Timeouts(rules=rules, default=DEFAULT)
    except InvalidSpec as error:
        return type(error)
    return [(policy.limit(getattr(*operation)), policy.explain(getattr(*operation))) for operation in OPERATIONS]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(some_rules)
def test_kinds_are_apart(rules):
    """Rules for handlers mean the same as rules for callers, and neither concerns the other."""
    if is_wrong(rules):
        return
    policy = Timeouts(handler_rules=rules, handler=DEFAULT, default=1.5)

    for service, name in OPERATIONS:
        handle = getattr(service, name)
        assert decide(rules, service, name, DEFAULT) == policy.limit(handle, "handler")
        assert 1.5 == policy.limit(handle)


def test_every_level_beats_the_next():
    """Exact operation, pattern, service, default: in that order, the more specific one first within each."""
    steps = [
        (Grandchild.add, "operation"),
        ("Child.add", "operation"),
        (Counter.add, "operation"),
        ("add", "operation"),
        ("Grandchild.*", "pattern"),
        ("Grand*.*", "pattern"),
        ("*.*", "pattern"),
        (Grandchild, "service"),
        ("Counter", "service"),
    ]
    random.Random(1).shuffle(shuffled := list(enumerate(steps, start=1)))
    rules = {key: value for value, (key, _) in shuffled}
    for value, (key, level) in enumerate(steps, start=1):
        policy = Timeouts(rules=rules)
        why = policy.explain(Grandchild.add)

        assert (value, level) == (why.seconds, why.level)
        del rules[key]
    assert "default" == Timeouts(rules=rules).explain(Grandchild.add).level


def test_override_of_a_handler_is_another_operation():
    """A rule for an operation holds in subclasses that inherit its handler, and not where it is written anew."""
    policy = Timeouts(rules={Counter.add: 1, Counter.divide: 2})

    assert (1, 1) == (policy.limit(Child.add), policy.limit(Grandchild.add))
    assert (5, 5) == (policy.limit(Child.divide), policy.limit(Grandchild.divide))
    assert 5 == policy.limit(Stranger.add)


def test_nearest_service():
    """Of the classes that a server is derived from the nearest one with a rule counts."""
    policy = Timeouts(rules={Counter: 1, Child: 2})

    assert [1, 2, 2, 5] == [policy.limit(cls.add) for cls in (Counter, Child, Grandchild, Stranger)]
    assert [1, 2, 2, 5] == [policy.limit(cls) for cls in (Counter, Child, Grandchild, Stranger)]


def test_rule_for_all_servers():
    """`GenServer` is the class of all of them."""
    from nursery_otp import GenServer

    assert 7 == Timeouts(rules={GenServer: 7}).limit(Stranger.add)
    assert 7 == Timeouts(rules={"GenServer": 7}).limit(Stranger)


def test_classes_of_one_name():
    """A rule given by class is about that class, and one given by text about all classes of that name."""
    other = another_counter()
    by_class = Timeouts(rules={Counter: 1, other: 2, Counter.add: 3, other.add: 4})
    by_text = Timeouts(rules={"Counter.add": 3})

    assert [1, 2, 3, 4] == [by_class.limit(key) for key in (Counter, other, Counter.add, other.add)]
    assert [3, 3] == [by_text.limit(key) for key in (Counter.add, other.add)]
    for text in ("Counter.add", "Counter", "Counter.other"):
        with pytest.raises(InvalidSpec, match="means different classes, which have rules of their own; ask with the"):
            by_class.limit(text)


def test_text_finds_rules_by_object():
    """Whoever asks with a text gets the rule that was given for the object of that name."""
    policy = Timeouts(rules={Counter.add: 1, Child: 2, "divide": 3, "render.*": 4, ("shard", 7, ANY): 6})

    assert 1 == policy.limit("Counter.add")
    assert 2 == policy.limit("Child.reset")
    assert 2 == policy.limit("Child")
    assert 3 == policy.limit("Child.divide")
    assert 3 == policy.limit("divide")
    assert 4 == policy.limit("render.page")
    assert 4 == policy.limit(("render", "page"))
    assert 6 == policy.limit(("shard", 7, "get"))
    assert 5 == policy.limit("Grandchild.reset")
    assert 5 == policy.limit("a.b.c.d")


CONTRADICTIONS = [
    (
        {Counter.add: 1, "Counter.add": 2},
        "rules['Counter.add']=2: says the same thing as Counter.add = 1; keep one of them",
    ),
    (
        {"Counter.add": 1, ("Counter", "add"): 2},
        "rules['Counter.add']=1: says the same thing as ('Counter', 'add') = 2; keep one of them",
    ),
    ({Counter: "long", "Counter": 2}, "rules['Counter']=2: says the same thing as Counter = 'long'; keep one of them"),
    (
        {("Counter", ANY): 1, "Counter.*": 2},
        "rules['Counter.*']=2: says the same thing as ('Counter', ANY) = 1; keep one of them",
    ),
    ({"a*.x": 1, "a**.x": 2}, "rules['a**.x']=2: says the same thing as 'a*.x' = 1; keep one of them"),
    (
        {Counter.add: 1, Counter.add.while_restarting("fail"): 2},
        "rules[Counter.add]=1: says the same thing as Counter.add = 2; keep one of them",
    ),
    (
        {"Counter.*": 1, "*.add": 2},
        "rules['*.add']=2: and 'Counter.*' = 1 match some operations both, and neither is the more specific one; "
        "give one of them more parts without '*', or let them not meet",
    ),
    (
        {"a*.x": 1, "*b.x": 1},
        "rules['*b.x']=1: and 'a*.x' = 1 match some operations both, and neither is the more specific one; "
        "give one of them more parts without '*', or let them not meet",
    ),
]


@pytest.mark.parametrize(("rules", "text"), CONTRADICTIONS, ids=lambda value: value if isinstance(value, str) else "")
def test_contradictions(rules, text):
    """Rules that contradict each other cannot be made, in whatever order they are given; the error names both."""
    for given_rules in (rules, dict(reversed(rules.items()))):
        for field in ("rules", "handler_rules"):
            with pytest.raises(InvalidSpec) as caught:
                Timeouts(**{field: given_rules})

            assert text.replace("rules", field, 1) == str(caught.value)


@pytest.mark.parametrize(
    "rules",
    [
        {Counter.add: 1, "Counter.add": 1, ("Counter", "add"): 1},
        {Counter: 1, "Counter": 1},
        {"Counter.*": 1, ("Counter", ANY): 1},
        {"a*.x": 1, "b*.x": 2},
        {"a*.x": 1, "*b.y": 2},
        {"a.*": 1, "*.b.c": 2},
        {"*.a": 1, "*.a*": 2, "x.b*": 3},
    ],
    ids=str,
)
def test_no_contradiction(rules):
    """The same thing twice with one value is none, nor are patterns that cannot meet."""
    assert rules == Timeouts(rules=rules).rules
