"""What an explanation says."""

import math

from nursery_otp import ANY, ShadowedRule, Timeouts
from tests.policy.services import Child, Counter

POLICY = Timeouts(
    default=2,
    rules={Counter.add: 1, "add": 3, "*.add": "critical", ("Wide", ANY, ANY): math.inf, Counter: "default"},
    handler_rules={"Child.*": "long"},
    factor=4,
)


def test_fields():
    """An explanation has the limit, the rule that decides, its source, the factor, and the weaker rules in order."""
    why = POLICY.explain(Child.add)

    assert ("Child.add", "call", 4, "operation") == (why.identifier, why.kind, why.seconds, why.level)
    assert ("Counter.add", 1, 1, "code") == (why.rule, why.value, why.value_in_seconds, why.source)
    assert (4, "code") == (why.factor, why.factor_source)
    assert (
        ShadowedRule("operation", "'add'", 3, 3, "code"),
        ShadowedRule("pattern", "'*.add'", "critical", 60, "code"),
        ShadowedRule("service", "Counter", "default", 2, "code"),
        ShadowedRule("default", "default", 2, 2, "code"),
    ) == why.shadowed


def test_text():
    """Its text reads from the limit to the weakest rule."""
    assert """\
Child.add: 4 s for the wait of a caller
  decides  operation  Counter.add = 1 s  (code)
  times    factor 4  (code)
  weaker   operation  'add' = 3 s  (code)
  weaker   pattern    '*.add' = tier critical: 60 s  (code)
  weaker   service    Counter = tier default: 2 s  (code)
  weaker   default    default = 2 s  (code)""" == str(POLICY.explain(Child.add))
    assert """\
Child.add: 120 s for the run of the handler
  decides  pattern    'Child.*' = tier long: 30 s  (code)
  times    factor 4  (code)
  weaker   default    handler = no limit  (built in)""" == str(POLICY.explain(Child.add, "handler"))
    assert """\
Wide.a.b: no limit for the wait of a caller
  decides  pattern    ('Wide', ANY, ANY) = no limit  (code)
  times    factor 4  (code)
  weaker   default    default = 2 s  (code)""" == str(POLICY.explain(("Wide", "a", "b")))


def test_explicit_limit():
    """A limit of its own beats every rule, and no factor touches it."""
    why = POLICY.explain(Counter.add.within(0.5))

    assert (0.5, "explicit", "Counter.add.within", "within()", 1) == (
        why.seconds,
        why.level,
        why.rule,
        why.source,
        why.factor,
    )
    assert "Counter.add" == why.shadowed[0].rule
    assert """\
Counter.add: 0.5 s for the wait of a caller
  decides  explicit   Counter.add.within = 0.5 s  (within())
  weaker   operation  Counter.add = 1 s  (code)""" in str(why)


def test_nothing_said():
    """Without any rule the default decides, and it is built in."""
    assert """\
Counter: 5 s for the wait of a caller
  decides  default    default = 5 s  (built in)""" == str(Timeouts().explain(Counter))
