"""Laws about who is restarted with whom, how often, and how a supervisor answers and ends.

They restate the rules of OTP from the two states and the event alone, not from how `decide` is written.
"""

from collections.abc import Iterator

from nursery_otp._policy import supervision as s
from nursery_otp._policy.errors import RestartLimitReached
from nursery_otp._policy.exits import Shutdown, is_normal
from tests.policy.builders import snapshot, to_stop
from tests.policy.steps import Step, family, law, running


@law
def news_of_the_past_changes_nothing(step: Step) -> None:
    if not step.accepted:
        assert () == step.actions
        assert snapshot(step.before) == snapshot(step.after)


@law
def the_window_is_exact_and_never_exceeded(step: Step) -> None:
    flags = step.before.flags
    limited = isinstance(step.ending, Shutdown) and isinstance(step.ending.detail, RestartLimitReached)
    if not step.counts:
        assert step.before.window == step.after.window
        was_ending = step.before.plan is not None and isinstance(step.before.plan.purpose, s.End)
        assert not limited or was_ending
        return
    recent = [time for time in step.before.window.times if step.event.now - time <= flags.period]
    assert limited == (len(recent) + 1 > flags.max_restarts)
    if limited:
        assert (flags.max_restarts, flags.period) == (step.ending.detail.max_restarts, step.ending.detail.period)
        assert not step.of((s.StartChild, s.RetryLater))
        assert step.of(s.Report)[-1].note == "limit_reached"


@law
def a_restart_covers_what_the_strategy_says(step: Step) -> None:
    """The plan that an exit or a due retry leads to: everybody of the group down in reverse, then up in order."""
    if not step.restarts or step.ending is not None:
        return
    child = step.subject
    group = family(step.before, child)
    stop = tuple(key for key in running(group) if key != child.key)
    start = tuple(other.key for other in group if other.spec.restart != "temporary")
    plan = step.after.plan
    if child.spec.backoff is not None and isinstance(step.event, s.Exited):
        assert (stop, ()) == ((to_stop(plan), plan.to_start) if plan is not None else ((), ()))
        assert plan is not None or len(step.of(s.RetryLater)) == 1
    else:
        assert (s.RestartGroup(child.key), stop, start) == (plan.purpose, to_stop(plan), plan.to_start)


@law
def only_those_who_must_are_restarted(step: Step) -> None:
    if isinstance(step.event, s.Exited) and not step.restarts:
        assert not step.of(s.RetryLater)
        plan = step.after.plan
        assert plan is None or isinstance(plan.purpose, s.End | s.Add), "nobody comes back for this"


@law
def every_restarting_child_has_a_retry(step: Step) -> None:
    scheduled = {action.key: action.number for action in step.of(s.RetryLater)}
    waits = step.after.plan.purpose if step.after.plan is not None else None
    for child in step.after.ordered():
        if child.status == "restarting":
            old = step.before.children.get(child.key)
            kept = old is not None and old.status == "restarting" and old.retry == child.retry
            due = isinstance(waits, s.Delay) and waits.key == child.key
            assert kept or due or scheduled.get(child.key) == child.retry, f"{child.key!r} restarts for ever"
    for action in step.of(s.RetryLater):
        assert step.after.children.get(action.key).status == "restarting"
        assert action.number == step.before.next_retry
        assert action.counted == (not isinstance(step.event, s.Failed))
        assert action.delay > 0 or not action.counted


@law
def who_waits_for_its_backoff_keeps_its_group_down(step: Step) -> None:
    for action in step.of(s.RetryLater):
        if action.counted:
            group = family(step.after, step.after.children.get(action.key))
            assert {"stopped"} >= {child.status for child in group if child.key != action.key}


def covered(state: s.State) -> Iterator[s.Key]:
    """Keys of the children that a retry will start, besides the restarting ones themselves."""
    for child in state.children.values():
        if child.status == "restarting":
            yield from (other.key for other in family(state, child) if other.key != child.key)


@law
def returning_means_that_a_retry_will_bring_it_back(step: Step) -> None:
    if step.after.plan is not None:
        return
    reach = set(covered(step.after)) if any(child.returning for child in step.before.ordered()) else set()
    for child in step.after.ordered():
        assert not child.returning or child.key in covered(step.after), f"{child.key!r} waits for nobody"
    if step.before.plan is None:
        asked = getattr(step.event, "key", None)
        for child in step.before.ordered():
            kept = step.after.children.get(child.key)
            if child.returning and child.key in reach and child.key != asked and kept is not None:
                assert kept.returning or kept.status != "stopped", f"{child.key!r} is not expected any more"


# ------------------------------------------------------------------------------------- calls and the end


@law
def answers_are_true(step: Step) -> None:
    for reply in step.of(s.Reply):
        _check_answer(step, reply)


def _check_answer(step: Step, reply: s.Reply) -> None:
    purpose = step.before.plan.purpose if step.before.plan is not None else step.event
    key = purpose.spec.id if isinstance(purpose, s.AddChild) else purpose.key
    child = step.after.children.get(key)
    status = None if child is None else child.status
    match reply.answer, purpose:
        case "ok", s.Add() | s.Revive():
            assert status == "running"
            assert child.handle is reply.handle
        case "ok", s.TerminateChild(handle=handle) if handle is not None:
            assert child is None or child.handle is not handle
        case "ok", s.Terminate() | s.TerminateChild() | s.DeleteChild():
            assert status in {None, "stopped"}
        case "ignored", s.Add() | s.Revive():
            assert status in {None, "stopped"}
        case "failed", s.Add():
            assert child is None
            assert reply.reason == step.event.reason
        case "failed", s.Revive():
            assert status == "stopped"
            assert reply.reason == step.event.reason
        case "already_started", s.AddChild():
            assert status == "running"
            assert child.handle is reply.handle
        case "already_present", s.AddChild():
            assert status in {"stopped", "restarting"}
        case (("running" | "restarting"), s.RestartChild() | s.DeleteChild()):
            assert status == reply.answer
        case "not_found", s.TerminateChild(handle=handle):
            assert child is None or child.handle is not handle
        case "not_found", s.RestartChild() | s.DeleteChild():
            assert child is None
        case "for_static_only", s.TerminateChild() | s.RestartChild() | s.DeleteChild():
            assert step.after.flags.dynamic
        case "max_children", s.AddChild(wait=False):
            assert len(step.before.children) >= step.before.flags.max_children
        case _:
            raise AssertionError(f"{reply} is no answer to {purpose}")


@law
def places_are_limited_and_used(step: Step) -> None:
    limit = step.after.flags.max_children
    assert len(step.after.children) <= limit
    if step.after.plan is None and step.after.waiting:
        assert len(step.after.children) == limit, "somebody waits although there is room"


@law
def waiting_starts_are_served_in_order(step: Step) -> None:
    before, after = ([entry.token for entry in state.waiting] for state in (step.before, step.after))
    match step.event:
        case s.Withdraw(token):
            assert after == [other for other in before if other is not token]
        case s.AddChild(token, _, wait) if after != before:
            assert wait
            assert [*before, token] == after
        case _ if step.ending is not None:
            assert [] == after
        case _ if after != before:
            assert before[1:] == after
            assert before[0] is step.after.plan.purpose.token
            assert step.before.waiting[0].spec is step.actions[-1].spec


@law
def everybody_is_stopped_when_it_ends(step: Step) -> None:
    plan = step.after.plan
    was_ending = step.before.plan is not None and isinstance(step.before.plan.purpose, s.End)
    if plan is not None and isinstance(plan.purpose, s.End):
        assert running(step.after.ordered()) == to_stop(plan)
        assert () == plan.to_start
        assert () == step.after.waiting
        assert not any(child.returning or child.status == "restarting" for child in step.after.ordered())
    if was_ending and not isinstance(step.event, s.Kill):
        assert step.ending == step.before.plan.purpose.reason, "the reason of the end has changed"


@law
def automatic_shutdown_needs_a_significant_child(step: Step) -> None:
    if not isinstance(step.event, s.Exited) or not step.accepted or step.restarts:
        return
    mode, child = step.before.flags.auto_shutdown, step.subject
    others = any(
        other.spec.significant and other.status != "stopped" and other.key != child.key
        for other in step.before.ordered()
    )
    expected = child.spec.significant and (mode == "any_significant" or (mode == "all_significant" and not others))
    assert expected == (step.ending is not None)
    if expected:
        assert isinstance(step.ending.detail, s.AutoShutdown)


@law
def operators_hear_of_every_failure(step: Step) -> None:
    notes = [report.note for report in step.of(s.Report)]
    match step.event:
        case s.Exited(reason=reason) if step.accepted and (step.restarts or not is_normal(reason)):
            assert notes[0] == "child_terminated"
        case s.Failed():
            assert ["start_failed"] == notes
        case s.Retry():
            assert set(notes) <= {"limit_reached"}
        case _:
            assert [] == notes
    assert all(report.allowed == step.after.flags.max_restarts for report in step.of(s.Report))
