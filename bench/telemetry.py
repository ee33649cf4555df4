"""Telemetry and tracing with nobody attached, against the build without them.

The build without is made here: a copy of the package in which every guard is taken out of the source (the line that
asks for a slot of `Telemetry`, and the block that is entered if somebody listens), together with what tracing keeps in
a process. It is imported beside the real one, under the same names, so that both run in the same event loop and the
slices of one lie between those of the other.

The same code loaded twice differs from itself by up to 5 %: it lies elsewhere in memory, and the interpreter has
specialised it in another order. So there are three copies of each kind, and a kind is as fast as its fastest slice. The
A/A lines compare three unchanged copies with three others: their distance from 1.00 is the error of the lines below
them, whose bar is 1.01 within that error. Here "paired" is the ratio of the medians.

What the numbers do not say: what it costs when somebody listens.
"""

import ast
import importlib
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

from slices import Comparison, Work, calibrate, quiet_collector, slice_ns

import nursery_otp

PACKAGE = Path(nursery_otp.__file__).parent
BATCH = 64  # messages that are sent before the reader runs
KINDS = ("with", "without", "again")
COPIES = 3


# -------------------------------------------------------------------------- the build without it


class Stripper(ast.NodeTransformer):
    """Takes the guards out of a module; `found` says how many."""

    def __init__(self) -> None:
        self.found = 0

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list) and statements:
                kept = list(self._kept(statements))
                setattr(node, field, kept or ([ast.Pass()] if field == "body" else []))
        return super().generic_visit(node)

    def _kept(self, statements: list[ast.stmt]) -> Iterator[ast.stmt]:
        slot: str | None = None
        for statement in statements:
            before, slot = slot, None
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if _asks_for_slot(value):
                    slot = name
                case ast.If(test=test, orelse=otherwise) if before is not None and _asks(test, before, "is not"):
                    self.found += 1
                    yield from otherwise
                case ast.If(test=ast.BoolOp(values=[first, *others])) if before and _asks(first, before, "is"):
                    self.found += 1
                    rest = others[0] if len(others) == 1 else ast.BoolOp(op=ast.And(), values=others)
                    yield ast.If(test=rest, body=statement.body, orelse=statement.orelse)
                case ast.If(test=ast.Compare(left=ast.Attribute(attr="traced"))):
                    self.found += 1
                case ast.AnnAssign(target=ast.Attribute(attr="traced")):
                    pass
                case _:
                    yield statement


def _asks_for_slot(value: ast.expr) -> bool:
    match value:
        case ast.Attribute(value=ast.Attribute(attr="telemetry") | ast.Name(id="telemetry")):
            return True
        case _:
            return False


def _asks(test: ast.expr, name: str, how: str) -> bool:
    if how == "is not" and isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        test = test.values[0]
    return ast.unparse(test) == f"{name} {how} None"


def strip(package: Path) -> int:
    """Take the guards out of a copy of the package; how many there were."""
    found = 0
    for path in package.rglob("*.py"):
        stripper = Stripper()
        tree = ast.fix_missing_locations(stripper.visit(ast.parse(path.read_text(encoding="utf-8"))))
        if stripper.found:
            path.write_text(ast.unparse(tree), encoding="utf-8")
            found += stripper.found
    return found


def load_copy(folder: Path, kind: str) -> ModuleType:
    """A copy of the package as one more tree of modules; everything else is shared by all."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    if kind == "without" and strip(folder / PACKAGE.name) < 10:
        message = "the guards do not look as they used to: this would compare the package with itself"
        raise AssertionError(message)
    mine = {name: module for name, module in sys.modules.items() if name.split(".")[0] == PACKAGE.name}
    for name in mine:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(PACKAGE.name)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE.name]:
            del sys.modules[name]
        sys.modules.update(mine)


# -------------------------------------------------------------------------------- what is measured


class Bench:
    """The same work, done with one build or another."""

    def __init__(self, build: ModuleType) -> None:
        self.build: Any = build

        class Server(self.build.GenServer):  # type: ignore[name-defined, misc]
            def __init__(self) -> None:
                pass

            @build.call
            def ask(self, value: int) -> int:
                return value

            @build.cast
            def tell(self, value: int) -> None:
                pass

        self.server: Any = Server

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Bench"]:
        async with self.build.open_supervisor() as supervisor:
            self.ref = await supervisor.start(self.server)
            self.reader = await supervisor.start(self._read, restart="temporary")
            self.watcher = await supervisor.start(self._watch, restart="temporary")
            self.supervisor = supervisor
            yield self
            supervisor.shutdown()

    async def _read(self) -> None:
        async for message in self.build.mailbox():
            if isinstance(message, self.build.Call):
                message.reply(None)

    async def _watch(self) -> None:
        build = self.build
        async for request in build.mailbox():
            for _ in range(request.message.args[0]):
                build.demonitor(build.monitor(self.ref))
            request.reply(None)

    async def call(self, operations: int) -> None:
        for _ in range(operations):
            await self.server.ask(self.ref, 1)

    async def cast(self, operations: int) -> None:
        for number in range(operations):
            self.server.tell(self.ref, 1)
            if number % BATCH == 0:
                await self.server.ask(self.ref, 1)
        await self.server.ask(self.ref, 1)

    async def send(self, operations: int) -> None:
        for _ in range(operations):
            await self.build.send(self.reader, 1)

    async def spawn_and_stop(self, operations: int) -> None:
        for _ in range(operations):
            await self.build.stop(await self.build.start(self.server))

    async def monitor(self, operations: int) -> None:
        await self.server.ask(self.watcher, operations)


async def measure(quads: int) -> list[Comparison]:
    results = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        builds = {kind: [load_copy(folder / f"{kind} {number}", kind) for number in range(COPIES)] for kind in KINDS}
        benches = {
            kind: [await stack.enter_async_context(Bench(build).running()) for build in copies]
            for kind, copies in builds.items()
        }
        for name in ("call", "cast", "send", "spawn_and_stop", "monitor"):
            works = {kind: [getattr(bench, name) for bench in copies] for kind, copies in benches.items()}
            results += await compare_copies(name, works, rounds=max(1, quads // 2))
    return results


async def compare_copies(name: str, works: dict[str, list[Work]], *, rounds: int) -> list[Comparison]:
    """The same job in all copies, slice by slice in turn, there and back again; the copies of a kind are one."""
    operations = min([await calibrate(work) for copies in works.values() for work in copies])
    spent: dict[str, list[float]] = {kind: [] for kind in works}
    turn = [
        (kind, work) for copies in zip(*works.values(), strict=True) for kind, work in zip(works, copies, strict=True)
    ]
    with quiet_collector():
        for _ in range(rounds):
            for kind, work in (*turn, *reversed(turn)):
                spent[kind].append(await slice_ns(work, operations))
    return [
        comparison(f"A/A check: {name}", spent["with"], "other copies of the same", spent["again"]),
        comparison(f"nobody attached: {name}", spent["with"] + spent["again"], "without telemetry", spent["without"]),
    ]


def comparison(name: str, ours: list[float], baseline_name: str, baseline: list[float]) -> Comparison:
    return Comparison(
        name=name,
        baseline=baseline_name,
        ours_ns=min(ours),
        baseline_ns=min(baseline),
        minima=min(ours) / min(baseline),
        paired=median(ours) / median(baseline),
    )
