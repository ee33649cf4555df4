"""Servers that the tests of the timeout policy make rules for."""

from nursery_otp import GenServer, call, cast


class Counter(GenServer):
    """Two calls and a cast."""

    @call
    def add(self, amount):
        return amount

    @call
    async def divide(self, by):
        return by

    @cast
    def reset(self):
        pass


class Child(Counter):
    """Inherits `add`, has a `divide` of its own."""

    @call
    async def divide(self, by):
        return -by


class Grandchild(Child):
    """Inherits everything."""


class Stranger(GenServer):
    """The same names, and nothing in common."""

    @call
    def add(self, amount):
        return amount

    @call
    def divide(self, by):
        return by


def another_counter():
    """A class of the same name as `Counter`."""

    class Counter(GenServer):
        @call
        def add(self, amount):
            return amount

    return Counter
