"""A program with letters in its file, and with every fault that a program may have; for tests of `dlq retry --app`."""

import json
import sys

import pytest
import trio

from nursery_otp import DeadLetterOptions, Name, dead_letters, open_supervisor
from nursery_otp.cli import main
from nursery_otp.stores import SQLiteStore
from nursery_otp.stores.files import LetterFile, LetterFilter

PROGRAM = """
import sys
from contextlib import asynccontextmanager

import trio

from nursery_otp import DeadLetterOptions, GenServer, Name, child, dead_letters, open_supervisor
from nursery_otp.stores import SQLiteStore

PATH = {path!r}


class Orders(GenServer):
    def handle_info(self, message):
        if message == "poison":
            raise ValueError("poison")
        print("handled", message)
        with open({log!r}, "a") as log:
            log.write(f"{{message}}\\n")


def tree(children=(child(Orders, name=Name("orders")),)):
    options = DeadLetterOptions(store=SQLiteStore(PATH))
    return open_supervisor(children, dead_letters=options, max_restarts=100)


def other():
    return open_supervisor([child(Orders, name=Name("orders"))])


def elsewhere():
    options = DeadLetterOptions(store=SQLiteStore(PATH + "2"))
    return open_supervisor([child(Orders, name=Name("orders"))], dead_letters=options)


@asynccontextmanager
async def wrapped():
    async with tree() as supervisor:
        yield
        supervisor.shutdown()


@asynccontextmanager
async def slow():
    async with tree() as supervisor:
        while len(dead_letters()) > 1 or dead_letters()[0].attempts == 1:
            await trio.sleep(0)
        yield supervisor


@asynccontextmanager
async def in_two_steps():
    async with tree(()) as supervisor:
        while any(letter.requested for letter in dead_letters()):
            await trio.sleep(0)
        await supervisor.start(Orders, name=Name("orders"))
        yield supervisor


@asynccontextmanager
async def purges():
    async with tree() as supervisor, trio.open_nursery() as nursery:
        nursery.start_soon(dead_letters().purge, "1-2")
        yield supervisor


@asynccontextmanager
async def purges_first():
    async with tree() as supervisor:
        await dead_letters().purge("1-2")
        yield supervisor


@asynccontextmanager
async def short():
    async with tree() as supervisor:
        supervisor.shutdown()
        yield


@asynccontextmanager
async def fails_late():
    async with tree() as supervisor:
        yield supervisor
    raise ValueError("too late")


@asynccontextmanager
async def groups():
    async with tree() as supervisor, trio.open_nursery() as nursery:
        yield supervisor
        raise ExceptionGroup("several", [ValueError("one"), ExceptionGroup("more", [KeyError("two")])])


@asynccontextmanager
async def interrupted():
    async with tree() as supervisor, trio.open_nursery() as nursery:
        raise KeyboardInterrupt
        yield


def fails():
    def no():
        raise ValueError("no")

    return open_supervisor([child(no)])


def raises():
    raise KeyError("SHOP_DB")


def ends():
    sys.exit(0)


def needs(name):
    return tree()


def returns():
    return 5


async def is_async():
    return tree()


def generator():
    yield tree()


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


def asked_for():
    """The ids of the letters in the file that somebody has asked for."""
    with LetterFile("letters.sqlite") as file:
        return [letter.id for letter in file.outline(LetterFilter()) if letter.requested]
