"""The limits of a runtime: defaults and validation, tiers and the factor."""

import copy
import math
import pickle

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp import ANY
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.timeouts import Timeouts
from tests.policy.services import Child, Counter


def test_defaults():
    """A caller waits five seconds, as in OTP, also for a child that is being restarted; a handler has no limit."""
    assert Timeouts(default=5.0, handler=math.inf, while_restarting="wait") == Timeouts()


@pytest.mark.parametrize("limit", [0.001, 1, 60.0, math.inf])
def test_valid(limit):
    """Any positive time is a limit, and infinity is none."""
    timeouts = Timeouts(default=limit, handler=limit, while_restarting="fail")

    assert (limit, limit, "fail") == (timeouts.default, timeouts.handler, timeouts.while_restarting)


SECONDS = "must be a number of seconds > 0"


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        (field, value, SECONDS)
        for field in ("default", "handler")
        for value in (0, -1, -math.inf, math.nan, "5", None, True, 10**400)
    ]
    + [("while_restarting", value, "must be one of 'wait', 'fail'") for value in ("hang", None, True)],
)
def test_invalid(field, value, problem):
    """Limits that do not hold cannot be made; the error says what would have been right."""
    with pytest.raises(InvalidSpec) as caught:
        Timeouts(**{field: value})

    assert f"{field}={value!r}: {problem}" == str(caught.value)


def test_frozen():
    """Limits are values, given by keyword."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Timeouts().default = 1.0
    with pytest.raises(TypeError):
        Timeouts(1.0)


# ------------------------------------------------------------------------------------------- rules

TIER = f"{SECONDS} or the name of a tier (default, long, critical)"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rules": 5}, "rules=5: must be a mapping"),
        ({"rules": [("Counter", 1)]}, "rules=[('Counter', 1)]: must be a mapping"),
        ({"handler_rules": None}, "handler_rules=None: must be a mapping"),
        ({"tiers": 5}, "tiers=5: must be a mapping"),
        ({"rules": {Counter.add: 0}}, f"rules[Counter.add]=0: {TIER}"),
        ({"rules": {Counter: -1}}, f"rules[Counter]=-1: {TIER}"),
        ({"rules": {"Counter.add": math.nan}}, f"rules['Counter.add']=nan: {TIER}"),
        ({"rules": {("a", ANY): True}}, f"rules[('a', ANY)]=True: {TIER}"),
        ({"handler_rules": {"a.*": None}}, f"handler_rules['a.*']=None: {TIER}"),
        (
            {"rules": {"add": "lnog"}},
            "rules['add']='lnog': is no tier; there are default, long, critical; did you mean 'long'?",
        ),
        (
            {"rules": {"add": "nightly"}, "tiers": {"night": 9}},
            "rules['add']='nightly': is no tier; there are default, long, critical, night; did you mean 'night'?",
        ),
        ({"rules": {"add": "5"}}, "rules['add']='5': is no tier; there are default, long, critical"),
        ({"tiers": {"long": 0}}, f"tiers['long']=0: {SECONDS}"),
        ({"tiers": {"long": "critical"}}, f"tiers['long']='critical': {SECONDS}"),
        ({"tiers": {"": 1}}, "tiers='': the name of a tier must be text that is not empty"),
        ({"tiers": {5: 1}}, "tiers=5: the name of a tier must be text that is not empty"),
        ({"tiers": {"default": 7}}, "tiers['default']=7: is the limit called default; set that instead"),
        *[
            ({"factor": factor}, f"factor={factor!r}: must be a number from 1e-06 to 1e+06")
            for factor in (0, -1, math.inf, math.nan, True, "2", None)
        ],
    ],
    ids=str,
)
def test_invalid_rules(options, text):
    """What does not hold cannot be made; the error names field, key and value."""
    with pytest.raises(InvalidSpec) as caught:
        Timeouts(**options)

    assert text == str(caught.value)


def test_tiers():
    """Three tiers have names from the start; more can be given, and their values changed."""
    rules = {"a": "default", "b": "long", "c": "critical", "d": "night"}
    policy = Timeouts(default=2, tiers={"night": 3600, "long": 20}, rules=rules)

    assert [2, 20, 60, 3600] == [policy.limit(name) for name in rules]
    assert {"long": 20, "critical": 60, "night": 3600} == policy.tiers
    assert {"long": 30, "critical": 60} == Timeouts().tiers


numbers = st.floats(0.001, 1e6) | st.just(math.inf)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(numbers, numbers, numbers, st.floats(0.01, 100))
def test_factor(default, handler, rule, factor):
    """The factor multiplies every limit that comes from the policy and is finite; infinity stays what it is."""
    policy = Timeouts(
        default=default,
        handler=handler,
        tiers={"own": rule},
        rules={"a": rule, "b": "own", "c.*": "default"},
        handler_rules={Counter: rule},
        factor=factor,
    )

    assert [default * factor] * 2 == [policy.limit("z"), policy.limit("c.d")]
    assert [rule * factor] * 3 == [policy.limit("a"), policy.limit("b"), policy.limit(Counter.add, "handler")]
    assert handler * factor == policy.limit("z", "handler")
    assert (default == math.inf) == (policy.limit("z") == math.inf)


def test_factor_leaves_explicit_limits_alone():
    """A limit that was given to a client function is meant as it is written; so is the one of its handler."""
    policy = Timeouts(factor=10, rules={Counter.add: 7}, handler_rules={Counter.add: 3})

    assert 0.5 == policy.limit(Counter.add.within(0.5))
    assert 0 == policy.limit(Counter.add.within(0))
    assert 70 == policy.limit(Counter.add)
    assert 30 == policy.limit(Counter.add.within(0.5), "handler")


def test_limits_are_floats():
    """Whatever kind of number was given, a limit is a float."""
    policy = Timeouts(default=5, rules={"a": 2}, factor=2)

    assert [float, float, float] == [type(policy.limit(key)) for key in ("a", "b", Counter)]


def test_equality():
    """Policies are equal if their values are; rules are given by what they are about."""
    assert Timeouts(rules={Counter.add: 1, "a": 2}) == Timeouts(rules={"a": 2, Counter.add: 1.0})
    assert Timeouts(rules={Counter.add: 1}) != Timeouts(rules={Counter.add: 2})
    assert Timeouts(rules={Counter.add: 1}) != Timeouts(rules={Child.add: 1})
    assert hash(Timeouts(default=2, rules={"a": 1})) == hash(Timeouts(default=2, rules={"a": 1}))


def test_rules_cannot_be_changed():
    """What was given is copied, and can only be read."""
    given_rules = {Counter: 1}
    policy = Timeouts(rules=given_rules)
    given_rules[Counter] = 2

    assert 1 == policy.limit(Counter)
    for mapping in (policy.rules, policy.handler_rules, policy.tiers):
        with pytest.raises(TypeError):
            mapping["x"] = 1


def test_copies():
    """A policy can be copied and, where its keys can be, pickled; what it says stays the same."""
    policy = Timeouts(default=2, rules={Counter: 1, "a.*": "long"}, tiers={"x": 4}, factor=2)

    for other in (copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert policy == other
        assert 2 == other.limit(Counter)
    assert 9 == attrs.evolve(policy, default=9).default
    assert policy.rules == attrs.evolve(policy, default=9).rules


def test_repr():
    """A policy shows what differs from the defaults."""
    assert "Timeouts()" == repr(Timeouts())
    policy = Timeouts(default=2, rules={Counter: "long", ("a", ANY): math.inf}, handler_rules={Counter.reset: 1})
    text = "Timeouts(default=2, rules={Counter: 'long', ('a', ANY): inf}, handler_rules={Counter.reset: 1})"
    assert text == repr(policy)
    assert "Timeouts(tiers={'long': 1, 'critical': 60.0})" == repr(Timeouts(tiers={"long": 1}))


@pytest.mark.parametrize("factor", [10**400, 10**10, 1e308, 1e-10, math.inf])
def test_absurd_factor(factor):
    """A factor that makes of a limit another kind of thing is refused, also one that no float holds."""
    with pytest.raises(InvalidSpec, match=r"^factor=.*: must be a number from 1e-06 to 1e\+06$"):
        Timeouts(factor=factor)


numbers = st.integers(1, 10**308) | st.floats(5e-324, 1.7e308)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(numbers, st.integers(1, 10**6) | st.floats(1e-6, 1e6))
def test_limits_stay_limits(seconds, factor):
    """However odd the numbers are, a finite limit times its factor is a finite limit, and not 0."""
    policy = Timeouts(default=seconds, handler=seconds, rules={"a.b": seconds}, factor=factor)

    for limit in (policy.limit("a.b"), policy.limit("c.d"), policy.limit("c.d", "handler")):
        assert float is type(limit)
        assert 0 < limit < math.inf


@pytest.mark.parametrize("key", ["Counter.init", "terminate", ("Counter", "init")], ids=str)
def test_callbacks_without_limits(key):
    """A rule for the run of a callback that has no limit would have no effect: an error, as is asking for one."""
    with pytest.raises(InvalidSpec, match="is no handler of messages: "):
        Timeouts(handler_rules={key: 1})
    for ask in (Timeouts().limit, Timeouts().explain):
        with pytest.raises(InvalidSpec, match=r"^identifier=.*: is no handler of messages: "):
            ask(key, "handler")
    assert 1 == Timeouts(rules={key: 1}).limit(key)
    Timeouts(handler_rules={"Counter.handle_info": 1, "handle_continue": 2})
