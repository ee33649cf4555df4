"""What may be chosen about dead letters."""

import math

import pytest

from nursery_otp import AutomaticRetry, Backoff, DeadLetterOptions, FormerRecipient, InvalidSpec


class Half:
    """Something that is not quite a store."""

    def open(self): ...
    def write(self, changes): ...


class Whole(Half):
    """Something that could be one."""

    def changed(self): ...
    def reload(self): ...
    def encode(self, message): ...
    def decode(self, text): ...
    def close(self): ...


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (DeadLetterOptions, "store", object()),
        (DeadLetterOptions, "store", Half()),
        (DeadLetterOptions, "store", Whole),
        (DeadLetterOptions, "store", "letters.sqlite"),
        (DeadLetterOptions, "capacity", 0),
        (DeadLetterOptions, "capacity", 1.5),
        (DeadLetterOptions, "max_attempts", 0),
        (DeadLetterOptions, "expire_after", 0),
        (DeadLetterOptions, "expire_after", math.nan),
        (DeadLetterOptions, "retry", 30.0),
        (DeadLetterOptions, "concurrency", 0),
        (DeadLetterOptions, "concurrency", math.inf),
        (AutomaticRetry, "interval", 0),
        (AutomaticRetry, "interval", math.inf),
        (AutomaticRetry, "interval", "soon"),
        (AutomaticRetry, "min_age", -1),
        (AutomaticRetry, "min_age", math.inf),
        (AutomaticRetry, "backoff", 1.0),
        (AutomaticRetry, "concurrency", 0),
    ],
)
def test_bad_options(kind, field, value):
    """A value that makes no sense is refused, with its field and itself in the error."""
    with pytest.raises(InvalidSpec) as caught:
        kind(**{field: value})

    assert (field, value) == (caught.value.field, caught.value.value)


def test_missing_methods():
    """What is not a store is told what it lacks."""
    with pytest.raises(InvalidSpec, match="it has no method changed, reload, encode, decode, close"):
        DeadLetterOptions(store=Half())


def test_good_options():
    """No limit is a limit where that makes sense; a store is anything with the methods of one."""
    options = DeadLetterOptions(
        store=Whole(),
        capacity=math.inf,
        max_attempts=math.inf,
        expire_after=math.inf,
        retry=AutomaticRetry(interval=1, min_age=5, backoff=Backoff(initial=2)),
    )

    assert 2 == options.retry.backoff.initial


def test_former_recipient():
    """Who has gone is an address where nobody is."""
    assert FormerRecipient("worker#7").whereis() is None
    assert "worker#7" == str(FormerRecipient("worker#7"))
