"""A server that does as its messages say, and sends to it that have to be confirmed."""

import pytest
import trio

from nursery_otp import Continue, GenServer, MailboxOptions, call, cast, current_runtime, send
from tests.runtime.boxes import OURS


class Worker(GenServer):
    """Does as the message says."""

    def __init__(self) -> None:
        self.seen = []

    async def handle_info(self, message):
        self.seen.append(message)
        match message:
            case float():
                await trio.sleep(message)
            case Exception():
                raise message
            case _:
                pass
        return message if isinstance(message, Continue) else None

    def handle_continue(self, argument):
        raise argument

    @cast
    def note(self, message: object) -> None:
        self.seen.append(message)

    @call
    def answer(self, message: object) -> str:
        self.seen.append(message)
        return "nobody hears"

    @call
    def history(self) -> list[object]:
        return list(self.seen)


@pytest.fixture(params=OURS)
def box(request):
    """A mailbox of either kind."""
    return MailboxOptions(kind=request.param)


@pytest.fixture
async def worker(tree, box):
    """A server that is not restarted."""
    return await tree.start(Worker, restart="temporary", mailbox=box)


async def handled(recipient, message, **options):
    """Send and have it confirmed."""
    return await send(recipient, message, confirm="handled", **options)


async def failure(recipient, message, **options):
    """What a confirmed send fails with."""
    with pytest.raises(Exception) as caught:
        await handled(recipient, message, **options)
    return caught.value


def nothing_left(ref):
    """No message and no alarm, and every message accounted for."""
    assert 0 == len(ref._process.mailbox)
    assert [] == [alarm for _, alarm in current_runtime().alarms.armed() if hasattr(alarm, "confirmed")]
    assert current_runtime().ledger().balanced
