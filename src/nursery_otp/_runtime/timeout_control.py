"""Asking for timeouts and changing them while a tree runs."""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeAlias, Unpack

from nursery_otp._policy.timeout_explained import TimeoutExplanation, TimeoutKind
from nursery_otp._policy.timeout_keys import OperationHandle
from nursery_otp._policy.timeout_rules import Origin
from nursery_otp._policy.timeouts import TimeoutChanges, Timeouts
from nursery_otp._runtime.call_sites import place
from nursery_otp._runtime.context import runtime_for
from nursery_otp._runtime.interrupts import protected
from nursery_otp._runtime.limits import Layer, Limits, checked_policy

Identifier: TypeAlias = type[Any] | OperationHandle | str | tuple[Any, ...]


def get_timeout(identifier: Identifier, *, kind: TimeoutKind = "call") -> float:
    """The limit that holds for an operation now, in seconds (`math.inf`: none).

    The identifier is a client function (`Counter.divide`), a server class (what its operations have unless a rule says
    otherwise), or anything that a rule can be about, as text or as a tuple: `"Counter.send"`, `("render", "page")`.
    Text cannot say which class it means, so that rules for a base class are only found with the class or the client
    function. `kind` is "call" for a caller's wait, "handler" for the handler's run.

    Raises `InvalidSpec` for a pattern and for what can be no identifier, `NoRuntime` outside of a tree.

    >>> async def main() -> None:
    ...     async with open_supervisor(timeouts=Timeouts(rules={"*.add": 0.5})) as supervisor:
    ...         print(get_timeout(Counter.add), get_timeout(Counter))
    ...         supervisor.shutdown()
    >>> trio.run(main)
    0.5 5.0
    """
    return runtime_for("get_timeout()").limits.policy.limit(identifier, kind)


def explain_timeout(identifier: Identifier, *, kind: TimeoutKind = "call") -> TimeoutExplanation:
    """Why `get_timeout` says what it says: the rule that decides, its source, and the weaker rules.

    >>> async def main() -> None:
    ...     async with open_supervisor(timeouts=Timeouts(factor=4.0, rules={"*.add": 0.5})) as supervisor:
    ...         print(explain_timeout(Counter.add))
    ...         supervisor.shutdown()
    >>> trio.run(main)
    Counter.add: 2 s for the wait of a caller
      decides  pattern    '*.add' = 0.5 s  (code)
      times    factor 4  (code)
      weaker   default    default = 5 s  (built in)
    """
    return runtime_for("explain_timeout()").limits.policy.explain(identifier, kind)


def set_timeouts(policy: Timeouts) -> Timeouts:
    """Put another policy in force for this tree; the one that was there before.

    It holds for every call that begins from now on, also by client functions that exist, and for every handler that
    begins to run; a wait that has begun keeps its limit. It is taken as it is: files and environment are not read
    again (`load_timeouts` does that). Overrides stay on top of it.

    Raises `InvalidSpec` if it is no `Timeouts` or does not go together with an override, `NoRuntime` outside of a tree;
    then nothing changes.
    """
    limits = runtime_for("set_timeouts()").limits
    return limits.replace(checked_policy(policy), Origin(f"set_timeouts at {place(folders=1)}"))


@protected
class override_timeouts:  # noqa: N801 - used like a function
    """Other timeouts for the length of a `with` block, in the whole tree: the fields of `Timeouts`, as far as given.

    Rules and tiers are added to those that are there, or replace them. It holds as `set_timeouts` says, for every
    process of the tree, whoever entered the block. Blocks may overlap: leaving one takes away its own changes only,
    and of two that change the same thing the one entered last counts.

    Entering raises `InvalidSpec` if the changes do not hold, `NoRuntime` outside of a tree.

    >>> async def main() -> None:
    ...     async with open_supervisor() as supervisor:
    ...         with override_timeouts(default=0.5, rules={Counter.add: "long"}):
    ...             print(get_timeout(Counter), get_timeout(Counter.add))
    ...         print(get_timeout(Counter), get_timeout(Counter.add))
    ...         supervisor.shutdown()
    >>> trio.run(main)
    0.5 30.0
    5.0 5.0
    """

    def __init__(self, **changes: Unpack[TimeoutChanges]) -> None:
        self._changes = changes
        self._origin = Origin(f"override at {place(folders=1)}")
        self._entered: tuple[Limits, Layer] | None = None

    def __enter__(self) -> None:
        if self._entered is not None:
            raise RuntimeError("this override_timeouts() is in use already; make another one")
        limits = runtime_for("override_timeouts()").limits
        self._entered = limits, limits.push(self._changes, self._origin)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered, self._entered = self._entered, None
        if entered is not None:
            limits, layer = entered
            limits.remove(layer)
