"""Children that write down what happens to them under their labels."""

import trio
import trio.testing

from nursery_otp import child
from tests.behaviours.stage import Puppet


class Labelled(Puppet):
    """Writes down under its label."""

    def __init__(self, label, diary):
        super().__init__(diary, label=label)


def children(diary, *labels, **options):
    """A specification for each label."""
    return [child(Labelled, label, diary, id=label, **options) for label in labels]


async def short(seconds=1):
    """A process that ends by itself."""
    await trio.sleep(seconds)
