"""Which rule decides about a limit, where it came from, and which others it beats."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import attrs

from nursery_otp._policy.timeout_rules import Level

TimeoutKind: TypeAlias = Literal["call", "handler"]

_WHAT = {"call": "the wait of a caller", "handler": "the run of the handler"}


def in_words(seconds: float) -> str:
    """A limit for people."""
    return "no limit" if seconds == math.inf else f"{seconds:g} s"


@attrs.frozen
class ShadowedRule:
    """A rule that holds for an operation, but is not the strongest one.

    `level` and `rule` as in `TimeoutExplanation`; `value` is as it was given (seconds, or the name of a tier),
    `value_in_seconds` what that means without the factor.
    """

    level: Level
    rule: str
    value: float | str
    value_in_seconds: float
    source: str

    def __str__(self) -> str:
        seconds = in_words(self.value_in_seconds)
        value = f"tier {self.value}: {seconds}" if isinstance(self.value, str) else seconds
        return f"{self.level:<9}  {self.rule} = {value}  ({self.source})"


@attrs.frozen(kw_only=True)
class TimeoutExplanation:
    """Why an operation has the limit that it has; `str()` of it is for reading.

    `seconds` is the limit in force. `level` says what decides: "explicit" (`within`), "operation", "pattern", "service"
    or "default"; `rule` is the key of the rule, `value` its value as it was given (seconds or the name of a tier),
    `value_in_seconds` what that means, and `source` where it came from. `factor` is what it was multiplied by.
    `shadowed` are the rules that hold as well but are weaker, strongest first.
    """

    identifier: str
    kind: TimeoutKind
    seconds: float
    level: Level
    rule: str
    value: float | str
    value_in_seconds: float
    source: str
    factor: float
    factor_source: str
    shadowed: tuple[ShadowedRule, ...]

    def __str__(self) -> str:
        lines = [f"{self.identifier}: {in_words(self.seconds)} for {_WHAT[self.kind]}"]
        winner = ShadowedRule(self.level, self.rule, self.value, self.value_in_seconds, self.source)
        lines.append(f"  decides  {winner}")
        if self.factor != 1:
            lines.append(f"  times    factor {self.factor:g}  ({self.factor_source})")
        lines += [f"  weaker   {rule}" for rule in self.shadowed]
        return "\n".join(lines)
