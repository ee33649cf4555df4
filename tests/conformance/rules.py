"""Deliberate differences from OTP, each declared by a rule over scenarios and never by the id of one.

A scenario to which a rule applies may differ; if it is the same all the same, it counts as the same. Every rule stands
under its name in docs/otp-differences.md, where its reason is explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from tests.conformance.corpus import Format, Scenario
from tests.conformance.predicates import (
    has_call_cycle,
    has_child_without_id,
    has_dynamic_supervisor_without_template,
    has_odd_dynamic_restart,
    has_survivors_of_a_kill,
    has_unread_answer,
)


@attrs.frozen
class Rule:
    """Scenarios of these formats for which `predicate` holds may differ, because of `reason`."""

    name: str
    formats: frozenset[Format]
    predicate: Callable[[Scenario], bool]
    reason: str

    def applies(self, scenario: Scenario) -> bool:
        return scenario.format in self.formats and self.predicate(scenario)


def tagged(tag: str) -> Callable[[Scenario], bool]:
    return lambda scenario: tag in scenario.tags


SUPERVISOR: frozenset[Format] = frozenset({"supervisor"})
PROCESS: frozenset[Format] = frozenset({"process"})

RULES: tuple[Rule, ...] = (
    Rule(
        "otp_quirk",
        SUPERVISOR | PROCESS,
        tagged("otp_quirk"),
        "an accident of OTP's implementation that its documentation does not promise",
    ),
    Rule(
        "otp_version",
        SUPERVISOR | PROCESS,
        tagged("otp_version"),
        "behaviour of release 25 that later releases of OTP changed",
    ),
    Rule(
        "dynamic_restart_quirk",
        SUPERVISOR,
        has_odd_dynamic_restart,
        "OTP miscounts dynamic children that ignore a restart or are terminated during one",
    ),
    Rule(
        "default_child_id",
        SUPERVISOR,
        has_child_without_id,
        "a child without an id is called after its name or its factory",
    ),
    Rule(
        "optional_template",
        SUPERVISOR,
        has_dynamic_supervisor_without_template,
        "a dynamic supervisor needs no template: each start can bring its own specification",
    ),
    Rule(
        "kill_is_complete",
        SUPERVISOR,
        has_survivors_of_a_kill,
        "killing a supervisor kills the whole tree below it, so that nothing outlives it",
    ),
    Rule(
        "call_cycle",
        PROCESS,
        has_call_cycle,
        "calls in a circle raise Deadlock at once instead of waiting for their time limits",
    ),
    Rule(
        "unread_answer",
        PROCESS,
        has_unread_answer,
        "the answer to a request stays in the request: it never becomes a message that nobody understands",
    ),
)


def rule_for(scenario: Scenario, rules: Iterable[Rule] = RULES) -> Rule | None:
    """The first rule that lets this scenario differ."""
    return next((rule for rule in rules if rule.applies(scenario)), None)
