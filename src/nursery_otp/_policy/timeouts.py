"""How long things may take when nobody says otherwise: one policy for a whole tree, as a value."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypedDict

import attrs

from nursery_otp._policy import checks
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.suggestions import did_you_mean
from nursery_otp._policy.timeout_explained import ShadowedRule, TimeoutExplanation, TimeoutKind
from nursery_otp._policy.timeout_keys import OperationHandle, check_limited, key_of, shown, subject_of
from nursery_otp._policy.timeout_rules import Origin, Rule, RuleBook

WHILE_RESTARTING = ("wait", "fail")
KINDS = ("call", "handler")
TIERS: Mapping[str, float] = MappingProxyType({"long": 30.0, "critical": 60.0})
"""The tiers that exist without being given; the tier "default" is the limit of that name."""

CODE = Origin("code")
BUILT_IN = Origin("built in")

Place: TypeAlias = tuple[Any, ...]  # ("default",), ("tiers", "long"), ("rules", key as it was given)


class TimeoutChanges(TypedDict, total=False):
    """What can be changed in a `Timeouts`: the same names as its own."""

    default: float
    handler: float
    while_restarting: Literal["wait", "fail"]
    rules: Mapping[Any, float | str]
    handler_rules: Mapping[Any, float | str]
    tiers: Mapping[str, float]
    factor: float


def _mapping(field: str) -> Any:
    def convert(given: Any) -> Mapping[Any, Any]:
        checks.instance(field, given, Mapping, "must be a mapping")
        return MappingProxyType({**TIERS, **given} if field == "tiers" else dict(given))

    return attrs.field(factory=dict, converter=convert, hash=False)


FACTORS = (1e-6, 1e6)
"""What `factor` may be: a slower machine, not another kind of clock."""


@attrs.frozen(kw_only=True)
class Timeouts:
    """The limits of a runtime, in seconds.

    `default` bounds a caller's wait for a reply (OTP: 5 s), `handler` the run of a handler (exceeding it is a crash:
    the state of the server cannot be trusted afterwards). `math.inf` means no limit. `while_restarting` says whether a
    call by name to a child that is being restarted waits for it, within its limit, or fails at once.

    `rules` are exceptions from `default`, `handler_rules` from `handler`. The key of a rule is one of

    - a client function, `Counter.divide`, or the same as text: this operation, also of subclasses that inherit it;
    - `"divide"`: the operation of that name of any server;
    - a pattern, `"*.divide"` or `("Counter", ANY)`: as many parts as the key has, `*` for any text within a part;
    - a server class, `Counter`, or its name as text: all of its operations, also of subclasses.

    That is also the order in which they count; of several patterns the most specific one. Its value is a number of
    seconds or the name of a tier: "default", "long" (30 s), "critical" (60 s), or one of `tiers`, which adds to them
    or changes them. `factor` multiplies every limit of this policy that is finite, such as 4.0 on a slow machine; a
    limit given to a single call by `within` is not touched.

    Raises `InvalidSpec` for what is no limit, for two rules that contradict each other, and for two patterns that match
    the same operation when neither is the more specific one.

    >>> policy = Timeouts(default=2.0, rules={Counter.add: 0.5, "Counter": "long"})
    >>> policy.limit(Counter.add)
    0.5
    >>> policy.limit("Counter.subtract")
    30.0
    """

    default: float = 5.0
    handler: float = math.inf
    while_restarting: Literal["wait", "fail"] = "wait"
    rules: Mapping[Any, float | str] = _mapping("rules")
    handler_rules: Mapping[Any, float | str] = _mapping("handler_rules")
    tiers: Mapping[str, float] = _mapping("tiers")
    factor: float = 1.0
    _origins: Mapping[Place, Origin] = attrs.field(init=False, eq=False, repr=False, factory=dict)
    _books: Mapping[str, RuleBook] = attrs.field(init=False, eq=False, repr=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        checks.seconds("default", self.default, zero=False)
        checks.seconds("handler", self.handler, zero=False)
        checks.one_of("while_restarting", self.while_restarting, WHILE_RESTARTING)
        if (
            isinstance(self.factor, bool)
            or not isinstance(self.factor, int | float)
            or not FACTORS[0] <= self.factor <= FACTORS[1]
        ):
            raise InvalidSpec("factor", self.factor, f"must be a number from {FACTORS[0]:g} to {FACTORS[1]:g}")
        for name, seconds in self.tiers.items():
            self._check_tier(name, seconds)
        self._compile()

    def _check_tier(self, name: object, seconds: object) -> None:
        if not isinstance(name, str) or not name:
            raise InvalidSpec("tiers", name, "the name of a tier must be text that is not empty")
        if name == "default":
            raise InvalidSpec("tiers['default']", seconds, "is the limit called default; set that instead")
        checks.seconds(f"tiers[{name!r}]", seconds, zero=False)

    def _compile(self) -> None:
        """Check the rules and make them ready for being asked."""
        books = {"call": self._book("rules"), "handler": self._book("handler_rules")}
        object.__setattr__(self, "_books", books)

    def _book(self, field: str) -> RuleBook:
        rules = []
        for given, value in getattr(self, field).items():
            key = key_of(field, given, calls=field == "rules")
            self._check_value(f"{field}[{shown(given)}]", value)
            rules.append(Rule(given, key, value, self._origins.get((field, given), CODE)))
        return RuleBook(field, rules)

    def _check_value(self, field: str, value: object) -> None:
        tiers = ["default", *self.tiers]
        if not isinstance(value, str):
            checks.seconds(field, value, zero=False, also=f" or the name of a tier ({', '.join(tiers)})")
        elif value not in tiers:
            problem = f"is no tier; there are {', '.join(tiers)}{did_you_mean(value, tiers)}"
            raise InvalidSpec(field, value, problem)

    # -------------------------------------------------------------------------------------- asking

    def limit(self, identifier: Any, kind: TimeoutKind = "call") -> float:
        """The limit of an operation: see `get_timeout`."""
        checks.one_of("kind", kind, KINDS)
        if isinstance(identifier, OperationHandle) and identifier._limit is not None and kind == "call":
            return identifier._limit
        for _, rule in self._candidates(identifier, kind):
            return self.scaled(self._seconds(rule.value))
        return self.scaled(self.default if kind == "call" else self.handler)

    def explain(self, identifier: Any, kind: TimeoutKind = "call") -> TimeoutExplanation:
        """Why that is the limit: see `explain_timeout`."""
        checks.one_of("kind", kind, KINDS)
        candidates = self._candidates(identifier, kind)
        rules = [
            ShadowedRule(level, shown(rule.given), rule.value, self._seconds(rule.value), self._source_of(rule))
            for level, rule in candidates
        ]
        rules.append(self._fallback("default" if kind == "call" else "handler"))
        if isinstance(identifier, OperationHandle) and identifier._limit is not None and kind == "call":
            own = identifier._limit
            rules.insert(0, ShadowedRule("explicit", f"{identifier}.within", own, own, "within()"))
        winner, *rest = rules
        name = ".".join(map(str, subject_of(identifier).parts))
        scaled = winner.level != "explicit"
        return TimeoutExplanation(
            identifier=name,
            kind=kind,
            seconds=self.scaled(winner.value_in_seconds) if scaled else winner.value_in_seconds,
            level=winner.level,
            rule=winner.rule,
            value=winner.value,
            value_in_seconds=winner.value_in_seconds,
            source=winner.source,
            factor=self.factor if scaled else 1.0,
            factor_source=self.source("factor"),
            shadowed=tuple(rest),
        )

    def unused_rules(self, asked: Iterable[tuple[Any, TimeoutKind]]) -> tuple[str, ...]:
        """The rules that hold for nothing of what was asked for, in the order in which they were given."""
        used = {id(rule) for identifier, kind in asked for _, rule in self._candidates(identifier, kind)}
        return tuple(
            f"{field}[{shown(rule.given)}] = {rule.value!r}"
            for field, kind in (("rules", "call"), ("handler_rules", "handler"))
            for rule in self._books[kind].rules
            if id(rule) not in used
        )

    def _candidates(self, identifier: Any, kind: TimeoutKind) -> list[Any]:
        if kind == "call" and isinstance(identifier, OperationHandle) and not identifier.waits:
            raise InvalidSpec("identifier", identifier, "is a cast, which waits for nothing; ask with kind='handler'")
        subject = subject_of(identifier)
        if kind == "handler":
            check_limited("identifier", identifier, subject.parts)
        return self._books[kind].candidates(subject)

    def _fallback(self, field: str) -> ShadowedRule:
        seconds = getattr(self, field)
        return ShadowedRule("default", field, seconds, seconds, self.source(field))

    def _source_of(self, rule: Rule) -> str:
        source, tier = rule.origin.text, rule.value
        if not isinstance(tier, str):
            return source
        tier_source = self.source("default") if tier == "default" else self.source("tiers", tier)
        return source if tier_source in {source, BUILT_IN.text} else f"{source}; the tier: {tier_source}"

    def _seconds(self, value: float | str) -> float:
        if value == "default":
            return self.default
        return self.tiers[value] if isinstance(value, str) else value

    def scaled(self, seconds: float) -> float:
        """A limit of this policy, times its factor."""
        if seconds == math.inf:
            return math.inf
        # However odd the numbers: a limit does not become none, nor none at all.
        return min(max(float(seconds) * float(self.factor), sys.float_info.min), sys.float_info.max)

    def source(self, *place: Any) -> str:
        """Where a value came from: `source("default")`, `source("tiers", "long")`, `source("rules", key)`."""
        origin = self._origins.get(place)
        if origin is not None:
            return origin.text
        value: Any = self
        for step, part in enumerate(place):
            value = getattr(value, part) if step == 0 else value[part]
        built_in = _BUILT_IN if len(place) == 1 else TIERS if place[0] == "tiers" else {}
        return (BUILT_IN if built_in.get(place[-1]) == value else CODE).text

    # ------------------------------------------------------------------------------------ printing

    def __repr__(self) -> str:
        given = []
        for field, built_in in _BUILT_IN.items():
            value = getattr(self, field)
            if value != built_in:
                text = repr(value)
                if isinstance(value, Mapping):
                    text = "{" + ", ".join(f"{shown(key)}: {entry!r}" for key, entry in value.items()) + "}"
                given.append(f"{field}={text}")
        return f"Timeouts({', '.join(given)})"

    def __reduce__(self) -> Any:
        values = {field: getattr(self, field) for field in _BUILT_IN}
        plain = {field: dict(value) if isinstance(value, Mapping) else value for field, value in values.items()}
        return _remade, (plain, dict(self._origins))


_BUILT_IN: Mapping[str, Any] = {
    "default": 5.0,
    "handler": math.inf,
    "while_restarting": "wait",
    "rules": {},
    "handler_rules": {},
    "tiers": TIERS,
    "factor": 1.0,
}
FIELDS = tuple(_BUILT_IN)


def with_origins(values: Mapping[str, Any], origins: Mapping[Place, Origin]) -> Timeouts:
    """A policy that remembers where its values came from; rules only contradict each other within one origin."""
    policy = Timeouts(**{field: value for field, value in values.items() if field not in {"rules", "handler_rules"}})
    for field in ("rules", "handler_rules"):
        object.__setattr__(policy, field, MappingProxyType(dict(values[field])))
    object.__setattr__(policy, "_origins", origins)
    policy._compile()
    return policy


def _remade(values: Mapping[str, Any], origins: Mapping[Place, Origin]) -> Timeouts:
    return with_origins(values, origins)
