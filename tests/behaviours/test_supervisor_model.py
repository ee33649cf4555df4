"""Supervisors against a model: any mix of requests and ends of children leaves what simple bookkeeping would leave."""

import math

import attrs
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp import (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    ChildRunning,
    Name,
    Stop,
    current_runtime,
    is_normal,
    kill,
    stop_nowait,
)
from tests.behaviours.stage import Puppet, Stage, outcome_of

IDS = ("a", "b", "c", "d")
RESTARTS = ("permanent", "transient", "temporary")
ENDS = {"crash": Stop("crash").reason, "normal": Stop().reason}

steps = st.one_of(
    st.tuples(st.just("start"), st.sampled_from(IDS), st.sampled_from(RESTARTS)),
    st.tuples(st.sampled_from(["terminate", "restart", "delete", "kill", *ENDS]), st.sampled_from(IDS)),
)


@attrs.define
class Model:
    """What a supervisor should know: per child its restart type and how often it has been started; 0: it is down."""

    strategy: str
    children: dict[str, tuple[str, int]] = attrs.field(factory=dict)
    births: int = 0

    def _born(self, child_id, restart):
        self.births += 1
        self.children[child_id] = (restart, self.births)

    def start(self, child_id, restart):
        if child_id in self.children:
            return AlreadyStarted if self.children[child_id][1] else AlreadyPresent
        self._born(child_id, restart)
        return None

    def terminate(self, child_id):
        if child_id not in self.children:
            return ChildNotFound
        self._down(child_id)
        return None

    def _down(self, child_id):
        restart = self.children[child_id][0]
        if restart == "temporary":
            del self.children[child_id]
        else:
            self.children[child_id] = (restart, 0)

    def restart(self, child_id):
        if child_id not in self.children:
            return ChildNotFound
        if self.children[child_id][1]:
            return ChildRunning
        self._born(child_id, self.children[child_id][0])
        return None

    def delete(self, child_id):
        if child_id not in self.children:
            return ChildNotFound
        if self.children[child_id][1]:
            return ChildRunning
        del self.children[child_id]
        return None

    def ended(self, child_id, normally):
        """A child has ended by itself."""
        restart = self.children[child_id][0]
        if restart == "temporary" or (restart == "transient" and normally):
            self._down(child_id)
            return
        group = {
            "one_for_one": [child_id],
            "one_for_all": list(self.children),
            "rest_for_one": list(self.children)[list(self.children).index(child_id) :],
        }[self.strategy]
        for other in group:
            if self.children[other][0] == "temporary":
                del self.children[other]
            else:
                self._born(other, self.children[other][0])


async def play(strategy, script):
    """The same against a real supervisor, which is compared after each step."""
    model = Model(strategy)
    async with Stage(strategy=strategy, max_restarts=math.inf) as supervisor:
        known = {}
        for step in script:
            await take(supervisor, model, step)
            infos = await supervisor.which_children()
            expected = [(key, "running" if born else "stopped") for key, (_, born) in model.children.items()]
            assert expected == [(info.id, info.status) for info in infos]
            assert sum(born > 0 for _, born in model.children.values()) == (await supervisor.count_children()).active
            # An incarnation is the same as before if, and only if, the model says so.
            now = {info.id: (model.children[info.id][1], info.ref) for info in infos}
            for key in known.keys() & now.keys():
                assert (known[key][0] == now[key][0]) is (known[key][1] is now[key][1])
            known = now
            running = {key for key, (_, born) in model.children.items() if born}
            assert running == set(current_runtime().names())
        processes = current_runtime().processes()
        assert {ref for _, ref in known.values() if ref is not None} | {supervisor.ref} == set(processes)
    assert [] == [ref for ref in processes if ref.alive]


async def take(supervisor, model, step):
    """One step in both worlds; the answers must be of the same kind."""
    match step:
        case ("start", child_id, restart):
            expected = model.start(child_id, restart)
            result = await outcome_of(supervisor.start(Puppet, id=child_id, name=Name(child_id), restart=restart))
        case ("terminate" | "restart" | "delete" as what, child_id):
            expected = getattr(model, what)(child_id)
            result = await outcome_of(getattr(supervisor, f"{what}_child")(child_id))
        case (how, child_id):
            refs = {info.id: info.ref for info in await supervisor.which_children()}
            ref = refs.get(child_id)
            if ref is None:
                return
            kill(ref) if how == "kill" else stop_nowait(ref, ENDS[how])
            model.ended(child_id, how != "kill" and is_normal(ENDS[how]))
            await ref.wait()
            return
    assert expected is (type(result) if isinstance(result, Exception) else None)


@settings(max_examples=80, deadline=None)
@given(
    strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
    script=st.lists(steps, min_size=1, max_size=20),
)
def test_like_the_model(strategy, script):
    """Answers, children, incarnations and names are those of the model after every step."""
    trio.run(play, strategy, script, clock=trio.testing.MockClock(autojump_threshold=0))
