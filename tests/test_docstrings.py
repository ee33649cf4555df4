"""The examples in the docstrings run as they stand."""

import doctest
import importlib
import pkgutil

import pytest
import trio

import nursery_otp
from nursery_otp import stores

MODULES = ["nursery_otp", *(module.name for module in pkgutil.walk_packages(nursery_otp.__path__, "nursery_otp."))]


class Counter(nursery_otp.GenServer):
    """The server that the examples speak of."""

    def __init__(self, start: int) -> None:
        self.value = start

    @nursery_otp.call
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    """Every `>>>` example in this module prints what it says, with the public names and those that it defines."""
    module = importlib.import_module(name)
    own = {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    names = {**own, **vars(nursery_otp), **vars(stores), "trio": trio, "Counter": Counter}
    result = doctest.testmod(module, globs={**names, "__name__": "example"})

    assert 0 == result.failed
