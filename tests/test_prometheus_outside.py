"""A collector outside of a tree."""

import pytest

from nursery_otp import NoRuntime, open_supervisor
from nursery_otp.errors import InvalidSpec
from nursery_otp.prometheus import RuntimeCollector


def test_outside():
    """`watch` without a tree to watch says that it is `watch`, and keeps nothing."""
    collector = RuntimeCollector()
    with pytest.raises(
        NoRuntime, match=r"^watch\(\), if it is not told which runtime, needs a running supervision tree"
    ):
        collector.watch()
    assert [] == list(collector.collect())


async def test_twice():
    """To watch the same tree twice is an error about that tree."""
    collector = RuntimeCollector()
    async with open_supervisor() as tree:
        end = collector.watch()
        with pytest.raises(InvalidSpec, match="is the label of a runtime that is watched already"):
            collector.watch()
        end()
        collector.watch()()
        tree.shutdown()
