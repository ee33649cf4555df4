"""Policies from files and from the environment."""

import math

import pytest

from nursery_otp import (
    InvalidSpec,
    Timeouts,
    current_runtime,
    explain_timeout,
    get_timeout,
    load_timeouts,
    open_supervisor,
)
from tests.runtime.helpers import Desk

TEXT = """
[other]
x = 1

[timeouts]
default = 2
handler = inf
factor = 1.5

[timeouts.tiers]
night = 3600

[timeouts.rules]
"Desk.echo" = 0.5
Desk.slow = "night"
"*.run" = "long"

[timeouts.handler_rules]
Desk = 9
"""
LOADED = Timeouts(
    default=2,
    factor=1.5,
    tiers={"night": 3600},
    rules={"Desk.echo": 0.5, "Desk.slow": "night", "*.run": "long"},
    handler_rules={"Desk": 9},
)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """The environment says nothing unless a test does."""
    monkeypatch.delenv("NURSERY_OTP_TIMEOUT__DEFAULT", raising=False)


@pytest.fixture
def file(tmp_path):
    """A file with all there is."""
    path = tmp_path / "otp.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_file(file, kind):
    """A file is given by text or by path; other tables in it are none of our business."""
    policy = load_timeouts(kind(file), environ={})

    assert LOADED == policy
    assert [0.75, 5400, 45, 3] == [policy.limit(key) for key in (Desk.echo, Desk.slow, Desk.run, Desk)]
    assert f"file {file}" == policy.explain(Desk.echo).source


def test_project_file(tmp_path):
    """In a project's file the table is that of a tool."""
    path = tmp_path / "pyproject.toml"
    path.write_text("[timeouts]\ndefault = 1\n[tool.nursery_otp.timeouts]\ndefault = 2\n", encoding="utf-8")

    assert 2 == load_timeouts(path, environ={}).default


def test_sources_in_order(file, monkeypatch):
    """Code, then the file, then the environment of the program or the one that is given."""
    base = Timeouts(default=7, handler=7, rules={"code": 7, Desk.echo: 7})
    monkeypatch.setenv("NURSERY_OTP_TIMEOUT__DEFAULT", "10")
    policy = load_timeouts(file, base=base)

    assert (10, math.inf, 1.5) == (policy.default, policy.handler, policy.factor)
    assert (0.75, 10.5) == (policy.limit(Desk.echo), policy.limit("code"))
    assert 2 == load_timeouts(file, base=base, environ={}).default
    assert Timeouts(default=10) == load_timeouts()
    assert Timeouts() == load_timeouts(environ={})
    assert 11 == load_timeouts(environ={"NURSERY_OTP_TIMEOUT__DEFAULT": "11"}).default


def test_no_such_file(tmp_path):
    """A file that is not there is an error of the system, as it is."""
    with pytest.raises(FileNotFoundError):
        load_timeouts(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[timeouts", "is not TOML: "),
        (b"\xff\xfe", "is not TOML: "),
        (b"[timeouts.rules]\nDesk = 1\nDesk.echo = 2\n", "is not TOML: "),
        (b"", "has no table [timeouts]"),
        (b"[timeout]\ndefault = 1\n", "has no table [timeouts]; the table [timeout] must be called so"),
    ],
)
def test_wrong_file(tmp_path, content, problem):
    """What cannot be read is an error that names the file."""
    path = tmp_path / "otp.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidSpec) as caught:
        load_timeouts(path)

    assert str(caught.value).startswith(f"file={str(path)!r}: {problem}")


def test_wrong_key(file):
    """An unknown key names the file and the key that was meant."""
    file.write_text("[timeouts]\ndefualt = 1\n", encoding="utf-8")
    with pytest.raises(InvalidSpec, match=rf"^timeouts.defualt=1: .*; did you mean 'default'\? \(file {file}\)$"):
        load_timeouts(file)


def test_wrong_base():
    """What comes first has to be a policy."""
    with pytest.raises(InvalidSpec, match="base=5: must be a Timeouts"):
        load_timeouts(base=5)


async def test_tree_applies_the_environment(monkeypatch):
    """A tree has what the environment says on top of what it is given, or of the defaults."""
    monkeypatch.setenv("NURSERY_OTP_TIMEOUT__DEFAULT", "10")
    monkeypatch.setenv("NURSERY_OTP_TIMEOUT__RULES__Desk__echo", "0.5")
    for policy in (None, Timeouts(default=1, rules={Desk.echo: 1})):
        async with open_supervisor(timeouts=policy) as tree:
            assert (10, 0.5) == (get_timeout(Desk), get_timeout(Desk.echo))
            assert "environment NURSERY_OTP_TIMEOUT__DEFAULT" == explain_timeout(Desk).source
            assert 10 == current_runtime().timeouts.default
            tree.shutdown()


def test_mistake_in_the_environment(monkeypatch):
    """A tree is not opened with an environment that has mistakes in it; that is said at once."""
    monkeypatch.setenv("NURSERY_OTP_TIMEOUT__DEFUALT", "10")
    with pytest.raises(InvalidSpec, match="did you mean 'NURSERY_OTP_TIMEOUT__DEFAULT'"):
        open_supervisor()
