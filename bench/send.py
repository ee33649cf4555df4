"""A supervised send, against `await channel.send` of a raw memory channel.

Both have the same checkpoint contract: look for a cancellation, put the message in, let others run. Both fill a buffer
that nobody reads while it is measured, and that is emptied in between by other means. Ours finds out besides whether
the recipient works, whether it has room, whether anybody watches over it or listens, and counts; it returns a
`Delivery`. By name it looks the name up as well.

What the numbers do not say: the channel has a receiver in the same task, and nothing else runs, so the price of the
checkpoint is that of an idle loop. A send that has to wait, or that is confirmed, does more, and is not compared here.
"""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
import trio.testing
from slices import Comparison, Work, compare, self_check

from nursery_otp import Backoff, MailboxOptions, Name, mailbox, open_supervisor, send, spawn

RAW = "await channel.send"
BUFFERED = MailboxOptions(capacity=math.inf)


async def measure(quads: int) -> list[Comparison]:
    async with raw_sends() as raw, open_supervisor() as supervisor:
        scope = trio.CancelScope()
        boxes = []

        async def reader() -> None:
            boxes.append(mailbox())
            with scope:
                await trio.sleep_forever()

        name = Name[object]("reader")
        ref = spawn(reader, name=name, mailbox=BUFFERED)
        await trio.testing.wait_all_tasks_blocked()
        box = boxes[0]

        def drain() -> None:
            while True:
                try:
                    box.receive_nowait()
                except trio.WouldBlock:
                    return

        async def by_ref(operations: int) -> None:
            for _ in range(operations):
                await send(ref, 1)

        async def by_name(operations: int) -> None:
            for _ in range(operations):
                await send(name, 1)

        async def with_options(operations: int) -> None:
            backoff = Backoff()
            for _ in range(operations):
                await send(ref, 1, retries=3, backoff=backoff, on_error="dead_letter")

        results = [await self_check(RAW, raw, quads=quads)]
        for title, work in (
            ("send, by ref", by_ref),
            ("send, by name", by_name),
            ("send, with retries and dead_letter", with_options),
        ):
            results.append(await compare(title, work, RAW, raw, quads=quads))
            drain()
        scope.cancel()
        supervisor.shutdown()
    return results


@asynccontextmanager
async def raw_sends() -> AsyncGenerator[Work]:
    """The baseline: a memory channel with room for everything."""
    sender, receiver = trio.open_memory_channel[int](math.inf)

    async def sends(operations: int) -> None:
        for _ in range(operations):
            await sender.send(1)

    async with sender, receiver:
        yield sends
