"""`dlq retry --app`: run the program's own tree for as long as it takes to deliver the letters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import trio

from nursery_otp import LetterNotFound, OTPError, RetryReport, dead_letters
from nursery_otp.cli.output import Failure


def load_app(text: str) -> Callable[[], Any]:
    """The function that "module:function" names: it returns a tree as `open_supervisor` does."""
    module_name, _, name = text.partition(":")
    if not module_name or not name.isidentifier():
        raise Failure(f"--app {text!r} must be module:function, such as shop.main:tree", status=2)
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    try:
        found = getattr(import_module(module_name), name)
    except ModuleNotFoundError as error:
        raise Failure(f"--app {text}: {error}") from error
    except AttributeError as error:
        raise Failure(f"--app {text}: {error}") from error
    if not callable(found):
        raise Failure(f"--app {text}: {name} is no function that returns a tree")
    factory: Callable[[], Any] = found
    return factory


def deliver(app: str, file: str, identities: Sequence[str]) -> RetryReport:
    """Open the tree, retry these letters, shut it down; what came of them."""
    factory = load_app(app)
    try:
        return trio.run(_deliver, factory, app, file, identities)
    except OTPError as error:
        raise Failure(f"--app {app}: {error}") from error


async def _deliver(factory: Callable[[], Any], app: str, file: str, identities: Sequence[str]) -> RetryReport:
    async with factory() as tree:
        found = [identity for identity in identities if _is_there(identity)]
        report = await dead_letters().retry(*found) if found else None
        shutdown = getattr(tree, "shutdown", None)
        if shutdown is not None:
            shutdown()
    if report is None:
        raise Failure(f"--app {app}: its tree has none of these letters; is {file} the store that it opens?")
    return report


def _is_there(identity: str) -> bool:
    try:
        dead_letters().get(identity)
    except LetterNotFound:
        return False
    return True
