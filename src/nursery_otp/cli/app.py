"""The user's own program, as `--app MODULE:FUNCTION` names it: it is loaded and run, and its errors are one line."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import trio

import nursery_otp
from nursery_otp import OTPError
from nursery_otp.cli.output import Failure

Tree: TypeAlias = AbstractAsyncContextManager[Any]

PACKAGES = f"{os.sep}site-packages{os.sep}"
OURS = ("<", *(f"{Path(module.__file__ or '').parent}{os.sep}" for module in (nursery_otp, trio, os)))


@attrs.frozen
class App:
    """A program's function that makes its tree, under the name that the user gave it."""

    name: str
    function: Callable[[], object]

    @classmethod
    def load(cls, name: str) -> App:
        """The function that "module:function" names; `Failure` if there is none."""
        module_name, _, function_name = name.partition(":")
        if not all(module_name.split(".")) or not function_name.isidentifier():
            raise Failure(f"--app {name!r} must be module:function, such as shop.main:tree", status=2)
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
        with errors_of(name):
            module = import_module(module_name)
            found = getattr(module, function_name, None)
        if found is None:
            raise Failure(f"--app {name}: the module {module_name!r} has no {function_name}")
        if not callable(found):
            raise Failure(f"--app {name}: {function_name} is no function that returns a tree")
        return cls(name, found)

    def tree(self) -> Tree:
        """What the function returns; `Failure` if that is no tree."""
        made = self.function()
        if isinstance(made, AbstractAsyncContextManager):
            return made
        if inspect.iscoroutine(made):
            made.close()
            raise Failure(f"--app {self.name}: it is an async function; it must be a plain one that returns a tree")
        kind = type(made).__name__
        raise Failure(f"--app {self.name}: it returned no tree, as open_supervisor does, but an object of {kind!r}")


@contextmanager
def errors_of(name: str) -> Iterator[None]:
    """Make one line of whatever comes out of the user's program.

    Also of its `SystemExit`: the status of this program says what became of the letters, and not what it would.
    """
    try:
        yield
    except (Failure, KeyboardInterrupt):
        raise
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is not None:
            raise KeyboardInterrupt from group
        raise Failure(f"--app {name}: {told(group)}") from group
    except (Exception, SystemExit) as error:
        raise Failure(f"--app {name}: {told(error)}") from error


def told(error: BaseException) -> str:
    """An error of the user's program, with the line of it that it comes from."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(told, error.exceptions))
    if isinstance(error, OTPError):
        return str(error)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f"{text} ({frames[-1].filename}:{frames[-1].lineno})" if frames else text


def _is_users(filename: str) -> bool:
    """Whether this is neither a part of Python, nor of what runs the program."""
    ours = next((place for place in OURS if filename.startswith(place)), None)
    return ours is None or (PACKAGES in filename and PACKAGES not in ours)
