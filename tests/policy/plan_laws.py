"""Laws about the protocol: one action at a time, children known and in order, plans worked off, answers true."""

from nursery_otp._policy import supervision as s
from nursery_otp._policy.errors import RestartLimitReached
from nursery_otp._policy.exits import KILLED, Shutdown
from tests.policy.builders import to_stop
from tests.policy.steps import WORK, Step, law

# ------------------------------------------------------------------------------ the shape of a decision


@law
def at_most_one_work_action_and_it_is_last(step: Step) -> None:
    work = step.of(WORK)
    assert len(work) <= 1
    assert not work or step.actions[-1] is work[0]
    assert (step.after.plan is not None) == bool(work), "a plan and an action under way belong together"


@law
def work_is_the_head_of_the_plan(step: Step) -> None:
    plan, children = step.after.plan, step.after.children
    for action in step.of(s.StartChild):
        assert () == to_stop(plan), "started before everybody was down"
        assert plan.to_start[0] == action.key
        assert children.get(action.key).status == "stopped", "a second incarnation"
        assert children.get(action.key).spec is action.spec
    for action in step.of(s.StopChild):
        child = children.get(to_stop(plan)[0])
        assert (child.key, child.spec.shutdown) == (action.key, action.limit)
        assert child.handle is action.handle
        assert child.status == "running"
    for action in step.of(s.StopChildren):
        assert to_stop(plan) == tuple(stop.key for stop in action.children)
        assert isinstance(plan.purpose, s.End)
        for stop in action.children:
            assert children.get(stop.key).handle is stop.handle
            assert stop.limit == ("kill" if step.ending == KILLED else children.get(stop.key).spec.shutdown)


@law
def start_order_is_kept_and_stop_order_is_its_reverse(step: Step) -> None:
    plan = step.after.plan
    if plan is None:
        return
    stops = [step.after.children.get(key) for key in to_stop(plan)]
    starts = [step.after.children.get(key) for key in plan.to_start]
    assert None not in (*stops, *starts), "only remembered children"
    assert [c.position for c in stops] == sorted((c.position for c in stops), reverse=True)
    assert [c.position for c in starts] == sorted(c.position for c in starts)
    assert all(child.status == "running" for child in stops)


@law
def finish_is_last_and_leaves_nothing(step: Step) -> None:
    if not step.of(s.Finish):
        return
    assert isinstance(step.actions[-1], s.Finish)
    assert step.after.plan is None
    assert {"stopped"} >= {child.status for child in step.after.ordered()}
    assert not any(child.returning or child.handle for child in step.after.ordered())
    assert () == step.after.waiting


@law
def restarting_is_the_number_of_restarting_children(step: Step) -> None:
    assert step.after.restarting == sum(child.status == "restarting" for child in step.after.ordered())


@law
def what_is_known_of_a_child_fits_together(step: Step) -> None:
    plan, dynamic = step.after.plan, step.after.flags.dynamic
    for child in step.after.ordered():
        temporary = child.spec.restart == "temporary"
        if child.status == "running":
            assert child.handle is not None
        if child.status != "stopped":
            assert not child.returning
        assert not (temporary and (child.returning or child.status == "restarting"))
        if plan is None and child.status == "stopped" and not step.of(s.Finish):
            assert child.handle is None
            assert not temporary, "a temporary child that is down is forgotten"
            assert not dynamic, "a dynamic child that is down is forgotten"


@law
def specifications_and_places_do_not_change(step: Step) -> None:
    before, after = step.before.children, step.after.children
    born = [key for key in after if key not in before]
    assert len(born) <= 1
    assert all(isinstance(step.after.plan.purpose, s.Add) for _ in born), "children come by start_child only"
    for child in step.before.ordered():
        kept = after.get(child.key)
        if kept is not None:
            assert kept.spec is child.spec
            assert kept.position == child.position
        else:
            forgettable = child.spec.restart == "temporary" or step.after.flags.dynamic
            unwanted = isinstance(step.event, s.DeleteChild | s.Failed) and step.event.key == child.key
            given_up = isinstance(step.ending, Shutdown) and isinstance(step.ending.detail, RestartLimitReached)
            assert forgettable or unwanted or given_up, f"{child.key!r} forgotten"


# ---------------------------------------------------------------------------------- what comes of a plan


@law
def a_plan_is_worked_off_in_order(step: Step) -> None:
    """After an outcome comes the next stop or start, until there is none."""
    plan, new = step.before.plan, step.after.plan
    if plan is None or isinstance(step.event, s.Failed | s.Kill):
        return
    if isinstance(step.event, s.Stopped):
        at_once = isinstance(plan.purpose, s.End) and (
            step.before.flags.dynamic or str(plan.purpose.reason) == "killed"
        )
        rest = (() if at_once else to_stop(plan)[1:]), plan.to_start
    else:
        rest = (), plan.to_start[1:]
    if rest != ((), ()):
        assert (plan.purpose, *rest) == (new.purpose, to_stop(new), new.to_start)
    else:
        assert new is None or isinstance(new.purpose, s.Add), "only a start that waited for a place may follow"
        match plan.purpose:
            case s.Start():
                assert (s.Ready(),) == step.actions
            case s.End(reason):
                assert reason == step.ending
            case s.Add(token, _) | s.Revive(token, _) | s.Terminate(token, _):
                assert [token] == [reply.token for reply in step.of(s.Reply)]


@law
def a_child_becomes_what_its_start_or_stop_says(step: Step) -> None:
    plan, event = step.before.plan, step.event
    if plan is None or isinstance(event, s.Kill):
        return
    for key in to_stop(plan)[:1] if isinstance(event, s.Stopped) else [event.key]:
        old, new = step.before.children.get(key), step.after.children.get(key)
        forgotten = old.spec.restart == "temporary" or step.before.flags.dynamic
        match event, plan.purpose:
            case s.Started(handle=handle, now=now), _:
                assert ("running", now) == (new.status, new.since)
                assert new.handle is handle
            case s.Ignored(), _:
                assert (new is None) if forgotten else (new.status == "stopped" and not new.returning)
            case s.Failed(), s.RestartGroup():
                assert "restarting" == new.status
                assert event.reason == new.last
            case s.Failed(), s.Add():
                assert new is None
            case s.Failed(), _:
                assert ("stopped", old.returning) == (new.status, new.returning)
            case s.Stopped(), s.RestartGroup() | s.Delay() if not forgotten:
                assert ("stopped", True) == (new.status, new.returning)
            case _:
                assert (new is None) if forgotten else (new.status == "stopped" and not new.returning)


@law
def a_failed_start_ends_the_plan(step: Step) -> None:
    if not isinstance(step.event, s.Failed):
        return
    match step.before.plan.purpose:
        case s.Start():
            assert Shutdown(s.FailedToStart(step.event.key, step.event.reason)) == step.ending
        case s.Add(token, _) | s.Revive(token, _):
            assert [(token, "failed")] == [(reply.token, reply.answer) for reply in step.of(s.Reply)]
        case s.RestartGroup():
            backoff = step.subject.spec.backoff
            delay = 0.0 if backoff is None else backoff.delay(step.subject.attempts + 1, step.event.chance)
            assert [(step.event.key, False, delay)] == [(a.key, a.counted, a.delay) for a in step.of(s.RetryLater)]
