"""Servers against a model: any mix of messages, instructions and stops does what a simple queue would do."""

from collections import deque

import attrs
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp import (
    CallExited,
    Continue,
    Idle,
    IdleTimeout,
    Later,
    MailboxOptions,
    Stop,
    answer,
    resume,
    send_after,
    send_nowait,
    stop_nowait,
    suspend,
)
from tests.behaviours.origins import Server
from tests.behaviours.stage import Stage, outcome_of

# ------------------------------------------------------------------------------------------ scripts


@attrs.frozen
class Step:
    """One message: how it is sent, and what its callback says to do next, link by link of a chain of continues."""

    way: str
    number: int
    chain: tuple[str, ...]
    end: str  # "none", "idle" or "stop"
    asynchronous: bool


WAYS = ("call", "pending", "cast", "info", "timer")

steps = st.builds(
    Step,
    way=st.sampled_from(WAYS),
    number=st.integers(0, 9),
    chain=st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
    end=st.sampled_from(["none", "none", "none", "idle", "stop"]),
    asynchronous=st.booleans(),
)
scripts = st.lists(st.lists(steps, max_size=5), min_size=1, max_size=4)


def next_of(step, links):
    """The instruction for what comes after this link."""
    if links:
        first, *rest = links
        return Continue(act_of(step, ("continue", first), rest))
    return {"none": None, "idle": Idle(5), "stop": Stop("script")}[step.end]


def act_of(step, entry, links):
    """What a callback does: write down, and say what comes next."""

    def act(server):
        server.note(*entry)
        return next_of(step, links)

    async def slowly(server):
        await trio.lowlevel.checkpoint()
        return act(server)

    return slowly if step.asynchronous else act


def replying(step):
    """The same for a call, which has to answer, now or later."""

    def act(server):
        server.note(step.way, step.number)
        then = next_of(step, step.chain)
        if step.way == "call":
            return answer(step.number, then=then)
        later = Later()
        if step.number % 2:
            later.reply(step.number)
        return later.pending(then=then)

    async def slowly(server):
        await trio.lowlevel.checkpoint()
        return act(server)

    return slowly if step.asynchronous else act


def send(ref, step):
    """Send one message; the request, if it is a call."""
    act = act_of(step, (step.way, step.number), step.chain)
    match step.way:
        case "call" | "pending":
            client = Server.ask_async if step.asynchronous else Server.ask
            return client.request(ref, replying(step))
        case "cast":
            (Server.tell_async if step.asynchronous else Server.tell)(ref, act)
        case "info":
            send_nowait(ref, act)
        case "timer":
            send_after(0, ref, act)
    return None


# -------------------------------------------------------------------------------------------- model


def model(script):
    """What the diary must say, and how the requests must end; batches are sent five idle times apart."""
    diary, replies, stopped = ["init"], [], False
    for batch in script:
        # Within a batch a timer's message is delivered when the sender lets others run: last.
        queue = deque([*(s for s in batch if s.way != "timer"), *(s for s in batch if s.way == "timer")])
        idle = False
        while queue and not stopped:
            step = queue.popleft()
            diary.append((step.way, step.number))
            diary.extend(("continue", link) for link in step.chain)
            stopped = step.end == "stop"
            idle = step.end == "idle"
            if step.way == "call" or (step.way == "pending" and step.number % 2):
                replies.append(("value", step.number))
            elif step.way == "pending":
                replies.append(("gone", None))
        replies.extend(("gone", None) for step in queue if step.way in {"call", "pending"})
        if stopped:
            break
        if idle:
            diary.append(("info", IdleTimeout()))
    diary.append(("terminate", Stop("script" if stopped else "end").reason))
    return diary, replies


async def play(script, kind, hold):
    """The same with a real server; while a batch is sent it may be suspended."""
    diary = []
    async with Stage() as supervisor:
        options = {"mailbox": MailboxOptions(kind=kind), "restart": "temporary"}
        ref = await supervisor.start(Server, diary, **options)
        requests = []
        for batch in script:
            if not ref.alive:
                break
            if hold:
                await suspend(ref)
            requests.extend(request for step in batch if (request := send(ref, step)) is not None)
            if hold:
                await trio.sleep(0.001)
                await resume(ref)
            await trio.sleep(25)
        if ref.alive:
            stop_nowait(ref, "end")
        await ref.wait()
        outcomes = [await settled(request) for request in requests]
    return diary, outcomes


async def settled(request):
    """How a request ended."""
    assert request.done
    result = await outcome_of(request.receive())
    return ("gone", None) if isinstance(result, CallExited) else ("value", result)


@settings(max_examples=60, deadline=None)
@given(script=scripts, kind=st.sampled_from(["lean", "channel"]), hold=st.booleans())
def test_like_the_model(script, kind, hold):
    """Order of service, continues before messages, idle timeouts, replies and the end are those of the model."""
    clock = trio.testing.MockClock(autojump_threshold=0)

    assert model(script) == trio.run(play, script, kind, hold, clock=clock)
