"""The timeout policy as it may be written, with the types that a checker has to find. Nobody runs this file."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

from nursery_otp import (
    ANY,
    GenServer,
    Name,
    OperationTimeouts,
    Ref,
    ShadowedRule,
    TimeoutExplanation,
    TimeoutReport,
    Timeouts,
    call,
    call_with_timeout,
    cast,
    current_runtime,
    explain_timeout,
    get_timeout,
    load_timeouts,
    observe_timeouts,
    override_timeouts,
    set_timeouts,
    timeout_report,
)


class Counter(GenServer):
    @call
    def add(self, amount: int) -> int:
        return amount

    @cast
    def reset(self) -> None: ...


POLICY = Timeouts(
    default=2,
    handler=math.inf,
    while_restarting="fail",
    rules={
        Counter: 1,
        Counter.add: "long",
        Counter.add.while_restarting("wait"): "long",
        "Counter.add": 0.5,
        "*.add": math.inf,
        ("shard", 7, ANY): "night",
    },
    handler_rules={Counter.reset: 1},
    tiers={"night": 3600},
    factor=4,
)


def rules(by_text: dict[str, float], by_class: Mapping[type[GenServer], str]) -> Timeouts:
    """Rules may come from mappings of any kind of key."""
    assert_type(POLICY.limit(Counter.add), float)
    assert_type(POLICY.explain(Counter), TimeoutExplanation)
    assert_type(POLICY.default, float)
    return Timeouts(rules=by_text, handler_rules=by_class)


def asking(counter: Ref[Counter]) -> None:
    """Identifiers, and what comes back."""
    assert_type(get_timeout(Counter), float)
    assert_type(get_timeout(Counter.add), float)
    assert_type(get_timeout(Counter.reset, kind="handler"), float)
    assert_type(get_timeout("Counter.add", kind="call"), float)
    why = explain_timeout(("shard", 7, "get"))
    assert_type(why, TimeoutExplanation)
    assert_type(why.seconds, float)
    assert_type(why.shadowed, tuple[ShadowedRule, ...])
    assert_type(why.value, float | str)
    report = timeout_report()
    assert_type(report, TimeoutReport)
    assert_type(report.line("Counter.add", "handler"), OperationTimeouts)
    for line in report:
        assert_type(line.fired, int)
        assert_type(line.p99, float | None)
    assert_type(current_runtime().timeouts, Timeouts)
    print(counter)


def changing() -> None:
    """Overrides and sources."""
    with override_timeouts(default=1, rules={Counter.add: "critical"}, tiers={"long": 7}, factor=2), observe_timeouts():
        assert_type(set_timeouts(Timeouts()), Timeouts)
    assert_type(load_timeouts(), Timeouts)
    assert_type(load_timeouts("otp.toml", base=POLICY), Timeouts)
    assert_type(load_timeouts(Path("otp.toml"), environ=os.environ), Timeouts)


async def calling(counter: Ref[Counter]) -> None:
    """Requests as values."""
    assert_type(await call_with_timeout(counter, Counter.add.message(1)), Any)
    assert_type(await call_with_timeout(Name[Counter]("x"), Counter.add.message(1), within=math.inf), Any)
