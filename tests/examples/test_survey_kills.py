"""Processes of the survey are killed, at random and at the worst moments; the report is the same."""

import pytest

from examples.survey.aggregator import AGGREGATOR
from examples.survey.book import Book
from examples.survey.chaos import Chaos, tell_chaos
from examples.survey.coordinator import COORDINATOR
from examples.survey.interpreter import open_interpreter
from examples.survey.plan import Plan
from examples.survey.report import make_report
from nursery_otp import current_ref, dead_letters, kill, open_supervisor, whereis
from tests.examples.small_tree import GOOD, REASONS, Direct, expected_report, make_folder, new_survey, opener_of


@pytest.fixture
def folder(tmp_path):
    """The small tree."""
    return make_folder(tmp_path)


@pytest.mark.parametrize("seed", range(8))
async def test_chaos(folder, seed):
    """Workers killed at random make no difference to the report."""
    outcome = await new_survey(folder, chaos=seed).run()

    assert 0 == outcome.status
    assert expected_report(folder) == make_report(outcome.book)
    assert "killed" in {one.cause for one in outcome.log.restarts}


async def test_nobody_to_tell(folder):
    """A verdict that comes when there is no chaos (yet, or any more) is no letter for anybody to look at."""
    async with open_supervisor() as tree:
        tell_chaos(folder)
        assert 0 == len(dead_letters())
        tree.shutdown()


async def test_chaos_between_processes(folder):
    """The same, where the killed worker's interpreter dies with it in mid-parse."""
    outcome = await new_survey(folder, chaos=1, open_interpreter=open_interpreter).run()

    assert 0 == outcome.status
    assert expected_report(folder) == make_report(outcome.book)


def test_chaos_gaps():
    """Kills are one in twenty verdicts in a big tree, one in five in a small one; a seed fixes the gaps."""
    assert 39 == Chaos(1, 2000).longest_gap
    assert 3 == Chaos(1, 12).longest_gap
    assert 1 == Chaos(1, 0).longest_gap
    assert Chaos(7, 2000).gap == Chaos(7, 2000).gap


def kill_once_per_file(monkeypatch, target, method, victim_of):
    """Let `target.method` kill a worker the first time that it deals with a file."""
    seen = set()
    original = getattr(target, method)

    def wrapped(self, first, *more):
        result = original(self, first, *more)
        file, victim = victim_of(first, more, result)
        if file is not None and file not in seen:
            seen.add(file)
            kill(victim)
        return result

    monkeypatch.setattr(target, method, wrapped)
    return seen


async def test_killed_before_the_file_reaches_it(folder, monkeypatch):
    """A worker killed between the coordinator's decision and the answer leaves its file to another."""
    seen = kill_once_per_file(monkeypatch, Plan, "give", lambda worker, more, file: (file, worker))
    outcome = await new_survey(folder).run()

    assert set(outcome.book.tree.files) == seen
    assert expected_report(folder) == make_report(outcome.book)


async def test_killed_after_its_report(folder, monkeypatch):
    """A worker killed when its verdict is in the book, before it could say so: measured twice, counted once."""
    holders = {}
    give = Plan.give

    def remembered(self, worker):
        file = give(self, worker)
        holders[file] = worker
        return file

    monkeypatch.setattr(Plan, "give", remembered)
    seen = kill_once_per_file(monkeypatch, Book, "settle", lambda file, more, new: (file, holders[file]))
    outcome = await new_survey(folder).run()

    assert set(outcome.book.tree.files) == seen
    assert expected_report(folder) == make_report(outcome.book)


async def test_killed_in_mid_measure(folder):
    """A worker killed while it measures: the file is measured by the next one, and it was not the file's fault."""
    seen = set()

    class Suicidal(Direct):
        async def measure(self, path):
            if path not in seen:
                seen.add(path)
                kill(current_ref())
            return await super().measure(path)

    outcome = await new_survey(folder, open_interpreter=opener_of(Suicidal)).run()

    assert expected_report(folder) == make_report(outcome.book)
    assert GOOD + len(REASONS) == sum(one.cause == "killed" for one in outcome.log.restarts)


@pytest.mark.parametrize("name", [AGGREGATOR, COORDINATOR])
async def test_killed_servers(folder, name):
    """Verdicts survive the servers: those that come after are replaced too, and go on where the book ends."""
    measured, settled = [], []

    class Assassin(Direct):
        async def measure(self, path):
            if len(measured) == GOOD:
                settled.extend(file.path for file in survey.book.verdicts)
                kill(whereis(name))
            measured.append(path)
            return await super().measure(path)

    survey = new_survey(folder, open_interpreter=opener_of(Assassin))
    outcome = await survey.run()

    assert 0 == outcome.status
    assert expected_report(folder) == make_report(outcome.book)
    assert settled
    assert not set(settled) & set(measured[GOOD:])
