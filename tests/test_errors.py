"""Every error of the library: it can be copied, made of whatever a user gave, and its text is of when it was made."""

import copy
import pickle

import pytest
import trio

from nursery_otp import (
    AlreadyNamed,
    AlreadyStarted,
    Failed,
    GenServer,
    InvalidSpec,
    Name,
    NameTaken,
    OTPError,
    Stop,
    StopTimeout,
    SupervisorHandle,
    call,
    errors,
    mailbox,
    open_supervisor,
    register,
    spawn,
    stop,
)
from nursery_otp._policy.errors import ReasonError


class Untold:
    """Neither its repr nor its text can be had."""

    def __repr__(self):
        raise ZeroDivisionError("no repr")


class UntoldError(Exception):
    """An error of an application, of the same kind."""

    def __str__(self):
        raise ZeroDivisionError("no text")

    __repr__ = __str__


def made_of(it, reason):
    """One error of each class, about `it` wherever a user's own value can be."""
    failure = reason.detail
    return [
        errors.AlreadyNamed(it, it),
        errors.AlreadyPresent(it),
        errors.AlreadyStarted(it, it),
        errors.BadReturn("C.init", it, "None"),
        errors.BroadcastFailed("best_effort", 1, ((it, failure),)),
        errors.CallExited(it, reason),
        errors.CallTimeout("C.add", it, 5.0),
        errors.CannotLoad("gone"),
        errors.CannotStore("message", "a socket"),
        errors.ChildNotFound(it),
        errors.ChildRestarting(it),
        errors.ChildRunning(it),
        errors.CircuitOpen(it, 3.0),
        errors.Deadlock("C.add", (it, it)),
        errors.DeliveryTimeout(it, 5.0, "handled", handling=True),
        errors.HandlerTimeout("C.add", 5.0),
        errors.HiddenError("KeyError: (not shown)"),
        errors.InvalidSpec("id", it, "must be something else"),
        errors.LeakedResources("one task"),
        errors.LetterNotFound("3-17"),
        errors.MailboxFull(it, 10),
        errors.MailboxOverflow(10),
        errors.MaxChildrenReached(10),
        errors.MissingExtra("nursery_otp.otel", "opentelemetry-api", "otel"),
        errors.NameTaken(it, it),
        errors.NoProcess(it, "send"),
        errors.NoRuntime("send()"),
        errors.NotForDynamic("delete_child"),
        errors.NotInProcess("link"),
        errors.OTPError("something", "else"),
        errors.ProcessDown(it, reason, it),
        errors.RestartLimitReached(it, 1, 5.0, in_peace=True),
        errors.StartFailed(it, reason),
        errors.StartIgnored(it),
        errors.StartTimeout(it, 5.0),
        errors.StopTimeout(it, 5.0),
        errors.StoreError("letters.sqlite", "is full", lasting=True),
        errors.SupervisorEnded(it, reason),
        errors.UnknownOperation(it, "add"),
    ]


PLAIN = made_of(Name("desk"), Failed(ValueError("no")))


def name_of(error):
    return type(error).__name__


def test_all_are_here():
    """No class is left out of the tests below."""
    public = {getattr(errors, name) for name in errors.__all__}
    assert {type(error) for error in PLAIN} == {kind for kind in public if issubclass(kind, OTPError)}


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize("error", PLAIN, ids=name_of)
def test_copies(error, again):
    """A copy is of the same type, and has the same text and attributes."""
    other = again(error)
    assert type(error) is type(other)
    assert str(error) == str(other)
    assert list(map(str, error.args)) == list(map(str, other.args))
    assert {name: str(value) for name, value in vars(error).items()} == {
        name: str(value) for name, value in vars(other).items()
    }
    assert str(other)


@pytest.mark.parametrize("error", made_of(Untold(), Failed(UntoldError())), ids=name_of)
def test_untold(error):
    """Errors can be made of, and tell about, what cannot be told."""
    text = str(error)
    assert text
    if any(isinstance(value, Untold) for value in vars(error).values()):
        root = isinstance(error, errors.SupervisorEnded)  # which speaks of the root supervisor in words of its own
        assert root or "<Untold whose " in text
    if isinstance(error, ReasonError):
        assert "<UntoldError whose repr raised ZeroDivisionError>" in text


class Desk(GenServer):
    @call
    def ask(self):
        return 1


DESK = Name[Desk]("desk")


async def never():
    """A process that does not stop when it is asked to."""
    with trio.CancelScope(shield=True):
        async for _ in mailbox():
            pass


async def already_started(tree):
    await tree.start(Desk, name=DESK)
    with pytest.raises(AlreadyStarted) as caught:
        await tree.start(Desk, name=DESK)
    return caught.value


async def name_taken(tree):
    await tree.start(Desk, name=DESK)
    other = spawn(trio.sleep_forever)
    with pytest.raises(NameTaken) as caught:
        register(DESK, other)
    return caught.value


async def already_named(tree):
    ref = await tree.start(Desk, name=DESK)
    with pytest.raises(AlreadyNamed) as caught:
        register(Name("other"), ref)
    return caught.value


async def no_supervisor(tree):
    ref = await tree.start(Desk)
    with pytest.raises(InvalidSpec) as caught:
        await SupervisorHandle(ref).which_children()
    return caught.value


async def stop_timeout(tree):
    class Slow(GenServer):
        async def terminate(self, reason):
            await trio.sleep(10)

    ref = await tree.start(Slow, shutdown=100)
    with pytest.raises(StopTimeout) as caught:
        await stop(ref, within=1)
    return caught.value


@pytest.mark.parametrize("situation", [already_started, name_taken, already_named, no_supervisor, stop_timeout])
async def test_text_of_the_moment(situation, autojump_clock):
    """What an error says of a process is what it was then, though the error is printed when the tree has ended."""
    async with open_supervisor() as tree:
        error = await situation(tree)
        then = str(error)
        tree.shutdown()

    assert then == str(error)
    assert "#2" in then
    assert "ended" not in then


def test_stop_is_none_of_them():
    """`Stop` and `Ignore` are instructions, and no errors."""
    assert not issubclass(Stop, OTPError)
    assert not issubclass(errors.Ignore, OTPError)
