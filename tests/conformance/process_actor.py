"""The scripted plain process: it logs what it receives and then does as the message says."""

from __future__ import annotations

import attrs

from nursery_otp import mailbox, trap_exits
from tests.conformance.process_terms import Json
from tests.conformance.process_world import Process


@attrs.frozen(eq=False)
class DoOps:
    """What the player hands to a process: run these ops when you get to it."""

    ops: list[Json]


async def actor(process: Process) -> None:
    """The process as such; whoever spawns it enters it in the world."""
    trap_exits(process.traps)
    await process.run(process.spec.get("do", []))
    if process.spec.get("loop", True):
        async for message in mailbox():
            await take(process, message)


async def take(process: Process, message: object) -> None:
    if isinstance(message, DoOps):
        await process.run(message.ops)
    else:
        process.log("msg", process.show(message))
        await process.run(process.script(message).get("do", []))
