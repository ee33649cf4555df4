"""Play one scenario and judge it: the same as OTP, deliberately different, or different."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from tests.conformance.compare import Difference, process_difference, supervisor_difference
from tests.conformance.corpus import Format, Scenario
from tests.conformance.guard import PATIENCE, Stuck, alarm, silence
from tests.conformance.rules import RULES, Rule, rule_for

Json: TypeAlias = Any
Status: TypeAlias = Literal["same", "deliberate", "different", "not_replayed"]
Observe: TypeAlias = Callable[[dict[str, Json]], Sequence[Json]]

# The groups for which there is a driver. A scenario of any other group is counted, named in the report, and not played.
SUPERVISOR_GROUPS = frozenset({"supervisor"})
PROCESS_GROUPS = frozenset({"gen_server", "monitor", "link"})


@attrs.frozen
class Verdict:
    """What became of one scenario; `problem` says how it differs, `rule` which rule allows that."""

    scenario: Scenario
    status: Status
    problem: str | None = None
    rule: str | None = None


def driver_for(scenario: Scenario) -> Observe | None:
    """The driver that can play this scenario. Imported here, so that a broken one spoils only its own scenarios."""
    if scenario.group in SUPERVISOR_GROUPS:
        from tests.conformance import supervisor_driver

        return supervisor_driver.observe
    if scenario.group in PROCESS_GROUPS:
        from tests.conformance import process_driver

        return process_driver.observe
    return None


def judge(
    scenario: Scenario,
    *,
    find_driver: Callable[[Scenario], Observe | None] = driver_for,
    rules: Iterable[Rule] = RULES,
    patience: float = PATIENCE,
) -> Verdict:
    """Play `scenario` and compare."""
    try:
        driver = find_driver(scenario)
    except ImportError as error:
        return Verdict(scenario, "different", f"its driver cannot be imported: {error}")
    if driver is None:
        return Verdict(scenario, "not_replayed")
    problem = _problem(scenario, driver, patience)
    if problem is None:
        return Verdict(scenario, "same")
    rule = rule_for(scenario, rules)
    if rule is None:
        return Verdict(scenario, "different", problem)
    return Verdict(scenario, "deliberate", problem, rule.name)


def _problem(scenario: Scenario, driver: Observe, patience: float) -> str | None:
    """How playing the scenario went wrong, or how its trace differs; None if all is well."""
    try:
        with silence(), alarm(patience):
            observed = driver(scenario.data)
    except (Exception, Stuck) as error:
        return f"could not be played: {_innermost(error)}"
    difference = _COMPARE[scenario.format](scenario.expected, observed)
    return None if difference is None else str(difference)


_COMPARE: Mapping[Format, Callable[[Sequence[Json], Sequence[Json]], Difference | None]] = {
    "supervisor": supervisor_difference,
    "process": process_difference,
}


def _innermost(error: BaseException) -> str:
    """The errors inside any groups, each with its type; only the alarm, if that is what broke the loop."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(map(_innermost, error.exceptions)))
    cause = error.__cause__ or error.__context__
    if isinstance(cause, Stuck) and not isinstance(error, Stuck):
        return _innermost(cause)
    return f"{type(error).__name__}: {error}"
