"""What it costs that the limit of a call comes from the policy.

Baseline: a client function with its number in it, `Echo.plain.within(5.0)`. Ours: the client function itself, under a
policy of 50 rules of all kinds. The cheapest call there is (a plain handler, an idle server) makes the share of the
look-up as large as it can be. In the last line 50 rules for handlers are looked at as well, for an `async def` handler
that none of them limits, against a tree without any rule.
"""

import math
from collections.abc import Mapping

from slices import Comparison, Work, compare, self_check

from nursery_otp import ANY, ClientCall, GenServer, Ref, Timeouts, call, open_supervisor

HARD_CODED = "the number in the call"


class Echo(GenServer):
    @call
    async def coroutine(self, value: int) -> int:
        return value

    @call
    def plain(self, value: int) -> int:
        return value


class Other(Echo):
    """Rules for operations of this class do not concern `Echo`."""


def rules(own: float) -> Mapping[object, float | str]:
    """50 rules of all kinds; the strongest one for `Echo` is that for its class."""
    found: dict[object, float | str] = {Echo: own, Other: "long", Other.plain: 1.0, "Other.coroutine": 2.0, "render": 3}
    found |= {f"Service{number}.operation": 4.0 for number in range(15)}
    found |= {f"operation{number}": "critical" for number in range(10)}
    found |= {f"*.part{number}_*": 7.0 for number in range(10)}
    found |= {("Tuple", number, ANY): 8.0 for number in range(10)}
    assert 50 == len(found)
    return found


async def measure(quads: int) -> list[Comparison]:
    for_callers, for_both = Timeouts(rules=rules(5.0)), Timeouts(rules=rules(5.0), handler_rules=rules(math.inf))
    async with (
        open_supervisor() as without,
        open_supervisor(timeouts=for_callers) as one,
        open_supervisor(timeouts=for_both) as two,
    ):
        echo, echo_one, echo_two = [await supervisor.start(Echo) for supervisor in (without, one, two)]
        plain = round_trips(Echo.plain.within(5.0), echo_one)
        coroutine = round_trips(Echo.coroutine.within(5.0), echo)
        ours = round_trips(Echo.plain, echo_one)
        ours_both = round_trips(Echo.coroutine, echo_two)
        results = [
            await self_check(HARD_CODED, plain, quads=quads),
            await compare("limit from 50 rules", ours, HARD_CODED, plain, quads=quads),
            await compare("the same, and 50 rules for handlers", ours_both, HARD_CODED, coroutine, quads=quads),
        ]
        for supervisor in (without, one, two):
            supervisor.shutdown()
    return results


def round_trips(client: ClientCall[Echo, [int], int], echo: Ref[Echo]) -> Work:
    async def work(operations: int) -> None:
        for _ in range(operations):
            await client(echo, 1)

    return work
