"""The packages of the extras: never imported unasked, and asked for by name where they are missing."""

import subprocess
import sys

import pytest


def python(program):
    """What a program prints."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_not_imported():
    """Importing nursery_otp imports none of the packages of its extras."""
    program = (
        "import sys, nursery_otp; print([n for n in sys.modules if n.startswith(('opentelemetry', 'prometheus_'))])"
    )

    assert "[]\n" == python(program)


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("otel", "opentelemetry-api", "otel"), ("prometheus", "prometheus-client", "prometheus")],
)
def test_missing(module, package, extra):
    """Without its package a bridge says what to install."""
    program = f"""
import sys
sys.modules["opentelemetry"] = sys.modules["prometheus_client.core"] = None
import nursery_otp
try:
    import nursery_otp.{module}
except nursery_otp.MissingExtra as error:
    print(error)
"""
    text = python(program)

    assert package in text
    assert f"pip install 'nursery_otp[{extra}]'" in text
