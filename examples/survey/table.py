"""The outcome for people: a few tables."""

from collections.abc import Iterable

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from examples.survey.outcome import Outcome
from examples.survey.report import Ranked, Rejected, Report, make_report
from examples.survey.restarts import RestartLog
from examples.survey.source_tree import printable


def print_tables(outcome: Outcome, console: Console) -> None:
    """Print everything there is to say about a survey."""
    report = make_report(outcome.book)
    console.print(_totals(outcome, report))
    console.print(_ranking("Most definitions", "definitions", report.most_definitions))
    console.print(_ranking("Most imported", "importing files", report.most_imported))
    if report.quarantined:
        console.print(_quarantine(report.quarantined))


def _totals(outcome: Outcome, report: Report) -> Table:
    table = _table(f"Survey of {printable(outcome.book.tree.path)}", ("", "left"), ("", "right"))
    for name, value in _total_rows(outcome, report):
        table.add_row(name, value)
    return table


def _total_rows(outcome: Outcome, report: Report) -> Iterable[tuple[str, str]]:
    yield "files surveyed", f"{report.files:,}"
    yield "files quarantined", f"{len(report.quarantined):,}"
    if outcome.undone:
        yield "files left undone", f"{outcome.undone:,}"
    yield "lines", f"{report.lines:,}"
    yield "lines of code", f"{report.code_lines:,}"
    yield "definitions", f"{report.definitions:,}"
    yield "  functions", f"{report.functions:,}"
    yield "  classes", f"{report.classes:,}"
    yield "imports", f"{report.imports:,}"
    yield "seconds", f"{outcome.seconds:.2f} with {outcome.workers} workers"
    yield "restarts", f"{len(outcome.log.restarts):,}"
    yield from _restart_times(outcome.log)


def _restart_times(log: RestartLog) -> Iterable[tuple[str, str]]:
    spread = log.spread()
    if spread is not None:
        times = f"{spread.min * 1e3:.1f} / {spread.median * 1e3:.1f} / {spread.max * 1e3:.1f} ms"
        yield "crash to serving again (min / median / max)", times


def _ranking(title: str, unit: str, ranked: Iterable[Ranked]) -> Table:
    table = _table(title, ("module", "left"), (unit, "right"))
    for one in ranked:
        table.add_row(Text(one.module), f"{one.count:,}")
    return table


def _quarantine(rejected: Iterable[Rejected]) -> Table:
    table = _table("Quarantined", ("file", "left"), ("reason", "left"))
    for one in rejected:
        table.add_row(Text(one.file), Text(one.reason))
    return table


def _table(title: str, *columns: tuple[str, JustifyMethod]) -> Table:
    # Text, not str: a str would be read as markup, and file names may contain brackets.
    table = Table(
        title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, show_header=any(name for name, _ in columns)
    )
    for name, justify in columns:
        table.add_column(name, justify=justify, overflow="fold")
    return table
