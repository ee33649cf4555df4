"""Kill the program that writes letters, and look at what it leaves."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import attrs

from nursery_otp.stores import SQLiteStore
from tests.stores.write_letters import letter_of

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}


@attrs.frozen(kw_only=True)
class Round:
    """What came of one process: what it had acknowledged, what is in the file, and what is wrong with that."""

    acknowledged: int
    found: int
    problems: tuple[str, ...]


def kill_after(path: Path, count: int, lines: int, program: str = "tests.stores.write_letters") -> Round:
    """Start the program, kill it when it has acknowledged so many letters, and look at the file."""
    command = [sys.executable, "-m", program, str(path), str(count)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as child:
        read = [child.stdout.readline() for _ in range(lines)]
        child.kill()  # SIGKILL
        read += child.stdout.readlines()  # what it had acknowledged before it died
    acknowledged = [line.decode().strip() for line in read if line.endswith(b"\n")]
    return look(path, acknowledged)


def look(path: Path, acknowledged: list[str]) -> Round:
    """Open the file as the next program would."""
    if not path.exists():
        return Round(acknowledged=len(acknowledged), found=0, problems=("no file",) if acknowledged else ())
    store = SQLiteStore(path)
    letters = store.open().letters
    problems = []
    ids = [letter.id for letter in letters]
    if lost := sorted(set(acknowledged) - set(ids)):
        problems.append(f"{len(lost)} acknowledged letters are lost: {lost[:5]}")
    if len(set(ids)) != len(ids):
        problems.append(f"{len(ids) - len(set(ids))} letters are there twice")
    numbers = [int(identity.partition("-")[2]) for identity in ids]
    if numbers != list(range(1, len(numbers) + 1)):
        problems.append("letters are missing in between, or not in order")
    if list(letters) != [letter_of(number, 1, store.encode) for number in numbers]:
        problems.append("letters have changed")
    store.close()
    connection = sqlite3.connect(path)
    if [("ok",)] != (found := connection.execute("PRAGMA integrity_check").fetchall()):
        problems.append(f"damaged: {found[:3]}")
    connection.close()
    return Round(acknowledged=len(acknowledged), found=len(ids), problems=tuple(problems))
