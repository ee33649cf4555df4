"""Reading the command line: errors are one line, and numbers have their units."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from nursery_otp.cli.output import Failure

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
MOST_DIGITS = 18  # what is longer may not fit 64 bits
DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


class HelpAsked(Exception):
    """Somebody wants to know how a command is used; the text says it."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and that leaves it to others to print and to end the program."""

    def error(self, message: str) -> NoReturn:
        """Wrong use."""
        raise Failure(f"{message} (see '{self.prog} --help')", status=2)

    def print_help(self, _file: object = None) -> NoReturn:
        """`--help` was given."""
        raise HelpAsked(self.format_help())


def duration(text: str) -> float:
    """Seconds: "90", "90s", "15m", "2h", "7d", "1w", or several as in "1h30m"."""
    if DURATION.fullmatch(text):
        seconds = sum(float(number) * UNITS[unit] for number, unit in PART.findall(text))
    else:
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 15m, 2h, 7d or 1h30m")
    return seconds


def positive(text: str) -> int:
    """A whole number from 1 on, that a database takes."""
    if not text.isdecimal() or len(text) > MOST_DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number >= 1 of at most {MOST_DIGITS} digits")
    return int(text)


def age_text(seconds: float) -> str:
    """A duration for people, in its two largest units."""
    left = max(0, int(seconds))
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, int(UNITS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2]) or "0s"
