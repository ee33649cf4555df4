"""The bound of a mailbox and its policy: defaults and validation."""

import math

import attrs
import pytest

from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.mailboxes import DEFAULT_MAILBOX, KINDS, OVERFLOWS, MailboxOptions


def test_defaults():
    """A hundred thousand messages, senders wait, the lean implementation."""
    assert MailboxOptions(capacity=100_000, overflow="block", kind="lean") == DEFAULT_MAILBOX == MailboxOptions()


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("capacity", [1, 10**9, math.inf])
def test_valid(capacity, overflow, kind):
    """Every policy goes with every implementation, and a mailbox may have no bound."""
    options = MailboxOptions(capacity=capacity, overflow=overflow, kind=kind)

    assert (capacity, overflow, kind) == (options.capacity, options.overflow, options.kind)


OVERFLOW = "must be one of 'block', 'drop_newest', 'drop_oldest', 'reject', 'crash'"


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("capacity", 0, "must be a whole number >= 1 or math.inf"),
        ("capacity", -5, "must be a whole number >= 1 or math.inf"),
        ("capacity", 1.5, "must be a whole number >= 1 or math.inf"),
        ("capacity", "100", "must be a whole number >= 1 or math.inf"),
        ("capacity", True, "must be a whole number >= 1 or math.inf"),
        ("capacity", None, "must be a whole number >= 1 or math.inf"),
        ("overflow", "wait", OVERFLOW),
        ("overflow", None, OVERFLOW),
        ("kind", "queue", "must be one of 'lean', 'channel'"),
        ("kind", list, "must be one of 'lean', 'channel'"),
    ],
)
def test_invalid(field, value, problem):
    """Options that do not hold cannot be made; the error says what would have been right."""
    with pytest.raises(InvalidSpec) as caught:
        MailboxOptions(**{field: value})

    assert f"{field}={value!r}: {problem}" == str(caught.value)


def test_frozen():
    """Options are values, given by keyword."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        DEFAULT_MAILBOX.capacity = 5
    with pytest.raises(TypeError):
        MailboxOptions(5)
