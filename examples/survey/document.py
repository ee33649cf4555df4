"""The outcome as JSON: one document, the report under "report", what differs from run to run under "run"."""

import json
import platform
from typing import Any

import attrs

from examples.survey.outcome import Outcome
from examples.survey.report import Report, make_report
from examples.survey.source_tree import printable


def to_json(outcome: Outcome) -> str:
    """The whole document."""
    document = {
        "path": printable(outcome.book.tree.path),
        "python": platform.python_version(),
        "complete": outcome.undone == 0,
        "report": _report(make_report(outcome.book)),
        "undone": {"count": outcome.undone, "in_hand": outcome.in_hand},
        "run": _run(outcome),
    }
    return json.dumps(document, indent=2)


def _report(report: Report) -> dict[str, Any]:
    # A named tuple is a list to json; its fields should have their names there too.
    modules = {name: measured._asdict() for name, measured in report.modules.items()}
    return attrs.asdict(report, filter=attrs.filters.exclude("modules")) | {"modules": modules}


def _run(outcome: Outcome) -> dict[str, Any]:
    spread = outcome.log.spread()
    return {
        "seconds": outcome.seconds,
        "workers": outcome.workers,
        "chaos": outcome.chaos,
        "signal": outcome.signalled,
        "failure": outcome.failure,
        "status": outcome.status,
        "restarts": [attrs.asdict(restart) for restart in outcome.log.restarts],
        "restart_seconds": spread and attrs.asdict(spread),
    }
