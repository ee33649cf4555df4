"""What rules can be about and what limits can be asked for, and what cannot."""

import enum

import pytest

from nursery_otp import ANY, GenServer, InvalidSpec, Supervisor, Timeouts, call
from nursery_otp._policy.timeout_keys import (
    ExactKey,
    HandleKey,
    Operation,
    PatternKey,
    ServiceKey,
    key_of,
    replaces,
    subject_of,
)
from nursery_otp._policy.timeout_patterns import Glob
from tests.policy.services import Child, Counter, Grandchild


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (Counter.add, HandleKey(Counter, "add")),
        (Child.add, HandleKey(Child, "add")),
        (Counter.add.while_restarting("fail"), HandleKey(Counter, "add")),
        (Counter, ServiceKey(Counter)),
        (Supervisor, ServiceKey(Supervisor)),
        ("Counter.add", ExactKey(("Counter", "add"))),
        ("add", ExactKey(("add",))),
        (("Counter", "add"), ExactKey(("Counter", "add"))),
        (("shard", 7, Colour.RED), ExactKey(("shard", 7, Colour.RED))),
        ("*.add", PatternKey((ANY, "add"))),
        ((ANY, "add"), PatternKey((ANY, "add"))),
        ("C**r.a*", PatternKey((Glob("C*r"), Glob("a*")))),
        ("a.b.*", PatternKey(("a", "b", ANY))),
    ],
    ids=str,
)
def test_keys(given, key):
    """Client functions and classes are keys, and text and tuples, with open parts or without."""
    assert key == key_of("rules", given, calls=True)


METHODS = "must be a server class, a client function such as Counter.divide, text, or a tuple"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (5, f"rules=5: {METHODS}"),
        (None, f"rules=None: {METHODS}"),
        (Counter().add, METHODS),
        (Counter(), METHODS),
        (int, "rules=<class 'int'>: must be a server class (derived from GenServer)"),
        (
            Counter.add.within(1),
            "rules=<client of Counter.add>: has a limit of its own, which no rule changes; leave out the within()",
        ),
        (
            Counter.reset,
            "rules=<client of Counter.reset>: is a cast, which waits for nothing; "
            "the run of its handler has handler_rules",
        ),
        ("", "rules='': must be parts with dots between them, such as 'Counter.divide', and none empty"),
        ("a..b", "rules='a..b': must be parts with dots between them, such as 'Counter.divide', and none empty"),
        (".add", "rules='.add': must be parts with dots between them, such as 'Counter.divide', and none empty"),
        ("div*", "rules='div*': would match no operation, which has two parts: service and name, as in '*.name'"),
        ("*", "rules='*': would match no operation, which has two parts: service and name, as in '*.name'"),
        ((ANY,), "rules=(ANY,): would match no operation, which has two parts: service and name, as in '*.name'"),
        ((), "rules=(): must not be empty"),
        (("a", "b*"), "rules=('a', 'b*'): must not have '*' or empty text in it; in a tuple any part is ANY"),
        (("a", ""), "rules=('a', ''): must not have '*' or empty text in it; in a tuple any part is ANY"),
        (("a", True), "rules=('a', True): must consist of text, whole numbers and ANY, not True"),
        (("a", 1.5), "rules=('a', 1.5): must consist of text, whole numbers and ANY, not 1.5"),
        (("a", None), "rules=('a', None): must consist of text, whole numbers and ANY, not None"),
        ((Counter, ANY), "(a class alone is a key: Counter)"),
        ((Counter.add, "x"), "(the rule for this operation has the key Counter.add itself)"),
        (Counter.add.message(1), "must consist of text, whole numbers and ANY, not (1,)"),
    ],
    ids=str,
)
def test_wrong_keys(given, text):
    """What can be no key is refused, with advice."""
    with pytest.raises(InvalidSpec) as caught:
        key_of("rules", given, calls=True)

    assert str(caught.value).endswith(text)


def test_casts_have_handlers():
    """A cast waits for nothing, but its handler runs, and that may have a limit."""
    assert HandleKey(Counter, "reset") == key_of("handler_rules", Counter.reset, calls=False)
    policy = Timeouts(handler_rules={Counter.reset: 2})

    assert 2 == policy.limit(Counter.reset, "handler")
    assert 2 == policy.limit(Child.reset, "handler")
    for ask in (policy.limit, policy.explain):
        with pytest.raises(
            InvalidSpec, match=r"<client of Counter.reset>: is a cast, which waits for nothing; ask with k"
        ):
            ask(Counter.reset)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (5, f"identifier=5: {METHODS}"),
        (int, "identifier=<class 'int'>: must be a server class (derived from GenServer)"),
        ("*.add", "identifier='*.add': must name one operation; this is a pattern"),
        (("a", ANY), "identifier=('a', ANY): must name one operation; this is a pattern"),
        ("a.", "identifier='a.': must be parts with dots between them, such as 'Counter.divide', and none empty"),
        ((), "identifier=(): must not be empty"),
    ],
    ids=str,
)
def test_wrong_identifiers(given, text):
    """Only what can have a limit can be asked for."""
    for ask in (Timeouts().limit, Timeouts().explain):
        with pytest.raises(InvalidSpec) as caught:
            ask(given)
        assert text == str(caught.value)


@pytest.mark.parametrize("ask", [Timeouts().limit, Timeouts().explain])
def test_wrong_kind(ask):
    """There are two kinds of limits."""
    with pytest.raises(InvalidSpec, match="kind='cast': must be one of 'call', 'handler'"):
        ask(Counter.add, "cast")


def test_lineage():
    """An operation knows from which classes its handler is inherited; callbacks are inherited in the same way."""

    class Listener(Grandchild):
        def handle_info(self, message):
            return None

    assert [Grandchild, Child, Counter] == Operation(Grandchild, "add").lineage()
    assert [Grandchild, Child] == Operation(Grandchild, "divide").lineage()
    assert [Child, Counter, GenServer] == Operation(Child, "handle_info").lineage()
    assert [Listener] == Operation(Listener, "handle_info").lineage()
    assert [Child] == Operation(Child, "send").lineage()
    assert "<operation Child.send>" == repr(Operation(Child, "send"))


def test_mixin():
    """A handler that comes from a class that is no server is inherited like others."""

    class Mixin:
        @call
        def shared(self):
            return 1

    class Server(Mixin, GenServer):
        pass

    assert (Server, Mixin) == subject_of(Server.shared).lineage
    assert 3 == Timeouts(rules={"Mixin.shared": 3}).limit(Server.shared)


def test_replacing():
    """A later source takes the place of the same key; text also that of the object it names, and not the reverse."""
    handle, text = HandleKey(Counter, "add"), ExactKey(("Counter", "add"))

    assert replaces(text, text)
    assert replaces(text, handle)
    assert not replaces(handle, text)
    assert not replaces(text, HandleKey(Child, "add"))
    assert replaces(ExactKey(("Counter",)), ServiceKey(Counter))
    assert not replaces(PatternKey(("Counter", ANY)), text)
