"""How much a mailbox holds, and what happens to the message that does not fit."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from nursery_otp._policy import checks

Overflow: TypeAlias = Literal["block", "drop_newest", "drop_oldest", "reject", "crash"]

OVERFLOWS = ("block", "drop_newest", "drop_oldest", "reject", "crash")
KINDS = ("lean", "channel")
DEFAULT_CAPACITY = 100_000


@attrs.frozen(kw_only=True)
class MailboxOptions:
    """The bound of a mailbox and its policy at the bound.

    `capacity` counts messages (`math.inf` for none). The default is a fuse against running out of memory, not flow
    control: choose a small number with `overflow="block"` for backpressure. At the bound `block` lets `await send`
    wait, `drop_newest` and `drop_oldest` drop a message, `reject` raises `MailboxFull` at the sender and `crash`
    ends the receiving process. Dropped messages become dead letters. Signals (exits, downs, timers, replies) are
    never subject to the bound. `kind` is the implementation: "lean", or "channel" for Trio's own memory channel.

    >>> MailboxOptions(capacity=10, overflow="drop_oldest").capacity
    10
    """

    capacity: float = DEFAULT_CAPACITY
    overflow: Overflow = "block"
    kind: Literal["lean", "channel"] = "lean"

    def __attrs_post_init__(self) -> None:
        checks.count("capacity", self.capacity, minimum=1)
        checks.one_of("overflow", self.overflow, OVERFLOWS)
        checks.one_of("kind", self.kind, KINDS)


DEFAULT_MAILBOX = MailboxOptions()
