"""A crash at the bottom of a deep tree.

Baseline: an exception that goes up through so many nested nurseries. Ours: a server below so many nested supervisors
crashes, its supervisor restarts it, and it answers again, so ours does more. A ratio below 1 means that it is still
cheaper not to let the exception travel; the two depths show that the one grows with the square of the depth, and the
other not at all.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress

import trio
from slices import Comparison, Work, compare

from nursery_otp import CallExited, ChildSpec, GenServer, Name, Supervisor, call, child, open_supervisor

DEPTHS = (25, 100)


class Leaf(GenServer):
    @call
    def crash(self) -> None:
        raise ValueError

    @call
    def ping(self) -> None:
        pass


class Level(Supervisor):
    """One of many, each with the next as its only child."""

    max_restarts = 10**9

    def __init__(self, below: int, leaf: Name[Leaf]) -> None:
        self.below = below
        self.leaf = leaf

    def children(self) -> Iterable[ChildSpec]:
        return [child(Level, self.below - 1, self.leaf) if self.below else child(Leaf, name=self.leaf)]


def through_nurseries(depth: int) -> Work:
    async def nest(levels: int) -> None:
        if levels == 0:
            raise ValueError
        level = trio.open_nursery()
        async with level as nursery:
            nursery.start_soon(nest, levels - 1)

    async def crash(operations: int) -> None:
        for _ in range(operations):
            with suppress(ExceptionGroup):
                await nest(depth)

    return crash


def below_supervisors(leaf: Name[Leaf]) -> Work:
    async def crash(operations: int) -> None:
        for _ in range(operations):
            with suppress(CallExited):
                await Leaf.crash(leaf)
            await Leaf.ping(leaf)

    return crash


async def measure(quads: int) -> list[Comparison]:
    logging.getLogger("nursery_otp").setLevel(logging.CRITICAL)
    results = []
    for depth in DEPTHS:
        leaf = Name[Leaf](f"leaf {depth}")
        async with open_supervisor() as root:
            await root.start(Level, depth - 1, leaf)
            ours, baseline = below_supervisors(leaf), through_nurseries(depth)
            names = f"crash and restart, depth {depth}", f"through {depth} nurseries"
            results.append(await compare(names[0], ours, names[1], baseline, quads=quads))
            root.shutdown()
    return results
