"""Rules of a timeout policy: when two contradict each other, and which one decides.

The order, from the strongest: an exact operation, a pattern, a service, the default. Nothing here depends on the order
in which rules were given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.timeout_keys import ExactKey, HandleKey, Key, PatternKey, ServiceKey, Subject, shown
from nursery_otp._policy.timeout_patterns import Parts, covers, literals, undecided

Level: TypeAlias = Literal["explicit", "operation", "pattern", "service", "default"]


@attrs.frozen(eq=False)
class Origin:
    """Where values came from; one object for each layer, so that two layers of the same name differ."""

    text: str


@attrs.frozen
class Rule:
    """One rule: its key as it was given, what that means, its value (seconds, or the name of a tier) and its origin."""

    given: Any
    key: Key
    value: float | str
    origin: Origin

    def __str__(self) -> str:
        return f"{shown(self.given)} = {self.value!r}"


class RuleBook:
    """The rules of one kind, checked against each other and ready to be asked."""

    __slots__ = ("_exact", "_handles", "_patterns", "_services", "rules")

    def __init__(self, field: str, rules: Iterable[Rule]) -> None:
        self._exact: dict[Parts, Rule] = {}
        self._handles: dict[tuple[type[Any], str], Rule] = {}
        self._services: dict[type[Any], Rule] = {}
        patterns: list[Rule] = []
        self.rules = _without_repetition(field, rules)
        for rule in self.rules:
            match rule.key:
                case ExactKey(parts):
                    self._exact[parts] = rule
                case HandleKey(service, name):
                    self._handles[service, name] = rule
                case ServiceKey(service):
                    self._services[service] = rule
                case PatternKey():
                    patterns.append(rule)
        self._patterns = by_specificity(field, patterns)
        self._check_aliases(field)

    def _check_aliases(self, field: str) -> None:
        """The same thing said by object and by text, at the same place, with two values."""
        for rule in (*self._handles.values(), *self._services.values()):
            alias = self._exact.get(rule.key.parts)
            if alias is not None and alias.origin is rule.origin and alias.value != rule.value:
                raise _contradiction(field, alias, rule)

    def candidates(self, subject: Subject) -> list[tuple[Level, Rule]]:
        """All rules for a subject, the one that decides first."""
        found: list[tuple[Level, Rule]] = []
        for level, rule in self._ordered(subject):
            if rule is not None and all(rule is not other for _, other in found):
                found.append((level, rule))
        return found

    def _ordered(self, subject: Subject) -> Iterator[tuple[Level, Rule | None]]:
        parts = subject.parts
        for service in subject.lineage:
            name = parts[1]
            yield "operation", self._handles.get((service, name))
            yield "operation", self._exact.get((service.__name__, name))
        if not subject.services:
            yield "operation", self._only(subject, self._handles)
            yield "operation", self._exact.get(parts)
        if len(parts) == 2:
            yield "operation", self._exact.get((parts[1],))
        for rule in self._patterns:
            if covers(rule.key.parts, parts):
                yield "pattern", rule
        for service in subject.services:
            yield "service", self._services.get(service)
            yield "service", self._exact.get((service.__name__,))
        if not subject.services and len(parts) <= 2:
            yield "service", self._only(attrs.evolve(subject, parts=parts[:1]), self._services)
            yield "service", self._exact.get(parts[:1])

    def _only(self, subject: Subject, rules: Mapping[Any, Rule]) -> Rule | None:
        """The rule by object for what is only known as text; two classes may have the same name."""
        found = [rule for rule in rules.values() if rule.key.parts == subject.parts]
        if len({rule.value for rule in found}) > 1:
            if not subject.strict:
                return None
            problem = "means different classes, which have rules of their own; ask with the class or client function"
            raise InvalidSpec("identifier", subject.given, problem)
        return min(found, key=str, default=None)


def _without_repetition(field: str, rules: Iterable[Rule]) -> list[Rule]:
    known: dict[Key, Rule] = {}
    for rule in rules:
        before = known.setdefault(rule.key, rule)
        if before.value != rule.value:
            raise _contradiction(field, before, rule)
        known[rule.key] = min(before, rule, key=str)  # whichever came first, an explanation shows the same
    return list(known.values())


def _contradiction(field: str, one: Rule, other: Rule) -> InvalidSpec:
    first, second = sorted([one, other], key=str)
    return InvalidSpec(
        f"{field}[{shown(first.given)}]", first.value, f"says the same thing as {second}; keep one of them"
    )


def by_specificity(field: str, patterns: list[Rule]) -> tuple[Rule, ...]:
    """Patterns so that of those that match one thing the most specific comes first; a tie is an error.

    More literal parts are more specific; among equals the one whose matches the other's include.
    """
    for index, one in enumerate(patterns):
        for other in patterns[:index]:
            if undecided(one.key.parts, other.key.parts):
                first, second = sorted([one, other], key=str)
                raise InvalidSpec(
                    f"{field}[{shown(first.given)}]",
                    first.value,
                    f"and {second} match some operations both, and neither is the more specific one; "
                    "give one of them more parts without '*', or let them not meet",
                )

    def rank(rule: Rule) -> tuple[int, int]:
        parts = rule.key.parts
        wider = sum(covers(other.key.parts, parts) for other in patterns)
        return -literals(parts), -wider

    return tuple(sorted(patterns, key=rank))
