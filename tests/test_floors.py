"""Imports point down only: _policy < _runtime < _behaviours < the tools, which see nothing but the public API."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "nursery_otp"

# Which layers a layer may import from, besides itself. "public" is everything that is importable without an underscore.
BELOW = {
    "_policy": set(),
    "errors": {"_policy"},
    "_runtime": {"_policy", "errors"},
    "_behaviours": {"_policy", "errors", "_runtime"},
    "public": {"errors"},
}
ATTRS = {"attr", "attrs"}
EFFECTS = {"asyncio", "logging", "random", "threading", "time"}  # stdlib, but no place for them in a decision
FOREIGN = {"_policy": ATTRS, "errors": ATTRS | {"trio"}}  # on the floors above, any dependency


def layer(name: str) -> str:
    """The layer of a dotted name inside the package."""
    part = [*name.split("."), ""][1]
    return part if part in BELOW else "public"


def imported(source: str, module: str, *, is_package: bool = False) -> Iterator[str]:
    """The absolute dotted names that a module imports, wherever in its text."""
    base = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=origin, names=names, level=level):
                start = base[: len(base) - level + 1] if level else []
                yield from (".".join([*start, *([origin] if origin else []), alias.name]) for alias in names)


def allowed(module: str, target: str) -> bool:
    """Whether `module` (a dotted name inside the package) may import `target`."""
    mine, root = layer(module), target.split(".")[0]
    if root != "nursery_otp":
        foreign = FOREIGN.get(mine)
        effect = mine == "_policy" and root in EFFECTS
        return not effect and (foreign is None or root in sys.stdlib_module_names or root in foreign)
    if module == "nursery_otp":  # __init__ collects the public names from all floors
        return True
    if mine != "public":
        return layer(target) in {mine} | BELOW[mine]
    own = module.split(".")[1]
    parts = target.split(".")[1:]
    return parts[:1] == [own] or not any(part.startswith("_") and not part.endswith("__") for part in parts)


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """The imports of a module that point up or sideways."""
    targets = imported(source, module, is_package=is_package)
    return [f"{module} imports {target}" for target in targets if not allowed(module, target)]


def test_package_keeps_its_floors():
    """No module of the package imports from above its floor."""
    found, files = [], sorted(PACKAGE.rglob("*.py"))
    for path in files:
        is_package = path.name == "__init__.py"
        dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        found += violations(path.read_text(encoding="utf-8"), dotted, is_package=is_package)

    assert len(files) > 3
    assert [] == found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("nursery_otp._policy.exits", "import trio"),
        ("nursery_otp._policy.exits", "def f():\n    from trio.lowlevel import checkpoint"),
        ("nursery_otp._policy.exits", "import time"),
        ("nursery_otp._policy.exits", "import structlog"),
        ("nursery_otp._policy.exits", "from nursery_otp.errors import NoProcess"),
        ("nursery_otp._policy.exits", "from nursery_otp import errors"),
        ("nursery_otp._policy.exits", "from .. import _runtime"),
        ("nursery_otp._policy.exits", "from .._runtime.process import Process"),
        ("nursery_otp._policy.exits", "from nursery_otp import Ref"),
        ("nursery_otp.errors", "from nursery_otp._runtime import process"),
        ("nursery_otp.errors", "import structlog"),
        ("nursery_otp._runtime.process", "from nursery_otp._behaviours.gen_server import GenServer"),
        ("nursery_otp._runtime.process", "if TYPE_CHECKING:\n    from nursery_otp import GenServer"),
        ("nursery_otp._behaviours.gen_server", "import nursery_otp.testing"),
        ("nursery_otp.agents.pool", "from nursery_otp._runtime.process import Process"),
        ("nursery_otp.agents.pool", "from nursery_otp import _policy"),
        ("nursery_otp.agents.pool", "from nursery_otp.testing._clock import Clock"),
        ("nursery_otp.testing", "from nursery_otp._policy.exits import Normal"),
    ],
)
def test_upward_import_is_found(module, source):
    """The checker fails on an import that points up, in any spelling."""
    assert 1 == len(violations(source, module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("nursery_otp", "from nursery_otp._behaviours.gen_server import GenServer as GenServer"),
        (
            "nursery_otp._policy.restarts",
            "import math, attrs\nfrom . import checks\nfrom nursery_otp._policy import exits",
        ),
        ("nursery_otp.errors", "import trio\nfrom nursery_otp._policy.exits import ExitReason"),
        (
            "nursery_otp._runtime.process",
            "import time, trio, structlog\nfrom ..errors import NoProcess\nfrom .._policy import exits",
        ),
        (
            "nursery_otp._behaviours.gen_server",
            "from nursery_otp._runtime.process import Process\nfrom nursery_otp import errors",
        ),
        (
            "nursery_otp.agents.pool",
            "from nursery_otp import GenServer, errors, testing\nfrom nursery_otp.agents._queue import Queue",
        ),
    ],
)
def test_downward_import_is_fine(module, source):
    """The checker accepts imports from the same floor, the floors below and, for tools, the public API."""
    assert [] == violations(source, module)
