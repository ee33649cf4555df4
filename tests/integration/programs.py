"""Random trees and random things that happen to them, as values, made from one source of chance."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import attrs

from nursery_otp import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    Backoff,
    ChildSpec,
    Failed,
    MailboxOptions,
    Name,
    Supervisor,
    child,
    current_runtime,
)
from tests.integration.actors import FUNCTIONS, Flaky, Trapper, Worker, World

NAMES = [Name[Any](text) for text in ("ada", "bob", "cyd", "dan")]
STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]
REASONS = [NORMAL, SHUTDOWN, KILLED, Failed("boom")]
RESTARTS = ["permanent", "permanent", "transient", "temporary"]
LIMITS = [0.0, 0.05, 1.0, math.inf]
PATIENCES = [0.0, 0.1, 2.0, math.inf, math.inf]
PAUSES = ["none", "none", "step", "settle", "settle", 0.1, 0.3, 1.0, 6.0]
ENDINGS = ["shutdown", "shutdown", "wait", "error", "cancel", "kill root", "stop root"]


# -------------------------------------------------------------------------------------------- trees


@attrs.frozen
class Leaf:
    """A child that does something itself."""

    factory: Any
    options: dict[str, Any]

    def spec(self, world: World, label: str) -> ChildSpec:
        return child(self.factory, world, label, id=label or None, **self.options)


@attrs.frozen
class Branch:
    """A supervisor."""

    flags: dict[str, Any]
    children: list[Leaf | Branch]
    options: dict[str, Any]

    @property
    def dynamic(self) -> bool:
        return self.flags["strategy"] == "simple_one_for_one"

    def spec(self, world: World, label: str) -> ChildSpec:
        return child(Team, self, world, label, id=label or None, **self.options)

    def specs(self, world: World, label: str) -> list[ChildSpec]:
        # Several children of a dynamic supervisor come from one template, so that they carry no label of their own.
        shared = self.dynamic or not label
        return [one.spec(world, "" if shared else f"{label}.{number}") for number, one in enumerate(self.children)]


class Team(Supervisor):
    """A supervisor made from a `Branch`."""

    def __init__(self, branch: Branch, world: World, label: str) -> None:
        for flag, value in branch.flags.items():
            setattr(self, flag, value)
        world.enter(current_runtime())
        self._specs = branch.specs(world, label)

    def children(self) -> list[ChildSpec]:
        return self._specs


def leaf(chance: Random, *, auto: bool = False) -> Leaf:
    """A server or a plain function; `auto`: one whose end may be the end of its supervisor."""
    restart = chance.choice(RESTARTS)
    factory = chance.choice([Worker, Worker, Flaky, Trapper, Trapper, *FUNCTIONS])
    options: dict[str, Any] = {
        "restart": restart,
        "shutdown": chance.choice([None, 0, 0.2, 1.0, "kill"]),
        "name": chance.choice([None] * 12 + NAMES),
        "mailbox": MailboxOptions(
            capacity=chance.choice([1, 2, 5, math.inf]),
            overflow=chance.choice(["block", "drop_newest", "drop_oldest", "reject", "crash"]),
            kind=chance.choice(["lean", "channel"]),
        ),
        "backoff": chance.choice([None, None, None, Backoff(initial=0.2, maximum=1.0)]),
        "service": chance.choice([False, True]),
        "significant": auto and restart != "permanent" and chance.choice([False, True]),
    }
    if factory in FUNCTIONS:
        options["trap_exits"] = chance.choice([False, False, True])
    return Leaf(factory, options)


def branch(chance: Random, depth: int, *, auto: bool = False) -> Branch:
    """A supervisor with at most `depth` supervisors below each other."""
    strategy = chance.choice(STRATEGIES[: 3 if depth == 3 else 4])
    mode = chance.choice(["never", "never", "any_significant", "all_significant"])
    flags: dict[str, Any] = {
        "strategy": strategy,
        "max_restarts": chance.choice([100, 100, 3, 1, 0] if depth < 3 else [100, 100, 100, 3]),
        "auto_shutdown": mode if depth < 3 else "never",
    }
    below_auto = flags["auto_shutdown"] != "never"
    if strategy == "simple_one_for_one":
        flags["max_children"] = chance.choice([1, 3, math.inf])
        size = 1
    else:
        size = chance.randint(1, 4)
    restart = chance.choice(RESTARTS)
    options = {"restart": restart, "significant": auto and restart != "permanent" and chance.choice([False, True])}
    children = [
        branch(chance, depth - 1, auto=below_auto)
        if depth and chance.randint(0, 2) == 0
        else leaf(chance, auto=below_auto)
        for _ in range(size)
    ]
    return Branch(flags, children, options)


# ------------------------------------------------------------------------------------- what happens


@attrs.frozen
class At:
    """A process that is chosen when it is needed, from those of a kind that live then."""

    index: int
    kind: str = ""


def place(chance: Random, kind: str = "leaf") -> At:
    """Mostly one of the kind that makes sense."""
    return At(chance.randint(0, 40), chance.choice([kind, kind, kind, ""]))


def order(chance: Random, depth: int = 2) -> tuple[Any, ...]:
    """What a process is told to do."""
    word = chance.choice(ORDERS[: None if depth else -4])
    match word:
        case "link" | "monitor" | "kill":
            return word, place(chance, "")
        case "stop":
            return word, chance.choice([NORMAL, "boom"])
        case "trap":
            return word, chance.choice([False, True])
        case "spawn":
            return word, chance.choice([False, True]), chance.choice([False, True])
        case "idle":
            return word, chance.choice([0, 0.1])
        case "sleep":
            return word, chance.choice([0.0, 0.1, 1.0, 6.0])
        case "exit":
            return word, place(chance, ""), chance.choice(REASONS)
        case "after":
            return word, chance.choice([0.0, 0.1, 3.0]), place(chance)
        case "every":
            return word, chance.choice([0.1, 0.4]), place(chance)
        case "call":
            return word, place(chance, "server"), order(chance, depth - 1), chance.choice(LIMITS)
        case "tell":
            return word, place(chance), order(chance, depth - 1)
        case "continue":
            return word, order(chance, depth - 1)
        case _:
            return (word,)


ORDERS = [
    *("crash", "crash", "crash together", "stop", "link", "link", "link", "unlink", "unlink", "monitor", "monitor"),
    *("demonitor", "demonitor", "trap", "trap", "spawn", "spawn", "idle", "sleep", "exit", "kill", "after", "every"),
    *("cancel timer", "nothing", "refuse", "later", "answer and stop", "call", "call", "tell", "continue"),
]


def event(chance: Random) -> tuple[Any, ...]:
    """What happens to the tree."""
    word = chance.choice(EVENTS)
    patience = chance.choice(PATIENCES)
    match word:
        case "order" | "cast":
            return word, place(chance), order(chance)
        case "call" | "follow":
            return word, place(chance, "server"), order(chance), chance.choice(LIMITS), patience
        case "call by name":
            return word, chance.choice(NAMES), order(chance), chance.choice(LIMITS), patience
        case "send":
            return word, place(chance), order(chance), patience
        case "kill":
            return word, place(chance, "")
        case "exit":
            return word, place(chance, ""), chance.choice(REASONS)
        case "stop":
            drain = chance.choice([False, True])
            return word, place(chance, ""), chance.choice(REASONS), drain, chance.choice(LIMITS), patience
        case "system":
            return (
                word,
                place(chance, "server"),
                chance.choice(["suspend", "resume", "get_state", "get_status"]),
                patience,
            )
        case "names":
            return word, place(chance), chance.choice(NAMES)
        case "start":
            return word, place(chance, "supervisor"), leaf(chance), chance.choice(["fail", "wait"]), patience
        case "start alone":
            return word, leaf(chance), chance.choice(LIMITS), patience
        case "look":
            return word, place(chance, "supervisor"), patience
        case _:
            return word, place(chance, "supervisor"), chance.randint(0, 40), patience


EVENTS = [
    *("order", "order", "order", "order", "order", "order", "cast", "cast", "call", "call", "call", "follow", "send"),
    *("call by name", "kill", "exit", "stop", "system", "system", "names", "start", "start", "start alone", "look"),
    *("terminate", "restart", "delete"),
]


@attrs.frozen
class Program:
    """A tree, what happens to it, and how it ends."""

    tree: Branch
    events: list[tuple[Any, Any]]
    ending: str
    seed: int

    @classmethod
    def by(cls, chance: Random) -> Program:
        tree = branch(chance, 3)
        events = [(event(chance), chance.choice(PAUSES)) for _ in range(chance.randint(5, 40))]
        return cls(tree, events, chance.choice(ENDINGS), chance.randint(0, 1000))
