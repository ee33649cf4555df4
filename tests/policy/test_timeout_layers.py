"""Sources of a policy on top of each other: what wins, where it is said to come from, and what an override may do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp import InvalidSpec, Timeouts
from nursery_otp._policy.timeout_rules import Origin
from nursery_otp._policy.timeout_sources import Change, apply_changes, stamped
from tests.policy.services import Child, Counter, another_counter
from tests.policy.sources import PREFIX, with_override, with_table, with_variables

# ---------------------------------------------------------------------------------------- layers

places = st.sampled_from(
    [
        *((field,) for field in ("default", "handler", "factor")),
        *(("tiers", name) for name in ("long", "critical")),
        *(
            (field, key)
            for field in ("rules", "handler_rules")
            for key in ("Counter.add", "add", "*.add", Counter, Child.add)
        ),
    ]
)
layer = st.dictionaries(places, st.integers(1, 50), max_size=4)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(layer, max_size=4))
def test_later_sources_win(layers):
    """Of several sources the last one that says something about a place counts, and is known as the source."""
    policy, expected = Timeouts(), {}
    for number, changes in enumerate(layers):
        origin = Origin(f"source {number}")
        policy = apply_changes(policy, [Change(place, value, origin) for place, value in changes.items()])
        expected |= {place: (value, origin.text) for place, value in changes.items()}

    for place, (value, source) in expected.items():
        field, *key = place
        there = getattr(policy, field)[key[0]] if key else getattr(policy, field)
        assert (value, source) == (there, policy.source(*place))
    for field in ("rules", "handler_rules"):
        assert {place[1] for place in expected if place[0] == field} == set(getattr(policy, field))


def test_order_of_all_sources():
    """Code, file, environment, override: each beats those before it and leaves alone what it does not mention."""
    code = Timeouts(default=1, handler=1, factor=1, rules={"a": 1, "b": 1, "c": 1, "d": 1})
    file = with_table({"default": 2, "handler": 2, "rules": {"b": 2, "c": 2, "d": 2}}, code)
    environment = with_variables({"DEFAULT": "3", "RULES__c": "3", "RULES__d": "3"}, file)
    override = with_override(environment, rules={"d": 4})

    assert [1, 2, 3, 4] == [override.limit(key) for key in "abcd"]
    assert [
        "code",
        "file otp.toml",
        f"environment {PREFIX}RULES__c",
        "override",
    ] == [override.explain(key).source for key in "abcd"]
    assert (3, f"environment {PREFIX}DEFAULT") == (override.default, override.source("default"))
    assert (2, "file otp.toml") == (override.handler, override.source("handler"))
    assert "built in" == override.source("while_restarting")


def test_text_replaces_the_object_it_names():
    """A file can only name things by text; it wins over what the code says about the thing itself."""
    code = Timeouts(rules={Counter.add: 1, Child.add: 1, Counter: 1})
    policy = with_table({"rules": {"Counter.add": 2, "Counter": 2}}, code)

    assert [2, 1, 2] == [policy.limit(key) for key in (Counter.add, Child.add, Counter)]
    assert {Child.add: 1, "Counter.add": 2, "Counter": 2} == policy.rules
    for _ in range(2):  # also what came from a source is gone with its source
        with pytest.raises(KeyError):
            policy.source("rules", Counter.add)
        policy = with_table({"rules": {"Counter.add": 2}}, with_override(policy, rules={Counter.add: 3}))


def test_object_over_text():
    """A later rule for one class wins for that class; others of its name keep the earlier one, which was text."""
    other = another_counter()
    policy = with_override(Timeouts(rules={"Counter.add": 1, "Counter": 1}), rules={Counter.add: 2, Counter: 2})

    assert [2, 2, 1, 1] == [policy.limit(key) for key in (Counter.add, Counter, other.add, other)]


def test_contradictions_within_a_source_only():
    """What contradicts itself is refused; what contradicts an earlier source is what later sources are for."""
    with pytest.raises(InvalidSpec, match=r"says the same thing as .* \(override\)$"):
        with_override(Timeouts(), rules={Counter.add: 1, "Counter.add": 2})

    assert 2 == with_override(Timeouts(rules={"a.*": 1}), rules={"a.**": 2}).limit("a.b")


def test_ties_between_sources():
    """Two patterns that cannot be told apart are refused also if they come from two sources; nothing is changed."""
    base = Timeouts(rules={"a*.x": 1})
    with pytest.raises(InvalidSpec, match=r"neither is the more specific one; .* \(file otp.toml\)$"):
        with_table({"rules": {"*b.x": 2}}, base)

    assert {"a*.x": 1} == base.rules


def test_tier_of_another_source():
    """An explanation says where the value of a tier comes from, if it is not where the rule is."""
    policy = with_variables({"TIERS__LONG": "7"}, Timeouts(rules={"a": "long", "b": "critical", "c": "default"}))

    assert f"code; the tier: environment {PREFIX}TIERS__LONG" == policy.explain("a").source
    assert "code" == policy.explain("b").source
    assert 7 == policy.limit("a")


def test_stamped():
    """What comes from plain code can be said to come from somewhere else; what has a source keeps it."""
    policy = stamped(
        with_variables({"FACTOR": "2"}, Timeouts(default=1, rules={"a": 1}, tiers={"x": 1})), Origin("here")
    )

    assert ["here", "here", "here"] == [policy.source(*p) for p in (("default",), ("rules", "a"), ("tiers", "x"))]
    assert ["built in", "built in"] == [policy.source("handler"), policy.source("tiers", "long")]
    assert f"environment {PREFIX}FACTOR" == policy.source("factor")


# -------------------------------------------------------------------------------------- override


def test_override_knows_its_arguments():
    """A misspelt argument is an error that knows the right word."""
    with pytest.raises(TypeError) as caught:
        with_override(Timeouts(), defualt=2)

    text = "override_timeouts() got an unexpected keyword argument 'defualt'; did you mean 'default'?"
    assert text == str(caught.value)


def test_override_invents_no_tier():
    """Tiers can be changed for a while, but not be invented, as rules of others would come to depend on them."""
    base = Timeouts(tiers={"night": 9}, rules={"a": "night"})

    assert 1 == with_override(base, tiers={"night": 1}).limit("a")
    with pytest.raises(InvalidSpec) as caught:
        with_override(base, tiers={"nihgt": 1})
    text = "tiers['nihgt']=1: is no tier; there are long, critical, night; did you mean 'night'?"
    assert text == str(caught.value)
    with pytest.raises(InvalidSpec, match=r"tiers\['default'\]=1: is the limit called default; set that instead"):
        with_override(base, tiers={"default": 1})


@pytest.mark.parametrize(
    "changes",
    [{"rules": 5}, {"tiers": None}, {"default": 0}, {"handler": "5"}, {"factor": -1}, {"rules": {5: 1}}],
    ids=str,
)
def test_wrong_override(changes):
    """What does not hold in a policy does not hold in an override."""
    with pytest.raises(InvalidSpec):
        with_override(Timeouts(), **changes)
