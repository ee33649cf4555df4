"""The runner finds planted differences and planted hangs, and its exit status tells the truth."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import cli
from tests.conformance.corpus import Scenario, load_file
from tests.conformance.report import Report, as_json, text
from tests.conformance.rules import Rule
from tests.conformance.runner import Verdict, judge

HERE = Path(__file__).parent
CORPUS = HERE / "supervisor.json"
ROOT = HERE.parents[1]
SCRIPT = ROOT / "scripts" / "conformance.py"
GOOD = "restart.ofo-transient-boom"

Json = Any


def scenario(*, tags: tuple[str, ...] = ()) -> Scenario:
    data = {"tags": tags, "actors": {}, "steps": [], "expected": [{"a": [["msg", 1]]}]}
    return Scenario("gs-1", "gen_server", "process", data)


def judged(answer: Any, **options: Any) -> Verdict:
    return judge(scenario(), find_driver=lambda _: answer, **options)


def original(name: str = GOOD) -> Json:
    return next(copy.deepcopy(each.data) for each in load_file(CORPUS) if each.id == name)


def write(folder: Path, *scenarios: Json) -> str:
    path = folder / "planted.json"
    path.write_text(json.dumps(scenarios), encoding="utf-8")
    return str(path)


def planted_difference() -> Json:
    planted = original()
    planted["expected"]["steps"][1]["events"][1][2] = 7
    return planted


def planted_hang() -> Json:
    """The child never obeys, and its supervisor may wait for ever."""
    planted = original()
    planted["supervisor"]["children"] = [{"id": "a", "shutdown": "infinity", "on_shutdown": {"do": "ignore"}}]
    planted["actions"] = [{"op": "stop", "reason": "shutdown"}]
    return planted


# ------------------------------------------------------------------------------------------------------------ verdicts


def test_same() -> None:
    """A driver that shows the expected trace."""
    assert judged(lambda _: [{"a": [["msg", 1]]}]).status == "same"


def test_different() -> None:
    """A driver that shows another."""
    verdict = judged(lambda _: [{}])

    assert verdict.status == "different"
    assert verdict.problem == 'step 0 (process a), event 0: expected ["msg", 1], got <nothing>'


def test_not_replayed() -> None:
    """A family without a driver is not judged."""
    assert judged(None).status == "not_replayed"


def test_rule_excuses_only_a_difference() -> None:
    """A rule that applies to a scenario that is the same changes nothing."""
    rules = [Rule("all", frozenset({"process"}), lambda _: True, "a test")]

    assert (judged(lambda _: [{}], rules=rules).status, judged(lambda _: [{}], rules=rules).rule) == (
        "deliberate",
        "all",
    )
    assert judged(lambda _: [{"a": [["msg", 1]]}], rules=rules).status == "same"


def test_driver_that_raises() -> None:
    """An error in the driver is a difference with its text, also inside a group."""

    def driver(_: Json) -> Json:
        raise ExceptionGroup("nursery", [KeyError("spec")])

    assert judged(driver).problem == "could not be played: KeyError: 'spec'"


def test_driver_that_never_returns() -> None:
    """A loop that does not turn is interrupted."""

    def driver(_: Json) -> Json:
        while True:
            pass

    assert "Stuck" in str(judged(driver, patience=0.01).problem)


SHIELDED = """
import trio
from tests.conformance.test_runner import judged

async def shielded():
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()

print(judged(lambda _: trio.run(shielded), patience=0.01).problem)
"""


def test_driver_whose_tasks_wait_for_ever() -> None:
    """So is a Trio loop with a task that shields itself against every end; its remains would disturb this process."""
    command = [sys.executable, "-c", SHIELDED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "could not be played: Stuck: the scenario does not come to an end\n"


# -------------------------------------------------------------------------------------------------------- the report


def verdicts(deliberate: int, same: int) -> tuple[Verdict, ...]:
    return (Verdict(scenario(), "deliberate", "p", "r"),) * deliberate + (Verdict(scenario(), "same"),) * same


def test_few_deliberate_differences_are_fine() -> None:
    """Two in a hundred."""
    assert Report(verdicts(2, 98)).ok


def test_many_deliberate_differences_are_not() -> None:
    """Three in a hundred fail the run, and the report says so."""
    report = Report(verdicts(3, 97))

    assert not report.ok
    assert "FAILED: 3 of 100 scenarios differ deliberately" in text(report)


def test_share_of_a_selection_means_nothing() -> None:
    """Who looks at one deliberate difference has not failed."""
    assert Report(verdicts(1, 0), complete=False).ok


def test_not_replayed_does_not_fail() -> None:
    """It has a line of its own, and no row in the table."""
    report = Report((Verdict(scenario(), "not_replayed"), *verdicts(0, 1)))

    assert report.ok
    assert as_json(report)["played"] == 1
    assert "not replayed: 1 of family gen_server" in text(report)


# --------------------------------------------------------------------------------------------------- the command line


def test_good_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 0, and a table by family."""
    assert cli.main([str(CORPUS), "--only", GOOD]) == 0
    assert "supervisor" in capsys.readouterr().out


def test_planted_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 1, and the first difference of the failing scenario."""
    assert cli.main([write(tmp_path, planted_difference(), original("start.empty"))]) == 1

    out = capsys.readouterr().out
    assert f'DIFFERENT {GOOD}\n    step 1 (exit), event 1: expected ["start", "b", 7, "ok"], got' in out


def test_planted_hang(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A scenario without progress is different, with the reason."""
    assert cli.main([write(tmp_path, planted_hang())]) == 1
    assert "could not be played: NoProgress: gave up in step 1" in capsys.readouterr().out


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for programs."""
    assert cli.main(["--json", write(tmp_path, planted_difference(), original("start.empty"))]) == 1

    report = json.loads(capsys.readouterr().out)
    assert (False, 2) == (report["ok"], report["played"])
    assert {"supervisor": {"different": 1, "same": 1}} == report["families"]
    assert [GOOD] == [each["id"] for each in report["different"]]


def test_family(capsys: pytest.CaptureFixture[str]) -> None:
    """A family of either kind can be picked."""
    assert cli.main([str(CORPUS), "--json", "--family", "retry"]) == 0
    assert json.loads(capsys.readouterr().out)["played"] == 9


def test_family_without_a_driver(capsys: pytest.CaptureFixture[str]) -> None:
    """Said, but no failure."""
    assert cli.main([str(HERE / "process.json"), "--family", "gen_statem"]) == 0
    assert "not replayed: 94 of family gen_statem" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--only", "nobody"], "nothing matches --only nobody"),
        (["--family", "none"], "nothing matches --family none"),
        (["missing.json"], "missing.json: cannot be read"),
    ],
)
def test_bad_input(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and the reason on standard error."""
    assert cli.main([str(CORPUS), *arguments]) == 2
    assert problem in capsys.readouterr().err


def test_bad_usage() -> None:
    """A command line without a corpus."""
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2


def test_script_runs_from_anywhere(tmp_path: Path) -> None:
    """The script finds its modules by its own place."""
    command = [sys.executable, str(SCRIPT), str(CORPUS), "--only", GOOD]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
