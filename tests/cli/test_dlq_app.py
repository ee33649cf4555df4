"""`nursery-otp dlq retry --app`: the program's own tree delivers the letters now."""

import json
import sys

import pytest
import trio

from nursery_otp import DeadLetterOptions, Name, dead_letters, open_supervisor
from nursery_otp.cli import main
from nursery_otp.stores import SQLiteStore

PROGRAM = """
from contextlib import asynccontextmanager

from nursery_otp import DeadLetterOptions, GenServer, Name, child, open_supervisor
from nursery_otp.stores import SQLiteStore


class Orders(GenServer):
    def handle_info(self, message):
        if message == "poison":
            raise ValueError("poison")
        with open({log!r}, "a") as log:
            log.write(f"{{message}}\\n")


def tree():
    options = DeadLetterOptions(store=SQLiteStore({path!r}))
    return open_supervisor([child(Orders, name=Name("orders"))], dead_letters=options, max_restarts=100)


def other():
    return open_supervisor([child(Orders, name=Name("orders"))])


@asynccontextmanager
async def wrapped():
    async with tree() as supervisor:
        yield
        supervisor.shutdown()


def fails():
    def no():
        raise ValueError("no")

    return open_supervisor([child(no)])


number = 7
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A program with letters in its file: for orders, for orders, and for nobody."""
    path, log = tmp_path / "letters.sqlite", tmp_path / "log"
    log.write_text("")
    (tmp_path / "shop_of_test.py").write_text(PROGRAM.format(path=str(path), log=str(log)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shop_of_test", raising=False)

    async def bury():
        async with open_supervisor(dead_letters=DeadLetterOptions(store=SQLiteStore(path))) as tree:
            for name, message in [("orders", "first"), ("orders", "second"), ("nobody", "third")]:
                await dead_letters().add(Name(name), message, "refused")
            tree.shutdown()

    trio.run(bury)
    return tmp_path


def retry(*arguments, app="shop_of_test:tree"):
    """The command, and its status."""
    return main(["dlq", "retry", "letters.sqlite", *arguments, "--app", app])


def left():
    """The messages in the file."""
    store = SQLiteStore("letters.sqlite")
    letters = store.open().letters
    store.close()
    return [json.loads(letter.message) for letter in letters]


def test_delivers(shop, capsys):
    """Letters are delivered, and gone from the file; the others are untouched."""
    assert 0 == retry("--recipient", "orders", "--yes")
    assert "2 letters delivered\n" == capsys.readouterr().out
    assert "first\nsecond\n" == (shop / "log").read_text()
    assert ["third"] == left()


def test_fails(shop, capsys):
    """What cannot be delivered is said with its reason, stays in the file, and makes the status 1."""
    assert 1 == retry("--all", "--yes", "--json")
    report = json.loads(capsys.readouterr().out)

    assert ["1-1", "1-2"] == report["letters"]
    assert "NoProcess" in report["failed"]["1-3"]
    assert report["done"]
    assert ["third"] == left()


def test_dry_run(shop, capsys):
    """Without --yes nothing is run and nothing is changed."""
    assert 0 == retry("--all", app="no_such_module:tree")
    assert "would be" in capsys.readouterr().out
    assert 3 == len(left())


def test_context_manager(shop):
    """Any async context manager around a tree will do."""
    assert 0 == retry("1-2", "--yes", app="shop_of_test:wrapped")
    assert ["first", "third"] == left()


def test_nothing_selected(shop, capsys):
    """No such letters: nothing is run."""
    assert 1 == retry("--recipient", "billing", "--yes", app="no_such_module:tree")
    assert "no such letters" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("app", "status", "text"),
    [
        ("shop_of_test", 2, "must be module:function"),
        (":tree", 2, "must be module:function"),
        ("no_such_module:tree", 1, "No module named 'no_such_module'"),
        ("shop_of_test:forest", 1, "no attribute 'forest'"),
        ("shop_of_test:number", 1, "is no function"),
        ("shop_of_test:other", 1, "is letters.sqlite the store that it opens?"),
        ("shop_of_test:fails", 1, "failed to start"),
    ],
)
def test_wrong_app(shop, capsys, app, status, text):
    """What is wrong with the program is one line, and nothing is lost."""
    assert status == retry("--all", "--yes", app=app)
    assert text in capsys.readouterr().err
    assert 3 == len(left())
