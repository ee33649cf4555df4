"""Reading a timeout policy from a file and from the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from nursery_otp._policy import checks
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.timeout_sources import apply_changes, find_table, from_environment, from_table
from nursery_otp._policy.timeouts import Timeouts


def load_timeouts(
    file: str | os.PathLike[str] | None = None,
    *,
    base: Timeouts | None = None,
    environ: Mapping[str, str] | None = None,
) -> Timeouts:
    """A timeout policy from its sources; of two that say something about the same thing the later one wins.

    First `base` (what the code says; default: `Timeouts()`), then the TOML `file`, then the environment variables of
    `environ` (default: those of the program) whose names begin with `NURSERY_OTP_TIMEOUT__`. The file has a table
    `[timeouts]`, or `[tool.nursery_otp.timeouts]` as in a pyproject.toml, with the fields of `Timeouts`. Seconds may be
    `inf`. `open_supervisor` applies the environment itself, so that a policy without a file needs no loading.

    Raises `InvalidSpec` for what is no setting (it names the nearest one that is), for values that do not hold, and for
    a file that is not TOML or has no such table; `OSError` if the file cannot be read.

    >>> policy = load_timeouts(environ={"NURSERY_OTP_TIMEOUT__DEFAULT": "10", "NURSERY_OTP_TIMEOUT__FACTOR": "2"})
    >>> policy.limit("Counter.add")
    20.0
    """
    policy = Timeouts() if base is None else base
    checks.instance("base", policy, Timeouts, "must be a Timeouts")
    if file is not None:
        policy = _with_file(policy, Path(file))
    return with_environment(policy, os.environ if environ is None else environ)


def with_environment(policy: Timeouts, environ: Mapping[str, str]) -> Timeouts:
    """The policy with what the environment says on top."""
    changes = from_environment(environ, policy)
    return apply_changes(policy, changes, source="with the environment") if changes else policy


def _with_file(policy: Timeouts, file: Path) -> Timeouts:
    try:
        document = tomllib.loads(file.read_bytes().decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSpec("file", str(file), f"is not TOML: {error}") from None
    table = find_table(document, str(file), of_project=file.name == "pyproject.toml")
    return apply_changes(policy, from_table(table, str(file)), source=f"file {file}")
