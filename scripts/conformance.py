"""Replay traces recorded from a real Erlang/OTP: `python scripts/conformance.py CORPUS.json ...`; see --help."""

from __future__ import annotations

import sys
from pathlib import Path

# It runs from anywhere, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.conformance.cli import main

if __name__ == "__main__":
    sys.exit(main())
