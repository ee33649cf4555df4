"""A supervisor whose children come and go: what it refuses, how it names them, its places, and how it ends."""

import pytest

from nursery_otp._policy import supervision as s
from nursery_otp._policy.exits import KILLED, NORMAL, SHUTDOWN, Shutdown
from tests.policy.builders import BOOM, Run, limit_of, spec, work


def dynamic(*children, **flags):
    """A simple_one_for_one supervisor with these children running."""
    run = Run(strategy="simple_one_for_one", **flags).up()
    for child in children:
        run.feed(s.AddChild(object(), child))
        run.ok()
    return run


WORKER = spec(None)


def test_add():
    """Children need no id: each start_child makes one more of the same sort."""
    run = dynamic(WORKER)
    run.feed(s.AddChild(1, WORKER))
    (reply,) = run.ok()

    assert s.Reply(1, "ok", run.handle(1)) == reply
    assert {0: "running", 1: "running"} == run.statuses()


@pytest.mark.parametrize(("outcome", "answer"), [(Run.ignore, "ignored"), (Run.fail, "failed")])
def test_not_started(outcome, answer):
    """A child that declines or fails leaves nothing."""
    run = dynamic()
    run.feed(s.AddChild(1, WORKER))
    (reply,) = outcome(run)

    assert answer == reply.answer
    assert {} == run.statuses()


@pytest.mark.parametrize("key", [0, "unknown"])
@pytest.mark.parametrize("call", [s.RestartChild, s.DeleteChild, s.TerminateChild])
def test_calls_by_id(call, key):
    """Calls that name an id are refused, also for ids that nobody knows."""
    assert s.Reply(1, "for_static_only") == dynamic(WORKER).call(call(1, key))


def test_terminate_by_handle():
    """A child is terminated by its incarnation and forgotten."""
    run = dynamic(WORKER, WORKER)
    handle = run.handle(0)

    (stop,) = run.feed(s.TerminateChild(1, 0, handle, alive=True))
    assert s.StopChild(0, handle, 5.0) == stop
    assert [s.Reply(1, "ok")] == run.stopped()
    assert {1: "running"} == run.statuses()


def test_terminate_the_dead():
    """A dead incarnation is terminated already: that is fine, also when its successor runs."""
    run = dynamic(WORKER)
    dead = run.handle(0)
    run.exits(0)
    run.ok()

    assert s.Reply(1, "ok") == run.call(s.TerminateChild(1, 0, dead, alive=False))
    assert {0: "running"} == run.statuses()
    assert s.Reply(2, "ok") == run.call(s.TerminateChild(2, 77, object(), alive=False))


def test_terminate_a_stranger():
    """A living process that is no child is not found, even if its key is one here."""
    run = dynamic(WORKER)

    assert s.Reply(1, "not_found") == run.call(s.TerminateChild(1, 0, object(), alive=True))
    assert s.Reply(2, "not_found") == run.call(s.TerminateChild(2, None, object(), alive=True))


def test_terminate_between_death_and_notice():
    """A child whose death was not noticed yet is stopped as if it ran; the notice is stale afterwards."""
    run = dynamic(WORKER)
    dead = run.handle(0)
    run.feed(s.TerminateChild(1, 0, dead, alive=False))

    assert [s.Reply(1, "ok")] == run.stopped()
    assert [] == run.feed(s.Exited(0, dead, BOOM, 0.0))


def test_terminate_between_attempts():
    """Between two attempts of its restart a child is named by its last incarnation; the retry ends."""
    run = dynamic(WORKER)
    old = run.handle(0)
    run.exits(0)
    (retry,) = run.fail()

    assert s.Reply(1, "ok") == run.call(s.TerminateChild(1, 0, old, alive=False))
    assert {} == run.statuses()
    assert 0 == run.state.restarting
    assert [] == run.feed(s.Retry(0, retry.number, retry.counted, 0.0))


def test_the_same_death_twice():
    """A death is news once, also while the dead incarnation still names the child that is being restarted."""
    run = dynamic(WORKER)
    handle = run.handle(0)
    run.exits(0)
    run.fail()

    assert [] == run.feed(s.Exited(0, handle, BOOM, 0.0))
    assert 1 == len(run.state.window.times)


def test_restart():
    """A crashed child is restarted alone."""
    run = dynamic(WORKER, WORKER)
    run.exits(0)

    assert ["+0"] == run.work_off()


@pytest.mark.parametrize(("restart", "reason"), [("temporary", BOOM), ("transient", NORMAL)])
def test_gone_for_good(restart, reason):
    """A child that is not restarted leaves nothing."""
    run = dynamic(spec(None, restart))
    run.exits(0, reason)

    assert {} == run.statuses()


def test_ignored_restart_leaves_nothing():
    """A dynamic child that declines its restart is gone (OTP keeps a slot for it by accident)."""
    run = dynamic(WORKER)
    run.exits(0)
    run.ignore()

    assert {} == run.statuses()


def test_stop_all_at_once():
    """Dynamic children are stopped in parallel, each within its own limit."""
    run = dynamic(WORKER, spec(None, shutdown="kill"))

    (stops,) = run.feed(s.StopRequest(SHUTDOWN))

    assert [s.StopChild(1, run.handle(1), "kill"), s.StopChild(0, run.handle(0), 5.0)] == list(stops.children)
    assert [s.Finish(SHUTDOWN)] == run.stopped()
    assert {} == run.statuses()


def test_kill_all_at_once():
    """A killed supervisor kills its dynamic children."""
    (stops,) = dynamic(WORKER).feed(s.Kill())

    assert ["kill"] == [stop.limit for stop in stops.children]


def test_limit_names_what_the_child_was_made_of():
    """There is no id to name past the limit, so it is the factory."""
    run = dynamic(WORKER, max_restarts=0)
    run.exits(0)

    assert work.__name__ == limit_of(run.finished).child_id


def test_auto_shutdown_names_what_the_child_was_made_of():
    """The same holds for an automatic shutdown."""
    run = dynamic(spec(None, "temporary", significant=True), auto_shutdown="any_significant")
    run.exits(0, NORMAL)

    assert Shutdown(s.AutoShutdown(work.__name__)) == run.finished


# ---------------------------------------------------------------------------------------------- places


def test_no_place():
    """Without waiting, a start that finds no place is refused."""
    assert s.Reply(1, "max_children") == dynamic(WORKER, max_children=1).call(s.AddChild(1, WORKER))


def test_no_places_at_all():
    """A supervisor may have no places; a start that waits does so for ever."""
    run = dynamic(max_children=0)

    assert "max_children" == run.call(s.AddChild(1, WORKER)).answer
    assert [] == run.feed(s.AddChild(2, WORKER, wait=True))


def test_a_start_that_waits_is_not_needed_to_wait():
    """With room, waiting is no different."""
    run = dynamic(max_children=1)

    (start,) = run.feed(s.AddChild(1, WORKER, wait=True))
    assert s.StartChild(0, WORKER) == start


def full(*waiting):
    """A supervisor with one place, taken, and these calls waiting for it."""
    run = dynamic(spec(None, "temporary"), max_children=1)
    for token in waiting:
        assert [] == run.feed(s.AddChild(token, WORKER, wait=True))
    return run


def test_the_first_that_waits_gets_the_place():
    """Places go to those that wait in the order of their calls; the answer comes when the child is up."""
    run = full(1, 2)

    (start,) = run.exits(0, NORMAL)
    assert isinstance(start, s.StartChild)
    (reply,) = run.ok()
    assert (1, "ok") == (reply.token, reply.answer)
    assert [2] == [entry.token for entry in run.state.waiting]


@pytest.mark.parametrize(("outcome", "answer"), [(Run.fail, "failed"), (Run.ignore, "ignored")])
def test_next_when_a_start_comes_to_nothing(outcome, answer):
    """A start that fails or is declined is answered, and its place goes to the next at once."""
    run = full(1, 2)
    run.exits(0, NORMAL)

    reply, start = outcome(run)

    assert (1, answer) == (reply.token, reply.answer)
    assert isinstance(start, s.StartChild)
    (reply,) = run.ok()
    assert (2, "ok") == (reply.token, reply.answer)


def test_terminate_makes_room():
    """A terminated child makes room too; its caller is answered first."""
    run = full(2)
    run.feed(s.TerminateChild(1, 0, run.handle(0), alive=True))

    reply, start = run.stopped()

    assert s.Reply(1, "ok") == reply
    assert isinstance(start, s.StartChild)


def test_ignored_restart_makes_room():
    """So does a child that declines its restart."""
    run = dynamic(WORKER, max_children=1)
    run.feed(s.AddChild(1, WORKER, wait=True))
    run.exits(0)

    (start,) = run.ignore()
    assert isinstance(start, s.StartChild)


def test_a_restarting_child_keeps_its_place():
    """Between two attempts the place is taken."""
    run = dynamic(WORKER, max_children=1)
    run.feed(s.AddChild(1, WORKER, wait=True))
    run.exits(0)

    assert [s.RetryLater(0, 1, counted=False, delay=0.0)] == run.fail()
    assert "max_children" == run.call(s.AddChild(2, WORKER)).answer


def test_withdraw():
    """A caller that has gone waits no longer; the others do, and nobody else is affected."""
    run = full(1, 2)

    assert [] == run.feed(s.Withdraw(1))
    assert [2] == [entry.token for entry in run.state.waiting]
    assert [] == run.feed(s.Withdraw("unknown"))
    run.exits(0, NORMAL)
    (reply,) = run.ok()
    assert 2 == reply.token


def test_waiting_at_the_end():
    """When the supervisor stops, waiting starts are dropped; the end of its process is their answer."""
    run = full(1)
    run.feed(s.StopRequest(SHUTDOWN))
    run.stopped()

    assert SHUTDOWN == run.finished
    assert () == run.state.waiting


def test_waiting_starts_keep_services():
    """A start that waits will need the supervisor: services are not stopped before it."""
    run = dynamic(spec(None, "temporary", service=True), max_children=1)
    run.feed(s.AddChild(1, WORKER, wait=True))

    assert [] == run.feed(s.StopServices())
    run.feed(s.Withdraw(1))
    run.feed(s.StopServices())
    run.stopped()
    assert SHUTDOWN == run.finished


def test_keys_are_never_used_twice():
    """A key names one child for ever, so that news of a forgotten one cannot hit another."""
    run = dynamic(spec(None, "temporary"))
    dead = run.handle(0)
    run.exits(0, KILLED)
    run.feed(s.AddChild(1, WORKER))
    run.ok()

    assert [1] == list(run.statuses())
    assert [] == run.feed(s.Exited(0, dead, BOOM, 0.0))
