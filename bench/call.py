"""The round trip of a call, against two raw memory channels.

Raw: the client sends on one channel and waits on another, a task echoes; buffers of one. It has no deadline, no typed
reply, no notice when the echo task dies. Ours: `await Echo.coroutine(ref, 1)` through the public API, with the default
limit of 5 s, liveness and deadlock detection, from the body of the supervisor's block. So a ratio below 1 means: more
for less.

What the numbers do not say: there is one client and one idle server, and nothing else runs. Throughput under load is
another claim.
"""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from slices import Comparison, Work, compare, self_check

from nursery_otp import GenServer, call, open_supervisor

RAW = "two raw channels"


class Echo(GenServer):
    @call
    async def coroutine(self, value: int) -> int:
        return value

    @call
    def plain(self, value: int) -> int:
        return value


async def measure(quads: int) -> list[Comparison]:
    async with raw_round_trip() as raw, open_supervisor() as supervisor:
        echo = await supervisor.start(Echo)

        async def coroutine(operations: int) -> None:
            for _ in range(operations):
                await Echo.coroutine(echo, 1)

        async def plain(operations: int) -> None:
            for _ in range(operations):
                await Echo.plain(echo, 1)

        async def unlimited(operations: int) -> None:
            call_echo = Echo.coroutine.within(math.inf)
            for _ in range(operations):
                await call_echo(echo, 1)

        results = [
            await self_check(RAW, raw, quads=quads),
            await compare("call, async handler", coroutine, RAW, raw, quads=quads),
            await compare("call, plain handler", plain, RAW, raw, quads=quads),
            await compare("call, async handler, no limit", unlimited, RAW, raw, quads=quads),
        ]
        supervisor.shutdown()
    return results


@asynccontextmanager
async def raw_round_trip() -> AsyncGenerator[Work]:
    """The baseline: an echo task between two memory channels."""
    send_request, receive_request = trio.open_memory_channel[int](1)
    send_reply, receive_reply = trio.open_memory_channel[int](1)

    async def echo() -> None:
        async for value in receive_request:
            await send_reply.send(value)

    async def round_trips(operations: int) -> None:
        for _ in range(operations):
            await send_request.send(1)
            await receive_reply.receive()

    async with trio.open_nursery() as nursery, send_request:
        nursery.start_soon(echo)
        yield round_trips
