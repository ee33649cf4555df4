"""A policy with one source on top: the table of a file, environment variables, or an override."""

from nursery_otp import Timeouts
from nursery_otp._policy.timeout_rules import Origin
from nursery_otp._policy.timeout_sources import apply_changes, from_arguments, from_environment, from_table

PREFIX = "NURSERY_OTP_TIMEOUT__"


def with_table(table, base=None):
    """A policy with a table of a file on top."""
    return apply_changes(base or Timeouts(), from_table(table, "otp.toml"), source="file otp.toml")


def with_variables(variables, base=None):
    """A policy with environment variables on top; the names are given without their prefix."""
    base = base or Timeouts()
    return apply_changes(base, from_environment({PREFIX + name: text for name, text in variables.items()}, base))


def with_override(base, **changes):
    """A policy with an override on top."""
    return apply_changes(
        base, from_arguments(changes, base, Origin("override"), "override_timeouts"), source="override"
    )
