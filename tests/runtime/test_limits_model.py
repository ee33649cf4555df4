"""In any history of overrides and policies the limits in force are what remains, laid over each other in order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nursery_otp import InvalidSpec, Timeouts
from nursery_otp._policy.timeout_rules import Origin
from nursery_otp._runtime.limits import Limits
from nursery_otp._runtime.registry import Registry
from nursery_otp._runtime.telemetry import Telemetry
from tests.runtime.helpers import Desk, OtherDesk

KEYS = ["Desk.echo", Desk.echo, Desk, "*.echo", "D*.echo", "echo"]
changes = st.fixed_dictionaries(
    {},
    optional={
        "default": st.integers(1, 9),
        "handler": st.integers(1, 9),
        "factor": st.integers(1, 3),
        "while_restarting": st.sampled_from(["wait", "fail"]),
        "tiers": st.dictionaries(st.sampled_from(["long", "critical"]), st.integers(1, 9)),
        "rules": st.dictionaries(st.sampled_from(KEYS), st.integers(1, 9) | st.just("long"), max_size=2),
        "handler_rules": st.dictionaries(st.sampled_from(KEYS), st.integers(1, 9), max_size=2),
    },
)


class LimitsMachine(RuleBasedStateMachine):
    """Overrides come and go in any order, and the policy below them changes."""

    @initialize()
    def begin(self):
        self.limits = Limits(Timeouts(), Telemetry(lambda: 0.0, print), Registry())
        self.base = Timeouts()
        self.layers = []
        self.table = self.limits.of_handlers(Desk)

    def unchanged_if_refused(self, change):
        before = self.limits.policy
        try:
            return change()
        except InvalidSpec:
            assert before is self.limits.policy
            return None

    @rule(given=changes)
    def push(self, given):
        layer = self.unchanged_if_refused(lambda: self.limits.push(given, Origin("layer")))
        if layer is not None:
            self.layers.append((layer, given))

    @rule(data=st.data())
    def remove(self, data):
        if self.layers:
            layer, _ = self.layers.pop(data.draw(st.integers(0, len(self.layers) - 1)))
            self.limits.remove(layer)

    @rule(given=changes)
    def replace(self, given):
        try:
            policy = Timeouts(**given)
        except InvalidSpec:
            return
        before = self.unchanged_if_refused(lambda: self.limits.replace(policy, Origin("base")))
        if before is not None:
            assert self.base == before
            self.base = policy

    @invariant()
    def as_if_made_at_once(self):
        """What is in force is what one gets by laying the remaining overrides over the policy, in their order."""
        fresh = Limits(self.base, Telemetry(lambda: 0.0, print), Registry())
        for _, given in self.layers:
            fresh.push(given, Origin("again"))

        assert fresh.policy == self.limits.policy
        assert (fresh.policy.while_restarting == "wait") == self.limits.wait_for_restart
        for client in (Desk.echo, Desk.slow, OtherDesk.echo):
            assert fresh.policy.limit(client) == self.limits.calls[client._operation]
        assert fresh.policy.limit(Desk.echo, "handler") == self.table["echo"]


LimitsMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=20, derandomize=True, deadline=None, database=None
)
TestLimits = LimitsMachine.TestCase
