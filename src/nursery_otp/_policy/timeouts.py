"""How long things may take when nobody says otherwise."""

from __future__ import annotations

import math
from typing import Literal

import attrs

from nursery_otp._policy import checks

WHILE_RESTARTING = ("wait", "fail")


@attrs.frozen(kw_only=True)
class Timeouts:
    """The limits of a runtime, in seconds.

    `default` bounds a caller's wait for a reply (OTP: 5 s), `handler` the run of a handler (exceeding it is a crash:
    the state of the server cannot be trusted afterwards). `math.inf` means no limit. `while_restarting` says whether a
    call by name to a child that is being restarted waits for it, within its limit, or fails at once.

    >>> Timeouts(default=2.0).default
    2.0
    """

    default: float = 5.0
    handler: float = math.inf
    while_restarting: Literal["wait", "fail"] = "wait"

    def __attrs_post_init__(self) -> None:
        checks.seconds("default", self.default, zero=False)
        checks.seconds("handler", self.handler, zero=False)
        checks.one_of("while_restarting", self.while_restarting, WHILE_RESTARTING)
