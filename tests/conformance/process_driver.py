"""Play a process scenario (families gen_server, monitor, link) on the library, through its public API alone.

Every process of the scenario is a process of one runtime; the player, which is none, hands out the ops and lets
everything settle after each step. Time is virtual: nothing waits, and a scenario that hangs ends with `NoProgress`.
"""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from nursery_otp import current_runtime, kill, open_supervisor, send_nowait
from tests.conformance.guard import NoProgress
from tests.conformance.process_actor import DoOps
from tests.conformance.process_ops import ACTIONS, born
from tests.conformance.process_requests import REQUESTS
from tests.conformance.process_terms import Json
from tests.conformance.process_world import Process, Trace, World

HANG = 3600.0  # virtual seconds, far beyond the end of any scenario


def observe(scenario: dict[str, Json]) -> list[Trace]:
    """The trace of `scenario` on the library: for each step the events of each process."""
    return trio.run(play, scenario, clock=MockClock(autojump_threshold=0))


async def play(scenario: dict[str, Json]) -> list[Trace]:
    world = World({**ACTIONS, **REQUESTS})
    with trio.move_on_after(HANG) as limit:
        async with open_supervisor() as supervisor:
            current_runtime().on_exit(world.ended)
            await start_actors(world, scenario["actors"])
            trace = [await step(world, one) for one in scenario["steps"]]
            await end_all(world)
            supervisor.shutdown()
    if limit.cancelled_caught:
        raise NoProgress(f"gave up in step {world.step} of {len(scenario['steps'])}")
    return trace


async def start_actors(world: World, actors: dict[str, Json]) -> None:
    player = Process(world, "", {})
    for name, spec in actors.items():
        born(player, name, spec)
    await wait_all_tasks_blocked()
    world.collect()


async def step(world: World, one: dict[str, Json]) -> Trace:
    """Play one step, and what has been seen once everything has settled."""
    world.step += 1
    if "do" in one:
        send_nowait(world.refs[one["do"]], DoOps(one["ops"]))
    else:
        await trio.sleep(one["advance"] / 1000)
    await wait_all_tasks_blocked()
    return world.collect()


async def end_all(world: World) -> None:
    """End whoever is left, blocked or not."""
    for ref in world.kinds:
        kill(ref)
    await wait_all_tasks_blocked()
