"""How monitors are watched over: from which age one counts as a leak, and when to look."""

from __future__ import annotations

import attrs

from nursery_otp._policy import checks

CHECKS_PER_LIMIT = 10


@attrs.frozen(kw_only=True)
class MonitorOptions:
    """How a runtime watches over its monitors.

    A monitor that is on for `leak_after` seconds counts as a leak and is reported once, in the log and as an event;
    `math.inf` turns that off. With `stacks` every monitor keeps the text of the whole stack it was made on, which costs
    many times the monitor itself: for debugging.

    >>> MonitorOptions(leak_after=60.0).stacks
    False
    """

    leak_after: float = 300.0
    stacks: bool = False

    def __attrs_post_init__(self) -> None:
        checks.seconds("leak_after", self.leak_after, zero=False)
        checks.flag("stacks", self.stacks)


@attrs.frozen(kw_only=True)
class MonitorStatistics:
    """What became of all monitors of a runtime so far.

    `created` is always the sum of the three ways in which a monitor ends and of those that are `active`. `leaks` counts
    the monitors that were reported as leaks, each once, whether or not they have ended since.
    """

    created: int
    cleaned_by_demonitor: int
    cleaned_by_target: int
    cleaned_by_owner: int
    active: int
    leaks: int


def next_check(oldest: float, now: float, leak_after: float) -> float:
    """When to look for leaks again, if the oldest monitor that is not reported was made at `oldest`.

    A look visits every monitor, so there are at most ten of them in the time in which a monitor becomes a leak.
    """
    return max(oldest + leak_after, now + leak_after / CHECKS_PER_LIMIT)
