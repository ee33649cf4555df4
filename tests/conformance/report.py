"""What the verdicts add up to, for people (`text`) and for programs (`as_json`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from tests.conformance.runner import Status, Verdict

Json: TypeAlias = Any
DELIBERATE_LIMIT = 0.02  # of the scenarios played: more would be a different product, not a few differences


@attrs.frozen
class Report:
    """All verdicts of a run; `complete` unless scenarios were picked, for then their shares mean nothing."""

    verdicts: tuple[Verdict, ...]
    complete: bool = True

    def having(self, status: Status) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.status == status]

    @property
    def played(self) -> int:
        return len(self.verdicts) - len(self.having("not_replayed"))

    @property
    def too_deliberate(self) -> bool:
        return self.complete and len(self.having("deliberate")) > DELIBERATE_LIMIT * self.played

    @property
    def ok(self) -> bool:
        return not self.having("different") and not self.too_deliberate

    def counts(self) -> Mapping[str, Counter[Status]]:
        """How many of which status, by group."""
        counts: dict[str, Counter[Status]] = {}
        for verdict in self.verdicts:
            counts.setdefault(verdict.scenario.group, Counter())[verdict.status] += 1
        return counts


def text(report: Report) -> str:
    """The report for people."""
    return "\n".join([*_problems(report), *_table(report), *_not_replayed(report), *_conclusion(report)])


def _problems(report: Report) -> Iterator[str]:
    for verdict in report.having("different"):
        yield f"DIFFERENT {verdict.scenario.id}\n    {verdict.problem}"
    for verdict in report.having("deliberate"):
        yield f"deliberate {verdict.scenario.id} (rule {verdict.rule})\n    {verdict.problem}"


def _table(report: Report) -> Iterator[str]:
    yield f"{'family':<12} {'same':>6} {'deliberate':>11} {'different':>10}"
    for group, count in report.counts().items():
        if count.keys() != {"not_replayed"}:
            yield _row(group, count)
    yield _row("all", Counter(verdict.status for verdict in report.verdicts))


def _row(title: str, count: Counter[Status]) -> str:
    return f"{title:<12} {count['same']:>6} {count['deliberate']:>11} {count['different']:>10}"


def _not_replayed(report: Report) -> Iterator[str]:
    for group, count in report.counts().items():
        if count["not_replayed"]:
            yield f"not replayed: {count['not_replayed']} of family {group} (no driver for it yet)"


def _conclusion(report: Report) -> Iterator[str]:
    if report.too_deliberate:
        share = f"{len(report.having('deliberate'))} of {report.played}"
        yield f"FAILED: {share} scenarios differ deliberately, that is more than {DELIBERATE_LIMIT:.0%}"


def as_json(report: Report) -> Json:
    """The report for programs."""
    return {
        "ok": report.ok,
        "played": report.played,
        "families": {group: dict(count) for group, count in report.counts().items()},
        "different": _entries(report.having("different")),
        "deliberate": _entries(report.having("deliberate")),
    }


def _entries(verdicts: Iterable[Verdict]) -> list[Json]:
    return [
        {"id": verdict.scenario.id, "family": verdict.scenario.family, "problem": verdict.problem, "rule": verdict.rule}
        for verdict in verdicts
    ]
