"""What the survey found, as one value: made from the book alone, so it is the same however the survey went."""

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from examples.survey.book import Book, Quarantine
from examples.survey.measurement import Measurement
from examples.survey.source_tree import in_order

TOP = 10


@attrs.frozen
class Ranked:
    """One line of a ranking."""

    module: str
    count: int


@attrs.frozen
class Rejected:
    """A file in quarantine, or a folder that could not be read."""

    file: str
    reason: str


@attrs.frozen(kw_only=True)
class Report:
    """Sums, rankings, and the numbers of each file."""

    files: int
    lines: int
    code_lines: int
    functions: int
    classes: int
    imports: int
    encodings: dict[str, int]
    most_definitions: list[Ranked]
    most_imported: list[Ranked]
    quarantined: list[Rejected]
    modules: dict[str, Measurement]

    @property
    def definitions(self) -> int:
        """Functions, methods and classes."""
        return self.functions + self.classes


def make_report(book: Book) -> Report:
    """Add up what is in the book. Everything is sorted: verdicts come in any order."""
    found = [(file, book.verdicts[file]) for file in in_order(book.verdicts)]
    modules = {file.name: verdict for file, verdict in found if isinstance(verdict, Measurement)}
    measured = modules.values()
    return Report(
        files=len(modules),
        lines=sum(one.lines for one in measured),
        code_lines=sum(one.code_lines for one in measured),
        functions=sum(one.functions for one in measured),
        classes=sum(one.classes for one in measured),
        imports=sum(one.imports for one in measured),
        encodings=dict(sorted(Counter(one.encoding for one in measured).items())),
        most_definitions=ranking({name: one.definitions for name, one in modules.items()}),
        most_imported=ranking(_importers(measured)),
        quarantined=[Rejected(file.name, verdict.reason) for file, verdict in found if isinstance(verdict, Quarantine)],
        modules=modules,
    )


def ranking(counts: Mapping[str, int]) -> list[Ranked]:
    """The names with the highest counts, those with the same count in alphabetical order; zero is no rank."""
    in_order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Ranked(name, count) for name, count in in_order[:TOP] if count]


def _importers(measured: Iterable[Measurement]) -> Counter[str]:
    return Counter(name for one in measured for name in one.imported)
