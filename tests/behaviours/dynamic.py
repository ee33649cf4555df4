"""Dynamic children that write down what happens to them."""

from tests.behaviours.stage import Puppet

DYNAMIC = {"strategy": "simple_one_for_one"}


class Worker(Puppet):
    """Writes down under its label."""

    def __init__(self, diary, label, *more):
        super().__init__(diary, label=label)
        self.more = more
