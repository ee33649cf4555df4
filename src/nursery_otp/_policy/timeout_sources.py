"""Where the values of a timeout policy come from: each source becomes changes to the policy that was there before.

A change replaces what is at the same place. So later sources win, and everything they do not mention stays; each value
remembers its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs

from nursery_otp._policy import checks
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._policy.exits import safe_repr, safe_str
from nursery_otp._policy.suggestions import did_you_mean, nearest
from nursery_otp._policy.timeout_keys import key_of, replaces
from nursery_otp._policy.timeout_rules import Origin
from nursery_otp._policy.timeouts import CODE, FACTORS, FIELDS, WHILE_RESTARTING, Place, Timeouts, with_origins

RULE_FIELDS = ("rules", "handler_rules")
TABLE = "timeouts"
FAMILY = "NURSERY_OTP_TIMEOUT"
PREFIX = FAMILY + "__"
_NUMBERS = {"DEFAULT": "default", "HANDLER": "handler", "FACTOR": "factor"}
_RULES = {"RULES": "rules", "HANDLER_RULES": "handler_rules"}


@attrs.frozen
class Change:
    """One value at one place, and where it comes from."""

    place: Place
    value: Any
    origin: Origin


def apply_changes(policy: Timeouts, changes: Sequence[Change], *, source: str = "") -> Timeouts:
    """The policy with these values in the place of its own. `InvalidSpec` if that does not hold; it names `source`."""
    values: dict[str, Any] = {field: getattr(policy, field) for field in FIELDS}
    values = {field: dict(value) if isinstance(value, Mapping) else value for field, value in values.items()}
    origins = dict(policy._origins)
    try:
        for field in RULE_FIELDS:
            _make_room(field, values[field], origins, [change for change in changes if change.place[0] == field])
        for change in changes:
            match change.place:
                case (field,):
                    values[field] = change.value
                case (field, key):
                    values[field][key] = change.value
            origins[change.place] = change.origin
        return with_origins(values, MappingProxyType(origins))
    except InvalidSpec as error:
        if not source:
            raise
        raise InvalidSpec(error.field, error.value, f"{error.problem} ({source})") from None


def _make_room(field: str, rules: dict[Any, Any], origins: dict[Place, Origin], changes: list[Change]) -> None:
    """Remove the rules that say the same things as the changes, perhaps in another way."""
    calls = field == "rules"
    coming = [key_of(field, change.place[1], calls=calls) for change in changes]
    for given in list(rules):
        key = key_of(field, given, calls=calls)
        if any(replaces(new, key) for new in coming):
            del rules[given]
            origins.pop((field, given), None)


def stamped(policy: Timeouts, origin: Origin) -> Timeouts:
    """The same policy, in which what came from plain code comes from `origin`."""
    places: list[Place] = [(field,) for field in FIELDS if field not in {*RULE_FIELDS, "tiers"}]
    places += [(field, key) for field in (*RULE_FIELDS, "tiers") for key in getattr(policy, field)]
    fresh = {place: origin for place in places if policy.source(*place) == CODE.text}
    values = {field: getattr(policy, field) for field in FIELDS}
    return with_origins(values, MappingProxyType({**fresh, **policy._origins}))


# ------------------------------------------------------------------------------------- overriding


def from_arguments(given: Mapping[str, Any], policy: Timeouts, origin: Origin, function: str) -> list[Change]:
    """Changes given as keyword arguments of `function`. Tiers can be changed by it, but not invented."""
    changes: list[Change] = []
    for field, value in given.items():
        if field not in FIELDS:
            meant = did_you_mean(field, FIELDS)
            raise TypeError(f"{function}() got an unexpected keyword argument {field!r}{meant}")
        if field not in {*RULE_FIELDS, "tiers"}:
            changes.append(Change((field,), value, origin))
            continue
        checks.instance(field, value, Mapping, "must be a mapping")
        if field == "tiers":
            _check_known_tiers(value, policy)
        changes += [Change((field, key), entry, origin) for key, entry in value.items()]
    return changes


def check_tiers_exist(changes: Iterable[Change], policy: Timeouts, *, source: str) -> None:
    """`InvalidSpec` if changes that were made for another policy would invent tiers in this one; it names `source`."""
    tiers = {change.place[1]: change.value for change in changes if change.place[0] == "tiers"}
    _check_known_tiers(tiers, policy, f" ({source})")


def _check_known_tiers(tiers: Mapping[Any, Any], policy: Timeouts, source: str = "") -> None:
    for name, seconds in tiers.items():
        if name not in policy.tiers and name != "default":
            known = ", ".join(policy.tiers)
            problem = f"is no tier; there are {known}{did_you_mean(safe_str(name), policy.tiers)}{source}"
            raise InvalidSpec(f"tiers[{safe_repr(name)}]", seconds, problem)


# ------------------------------------------------------------------------------------------- file


def from_table(table: Mapping[str, Any], file: str) -> list[Change]:
    """The changes that a table of a configuration file describes."""
    origin, changes = Origin(f"file {file}"), list[Change]()
    for field, value in table.items():
        if field not in FIELDS:
            problem = f"is no setting; [{TABLE}] has {', '.join(FIELDS)}{did_you_mean(field, FIELDS)} (file {file})"
            raise InvalidSpec(f"{TABLE}.{field}", value, problem)
        if field not in {*RULE_FIELDS, "tiers"}:
            changes.append(Change((field,), value, origin))
            continue
        checks.instance(f"{TABLE}.{field}", value, Mapping, f"must be a table (file {file})")
        entries = list(_flat(value) if field in RULE_FIELDS else value.items())
        _check_said_once(field, entries, file)
        changes += [Change((field, key), entry, origin) for key, entry in entries]
    return changes


def _check_said_once(field: str, entries: list[tuple[str, Any]], file: str) -> None:
    said: dict[str, Any] = {}
    for key, value in entries:
        if key in said:
            raise InvalidSpec(f"{TABLE}.{field}.{key}", value, f"is {said[key]!r} at another place of the file {file}")
        said[key] = value


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """In TOML, `Counter.divide = 2` without quotes is a table in a table."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def find_table(document: Mapping[str, Any], file: str, *, of_project: bool) -> Mapping[str, Any]:
    """The table of timeouts in a file: `[timeouts]`, or `[tool.nursery_otp.timeouts]`."""
    tools = document.get("tool", {})
    ours: Any = tools.get("nursery_otp", {}) if isinstance(tools, Mapping) else {}
    name, outer = TABLE, document
    if of_project or (TABLE not in document and ours):
        name, outer = f"tool.nursery_otp.{TABLE}", ours
    table = outer.get(TABLE) if isinstance(outer, Mapping) else None
    if table is None:
        raise InvalidSpec("file", file, f"has no table [{name}]{_what_is_there(name, outer)}")
    checks.instance(TABLE, table, Mapping, f"must be a table (file {file})")
    return table  # type: ignore[no-any-return]


def _what_is_there(name: str, outer: object) -> str:
    """What the user may have meant by what is where the table should be."""
    keys = [*outer] if isinstance(outer, Mapping) else []
    misnamed, settings = nearest(TABLE, keys), [key for key in keys if key in FIELDS]
    if misnamed is not None:
        return f"; the table [{name.removesuffix(TABLE)}{misnamed}] must be called so"
    return f"; put {', '.join(map(repr, settings))} below [{name}]" if settings else ""


# ------------------------------------------------------------------------------------ environment


def from_environment(environ: Mapping[str, str], policy: Timeouts) -> list[Change]:
    """The changes that environment variables describe, for a policy that has all other sources in it."""
    changes: dict[Place, Change] = {}
    for variable in sorted(environ):
        if variable.startswith(FAMILY):
            change = _change(variable, environ[variable], policy)
            before = changes.setdefault(change.place, change)
            if before.value != change.value:
                problem = f"says the same thing as {before.origin.text} = {before.value!r}; keep one of them"
                raise InvalidSpec(variable, environ[variable], problem)
    return list(changes.values())


def _change(variable: str, text: str, policy: Timeouts) -> Change:
    origin = Origin(f"environment {variable}")
    match variable.removeprefix(PREFIX).split("__") if variable.startswith(PREFIX) else []:
        case [name] if name in _NUMBERS:
            return Change((_NUMBERS[name],), _number(variable, text), origin)
        case ["WHILE_RESTARTING"]:
            checks.one_of(variable, text, WHILE_RESTARTING)
            return Change(("while_restarting",), text, origin)
        case ["TIERS", name] if _tier(name, policy) is not None:
            return Change(("tiers", _tier(name, policy)), _number(variable, text), origin)
        case [name] if name in _RULES:
            raise InvalidSpec(variable, text, f"lacks what the rule is for, as in {variable}__Counter__divide")
        case [name, *parts] if name in _RULES and all(parts):
            return Change((_RULES[name], ".".join(parts)), _number(variable, text, policy), origin)
        case _:
            raise InvalidSpec(variable, text, f"is no setting of nursery_otp{did_you_mean(variable, _known(policy))}")


def _tier(name: str, policy: Timeouts) -> str | None:
    """The names of variables are in capitals, those of tiers are not."""
    if name in policy.tiers:
        return name
    meant = [tier for tier in policy.tiers if tier.upper() == name.upper()]
    if len(meant) > 1:
        known = ", ".join(map(repr, meant))
        raise InvalidSpec(f"{PREFIX}TIERS__{name}", name, f"means any of the tiers {known}; write it as one of them is")
    return next(iter(meant), None)


def _known(policy: Timeouts) -> list[str]:
    tiers = [f"TIERS__{tier.upper()}" for tier in policy.tiers]
    return [PREFIX + name for name in (*_NUMBERS, "WHILE_RESTARTING", *tiers, *_RULES)]


def _number(variable: str, text: str, policy: Timeouts | None = None) -> float | str:
    """What a variable says: seconds; with a policy also the name of one of its tiers."""
    tiers = [] if policy is None else ["default", *policy.tiers]
    if text in tiers:
        return text
    also = f" or the name of a tier ({', '.join(tiers)})" if tiers else ""
    try:
        seconds = float(text)
    except ValueError:
        raise InvalidSpec(variable, text, f"must be a number > 0{also}{did_you_mean(text, tiers)}") from None
    if variable == f"{PREFIX}FACTOR" and not FACTORS[0] <= seconds <= FACTORS[1]:
        raise InvalidSpec(variable, text, f"must be a number from {FACTORS[0]:g} to {FACTORS[1]:g}")
    if not 0 < seconds:
        raise InvalidSpec(variable, text, f"must be a number > 0{also}")
    return seconds
