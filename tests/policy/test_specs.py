"""Child specifications and the flags of a supervisor: defaults, validation, and what a set of children must obey."""

import functools
import math

import attrs
import pytest

from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.mailboxes import DEFAULT_MAILBOX, MailboxOptions
from nursery_otp._policy.restarts import Backoff
from nursery_otp._policy.specs import (
    ChildSpec,
    SupervisorFlags,
    as_specs,
    check_children,
    check_childspecs,
    check_significant,
)
from tests.policy.builders import spec, work


class Team:
    """A factory that says what it makes."""

    process_kind = "supervisor"
    process_body = None


class Text:
    """What a registered name looks like from this floor."""

    text = "counter"

    def __str__(self):
        return self.text


def refusal(make, *arguments, **options):
    """The error that this raises."""
    with pytest.raises(InvalidSpec) as caught:
        make(*arguments, **options)
    return caught.value


# ----------------------------------------------------------------------------------------- child specs


def test_defaults():
    """A permanent worker with five seconds to stop, as in OTP."""
    child = ChildSpec(factory=work)

    assert ((), None, None) == (child.args, child.id, child.name)
    assert ("permanent", "worker", 5.0) == (child.restart, child.kind, child.shutdown)
    assert (False, False, False) == (child.significant, child.service, child.trap_exits)
    assert DEFAULT_MAILBOX is child.mailbox
    assert None is child.backoff


def test_supervisors_have_no_limit():
    """A supervisor stops its children first: it may take as long as it needs, unless told otherwise."""
    assert ("supervisor", math.inf) == (ChildSpec(factory=Team).kind, ChildSpec(factory=Team).shutdown)
    assert math.inf == ChildSpec(factory=work, kind="supervisor").shutdown
    assert 5.0 == ChildSpec(factory=Team, kind="worker").shutdown
    assert 2.0 == ChildSpec(factory=Team, shutdown=2.0).shutdown


@pytest.mark.parametrize("shutdown", ["kill", 0, 0.5, 7, math.inf])
def test_shutdown(shutdown):
    """Time to stop: seconds, no limit, or none at all."""
    assert shutdown == ChildSpec(factory=work, shutdown=shutdown).shutdown


SHUTDOWN_PROBLEM = "must be a number of seconds >= 0, math.inf or 'kill'"


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("factory", None, "must be callable (a class or a function, not what it returns)"),
        ("factory", 5, "must be callable (a class or a function, not what it returns)"),
        ("args", [1], "must be a tuple"),
        ("id", [], "must be hashable"),
        ("id", {"a": 1}, "must be hashable"),
        ("name", "counter", "must be a Name, such as Name('counter')"),
        ("restart", "always", "must be one of 'permanent', 'transient', 'temporary'"),
        ("restart", None, "must be one of 'permanent', 'transient', 'temporary'"),
        ("shutdown", -1, SHUTDOWN_PROBLEM),
        ("shutdown", "brutal_kill", SHUTDOWN_PROBLEM),
        ("shutdown", None, SHUTDOWN_PROBLEM),
        ("shutdown", math.nan, SHUTDOWN_PROBLEM),
        ("shutdown", True, SHUTDOWN_PROBLEM),
        ("kind", "boss", "must be one of 'worker', 'supervisor'"),
        ("significant", "yes", "must be True or False"),
        ("significant", True, "a permanent child always comes back, so it cannot be"),
        ("service", 1, "must be True or False"),
        ("trap_exits", None, "must be True or False"),
        ("mailbox", 100, "must be a MailboxOptions"),
        ("backoff", 1.0, "must be a Backoff or None"),
    ],
)
def test_invalid_spec(field, value, problem):
    """A specification that does not hold cannot be made; the error says what would have been right."""
    assert f"{field}={value!r}: {problem}" == str(refusal(ChildSpec, **{"factory": work, field: value}))


def test_unknown_option():
    """An option that does not exist is refused, and there are no positional ones."""
    with pytest.raises(TypeError, match="respawn"):
        ChildSpec(factory=work, respawn=True)
    with pytest.raises(TypeError):
        ChildSpec(work)


def test_label():
    """Without an id a child is called by its name, or by what makes it."""
    assert "counter" == ChildSpec(factory=work, name=Text()).label
    assert "work" == ChildSpec(factory=work).label
    assert "Team" == ChildSpec(factory=Team).label
    assert "partial" == ChildSpec(factory=functools.partial(work)).label


def test_variations():
    """A specification can be completed with an id, or with more arguments; the original stays as it was."""
    template = ChildSpec(factory=work, args=(1,), shutdown=3.0, backoff=Backoff(), mailbox=MailboxOptions(capacity=5))
    named, filled = template.with_id("a"), template.with_args((2, 3))

    assert ("a", (1,), 3.0) == (named.id, named.args, named.shutdown)
    assert (None, (1, 2, 3), template.mailbox) == (filled.id, filled.args, filled.mailbox)
    assert (None, (1,)) == (template.id, template.args)


def test_variations_are_checked():
    """What is made from a specification holds too."""
    assert "id" == refusal(spec("a").with_id, []).field


def test_specs_are_frozen_identities():
    """A specification cannot be changed, and two of them are two, even if they say the same."""
    child = spec("a")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        child.restart = "temporary"

    assert spec("a") != child
    assert 2 == len({child, spec("a"), child})


# ----------------------------------------------------------------------------------------------- flags


def test_flags_defaults():
    """One for one, at most one restart within five seconds, as in OTP; no automatic shutdown, no other limits."""
    flags = SupervisorFlags()

    assert ("one_for_one", 1, 5.0) == (flags.strategy, flags.max_restarts, flags.period)
    assert ("never", math.inf) == (flags.auto_shutdown, flags.max_children)


@pytest.mark.parametrize(
    ("strategy", "dynamic"),
    [("one_for_one", False), ("one_for_all", False), ("rest_for_one", False), ("simple_one_for_one", True)],
)
def test_dynamic(strategy, dynamic):
    """Only the children of a simple_one_for_one supervisor come and go."""
    assert dynamic == SupervisorFlags(strategy=strategy).dynamic


@pytest.mark.parametrize(
    "options",
    [
        {"max_restarts": 0},
        {"max_restarts": math.inf},
        {"period": 0.001},
        {"period": math.inf},
        {"strategy": "simple_one_for_one", "max_children": 0},
        {"strategy": "simple_one_for_one", "max_children": 10},
        {"strategy": "one_for_one", "max_children": math.inf},
        {"auto_shutdown": "all_significant"},
    ],
    ids=str,
)
def test_valid_flags(options):
    """Limits may be zero or infinite where that means something."""
    assert options == {field: getattr(SupervisorFlags(**options), field) for field in options}


STRATEGIES = "must be one of 'one_for_one', 'one_for_all', 'rest_for_one', 'simple_one_for_one'"
AUTO = "must be one of 'never', 'any_significant', 'all_significant'"


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("strategy", "one_for_none", STRATEGIES),
        ("strategy", None, STRATEGIES),
        ("max_restarts", -1, "must be a whole number >= 0 or math.inf"),
        ("max_restarts", 1.5, "must be a whole number >= 0 or math.inf"),
        ("max_restarts", True, "must be a whole number >= 0 or math.inf"),
        ("period", 0, "must be a number of seconds > 0"),
        ("period", -5, "must be a number of seconds > 0"),
        ("period", "5s", "must be a number of seconds > 0"),
        ("auto_shutdown", True, AUTO),
        ("auto_shutdown", "any", AUTO),
        ("max_children", -1, "must be a whole number >= 0 or math.inf"),
        ("max_children", 3, "only a simple_one_for_one supervisor has a limit"),
    ],
)
def test_invalid_flags(field, value, problem):
    """Flags that do not hold cannot be made."""
    assert f"{field}={value!r}: {problem}" == str(refusal(SupervisorFlags, **{field: value}))


# --------------------------------------------------------------------------------------- sets of specs


def test_check_childspecs():
    """Ids are unique, or are not given at all; the order does not matter."""
    assert None is check_childspecs([spec("a"), spec("b"), spec(None), spec(None)])
    assert None is check_childspecs(iter([spec(1), spec("1")]))
    assert None is check_childspecs([])


def test_duplicate_id():
    """The second child of an id is refused."""
    error = refusal(check_childspecs, [spec("a"), spec("b"), spec("a")])

    assert "id='a': duplicate id: each child of a supervisor needs its own" == str(error)


@pytest.mark.parametrize(
    ("specs", "problem"),
    [
        (5, "must be child specifications; make them with child(factory, *args)"),
        (None, "must be child specifications; make them with child(factory, *args)"),
        (spec("a"), "must be child specifications; make them with child(factory, *args)"),
        ([work], "must be a ChildSpec; make one with child(factory, *args)"),
        ([spec("a"), "b"], "must be a ChildSpec; make one with child(factory, *args)"),
        ("ab", "must be a ChildSpec; make one with child(factory, *args)"),
    ],
    ids=["number", "none", "single", "function", "mixed", "text"],
)
def test_not_specs(specs, problem):
    """What is not a specification is named."""
    error = refusal(check_childspecs, specs)

    assert ("children", problem) == (error.field, error.problem)


def test_the_first_that_is_no_spec_is_named():
    """The error shows the thing itself."""
    assert "b" == refusal(as_specs, [spec("a"), "b", "c"]).value


@pytest.mark.parametrize("mode", ["any_significant", "all_significant", None])
def test_significant(mode):
    """Significant children need a supervisor that may shut down automatically; unless asked, nobody looks."""
    child = spec("a", "transient", significant=True)

    assert None is check_childspecs([child], mode)
    assert None is check_significant(child, mode)


def test_significant_for_nothing():
    """A significant child means nothing to a supervisor that never shuts down automatically."""
    error = refusal(check_childspecs, [spec("a"), spec("b", "transient", significant=True)], "never")

    assert "significant=True: the supervisor's auto_shutdown is 'never'" == str(error)


def test_unknown_auto_shutdown():
    """The mode itself is checked, also when there are no children."""
    assert "auto_shutdown" == refusal(check_childspecs, [], "sometimes").field


def test_check_children():
    """The children of a supervisor: any number, as a list."""
    children = [spec("a"), spec("b")]

    assert children == check_children(iter(children), SupervisorFlags())
    assert [] == check_children((), SupervisorFlags(strategy="simple_one_for_one"))
    assert children[:1] == check_children(children[:1], SupervisorFlags(strategy="simple_one_for_one"))


def test_one_template():
    """A simple_one_for_one supervisor has one template at most."""
    error = refusal(check_children, [spec("a"), spec("b")], SupervisorFlags(strategy="simple_one_for_one"))

    assert ("children", "a simple_one_for_one supervisor has one template at most") == (error.field, error.problem)


def test_check_children_knows_the_flags():
    """Significance is checked against the flags."""
    significant = spec("a", "temporary", significant=True)

    assert "significant" == refusal(check_children, [significant], SupervisorFlags()).field
    flags = SupervisorFlags(auto_shutdown="any_significant")
    assert [significant] == check_children([significant], flags)
