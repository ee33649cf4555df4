"""Every scenario of the corpora ends as it did on OTP, or is excused by a rule.

`supervisor.json` and `process.json` are the public corpora. `supervisor_more.json` was recorded in the same way, from
OTP 25, for what those leave out: nested supervisors with start scripts, odd outcomes, calls while a group restarts.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.conformance.corpus import Scenario, load
from tests.conformance.report import DELIBERATE_LIMIT
from tests.conformance.rules import rule_for
from tests.conformance.runner import judge

HERE = Path(__file__).parent
PUBLIC = load([HERE / "supervisor.json", HERE / "process.json"])
MORE = load([HERE / "supervisor_more.json"])
PLAYED = [scenario for scenario in PUBLIC + MORE if scenario.family != "gen_statem"]


@pytest.mark.parametrize("scenario", PLAYED, ids=lambda scenario: scenario.id)
def test_scenario(scenario: Scenario) -> None:
    """The library leaves the trace that OTP left."""
    verdict = judge(scenario)

    assert verdict.status in ("same", "deliberate"), verdict.problem


def test_public_corpora_are_complete() -> None:
    """All families are there, in the numbers in which they were recorded."""
    counts = Counter(scenario.group for scenario in PUBLIC)

    assert {"supervisor": 184, "gen_server": 98, "monitor": 37, "link": 43, "gen_statem": 94} == counts


def test_rules_could_excuse_little() -> None:
    """Even if every scenario differed that a rule allows to differ, the limit would hold."""
    excused = [scenario.id for scenario in PLAYED if rule_for(scenario)]

    assert len(excused) <= DELIBERATE_LIMIT * len(PLAYED), excused
