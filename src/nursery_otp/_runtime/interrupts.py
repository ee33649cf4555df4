"""Where a KeyboardInterrupt must not strike.

Trio keeps the signal out of its own code; everything else is interrupted wherever it is. In the middle of a mailbox or
of the end of a process that would leave something half done: a reader that nobody wakes, a process that never runs.
Code marked here lets the interrupt be delivered to the main task instead, which is to say to the block of
`open_supervisor`. It costs nothing: Trio looks the marks up when a signal comes. The callbacks of users are marked as
interruptible again, where they are called.
"""

from __future__ import annotations

from types import FunctionType
from typing import TypeVar

import trio

T = TypeVar("T")


def protected(thing: T) -> T:
    """A class or a function in whose own code no KeyboardInterrupt is raised."""
    if isinstance(thing, type):
        for attribute in vars(thing).values():
            function = attribute.fget if isinstance(attribute, property) else attribute
            if isinstance(function, FunctionType):
                trio.lowlevel.enable_ki_protection(function)
    elif isinstance(thing, FunctionType):
        trio.lowlevel.enable_ki_protection(thing)
    return thing
