"""A call whose request is a value and whose server need not be known as a class."""

from __future__ import annotations

from typing import Any

from nursery_otp._behaviours.operations import ClientCall
from nursery_otp._policy import checks
from nursery_otp._runtime.calls import Call, checked_limit
from nursery_otp._runtime.limits import subject_of_label
from nursery_otp._runtime.messages import Message
from nursery_otp._runtime.refs import Address, find

_WRONG = "must be a request as a value, made with Server.operation.message(...)"


async def call_with_timeout(target: Address[Any], message: Message, *, within: float | None = None) -> Any:
    """Send a request that is a value, and wait for the reply.

    It is the call `Server.operation(target, ...)` for code that has the request already: from a queue, from a dead
    letter, from `Counter.add.message(4)`. `Server` is the class of the server at `target`, and the limit that of the
    policy for its operation (a client function of a base class has the limit of that class instead), or `within`
    seconds if given (`math.inf`: none; 0: send, but do not wait). While the target is being restarted its class is not
    known, and a rule counts only if it is about the name of the operation.

    Raises what a call raises, and `InvalidSpec` if `message` is no `Message`. OTP: `gen_server:call/2,3`.

    >>> async def main() -> None:
    ...     async with open_supervisor() as supervisor:
    ...         counter = await supervisor.start(Counter, 10)
    ...         print(await call_with_timeout(counter, Counter.add.message(5), within=0.5))
    ...         supervisor.shutdown()
    >>> trio.run(main)
    15
    """
    checks.instance("message", message, Message, _WRONG)
    limit = None if within is None else checked_limit(within)
    process = find(target)
    service = None if process is None else process.service
    client = None if service is None else service._otp_clients.get(message.operation)
    if isinstance(client, ClientCall):
        client = client if limit is None else client.within(limit)
        return await client(target, *message.args, **message.kwargs)
    label = message.operation if process is None else f"{process.label}.{message.operation}"
    call = Call(label, message.operation, message.args, message.kwargs, target)
    if limit is None:
        limit = call.runtime.limits.policy.limit(subject_of_label(label))
    return await call.perform(limit)
