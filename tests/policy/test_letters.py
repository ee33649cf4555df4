"""A dead letter as data."""

import pytest

from nursery_otp import InvalidSpec, LetterRecord, check_letter

GOOD = LetterRecord("1-1", "name", "worker", "null", "noproc")


def test_good_letter():
    """A letter whose fields hold is returned as it is."""
    assert GOOD is check_letter(GOOD)
    assert check_letter(GOOD._replace(message=None, cause="x", trace="{}", state="exhausted", requested=True))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", 1),
        ("id", None),
        ("recipient_kind", "pid"),
        ("recipient_kind", None),
        ("recipient", b"worker"),
        ("message", {"a": 1}),
        ("reason", None),
        ("metadata", None),
        ("attempts", -1),
        ("attempts", True),
        ("attempts", 2**63),
        ("attempts", float("inf")),
        ("first_failure", "now"),
        ("first_failure", float("nan")),
        ("last_attempt", float("inf")),
        ("last_attempt", None),
        ("idempotency_key", 17),
        ("correlation_id", 17),
        ("cause", ValueError("x")),
        ("state", "lost"),
        ("requested", 1),
        ("trace", b""),
    ],
)
def test_bad_letter(field, value):
    """A field that does not hold is named with its value."""
    with pytest.raises(InvalidSpec) as caught:
        check_letter(GOOD._replace(**{field: value}))

    assert (field, value) == (caught.value.field, caught.value.value) or value != value
