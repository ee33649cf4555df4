"""The book, the restart log and what is made of them: report, document, tables, exit status."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from examples.survey.book import Book, Quarantine
from examples.survey.document import to_json
from examples.survey.measurement import Measurement
from examples.survey.outcome import Outcome
from examples.survey.report import Ranked, Rejected, make_report, ranking
from examples.survey.restarts import Restart, RestartLog, Spread
from examples.survey.source_tree import SourceFile, SourceTree
from examples.survey.table import print_tables

A, B, C, FOLDER = (SourceFile(name, Path(name)) for name in ("a.py", "b.py", "[red]c.py", "locked"))
ONE = Measurement("utf-8", 10, 8, 2, 1, 2, ("os", "sys"))
TWO = Measurement("latin-1", 20, 16, 3, 0, 1, ("os",))
BROKEN = Quarantine("SyntaxError: [bold]invalid")


def new_book() -> Book:
    return Book(SourceTree(Path("tree"), (A, B, C), ((FOLDER, "PermissionError: no"),)))


def full_book() -> Book:
    book = new_book()
    for file, verdict in ((C, BROKEN), (B, TWO), (A, ONE)):
        book.settle(file, verdict)
    return book


def outcome_of(book: Book, **more: object) -> Outcome:
    log = RestartLog()
    log.ended(1, "crashed", "SyntaxError: x", "a.py", 1.0)
    log.serving(1, 1.5)
    return Outcome(book=book, log=log, **({"workers": 2, "chaos": None, "seconds": 0.5} | more))


def test_first_verdict_stands():
    """A second verdict on a file changes nothing: each file is counted once."""
    book = new_book()

    assert [True, False, False] == [book.settle(A, ONE), book.settle(A, TWO), book.settle(A, BROKEN)]
    assert ONE == book.verdicts[A]
    assert "<Book: 2 of 4 files>" == repr(book)


def test_complete():
    """The book is complete with the last verdict, not before, and knows what is missing until then."""
    book = new_book()
    book.settle(B, TWO)
    assert (A, C) == book.undone()
    assert not book.complete.is_set()

    book = full_book()
    assert () == book.undone()
    assert book.complete.is_set()
    assert 2 == book.quarantined


def test_nothing_to_do():
    """The book of an empty tree is complete from the start."""
    assert Book(SourceTree(Path("tree"), ())).complete.is_set()


def test_report():
    """The report adds up the measurements and lists the rest, in the order of the names."""
    report = make_report(full_book())

    assert (2, 30, 24, 6, 3) == (report.files, report.lines, report.code_lines, report.definitions, report.imports)
    assert {"latin-1": 1, "utf-8": 1} == report.encodings
    assert [Ranked("a.py", 3), Ranked("b.py", 3)] == report.most_definitions
    assert [Ranked("os", 2), Ranked("sys", 1)] == report.most_imported
    assert [Rejected(C.name, BROKEN.reason), Rejected("locked", "PermissionError: no")] == report.quarantined


def test_report_does_not_depend_on_the_order():
    """Verdicts may come in any order."""
    other = new_book()
    for file, verdict in ((A, ONE), (C, BROKEN), (B, TWO)):
        other.settle(file, verdict)

    assert make_report(full_book()) == make_report(other)
    assert list(make_report(full_book()).modules) == list(make_report(other).modules)


def test_ranking():
    """The ten highest; equals in alphabetical order; zero is no rank."""
    counts = {"none": 0} | {f"m{number:02}": number // 2 + 1 for number in range(30)}

    ranked = ranking(counts)
    assert [Ranked("m28", 15), Ranked("m29", 15), Ranked("m26", 14)] == ranked[:3]
    assert 10 == len(ranked)
    assert [] == ranking({"none": 0})


def test_restart_log():
    """An end and the next beginning in the same seat are a restart; a first beginning is none."""
    log = RestartLog()
    log.serving(1, 0.0)
    log.serving(2, 0.0)
    log.ended(1, "crashed", "SyntaxError: x", "a.py", 1.0)
    log.ended(2, "killed", "killed", None, 1.5)
    assert "<RestartLog: 0 restarts, 2 under way>" == repr(log)

    log.serving(2, 2.0)
    log.serving(1, 5.0)
    assert [
        Restart(2, "killed", "killed", None, 0.5),
        Restart(1, "crashed", "SyntaxError: x", "a.py", 4.0),
    ] == log.restarts
    assert Spread(0.5, 2.25, 4.0) == log.spread()
    assert RestartLog().spread() is None


def test_document():
    """The document is JSON; what differs between runs is not under "report"."""
    document = json.loads(to_json(outcome_of(full_book())))

    assert ["path", "python", "complete", "report", "undone", "run"] == list(document)
    assert {"encoding": "utf-8", "lines": 10} == dict(list(document["report"]["modules"]["a.py"].items())[:2])
    assert {"file": C.name, "reason": BROKEN.reason} == document["report"]["quarantined"][0]
    assert {"min": 0.5, "median": 0.5, "max": 0.5} == document["run"]["restart_seconds"]
    assert 0.5 == document["run"]["restarts"][0]["seconds"]
    assert {"count": 0, "in_hand": []} == document["undone"]


def test_tables():
    """The tables show sums, rankings, reasons and restart times; brackets in names are no markup."""
    stream = io.StringIO()
    print_tables(outcome_of(full_book()), Console(file=stream, width=120))
    text = stream.getvalue()

    for part in (
        "Survey of tree",
        "files surveyed",
        "definitions",
        "[red]c.py",
        BROKEN.reason,
        "500.0 / 500.0 / 500.0 ms",
    ):
        assert part in text
    assert "undone" not in text


@pytest.mark.parametrize(
    ("book", "more", "status"),
    [
        (full_book(), {}, 0),
        (full_book(), {"signalled": 2}, 0),
        (full_book(), {"failure": "no"}, 1),
        (new_book(), {}, 1),
        (new_book(), {"signalled": 2}, 130),
        (new_book(), {"signalled": 15}, 143),
        (new_book(), {"signalled": 2, "failure": "no"}, 1),
    ],
)
def test_status(book, more, status):
    """0 means that each file has a verdict and nothing failed; a signal that came too late changes nothing."""
    assert status == outcome_of(book, **more).status


def test_problems():
    """What was left undone is said: how many, and which were in hand; those settled after all are not among them."""
    book = new_book()
    book.interrupted = (A, B)
    book.settle(A, ONE)

    assert [
        "interrupted by SIGINT; the workers were stopped in order",
        "the reason",
        "2 of 4 files left undone; in hand: b.py",
    ] == list(outcome_of(book, signalled=2, failure="the reason").problems())
    assert [] == list(outcome_of(full_book()).problems())


def test_problem_of_an_empty_tree():
    """An empty tree is surveyed at once, and nobody should think that there was something."""
    assert ["no Python files in tree"] == list(outcome_of(Book(SourceTree(Path("tree"), ()))).problems())
