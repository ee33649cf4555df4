"""The pages of docs/ tell the truth: their programs run as they stand and print what the page says they print.

CONTRIBUTING.md states the convention: the blocks of a page run in order in one namespace, like the cells of a
notebook; `fresh` after the language starts a new one; what a block prints stands in the `text` block right after it.
They run as a reader would run them, on the real clock unless they have another one themselves.
"""

import ast
import inspect
import logging
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
from trio.testing import MockClock

import nursery_otp
from nursery_otp import stores

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = ("api.md", "errors.md")
PAGES = sorted(DOCS.glob("*.md"))
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FENCE = re.compile(r"^(?P<mark>`{3,}|:{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=mark)$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^]\n]*\]\((?!https?:)(?P<path>[^)#\s]*)(?:#[^)\s]*)?\)")
DOCUMENTED = re.compile(r"^\.\. (?:auto(?:class|function|exception)|py:data):: (\w+)", re.MULTILINE)
DIRECTIVE = re.compile(r"^\.\. (auto(?:class|function|exception)|py:\w+|currentmodule):: ([\w.]+)", re.MULTILINE)
REFERENCE_TO = re.compile(r"(?<!`)`(nursery_otp\.[A-Za-z][\w.]*)`(?!`)")
LOGGED = re.compile(r'log\.write\(\s*"\w+",\s*"(\w+)"')
MODULES = [nursery_otp, stores]  # those that people import from
PUBLIC = {
    name
    for module in MODULES
    for name in getattr(module, "__all__", vars(module))
    if not name.startswith("_") and not inspect.ismodule(getattr(module, name))
}


class Block(NamedTuple):
    """One program of a page, and what it is said to print."""

    line: int
    text: str
    fresh: bool
    expected: str


def blocks(page: str) -> Iterator[Block]:
    """The programs of a page, in order."""
    fences = list(FENCE.finditer(page))
    for fence, after in zip_longest(fences, fences[1:]):
        language, *words = fence["info"].split() or [""]
        if language == "python":
            assert set(words) <= {"fresh"}, words
            shown = after is not None and after["info"].strip() == "text"
            yield Block(
                page.count("\n", 0, fence.start("text")),
                fence["text"],
                "fresh" in words,
                after["text"] if shown else "",
            )


def run(block: Block, page: Path, namespace: dict[str, Any]) -> str:
    """Run a program, then the tests that it defines; what they print. Tracebacks show the line of the page."""
    before = dict(namespace)
    with redirect_stdout(StringIO()) as printed:
        exec(compile("\n" * block.line + block.text, str(page), "exec"), namespace)  # noqa: S102 - our own pages
        for name, value in namespace.items():
            if name.startswith("test_") and before.get(name) is not value:
                run_test(value)
    return printed.getvalue()


def run_test(function: Any) -> None:
    """Run a test as pytest-trio would; `autojump_clock` is the fixture that a page may use."""
    if inspect.iscoroutinefunction(function):
        clock = MockClock(autojump_threshold=0)
        trio.run(function, *[clock for _ in inspect.signature(function).parameters], clock=clock)
    else:
        function()


@pytest.fixture
def logger(monkeypatch):
    """The library's logger, which a page may configure as a program would, without any effect on other tests."""
    found = logging.getLogger("nursery_otp")
    monkeypatch.setattr(found, "handlers", [*found.handlers])
    monkeypatch.setattr(found, "propagate", found.propagate)


@pytest.fixture
def mock_time(monkeypatch):
    """Programs that say nothing of a clock sleep in no time."""
    run = trio.run

    def run_in_no_time(*args, clock=None, **options):
        return run(*args, clock=clock or MockClock(autojump_threshold=0), **options)

    monkeypatch.setattr(trio, "run", run_in_no_time)


@pytest.mark.usefixtures("logger", "mock_time")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_programs(page):
    """Every program of the page runs, and prints what the page says, no more and no less, wherever it is run."""
    namespace: dict[str, Any] = {}
    for block in blocks(page.read_text(encoding="utf-8")):
        namespace = {"__name__": "page"} if block.fresh or not namespace else namespace
        printed = run(block, page, namespace)

        assert block.expected == printed, f"{page.name}:{block.line}"
        assert page.name not in printed, "whoever runs it has it in another file"


@pytest.mark.parametrize("page", ["tutorial", "coming-from-otp", "otp-differences", "monitors"])
def test_there_are_programs(page):
    """The extraction finds something to run."""
    assert list(blocks((DOCS / f"{page}.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("*.md")], ids=lambda page: page.stem)
def test_links(page):
    """Every relative link leads to a file of the repository."""
    text = CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
    missing = [match["path"] for match in LINK.finditer(text) if not (page.parent / match["path"]).exists()]

    assert [] == missing


def test_every_public_name_is_documented():
    """The reference describes each public name once, and nothing that is not public."""
    documented = [name for page in REFERENCE for name in DOCUMENTED.findall((DOCS / page).read_text(encoding="utf-8"))]

    assert sorted(PUBLIC) == sorted(documented)


def targets() -> set[str]:
    """What a docstring can refer to by its full name: all that the reference describes, and the modules it opens."""
    found = set()
    for page in REFERENCE:
        module = "nursery_otp"
        for directive, name in DIRECTIVE.findall((DOCS / page).read_text(encoding="utf-8")):
            module = name if directive.endswith("module") else module
            found |= {name} if directive == "py:module" else {f"{module}.{name}"}
    return found


def references(source: str) -> Iterator[str]:
    """The full names of this package that docstrings have between single backticks; those of modules have no page."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from REFERENCE_TO.findall(ast.get_docstring(node) or "")


def test_references():
    """What a docstring refers to by its full name has a place in the reference; `make docs` fails otherwise."""
    found = [(path.stem, name) for path in SOURCES for name in references(path.read_text(encoding="utf-8"))]

    assert [] == [reference for reference in found if reference[1] not in targets()]


def test_references_are_found():
    """Those of classes and functions between single backticks are, and nothing else."""
    source = '"""`nursery_otp.a`"""\nclass X:\n    """`nursery_otp.b`, ``nursery_otp.c``, `x`, `nursery_otp.d.E`."""\n'

    assert ["nursery_otp.b", "nursery_otp.d.E"] == list(references(source))
    assert {"nursery_otp.stores", "nursery_otp.stores.SQLiteStore", "nursery_otp.Ref"} <= targets()


def test_every_log_event_is_documented():
    """docs/api.md lists the events that the library logs."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    text = (DOCS / "api.md").read_text(encoding="utf-8")

    assert [] == [event for event in LOGGED.findall(source) if f"`{event}`" not in text]


PAGE = """\
Prose.

```python
x = 1
print(x)
```

```text
1
```

```python fresh
print("y")
```
```console
$ make
```
"""


def test_blocks():
    """A program takes the text block after it for its output, and no other block."""
    assert [
        Block(3, "x = 1\nprint(x)\n", False, "1\n"),
        Block(12, 'print("y")\n', True, ""),
    ] == list(blocks(PAGE))


def test_tests_of_a_page_run():
    """A test that a program defines is run, and can fail."""
    failing = Block(0, "async def test_x(autojump_clock):\n    assert False\n", fresh=True, expected="")

    with pytest.raises(AssertionError):
        run(failing, DOCS / "x.md", {})
