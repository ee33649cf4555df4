"""Attributes that would have no effect, and what they are called here."""

import pytest

from nursery_otp._policy.misnomers import FLAGS, server_misnomer, supervisor_misnomer, supervisor_word


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("max_restart", "max_restarts"),
        ("maxRestarts", "max_restarts"),
        ("intensity", "max_restarts"),
        ("MAX_RESTARTS", "max_restarts"),
        ("restart_strategy", "strategy"),
        ("Strategy", "strategy"),
        ("max_seconds", "period"),
        ("periods", "period"),
        ("autoshutdown", "auto_shutdown"),
        ("child_spec", "children"),
        ("init", "children"),
    ],
)
def test_other_words(name, meant):
    """Words of OTP's and other spellings of a flag are known at once, in a class and in an object."""
    assert f"it is called '{meant}'" == supervisor_misnomer(name) == supervisor_word(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("stratgey", "strategy"),
        ("max_restrats", "max_restarts"),
        ("auto_shutdwon", "auto_shutdown"),
        ("max_childern", "max_children"),
        ("folow_caller", "follow_caller"),
        ("childern", "children"),
        ("childrn", "children"),
        ("strabegy", "strategy"),
    ],
)
def test_misspelt(name, meant):
    """What is nearly a flag is one that was misspelt; in an object only words are looked up."""
    assert f"it is called '{meant}'" == supervisor_misnomer(name)
    assert None is supervisor_word(name)


@pytest.mark.parametrize(
    "name",
    [
        *FLAGS,
        *(
            "flags",
            "__init__",
            "_children",
            "_max_restart",
            "start",
            "child",
            "restart",
            "max_workers",
            "make_children",
        ),
        *("children_of", "shutdown", "caller", "strategist", "timeout", "limit", "max", "perform"),
    ],
)
def test_own_names(name):
    """The flags, and what classes have of their own, are left alone."""
    assert None is supervisor_misnomer(name)
    assert None is supervisor_word(name)


def test_servers():
    """Of servers only the callbacks of OTP's that do not exist here are known: their names are their own."""
    assert "@call" in server_misnomer("handle_call")
    assert "@cast" in server_misnomer("handle_cast")
    assert "'trap_exits'" in server_misnomer("trap_exit")
    for name in ("init", "handle_info", "handle_continue", "terminate", "terminated", "trap_exits", "handle_order"):
        assert None is server_misnomer(name)
