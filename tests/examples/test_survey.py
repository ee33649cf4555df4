"""The survey as a whole: broken files, restart limits, interruptions, displays."""

import signal
from collections import Counter
from contextlib import asynccontextmanager

import pytest
import trio

from examples.survey.display import Standing
from examples.survey.interpreter import open_interpreter
from examples.survey.options import SLACK, Options
from examples.survey.report import make_report
from tests.examples.small_tree import GOOD, REASONS, Direct, Silent, expected_report, make_folder, new_survey, opener_of


@pytest.fixture
def folder(tmp_path):
    """The small tree."""
    return make_folder(tmp_path)


async def test_broken_files(folder):
    """Each broken file crashes two workers, and is quarantined with its own reason; the rest is measured."""
    outcome = await new_survey(folder).run()

    assert 0 == outcome.status
    assert expected_report(folder) == make_report(outcome.book)
    assert REASONS == make_report(outcome.book).quarantined
    crashes = Counter(one.file for one in outcome.log.restarts)
    assert {one.file for one in REASONS} == set(crashes)
    assert {1, 2} >= set(crashes.values())  # the last crash may end the survey before its worker is replaced
    assert {"crashed"} == {one.cause for one in outcome.log.restarts}


async def test_real_interpreters(folder):
    """The same with interpreters of one's own."""
    outcome = await new_survey(folder, open_interpreter=open_interpreter).run()

    assert 0 == outcome.status
    assert expected_report(folder) == make_report(outcome.book)


async def test_restart_limit(folder):
    """A team that may not restart as often as the files need gives up; that is said, and the status is not 0."""
    outcome = await new_survey(folder, max_restarts=2).run()

    assert 1 == outcome.status
    assert outcome.undone
    problems = " ".join(outcome.problems())
    assert "more than 2 restarts" in problems
    assert "left undone" in problems


def test_restart_budget():
    """By default the files alone cannot use up the restarts, even if none of them parses."""
    assert 2 * 100 + SLACK == Options().restart_budget(100)
    assert 3 * 100 + SLACK == Options(chaos=1).restart_budget(100)
    assert 7 == Options(chaos=1, max_restarts=7).restart_budget(100)


async def test_nothing_parses(tmp_path):
    """A tree of nothing but broken files is surveyed to the end."""
    for number in range(30):
        (tmp_path / f"{number:02}.py").write_text("print 'two'\n")
    outcome = await new_survey(tmp_path).run()

    assert 0 == outcome.status
    assert 30 == outcome.book.quarantined
    assert 58 <= len(outcome.log.restarts) <= 60


async def test_no_interpreter(folder):
    """If no worker can start, nothing is surveyed, and the reason is said."""

    @asynccontextmanager
    async def opener():
        raise OSError("no processes left")
        yield

    outcome = await new_survey(folder, open_interpreter=opener).run()

    assert 1 == outcome.status
    assert GOOD + len(REASONS) == outcome.undone
    assert "no processes left" in " ".join(outcome.problems())


async def test_no_second_interpreter(folder):
    """If workers cannot be replaced, the restart limit is reached, however large it is."""
    opened = []

    @asynccontextmanager
    async def opener():
        if len(opened) == 3:
            raise OSError("no processes left")
        opened.append(1)
        yield Direct()

    outcome = await new_survey(folder, open_interpreter=opener).run()

    assert 1 == outcome.status
    assert outcome.undone


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_interrupted(folder, number, status):
    """A signal stops the workers in order; what is left, and what was in hand, is known."""

    class Stuck(Direct):
        async def measure(self, path):
            if path.name == "good_05.py":
                signal.raise_signal(number)
            if path.name >= "good_05.py":
                await trio.sleep_forever()
            return await super().measure(path)

    outcome = await new_survey(folder, open_interpreter=opener_of(Stuck), workers=2).run()

    assert status == outcome.status
    assert "good_05.py" in outcome.in_hand
    assert 1 <= len(outcome.in_hand) <= 2
    assert outcome.undone >= GOOD - 5
    assert "good_05.py" in " ".join(outcome.problems())


async def test_broken_display(folder):
    """A display that fails is a pity, and nothing more."""

    class Failing(Silent):
        def show(self, standing):
            raise OSError("terminal gone")

    survey = new_survey(folder)
    survey.display = Failing()
    outcome = await survey.run()

    assert 0 == outcome.status
    assert expected_report(folder) == make_report(outcome.book)


async def test_display_says_the_last_word(folder):
    """The first standing shown is the start, the last one is the end; then the display is closed."""
    survey = new_survey(folder)
    outcome = await survey.run()

    total = GOOD + len(REASONS)
    assert Standing(0, total, 0, 0) == survey.display.shown[0]
    assert (total, total, len(REASONS)) == (survey.display.shown[-1].settled, total, outcome.book.quarantined)
    assert survey.display.closed


async def test_empty_tree(tmp_path):
    """An empty tree is surveyed at once."""
    outcome = await new_survey(tmp_path).run()

    assert 0 == outcome.status
    assert 0 == outcome.book.total


async def test_no_more_workers_than_files(tmp_path):
    """A worker that could never get a file is not started."""
    (tmp_path / "a.py").write_text("x = 1\n")
    opened = []

    @asynccontextmanager
    async def opener():
        opened.append(1)
        yield Direct()

    await new_survey(tmp_path, open_interpreter=opener, workers=50).run()

    assert 1 == len(opened)
