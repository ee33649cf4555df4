"""What the documentation says about rules, carried out in the most obvious and slowest way.

Nothing of the library's own reasoning is in here: a pattern is compared with another one by the operations of a small
world that each matches, and a rule is looked for by trying all of them.
"""

import fnmatch
import itertools

from nursery_otp import ANY, ClientCall
from tests.policy.services import Child, Counter, Grandchild, Stranger

CLASSES = [Counter, Child, Grandchild, Stranger]
HANDLES = [handle for cls in CLASSES for handle in (cls.add, cls.divide)]
OPERATIONS = [(cls, name) for cls in CLASSES for name in ("add", "divide")]
INHERITS = {  # from whom the handler comes, nearest first: written down by hand
    (Counter, "add"): [Counter],
    (Counter, "divide"): [Counter],
    (Child, "add"): [Child, Counter],
    (Child, "divide"): [Child],
    (Grandchild, "add"): [Grandchild, Child, Counter],
    (Grandchild, "divide"): [Grandchild, Child],
    (Stranger, "add"): [Stranger],
    (Stranger, "divide"): [Stranger],
}
BASES = {
    Counter: [Counter],
    Child: [Child, Counter],
    Grandchild: [Grandchild, Child, Counter],
    Stranger: [Stranger],
}
# Enough words that two patterns which match the same ones are the same pattern.
WORDS = [
    "Counter",
    "Child",
    "Grandchild",
    "Stranger",
    "add",
    "divide",
    "C",
    "d",
    "CX",
    "Xd",
    "dX",
    "Xr",
    "CXr",
    "X",
    "dXd",
]
WORLD = list(itertools.product(WORDS, WORDS))

TEXTS = ["Counter.add", "Child.add", "Counter.divide", "Child.divide", "add", "divide", "Counter", "Child", "Stranger"]
TUPLES = [("Counter", "add"), ("Child", "divide"), ("divide",)]
PATTERNS = [
    "*.add",
    "C*.add",
    "Counter.*",
    "*.*",
    "C*.*",
    "*.d*",
    "*r.*",
    "C*r.*",
    "Child.d*",
    ("Counter", ANY),
    (ANY, "add"),
]
KEYS = [*HANDLES, *CLASSES, *TEXTS, *TUPLES, *PATTERNS]


def words(key):
    """A pattern as two texts; None for other keys."""
    parts = tuple("*" if part is ANY else part for part in (key.split(".") if isinstance(key, str) else key))
    return parts if "*" in "".join(parts) else None


def matches(key):
    """What of the world a pattern matches."""
    first, second = words(key)
    return {pair for pair in WORLD if fnmatch.fnmatchcase(pair[0], first) and fnmatch.fnmatchcase(pair[1], second)}


def is_pattern(key):
    """Whether a key is one."""
    return isinstance(key, str | tuple) and words(key) is not None


def literal_parts(key):
    """How many parts have no star."""
    return sum("*" not in part for part in words(key))


def means(key):
    """What a key says, so that two that say the same are equal."""
    if isinstance(key, ClientCall):
        return {str(key), key}
    if isinstance(key, type):
        return {key.__name__, key}
    if is_pattern(key):
        return {words(key)}
    return {key if isinstance(key, str) else ".".join(key)}


def is_wrong(rules):
    """Whether rules contradict each other: the same thing twice with two values, or a tie of patterns."""
    for (one, value), (other, other_value) in itertools.combinations(rules.items(), 2):
        if means(one) & means(other) and value != other_value:
            return True
        if is_pattern(one) and is_pattern(other) and literal_parts(one) == literal_parts(other):
            mine, theirs = matches(one), matches(other)
            if mine & theirs and not mine <= theirs and not theirs <= mine:
                return True
    return False


def decide(rules, service, name, default):
    """The value that holds for an operation."""
    by_text = {}
    for key, value in rules.items():
        if isinstance(key, str | tuple) and not is_pattern(key):
            by_text[key if isinstance(key, str) else ".".join(key)] = value
    for base in INHERITS[service, name]:
        for handle in HANDLES:
            if str(handle) == f"{base.__name__}.{name}" and handle in rules:
                return rules[handle]
        if f"{base.__name__}.{name}" in by_text:
            return by_text[f"{base.__name__}.{name}"]
    if name in by_text:
        return by_text[name]
    found = [key for key in rules if is_pattern(key) and (service.__name__, name) in matches(key)]
    if found:
        most = max(map(literal_parts, found))
        best = min((key for key in found if literal_parts(key) == most), key=lambda key: len(matches(key)))
        return rules[best]
    for base in BASES[service]:
        if base in rules:
            return rules[base]
        if base.__name__ in by_text:
            return by_text[base.__name__]
    return default
