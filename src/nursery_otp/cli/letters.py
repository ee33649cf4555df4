"""A letter as a row of a table, as lines, and as JSON."""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from nursery_otp import LetterRecord
from nursery_otp.cli.output import Failure
from nursery_otp.cli.parsing import age_text
from nursery_otp.stores.files import LetterFilter

HEAD = ("ID", "RECIPIENT", "REASON", "STATE", "TRIES", "AGE", "MESSAGE")
JSON_FIELDS = ("message", "metadata", "trace")
ONE_LINE = 90  # characters of JSON
REQUEST = re.compile(r'\{"\$message":\["(\w+)",\[(.*)\],\{\}\]\}', re.DOTALL)


def selected(options: argparse.Namespace) -> LetterFilter:
    """The letters that the command line is about."""
    older_than = options.older_than
    return LetterFilter(
        ids=getattr(options, "ids", None) or None,
        recipient=options.recipient,
        reason=options.reason,
        state=options.state,
        failed_before=None if older_than is None else time.time() - older_than,
    )


def check_missing(options: argparse.Namespace, found: Iterable[str], consequence: str) -> None:
    """An id that is not there is a mistake, and nothing is done; unless a filter may have left it out."""
    filters = (options.recipient, options.reason, options.state, options.older_than, options.limit)
    missing = sorted(set(options.ids).difference(found))
    if missing and all(value is None for value in filters):
        raise Failure(f"{options.file}: there is no letter {', '.join(map(repr, missing))}; {consequence}")


def counted(number: int) -> str:
    """How many letters, in words."""
    return f"{number} letter{'' if number == 1 else 's'}"


def row(letter: LetterRecord) -> tuple[str, ...]:
    """A letter as a row below `HEAD`."""
    return (
        letter.id,
        letter.recipient,
        letter.reason,
        f"{letter.state}, requested" if letter.requested else letter.state,
        str(letter.attempts),
        age_text(time.time() - letter.first_failure),
        message_text(letter.message),
    )


def message_text(message: str | None) -> str:
    """A stored message for people: requests as calls, the rest as it is stored."""
    if message is None:
        return "(not stored)"
    request = REQUEST.fullmatch(message)
    return f"{request[1]}({request[2]})" if request else message


def as_json(letter: LetterRecord) -> dict[str, Any]:
    """A letter for programs; its message is not text in text, but JSON itself."""
    fields = letter._asdict()
    return {**fields, **{name: _parsed(fields[name]) for name in JSON_FIELDS}}


def _parsed(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text, parse_constant=_no_json, parse_float=_finite)
    except (ValueError, RecursionError):  # another store may use another format than JSON
        return text


def _no_json(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} would be printed as what is not JSON")
    return number


def lines(letter: LetterRecord) -> list[tuple[str, str]]:
    """Everything about a letter, for people."""
    fields = letter._asdict()
    for name in JSON_FIELDS:
        text = json.dumps(parsed := _parsed(fields[name]), ensure_ascii=False)
        fields[name] = text if len(text) <= ONE_LINE else json.dumps(parsed, ensure_ascii=False, indent=2)
    for name in ("first_failure", "last_attempt"):
        fields[name] = time_text(fields[name])
    kind = fields.pop("recipient_kind")
    if kind != "name":
        fields["recipient"] += f" ({'one process of an earlier run' if kind == 'ref' else 'not a name'})"
    fields["requested"] = "yes" if letter.requested else "no"
    return [(name.replace("_", " "), str(value)) for name, value in fields.items() if value not in {None, "null", "{}"}]


def time_text(seconds: float) -> str:
    """A Unix time for people."""
    try:
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return str(seconds)
    return f"{text} ({age_text(time.time() - seconds)} ago)"
