"""The user's program: what is wrong with it is one line, with the place in it."""

import json

import pytest

from tests.cli.shop import asked_for, left, retry, shop

__all__ = ["shop"]  # a fixture, for pytest


@pytest.mark.parametrize(
    ("app", "status", "text"),
    [
        ("shop_of_test", 2, "must be module:function"),
        (":tree", 2, "must be module:function"),
        (".:tree", 2, "must be module:function"),
        ("shop_of_test.:tree", 2, "must be module:function"),
        ("no_such_module:tree", 1, "No module named 'no_such_module'"),
        ("bad_syntax:tree", 1, "SyntaxError: "),
        ("bad_import:tree", 1, "ImportError: cannot import name 'nothing_there'"),
        ("bad_module:tree", 1, "ZeroDivisionError: division by zero ("),
        ("bad_script:tree", 1, "SystemExit: 0 ("),
        ("shop_of_test:forest", 1, "has no forest"),
        ("shop_of_test:number", 1, "is no function"),
        ("shop_of_test:other", 1, "its tree has not opened letters.sqlite"),
        ("shop_of_test:elsewhere", 1, "its tree has not opened letters.sqlite"),
        ("shop_of_test:fails", 1, "failed to start"),
        ("shop_of_test:raises", 1, "KeyError: 'SHOP_DB' ("),
        ("shop_of_test:ends", 1, "SystemExit: 0 ("),
        ("shop_of_test:needs", 1, "missing 1 required positional argument: 'name'"),
        ("shop_of_test:returns", 1, "it returned no tree, as open_supervisor does, but an object of 'int'"),
        ("shop_of_test:is_async", 1, "it is an async function"),
        ("shop_of_test:generator", 1, "an object of 'generator'"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_wrong_app(shop, capsys, app, status, text, more):
    """What is wrong with the program is one line, also as JSON; nothing is lost, and nothing is asked for."""
    for name, code in (
        ("bad_syntax", "def tree(:"),
        ("bad_import", "from os import nothing_there"),
        ("bad_module", "x = 1\nx / 0"),
        ("bad_script", "import sys\nsys.exit(0)"),
    ):
        (shop / f"{name}.py").write_text(code)
    assert status == retry("--all", "--yes", *more, app=app)
    captured = capsys.readouterr()
    assert ("", 1) == (captured.out, captured.err.count("\n"))
    said = json.loads(captured.err)["error"] if more else captured.err
    assert text in said
    if text.endswith("("):
        assert f"{shop / app.partition(':')[0]}.py:" in said
    assert 3 == len(left())
    assert [] == asked_for()


def test_several_errors(shop, capsys):
    """All errors of a group are said."""
    assert 1 == retry("1-1", "--yes", app="shop_of_test:groups")
    err = capsys.readouterr().err

    assert "ValueError: one; KeyError: 'two'" in err


def test_interrupted(shop, capsys):
    """Control-C in the program is one here, and nothing stays asked for."""
    assert 130 == retry("--all", "--yes", app="shop_of_test:interrupted")

    assert "nursery-otp: interrupted\n" == capsys.readouterr().err
    assert [] == asked_for()
