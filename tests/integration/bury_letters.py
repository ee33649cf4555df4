"""The program that is killed: its tree buries letters, and it prints the number of each that is durable.

`python -m tests.integration.bury_letters FILE COUNT`. Half of the letters are added by tasks that wait for them, the
others are casts to nobody, of which a flush now and then says that they are safe. Some letters are delivered in
between, and are no longer in the file then.
"""

import os
import sys

import trio

from nursery_otp import DeadLetterOptions, GenServer, Name, cast, dead_letters, mailbox, open_supervisor, spawn
from nursery_otp.stores import SQLiteStore

NOBODY = Name["Orders"]("orders")
HELPER = Name("helper")
TASKS = 32
EVERY = 500
FOR_HELPER = 7  # each seventh letter is for a process that exists


class Orders(GenServer):
    """Never started."""

    @cast
    def put(self, number: int) -> None: ...


async def main(path: str, count: int) -> None:
    """Bury letters 1 to `count`."""
    options = DeadLetterOptions(store=SQLiteStore(path), capacity=2 * count)
    async with open_supervisor(dead_letters=options) as tree:
        spawn(read, name=HELPER)
        numbers, said = iter(range(1, count + 1)), set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(retry, count)
            for _ in range(TASKS):
                nursery.start_soon(bury, numbers, said)
        await flush(said)
        tree.shutdown()


async def bury(numbers, said) -> None:
    """Letters of both kinds."""
    for number in numbers:
        if number % FOR_HELPER == 0:
            await dead_letters().add(HELPER, number, "refused")
        elif number % 2:
            letter = await dead_letters().add(NOBODY, number, "refused")
            say("durable" if letter.durable else "not durable", number)
        else:
            Orders.put(NOBODY, number)
            if number % EVERY == 0:
                await flush(said)


async def flush(said) -> None:
    """Say which casts are safe, each once."""
    before = {letter.message.args[0] for letter in dead_letters().list(reason="noproc")} - said
    if await dead_letters().flush():
        say("durable", *sorted(before - said))
        said |= before


async def retry(count: int) -> None:
    """Deliver what can be delivered, again and again."""
    while dead_letters().statistics().added < count:
        await dead_letters().retry(recipient=HELPER)
        await trio.sleep(0.001)


async def read() -> None:
    """A process that handles everything."""
    async for _ in mailbox():
        pass


def say(what: str, *numbers: int) -> None:
    """Straight into the pipe: what is in a buffer dies with the process."""
    os.write(sys.stdout.fileno(), "".join(f"{what} {number}\n" for number in numbers).encode())


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
