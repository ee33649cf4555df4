"""The whole logic of a supervisor, as one pure function.

The rules are those of OTP's `supervisor` module, checked against recorded traces of it:

1.  A restart counts before it is attempted, a group restart once, a failed attempt again at each retry.
2.  A failed restart is retried from the end of the queue, so calls and other exits are served in between. When a
    group restart fails half-way, nothing is rolled back: the retry is a group restart from the child that failed.
3.  A group restart takes children down in reverse order and starts all that it covers, also those that had ended or
    had been stopped before; temporary ones are forgotten.
4.  Calls (add, terminate, restart, delete) never count, never cause a group restart, never an automatic shutdown.
5.  Why a child left while it was being stopped does not matter. A death of which the supervisor hears while it
    works waits; if the work replaced that child, it is stale.

Read it from the bottom: `decide` dispatches an event to its rule, and rules either settle it or make a plan that
`_advance` works off, one action at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import attrs

from nursery_otp._policy import supervision as s
from nursery_otp._policy.changes import child_of, forget, group_of, insert, remove, running_keys, update
from nursery_otp._policy.errors import RestartLimitReached
from nursery_otp._policy.exits import KILLED, ExitReason, Shutdown, error_of, is_normal
from nursery_otp._policy.restarts import RestartWindow
from nursery_otp._policy.specs import ChildSpec, SupervisorFlags

Result: TypeAlias = tuple[s.State, tuple[s.Action, ...]]

GIVING_UP = "restart limit reached: the supervisor ends"
AUTO_SHUTDOWN = "; the supervisor shuts down"
TRIED_AGAIN = "tried again"
_FAILED_START: dict[type, str] = {
    s.Start: "the supervisor does not start",
    s.Add: "refused to whoever asked for it",
    s.Revive: "refused to whoever asked for it",
}


def initial(flags: SupervisorFlags, specs: Iterable[ChildSpec] = ()) -> s.State:
    """The state of a supervisor that has these children to start when it gets `Begin`."""
    state = s.State(flags, RestartWindow(flags.max_restarts, flags.period))
    for spec in specs:
        state = insert(state, spec.id, spec)
    return state


def is_ending(state: s.State, actions: tuple[s.Action, ...]) -> bool:
    """Whether a supervisor that has come to this state, by these actions, is on its way out."""
    ending = state.plan is not None and isinstance(state.plan.purpose, s.End)
    return ending or any(isinstance(action, s.Finish) for action in actions)


def _report(state: s.State, note: s.Note, key: s.Key, reason: ExitReason, decision: str) -> s.Report:
    return s.Report(note, key, reason, len(state.window.times), state.flags.max_restarts, decision)


# -------------------------------------------------------------------------------------------- plans


def _restart_plan(state: s.State, child: s.Child) -> Result:
    group = group_of(state, child)
    for other in group:
        if other.status != "running" and other.spec.restart != "temporary":
            # Dynamic children can still be named by the incarnation that ended.
            handle = other.handle if state.flags.dynamic else None
            state = update(state, other, status="stopped", handle=handle, returning=True)
    start = tuple(other.key for other in group if other.spec.restart != "temporary" or other.key == child.key)
    return _advance(attrs.evolve(state, plan=s.Plan(s.RestartGroup(child.key), running_keys(group), start)))


def _delay_plan(state: s.State, child: s.Child, seconds: float) -> Result:
    group = group_of(state, child)
    for other in group:
        if other.status == "restarting" and other.key != child.key:
            state = update(state, other, status="stopped", handle=None, returning=True)
    stop = running_keys(group)
    return _advance(attrs.evolve(state, plan=s.Plan(s.Delay(child.key, seconds), stop)))


def _end(state: s.State, reason: ExitReason) -> Result:
    """Stop everybody in reverse order (dynamic children all at once), then finish."""
    for child in state.ordered():
        if child.returning or child.status == "restarting":
            state = update(state, child, status="stopped", handle=None, returning=False)
    alive = running_keys(state.ordered())
    plan = s.Plan(s.End(reason), alive)
    state = attrs.evolve(state, plan=plan, waiting=())
    if alive and _all_at_once(state, plan):
        stops = tuple(_stop(state, key) for key in alive)
        if reason == KILLED:
            stops = tuple(attrs.evolve(stop, limit="kill") for stop in stops)
        return state, (s.StopChildren(stops),)
    return _advance(state)


def _stop(state: s.State, key: s.Key) -> s.StopChild:
    child = child_of(state, key)
    return s.StopChild(key, child.handle, child.spec.shutdown)


def _advance(state: s.State) -> Result:
    """The next action of the plan, or its end."""
    plan = state.plan
    if plan is None:
        return _serve_waiting(state)
    if plan.next_stop is not None:
        return state, (_stop(state, plan.next_stop),)
    if plan.next_start is not None:
        return state, (s.StartChild(plan.next_start, child_of(state, plan.next_start).spec),)
    return _finish_plan(attrs.evolve(state, plan=None), plan.purpose)


def _finish_plan(state: s.State, purpose: s.Purpose) -> Result:
    match purpose:
        case s.Start():
            return state, (s.Ready(),)
        case s.End(reason):
            return state, (s.Finish(reason),)
        case s.Delay(key, seconds):
            return _then(_schedule(state, child_of(state, key), counted=True, delay=seconds))
        case s.Add(token, key) | s.Revive(token, key):
            return _then((state, (s.Reply(token, "ok", child_of(state, key).handle),)))
        case s.Terminate(token, key):
            return _then((_end_of_retry(state, key), (s.Reply(token, "ok"),)))
        case s.RestartGroup():
            return _advance(state)


def _then(result: Result) -> Result:
    """Go on with what waits, after these actions."""
    state, actions = result
    state, more = _advance(state)
    return state, (*actions, *more)


def _serve_waiting(state: s.State) -> Result:
    if not state.waiting or len(state.children) >= state.flags.max_children:
        return state, ()
    first, *rest = state.waiting
    return _begin_add(attrs.evolve(state, waiting=tuple(rest)), first.token, first.spec)


def _end_of_retry(state: s.State, key: s.Key) -> s.State:
    """After terminate_child the child is down, and so is whatever its retry would have brought back."""
    child = state.children.get(key)
    if child is None:
        return state
    was_restarting = child.status == "restarting"
    state = forget(state, child)
    if was_restarting and not state.flags.dynamic:
        children = state.ordered()
        others = [other for other in children if other.status == "restarting"]
        still = {covered.key for other in others for covered in group_of(state, other)}
        for other in children:
            if other.returning and other.key not in still:
                state = update(state, other, returning=False)
    return state


# ----------------------------------------------------------------------------------------- restarts


def _schedule(state: s.State, child: s.Child, *, counted: bool, delay: float) -> Result:
    number = state.next_retry
    state = update(state, child, status="restarting", returning=False, retry=number)
    return attrs.evolve(state, next_retry=number + 1), (s.RetryLater(child.key, number, counted, delay),)


def _count(state: s.State, now: float) -> s.State:
    return attrs.evolve(state, window=state.window.record(now))


def _give_up(state: s.State, child: s.Child, reason: ExitReason) -> Result:
    flags, in_peace = state.flags, is_normal(reason) and error_of(reason) is None
    limit = RestartLimitReached(_public_id(state, child), flags.max_restarts, flags.period, in_peace=in_peace)
    limit.__cause__ = error_of(reason)
    report = _report(state, "limit_reached", child.key, reason, GIVING_UP)
    state, actions = _end(forget(state, child), Shutdown(limit))
    return state, (report, *actions)


def _wait_before(child: s.Child, attempts: int, chance: float) -> float:
    return 0.0 if child.spec.backoff is None else child.spec.backoff.delay(attempts, chance)


def _restart(state: s.State, child: s.Child, event: s.Exited) -> Result:
    state = _count(state, event.now)
    if state.window.exceeded:
        report = _report(state, "child_terminated", child.key, event.reason, GIVING_UP)
        state, actions = _give_up(state, child, event.reason)
        return state, (report, *actions)
    backoff = child.spec.backoff
    stable = backoff is not None and event.now - child.since >= backoff.stable_after
    attempts = 1 if stable else child.attempts + 1
    state = update(state, child, status="restarting", attempts=attempts, last=event.reason)
    delay = _wait_before(child, attempts, event.chance)
    child = child_of(state, child.key)
    report = _report(state, "child_terminated", child.key, event.reason, _how(state, child, delay))
    state, actions = _delay_plan(state, child, delay) if delay > 0 else _restart_plan(state, child)
    return state, (report, *actions)


def _how(state: s.State, child: s.Child, delay: float) -> str:
    """A restart in words."""
    group = " with its group" if len(group_of(state, child)) > 1 else ""
    return f"restarted{group}" if delay <= 0 else f"restarted{group} after {delay:.3g} s"


def _auto_shutdown(state: s.State, child: s.Child) -> Result:
    """Rule for a significant child that ended and will not come back."""
    mode = state.flags.auto_shutdown
    if not child.spec.significant or mode == "never":
        return _advance(state)
    if mode == "all_significant" and any(
        other.spec.significant and other.status != "stopped" for other in state.children.values()
    ):
        return _advance(state)
    return _end(state, Shutdown(s.AutoShutdown(_public_id(state, child))))


def _public_id(state: s.State, child: s.Child) -> object:
    """What people know a child by: dynamic ones have no id, only what they were made of."""
    return child.spec.label if state.flags.dynamic else child.key


# ---------------------------------------------------------------------------------- rules, by event


def _on_begin(state: s.State, _event: s.Begin) -> Result:
    keys = tuple(child.key for child in state.ordered())
    return _advance(attrs.evolve(state, plan=s.Plan(s.Start(), start=keys)))


def _on_exited(state: s.State, event: s.Exited) -> Result:
    child = state.children.get(event.key)
    if child is None or child.status != "running" or child.handle is not event.handle:
        return state, ()  # an earlier incarnation, or a child that has been forgotten meanwhile
    restart = child.spec.restart
    if restart == "permanent" or (restart == "transient" and not is_normal(event.reason)):
        return _restart(state, child, event)
    after, actions = _auto_shutdown(forget(state, child), child)
    if is_normal(event.reason):
        return after, actions
    decision = f"not restarted: {restart}" + (AUTO_SHUTDOWN if is_ending(after, actions) else "")
    return after, (_report(state, "child_terminated", child.key, event.reason, decision), *actions)


def _on_retry(state: s.State, event: s.Retry) -> Result:
    child = state.children.get(event.key)
    if child is None or child.status != "restarting" or child.retry != event.number:
        return state, ()
    if not event.counted:
        state = _count(state, event.now)
        if state.window.exceeded:
            return _give_up(state, child, child.last)
    return _restart_plan(state, child)


def _on_started(state: s.State, event: s.Started) -> Result:
    plan = _next_start(state, event.key)
    child = child_of(state, event.key)
    count = child.incarnations + 1
    state = update(
        state, child, status="running", handle=event.handle, returning=False, since=event.now, incarnations=count
    )
    return _advance(attrs.evolve(state, plan=plan))


def _on_ignored(state: s.State, event: s.Ignored) -> Result:
    plan = _next_start(state, event.key)
    state = forget(state, child_of(state, event.key))
    match plan.purpose:
        case s.Add(token, _) | s.Revive(token, _):
            return _then((attrs.evolve(state, plan=None), (s.Reply(token, "ignored"),)))
        case _:
            return _advance(attrs.evolve(state, plan=plan))


def _on_failed(state: s.State, event: s.Failed) -> Result:
    purpose = _next_start(state, event.key).purpose
    child = child_of(state, event.key)
    report = _report(state, "start_failed", child.key, event.reason, _FAILED_START.get(type(purpose), TRIED_AGAIN))
    match purpose:
        case s.Start():
            alive = running_keys(state.ordered())
            failure = Shutdown(s.FailedToStart(child.key, event.reason))
            state, actions = _advance(attrs.evolve(state, plan=s.Plan(s.End(failure), alive)))
        case s.Add(token, _):
            state = attrs.evolve(remove(state, child), plan=None)
            state, actions = _then((state, (s.Reply(token, "failed", reason=event.reason),)))
        case s.Revive(token, _):
            state = attrs.evolve(state, plan=None)
            state, actions = _then((state, (s.Reply(token, "failed", reason=event.reason),)))
        case _:
            state, actions = _retry_failed(attrs.evolve(state, plan=None), child, event)
    return state, (report, *actions)


def _retry_failed(state: s.State, child: s.Child, event: s.Failed) -> Result:
    attempts = child.attempts + 1
    delay = _wait_before(child, attempts, event.chance)
    state = update(state, child, attempts=attempts, last=event.reason)
    return _then(_schedule(state, child_of(state, child.key), counted=False, delay=delay))


def _next_start(state: s.State, key: s.Key) -> s.Plan:
    plan = state.plan
    if plan is None or plan.next_stop is not None or plan.next_start is None or plan.next_start != key:
        raise LookupError(f"no start of {key!r} is under way")
    return attrs.evolve(plan, starts_done=plan.starts_done + 1)


def _on_stopped(state: s.State, _event: s.Stopped) -> Result:
    plan = state.plan
    if plan is None or plan.next_stop is None:
        raise LookupError("no stop is under way")
    stopped = plan.stop if _all_at_once(state, plan) else (plan.next_stop,)
    for key in stopped:
        state = _taken_down(state, child_of(state, key), plan.purpose)
    return _advance(attrs.evolve(state, plan=attrs.evolve(plan, stops_done=plan.stops_done + len(stopped))))


def _all_at_once(state: s.State, plan: s.Plan) -> bool:
    """Dynamic children have no order to end in, and a killed supervisor cannot keep one."""
    match plan.purpose:
        case s.End(reason):
            return state.flags.dynamic or reason == KILLED
        case _:
            return False


def _taken_down(state: s.State, child: s.Child, purpose: s.Purpose) -> s.State:
    if isinstance(purpose, s.Terminate):
        return update(state, child, status="stopped")  # _finish_plan forgets it
    if isinstance(purpose, s.RestartGroup | s.Delay) and child.spec.restart != "temporary":
        return update(state, child, status="stopped", handle=None, returning=True)
    return forget(state, child)


def _on_add(state: s.State, event: s.AddChild) -> Result:
    if state.flags.dynamic:
        if len(state.children) < state.flags.max_children:
            return _begin_add(state, event.token, event.spec)
        if event.wait:
            return attrs.evolve(state, waiting=(*state.waiting, s.Waiting(event.token, event.spec))), ()
        return state, (s.Reply(event.token, "max_children"),)
    known = state.children.get(event.spec.id)
    if known is None:
        return _begin_add(state, event.token, event.spec)
    if known.status == "running":
        return state, (s.Reply(event.token, "already_started", known.handle),)
    return state, (s.Reply(event.token, "already_present"),)


def _begin_add(state: s.State, token: s.Token, spec: ChildSpec) -> Result:
    key = state.next_position if state.flags.dynamic else spec.id
    state = insert(state, key, spec)
    return _advance(attrs.evolve(state, plan=s.Plan(s.Add(token, key), start=(key,))))


def _on_terminate(state: s.State, event: s.TerminateChild) -> Result:
    if state.flags.dynamic and event.handle is None:
        return state, (s.Reply(event.token, "for_static_only"),)
    child = state.children.get(event.key)
    if child is None or (event.handle is not None and child.handle is not event.handle):
        gone = event.handle is not None and not event.alive
        return state, (s.Reply(event.token, "ok" if gone else "not_found"),)
    stop = (child.key,) if child.status == "running" else ()
    return _advance(attrs.evolve(state, plan=s.Plan(s.Terminate(event.token, child.key), stop)))


def _on_restart(state: s.State, event: s.RestartChild) -> Result:
    child, refusal = _named(state, event.key)
    if child is None or refusal is not None:
        return state, (s.Reply(event.token, refusal or "not_found"),)
    return _advance(attrs.evolve(state, plan=s.Plan(s.Revive(event.token, child.key), start=(child.key,))))


def _on_delete(state: s.State, event: s.DeleteChild) -> Result:
    child, refusal = _named(state, event.key)
    if child is None or refusal is not None:
        return state, (s.Reply(event.token, refusal or "not_found"),)
    return remove(state, child), (s.Reply(event.token, "ok"),)


def _named(state: s.State, key: s.Key) -> tuple[s.Child | None, s.Answer | None]:
    """The stopped child of this id, or why the call has to be refused."""
    if state.flags.dynamic:
        return None, "for_static_only"
    child = state.children.get(key)
    if child is None:
        return None, "not_found"
    return child, None if child.status == "stopped" else child.status


def _on_withdraw(state: s.State, event: s.Withdraw) -> Result:
    waiting = tuple(entry for entry in state.waiting if entry.token is not event.token)
    return attrs.evolve(state, waiting=waiting), ()


def _on_stop_services(state: s.State, _event: s.StopServices) -> Result:
    busy = any(
        not child.spec.service and (child.status != "stopped" or child.returning) for child in state.children.values()
    )
    return (state, ()) if busy or state.waiting else _end(state, Shutdown())


def _on_stop_request(state: s.State, event: s.StopRequest) -> Result:
    return _end(state, event.reason)


def _on_kill(state: s.State, _event: s.Kill) -> Result:
    """No plan is finished; the shell itself ends the child whose start it was waiting for."""
    return _end(state, KILLED)


_RULES: dict[type, Callable[[s.State, Any], Result]] = {
    s.Begin: _on_begin,
    s.Started: _on_started,
    s.Ignored: _on_ignored,
    s.Failed: _on_failed,
    s.Stopped: _on_stopped,
    s.Exited: _on_exited,
    s.Retry: _on_retry,
    s.AddChild: _on_add,
    s.TerminateChild: _on_terminate,
    s.RestartChild: _on_restart,
    s.DeleteChild: _on_delete,
    s.Withdraw: _on_withdraw,
    s.StopServices: _on_stop_services,
    s.StopRequest: _on_stop_request,
    s.Kill: _on_kill,
}


def decide(state: s.State, event: s.Event) -> Result:
    """What a supervisor in `state` does about `event`: its next state, and the actions to carry out in order."""
    return _RULES[type(event)](state, event)
