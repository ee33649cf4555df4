"""A mapping whose old versions stay valid, compared with copies of a dict."""

import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nursery_otp._policy.versioned import VersionedMap

keys = st.integers(0, 4)
changes = st.lists(
    # Which of the versions so far to change (from the newest back), how, and the key.
    st.tuples(st.integers(0, 9), st.sampled_from(["set", "remove", "look"]), keys),
    max_size=30,
)


def content(version):
    """What a version holds, by all the ways to ask."""
    found = {key: version.get(key) for key in version}
    assert len(found) == len(version)
    assert sorted(found.values()) == sorted(version.values())
    assert all(key in version for key in found)
    return found


@settings(max_examples=300, deadline=None, derandomize=True)
@given(changes)
def test_every_version_is_a_dict_of_its_own(changes):
    """Whichever version is changed or looked at, in whatever order, each behaves like its own copy of a dict."""
    versions, models = [VersionedMap()], [{}]
    for number, (back, how, key) in enumerate(changes):
        index = max(0, len(versions) - 1 - back)
        version, model = versions[index], models[index]
        if how == "set":
            versions.append(version.set(key, number))
            models.append({**model, key: number})
        elif how == "remove":
            versions.append(version.remove(key))
            models.append({other: value for other, value in model.items() if other != key})
        else:
            assert model.get(key) == version.get(key)
            assert (key in model) == (key in version)
            assert len(model) == len(version)

    for version, model in zip(versions, models, strict=True):
        assert model == content(version)
    for version, model in reversed([*zip(versions, models, strict=True)]):
        assert model == content(version)
    for one, other in zip(versions, reversed(versions), strict=True):
        assert (content(one) == content(other)) == (one == other)


def test_versions_are_immutable():
    """A change leaves the version it was made from as it was."""
    empty = VersionedMap()
    one = empty.set("a", 1)
    two = one.set("a", 2)
    none = two.remove("a")

    assert [{}, {"a": 1}, {"a": 2}, {}] == [content(version) for version in (empty, one, two, none)]


def test_branches():
    """Two changes of the same version are two versions that know nothing of each other."""
    root = VersionedMap().set("a", 1)
    left, right = root.set("b", 2), root.remove("a")

    assert {"a": 1, "b": 2} == content(left)
    assert {} == content(right)
    assert {"a": 1, "b": 2} == content(left)
    assert {"a": 1} == content(root)


def test_remove_what_is_not_there():
    """Removing an unknown key gives the same version."""
    version = VersionedMap().set("a", 1)

    assert version is version.remove("b")


def test_none_is_a_value():
    """A key may map to None, and is there all the same."""
    version = VersionedMap().set("a", None)

    assert None is version.get("a")
    assert "a" in version
    assert 1 == len(version)
    assert {"a": 1} == content(version.set("a", 1))
    assert "a" in version
    assert "a" not in version.remove("a")


def test_looking_while_walking():
    """Walking over one version is not disturbed by looking at, or making, another."""
    old = VersionedMap().set("a", 1).set("b", 2)
    new = old.set("c", 3)
    seen = []
    for key in old:
        seen.append(key)
        new = new.remove(key)
        assert new.get("c") == 3

    assert ["a", "b"] == seen
    assert {"c": 3} == content(new)


def test_equality():
    """Versions are equal when they hold the same, also within one family; they are equal to nothing else."""
    one = VersionedMap().set("a", 1)
    two = one.set("a", 2)

    assert one == VersionedMap().set("a", 1)
    assert one == two.set("a", 1)
    assert one != two
    assert one != {"a": 1}


def test_no_hash():
    """A mapping is not a key."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(VersionedMap())


def test_repr():
    """The repr shows the content."""
    assert "VersionedMap({'a': 1})" == repr(VersionedMap().set("a", 1))


def test_unhashable_key_changes_nothing():
    """A key that cannot be one is refused, and every version stays what it was."""
    version = VersionedMap().set("a", 1)
    with pytest.raises(TypeError):
        version.set([], 2)

    assert {"a": 1} == content(version)
    assert {"a": 1, "b": 2} == content(version.set("b", 2))


class Held:
    """A value that can be watched."""


def test_history_is_garbage():
    """Nothing points from the newest version to older ones: what was replaced is gone at once."""
    value = Held()
    seen = weakref.ref(value)
    version = VersionedMap().set("a", value).set("b", 2)
    del value
    version = version.set("a", 1)

    assert None is seen()
    assert {"a": 1, "b": 2} == content(version)


def test_very_old_versions():
    """A version a hundred thousand changes back can be looked at."""
    first = version = VersionedMap().set(0, "first")
    for number in range(100_000):
        version = version.set(number % 7, number)

    assert {0: "first"} == content(first)
    assert 7 == len(version)
    assert {0: "first"} == content(first)
