"""Random trees and random things that happen to them, as values."""

from __future__ import annotations

import math
from typing import Any

import attrs
from hypothesis import strategies as st

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
STRATEGIES = ["simple_one_for_one", "one_for_one", "one_for_all", "rest_for_one"]
REASONS = [NORMAL, SHUTDOWN, KILLED, Failed("boom")]


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


mailboxes = st.builds(
    MailboxOptions,
    capacity=st.sampled_from([1, 2, 5, math.inf]),
    overflow=st.sampled_from(["block", "drop_newest", "drop_oldest", "reject", "crash"]),
    kind=st.sampled_from(["lean", "channel"]),
)
backoffs = st.sampled_from([None, None, None, Backoff(initial=0.2, maximum=1.0)])
restarts = st.sampled_from(["permanent", "permanent", "transient", "temporary"])


@st.composite
def leaves(draw: Any, *, auto: bool) -> Leaf:
    restart = draw(restarts)
    options = {
        "restart": restart,
        "shutdown": draw(st.sampled_from([None, 0, 0.2, 1.0, math.inf, "kill"])),
        "name": draw(st.sampled_from([None] * 12 + NAMES)),
        "mailbox": draw(mailboxes),
        "backoff": draw(backoffs),
        "service": draw(st.booleans()),
        "significant": auto and restart != "permanent" and draw(st.booleans()),
    }
    factory = draw(st.sampled_from([Worker, Flaky, Trapper, *FUNCTIONS]))
    if factory in FUNCTIONS:
        options["trap_exits"] = draw(st.sampled_from([False, False, True]))
    if options["shutdown"] == math.inf and (options.get("trap_exits") or options["name"] is None):
        options["shutdown"] = 1.0  # a function that traps exits ignores the request to stop: it must have a limit
    return Leaf(factory, options)


@st.composite
def branches(draw: Any, depth: int, *, auto: bool = False) -> Branch:
    strategy = draw(st.sampled_from(STRATEGIES[depth > 2 :]))
    dynamic = strategy == "simple_one_for_one"
    mode = draw(st.sampled_from(["never", "never", "any_significant", "all_significant"]))
    flags: dict[str, Any] = {
        "strategy": strategy,
        "max_restarts": draw(st.sampled_from([100, 100, 3, 1, 0])),
        "auto_shutdown": mode,
    }
    if dynamic:
        flags["max_children"] = draw(st.sampled_from([1, 3, math.inf]))
    kinds = leaves(auto=mode != "never")
    below = kinds if depth == 0 else branches(depth - 1, auto=mode != "never") | kinds
    restart = draw(restarts)
    options = {"restart": restart, "significant": auto and restart != "permanent" and draw(st.booleans())}
    return Branch(flags, draw(st.lists(below, min_size=1 if dynamic else 2, max_size=1 if dynamic else 4)), options)


# ------------------------------------------------------------------------------------- what happens

indexes = st.integers(0, 40)
waits = st.sampled_from([0.0, 0.05, 0.1, 0.3, 1.0, 6.0])
limits = st.sampled_from([0.0, 0.05, 1.0, math.inf])
plain_orders = st.sampled_from(
    [
        ("crash",),
        ("crash",),
        ("crash together",),
        ("stop", NORMAL),
        ("stop", "boom"),
        ("demonitor",),
        ("trap", True),
        ("trap", False),
        ("cancel timer",),
        ("spawn", True, False),
        ("spawn", False, False),
        ("spawn", True, True),
        ("idle", 0),
        ("idle", 0.1),
        ("nothing",),
        ("refuse",),
        ("later",),
        ("answer and stop", NORMAL),
    ]
)


@attrs.frozen
class At:
    """A process that is chosen when it is needed, from those of a kind that live then."""

    index: int
    kind: str = ""


places = st.builds(At, indexes, st.sampled_from(["", "leaf", "leaf"]))
servers = st.builds(At, indexes, st.sampled_from(["server", "server", "server", ""]))
supervisors = st.builds(At, indexes, st.sampled_from(["supervisor", "supervisor", "supervisor", ""]))
orders_to = st.one_of(
    st.tuples(st.sampled_from(["link", "unlink", "monitor", "kill"]), places),
    st.tuples(st.just("sleep"), waits),
    st.tuples(st.just("exit"), places, st.sampled_from(REASONS)),
    st.tuples(st.just("after"), waits, places),
    st.tuples(st.just("every"), st.sampled_from([0.1, 0.4]), places),
)
orders = st.recursive(
    plain_orders | orders_to,
    lambda order: (
        st.tuples(st.just("call"), servers, order, limits)
        | st.tuples(st.just("tell"), places, order)
        | st.tuples(st.just("continue"), order)
    ),
    max_leaves=3,
)
patiences = st.sampled_from([0.0, 0.1, 2.0, math.inf, math.inf])
events = st.one_of(
    st.tuples(st.just("order"), places, orders),
    st.tuples(st.just("order"), places, orders),
    st.tuples(st.just("cast"), servers, orders),
    st.tuples(st.sampled_from(["call", "follow"]), servers, orders, limits, patiences),
    st.tuples(st.sampled_from(["call", "follow"]), servers, orders, limits, patiences),
    st.tuples(st.just("send"), places, orders, patiences),
    st.tuples(st.just("exit"), places, st.sampled_from(REASONS)),
    st.tuples(st.just("stop"), places, st.sampled_from(REASONS), st.booleans(), limits, patiences),
    st.tuples(st.just("system"), servers, st.sampled_from(["suspend", "resume", "get_state", "get_status"]), patiences),
    st.tuples(st.just("names"), places, st.sampled_from(NAMES)),
    st.tuples(st.just("call by name"), st.sampled_from(NAMES), orders, limits, patiences),
    st.tuples(st.just("start"), supervisors, leaves(auto=False), st.sampled_from(["fail", "wait"]), patiences),
    st.tuples(st.sampled_from(["terminate", "restart", "delete"]), supervisors, indexes, patiences),
    st.tuples(st.just("look"), supervisors, patiences),
    st.tuples(st.just("start alone"), leaves(auto=False), limits, patiences),
    st.tuples(st.just("kill"), places),
)
pauses = st.sampled_from(["none", "none", "step", "settle", "settle", 0.1, 0.3, 1.0, 6.0])
happenings = st.lists(st.tuples(events, pauses), min_size=10, max_size=30)
endings = st.sampled_from(["shutdown", "shutdown", "wait", "error", "cancel", "kill root", "stop root"])
