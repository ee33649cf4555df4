"""Sources of a policy: what files and variables mean, what wins, and what is refused."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp import InvalidSpec, Timeouts
from nursery_otp._policy.timeout_rules import Origin
from nursery_otp._policy.timeout_sources import (
    Change,
    apply_changes,
    find_table,
    from_arguments,
    from_environment,
    from_table,
    stamped,
)
from tests.policy.services import Child, Counter, another_counter

PREFIX = "NURSERY_OTP_TIMEOUT__"


def with_table(table, base=None):
    """A policy with a table of a file on top."""
    return apply_changes(base or Timeouts(), from_table(table, "otp.toml"), source="file otp.toml")


def with_variables(variables, base=None):
    """A policy with environment variables on top; the names are given without their prefix."""
    base = base or Timeouts()
    return apply_changes(base, from_environment({PREFIX + name: text for name, text in variables.items()}, base))


def with_override(base, **changes):
    """A policy with an override on top."""
    return apply_changes(
        base, from_arguments(changes, base, Origin("override"), "override_timeouts"), source="override"
    )


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


# ------------------------------------------------------------------------------------------ file


def test_file():
    """A table has the fields of `Timeouts`; infinity and tiers are allowed where they are in code."""
    policy = with_table(
        {
            "default": 2,
            "handler": math.inf,
            "while_restarting": "fail",
            "factor": 1.5,
            "tiers": {"night": 3600},
            "rules": {"Counter.add": "night", "*.health_check": 0.5},
            "handler_rules": {"Counter": 9},
        }
    )

    assert (
        Timeouts(
            default=2,
            while_restarting="fail",
            factor=1.5,
            tiers={"night": 3600},
            rules={"Counter.add": "night", "*.health_check": 0.5},
            handler_rules={"Counter": 9},
        )
        == policy
    )


def test_keys_without_quotes():
    """In TOML `Counter.add = 2` without quotes is a table in a table; it means the same as with them."""
    assert {"Counter.add": 2, "a.b.c": 3} == with_table({"rules": {"Counter": {"add": 2}, "a": {"b": {"c": 3}}}}).rules


TABLE_ERRORS = [
    (
        {"defualt": 5},
        "timeouts.defualt=5: is no setting; [timeouts] has default, handler, while_restarting, rules, handler_rules, "
        "tiers, factor; did you mean 'default'? (file otp.toml)",
    ),
    (
        {"zzz": 5},
        "timeouts.zzz=5: is no setting; [timeouts] has default, handler, while_restarting, rules, handler_rules, "
        "tiers, factor (file otp.toml)",
    ),
    ({"default": "5"}, "default='5': must be a number of seconds > 0 (file otp.toml)"),
    ({"default": -1}, "default=-1: must be a number of seconds > 0 (file otp.toml)"),
    ({"while_restarting": "no"}, "while_restarting='no': must be one of 'wait', 'fail' (file otp.toml)"),
    ({"rules": 5}, "timeouts.rules=5: must be a table (file otp.toml)"),
    ({"tiers": [1]}, "timeouts.tiers=[1]: must be a table (file otp.toml)"),
    (
        {"rules": {"a": "lnog"}},
        "rules['a']='lnog': is no tier; there are default, long, critical; did you mean 'long'? (file otp.toml)",
    ),
    (
        {"rules": {"a..b": 1}},
        "rules='a..b': must be parts with dots between them, such as 'Counter.divide', and none empty (file otp.toml)",
    ),
]


@pytest.mark.parametrize(
    ("table", "text"), TABLE_ERRORS, ids=lambda value: "" if isinstance(value, str) else str(value)
)
def test_wrong_tables(table, text):
    """A mistake in a file is an error that names the key, the file and what would have been right."""
    with pytest.raises(InvalidSpec) as caught:
        with_table(table)

    assert text == str(caught.value)


def test_tables():
    """`[timeouts]` is used, or in a project's file, or where there is no other, `[tool.nursery_otp.timeouts]`."""
    mine, tool = {"default": 1}, {"nursery_otp": {"timeouts": {"default": 2}}}

    assert mine == find_table({"timeouts": mine, "tool": tool}, "otp.toml", of_project=False)
    assert {"default": 2} == find_table({"timeouts": mine, "tool": tool}, "pyproject.toml", of_project=True)
    assert {"default": 2} == find_table({"tool": tool}, "otp.toml", of_project=False)


@pytest.mark.parametrize(
    ("document", "of_project", "text"),
    [
        ({}, False, "file='x.toml': has no table [timeouts]"),
        ({"timeout": {}}, False, "file='x.toml': has no table [timeouts]; did you mean [timeout]?"),
        ({"timeouts": 5}, False, "timeouts=5: must be a table (file x.toml)"),
        ({"timeouts": {}}, True, "file='x.toml': has no table [tool.nursery_otp.timeouts]"),
        ({"tool": {"nursery_otp": {"timeout": 1}}}, True, "[tool.nursery_otp.timeouts]; did you mean [timeout]?"),
        ({"tool": 5}, True, "file='x.toml': has no table [tool.nursery_otp.timeouts]"),
        ({"tool": {"nursery_otp": 5}}, True, "file='x.toml': has no table [tool.nursery_otp.timeouts]"),
    ],
    ids=str,
)
def test_no_table(document, of_project, text):
    """A file without the table is a mistake, not a file that says nothing."""
    with pytest.raises(InvalidSpec) as caught:
        find_table(document, "x.toml", of_project=of_project)

    assert str(caught.value).endswith(text)


# ----------------------------------------------------------------------------------- environment


def test_variables():
    """Fields are in capitals; parts of keys are divided by two underscores and keep their case."""
    policy = with_variables(
        {
            "DEFAULT": "2",
            "HANDLER": "inf",
            "FACTOR": "1.5",
            "WHILE_RESTARTING": "fail",
            "TIERS__LONG": "7",
            "TIERS__NIGHT": "8",
            "RULES__Counter__divide": "long",
            "RULES__Counter": "3",
            "RULES__Counter___private": "4",
            "RULES__*__health_check": "inf",
            "HANDLER_RULES__render": "default",
        },
        Timeouts(tiers={"Night": 9}),
    )

    assert (
        Timeouts(
            default=2,
            factor=1.5,
            while_restarting="fail",
            tiers={"long": 7, "Night": 8},
            rules={"Counter.divide": "long", "Counter": 3, "Counter._private": 4, "*.health_check": math.inf},
            handler_rules={"render": "default"},
        )
        == policy
    )


def test_other_variables():
    """Variables of others are nobody's mistake."""
    assert [] == from_environment(
        {"PATH": "x", "NURSERY_OTP_COLOUR": "1", "MY_NURSERY_OTP_TIMEOUT__X": "1"}, Timeouts()
    )


UNKNOWN = "is no setting of nursery_otp"
VARIABLE_ERRORS = [
    (f"{PREFIX}DEFUALT", "5", f"{UNKNOWN}; did you mean '{PREFIX}DEFAULT'?"),
    (f"{PREFIX}default", "5", f"{UNKNOWN}; did you mean '{PREFIX}DEFAULT'?"),
    ("NURSERY_OTP_TIMEOUT_DEFAULT", "5", f"{UNKNOWN}; did you mean '{PREFIX}DEFAULT'?"),
    ("NURSERY_OTP_TIMEOUTS__FACTOR", "5", f"{UNKNOWN}; did you mean '{PREFIX}FACTOR'?"),
    ("NURSERY_OTP_TIMEOUT", "5", f"{UNKNOWN}; did you mean '{PREFIX}RULES'?"),
    (f"{PREFIX}TIERS__LNOG", "5", f"{UNKNOWN}; did you mean '{PREFIX}TIERS__LONG'?"),
    (f"{PREFIX}TIERS", "5", f"{UNKNOWN}; did you mean '{PREFIX}TIERS__LONG'?"),
    (f"{PREFIX}RULES__a____b", "5", f"{UNKNOWN}; did you mean '{PREFIX}RULES'?"),
    (f"{PREFIX}DEFAULT__x", "5", f"{UNKNOWN}; did you mean '{PREFIX}DEFAULT'?"),
    (f"{PREFIX}RULES", "5", f"lacks what the rule is for, as in {PREFIX}RULES__Counter__divide"),
    *[
        (f"{PREFIX}DEFAULT", text, "must be a number > 0")
        for text in ("", "x", "0", "-1", "nan", "-inf", "long", "5 s", "True")
    ],
    *[(f"{PREFIX}FACTOR", text, "must be a number from 1e-06 to 1e+06") for text in ("inf", "0", "nan")],
    (f"{PREFIX}WHILE_RESTARTING", "no", "must be one of 'wait', 'fail'"),
    (
        f"{PREFIX}RULES__Counter__divide",
        "lnog",
        "must be a number > 0 or the name of a tier (default, long, critical); did you mean 'long'?",
    ),
    (f"{PREFIX}RULES__Counter", "0", "must be a number > 0 or the name of a tier (default, long, critical)"),
    (f"{PREFIX}TIERS__LONG", "critical", "must be a number > 0"),
]


@pytest.mark.parametrize(("variable", "text", "problem"), VARIABLE_ERRORS)
def test_wrong_variables(variable, text, problem):
    """A mistake in a variable is an error that names the variable and the nearest one that exists."""
    with pytest.raises(InvalidSpec) as caught:
        apply_changes(Timeouts(), from_environment({variable: text}, Timeouts()))

    assert f"{variable}={text!r}: {problem}" == str(caught.value)


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


# ------------------------------------------------------------------------------ the same thing twice


@pytest.mark.parametrize("rules", [{"P.render": 2, "P": {"render": 3}}, {"P": {"render": 3}, "P.render": 2}], ids=str)
def test_file_says_a_rule_twice(rules):
    """A rule that is quoted at one place of a file and a table at another is an error, in either order."""
    with pytest.raises(
        InvalidSpec, match=r"^timeouts\.rules\.P\.render=.: is . at another place of the file otp\.toml$"
    ):
        with_table({"rules": rules})


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        (
            {"TIERS__LONG": "1", "TIERS__long": "2"},
            f"{PREFIX}TIERS__long='2': says the same thing as environment {PREFIX}TIERS__LONG = 1.0; keep one of them",
        ),
        (
            {"RULES__P.render": "1", "RULES__P__render": "long"},
            f"{PREFIX}RULES__P__render='long': says the same thing as environment {PREFIX}RULES__P.render = 1.0; "
            "keep one of them",
        ),
    ],
    ids=["tiers", "rules"],
)
def test_environment_says_something_twice(variables, text):
    """Two variables for the same thing with two values are an error, whichever comes first; with one they are not."""
    with pytest.raises(InvalidSpec) as caught:
        with_variables(variables)
    assert text == str(caught.value)

    first, *_ = variables.values()
    with_variables(dict.fromkeys(variables, first))


def test_environment_and_tiers_alike():
    """Of tiers that only differ in capitals a variable must mean one, in whatever order they were given."""
    for tiers in ({"Slow": 1, "slow": 2}, {"slow": 2, "Slow": 1}):
        base = Timeouts(tiers=tiers)
        assert {"Slow": 9, "slow": 2} == {
            name: with_variables({"TIERS__Slow": "9"}, base).tiers[name] for name in ("Slow", "slow")
        }
        with pytest.raises(InvalidSpec, match=r"means any of the tiers .*; write it as one of them is"):
            with_variables({"TIERS__SLOW": "9"}, base)
        assert 9 == with_variables({"TIERS__SLOW": "9"}, Timeouts(tiers={"slow": 2})).tiers["slow"]


@pytest.mark.parametrize("factor", [10**400, 1e308, 1e-320])
def test_absurd_factor_of_a_source(factor):
    """What no factor can be is refused from every source."""
    with pytest.raises(InvalidSpec, match="must be a number from 1e-06 to 1e"):
        with_table({"factor": factor})
    with pytest.raises(InvalidSpec, match="must be a number from 1e-06 to 1e"):
        with_override(Timeouts(), factor=factor)
    with pytest.raises(InvalidSpec, match="must be a number"):
        with_variables({"FACTOR": str(factor)})
