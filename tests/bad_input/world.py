"""What wrong uses are made of: things that are right, to do wrong things to."""

from collections.abc import Callable

import attrs
import trio

import nursery_otp as otp
from nursery_otp import InvalidSpec, Name, NotInProcess


class Counter(otp.GenServer):
    """A server to do wrong things to."""

    def __init__(self, value=0):
        self.value = value

    @otp.call
    def add(self, amount):
        self.value += amount
        return self.value

    @otp.call
    async def run(self, function):
        return await function()

    @otp.cast
    def reset(self, value=0):
        self.value = value

    @classmethod
    def with_init(cls, result):
        """A class whose init returns the wrong thing."""
        return type("Odd", (cls,), {"init": lambda _self: result})


class Team(otp.Supervisor):
    """A supervisor whose children are up to the test."""

    def __init__(self, make=list):
        self.children = make


class Pool(otp.Supervisor):
    """A dynamic supervisor with a limit."""

    strategy = "simple_one_for_one"

    def __init__(self, limit=1):
        self.max_children = limit


class Mixin:
    """Not a server."""

    @otp.call
    def lonely(self):
        return 1


async def _nothing():
    pass


@attrs.define
class World:
    """What a wrong use may need: things that are right."""

    supervisor: otp.SupervisorHandle | None = None
    ref: object = None
    function: object = None
    pool: otp.SupervisorHandle | None = None
    foreign: object = None
    _coroutines: list = attrs.field(factory=list)

    @classmethod
    async def build(cls, supervisor):
        """A server with a name, a plain process, a full pool, and a monitor that belongs to somebody else."""
        ref = await supervisor.start(Counter, id="counter", name=Name("counter"))
        function = await supervisor.start(trio.sleep_forever, id="function")
        pool = otp.SupervisorHandle(await supervisor.start(Pool, id="pool"))
        await pool.start(Counter)
        foreign = await Counter.run(ref, cls._watch(function))
        return cls(supervisor, ref, function, pool, foreign)

    @staticmethod
    def _watch(target):
        async def watch():
            return otp.monitor(target)

        return watch

    async def children(self):
        """What the supervisors of this world have."""
        return await self.supervisor.which_children(), await self.pool.which_children()

    def coroutine(self):
        """A coroutine object, where a function is wanted."""
        coroutine = _nothing()
        self._coroutines.append(coroutine)
        return coroutine

    def close(self):
        """Nobody has run them."""
        for coroutine in self._coroutines:
            coroutine.close()

    def names(self):
        """For the texts of the errors."""
        coroutine = self._coroutines[0] if self._coroutines else None
        pool = self.pool and self.pool.address
        return {
            "ref": self.ref,
            "function": self.function,
            "pool": pool,
            "foreign": self.foreign,
            "coroutine": coroutine,
            "Counter": Counter,
            "root": self.supervisor and self.supervisor.address,
        }


@attrs.frozen
class Case:
    """One wrong use. `asks`: the mistake can only be seen by the process that is asked."""

    name: str
    use: Callable
    kind: type
    text: str
    asks: bool = False

    def __str__(self):
        return self.name


def invalid(name, use, text, **options):
    """A case of the most frequent kind."""
    return Case(name, use, InvalidSpec, text, **options)


NOT_CALLABLE = "must be callable (a class or a function, not what it returns)"
NO_ADDRESS = "(expected a Ref, a Name, or an object with whereis())"
NO_NAME = "must be a Name, such as Name('counter')"
SECONDS = "must be a number of seconds >= 0"
ABSENT = "; none has been started with this name, or it has ended"
ITSELF = "; a process cannot wait for itself: inside of a server, use the methods of self"


def not_in_process(function):
    return (
        f"{function}() is about the process that calls it, and this task is none: "
        "use it inside a function started by a supervisor, spawn() or start()"
    )


def outside(name, use):
    """A function about the current process, in the body of the tree."""
    return Case(f"{name} outside", use, NotInProcess, not_in_process(name))


def no_address(name, use, shown="5"):
    """Something that is no address."""
    return Case(f"{name} address", use, TypeError, f"not an address: {shown} {NO_ADDRESS}")
