"""Sources of a policy: what files and variables mean, and what is refused."""

import math

import pytest

from nursery_otp import InvalidSpec, Timeouts
from nursery_otp._policy.timeout_sources import apply_changes, find_table, from_environment
from tests.policy.sources import PREFIX, with_override, with_table, with_variables

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
        ({"timeout": {}}, False, "file='x.toml': has no table [timeouts]; the table [timeout] must be called so"),
        ({"timeouts": 5}, False, "timeouts=5: must be a table (file x.toml)"),
        ({"timeouts": {}}, True, "file='x.toml': has no table [tool.nursery_otp.timeouts]"),
        (
            {"tool": {"nursery_otp": {"timeout": 1}}},
            True,
            "[tool.nursery_otp.timeouts]; the table [tool.nursery_otp.timeout] must be called so",
        ),
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
