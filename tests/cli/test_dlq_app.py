"""`nursery-otp dlq retry --app`: the program's own tree delivers the letters now."""

import json
import time

from nursery_otp.cli import main
from nursery_otp.stores import SQLiteStore
from nursery_otp.stores.files import LetterFile, LetterFilter
from tests.cli.shop import asked_for, left, retry, shop
from tests.stores.letters import add, letter, outside

__all__ = ["shop"]  # a fixture, for pytest


def report(capsys, *arguments, app):
    """What a command says as JSON, and its status."""
    status = retry(*arguments, "--yes", "--json", app=app)
    return status, json.loads(capsys.readouterr().out)


def test_delivers(shop, capsys):
    """Letters are delivered, and gone from the file; the others are untouched."""
    assert 0 == retry("--recipient", "orders", "--yes")
    assert "2 letters delivered" == capsys.readouterr().out.splitlines()[-1]
    assert "first\nsecond\n" == (shop / "log").read_text()
    assert ["third"] == left()


def test_fails(shop, capsys):
    """What cannot be delivered is said with its reason, stays in the file, and makes the status 1."""
    assert 1 == retry("--all", "--yes", "--json")
    said = json.loads(capsys.readouterr().out)

    assert ["1-1", "1-2"] == said["letters"]
    assert "NoProcess" in said["failed"]["1-3"]
    assert said["done"]
    assert ["third"] == left()


def test_dry_run(shop, capsys):
    """Without --yes nothing is run and nothing is changed."""
    assert 0 == retry("--all", app="no_such_module:tree")
    assert "would be" in capsys.readouterr().out
    assert 3 == len(left())


def test_context_manager(shop):
    """Any async context manager around a tree will do."""
    assert 0 == retry("1-2", "--yes", app="shop_of_test:wrapped")
    assert ["first", "third"] == left()


def test_nothing_selected(shop, capsys):
    """No such letters: nothing is run."""
    assert 1 == retry("--recipient", "billing", "--yes", app="no_such_module:tree")
    assert "no such letters" in capsys.readouterr().out


def test_letters_of_another_file(shop, capsys):
    """A letter that has the same id in the file that the tree opens is another letter, and is left alone."""
    (shop / "letters.sqlite2").write_bytes((shop / "letters.sqlite").read_bytes())
    assert 1 == retry("1-1", "--yes", app="shop_of_test:elsewhere")

    assert "is that the path of its SQLiteStore?" in capsys.readouterr().err
    assert "" == (shop / "log").read_text()
    with LetterFile("letters.sqlite2") as file:
        assert 3 == file.count(LetterFilter())


def test_gone(shop, capsys):
    """A letter that vanishes without being handled is reported, and makes the status 1."""
    status, said = report(capsys, "1-1", "1-2", app="shop_of_test:purges")

    assert (1, ["1-1"], {}, {}) == (status, said["letters"], said["failed"], said["skipped"])
    assert ["1-2"] == list(said["gone"])
    assert "first\n" == (shop / "log").read_text()
    assert ["third"] == left()


def test_gone_before_anybody_looked(shop, capsys):
    """Of a letter that was gone before anybody could look, nothing is claimed that is not known."""
    status, said = report(capsys, "1-1", "1-2", app="shop_of_test:purges_first")

    assert (1, "it was gone before anybody could look") == (status, said["gone"]["1-2"])


def test_gone_in_words(shop, capsys):
    """The same for people."""
    assert 1 == retry("1-1", "1-2", "--yes", app="shop_of_test:purges")
    lines = capsys.readouterr().out.splitlines()

    assert lines[1].startswith("gone: 1-2: ")
    assert "1 letter delivered" == lines[-1]


def test_every_letter_is_accounted_for(shop, capsys):
    """Letters that are older than the tree keeps any are delivered, or said to be gone."""
    outside("letters.sqlite", "UPDATE letters SET first_failure = 1, last_attempt = 1 WHERE id <> '1-1'")
    status, said = report(capsys, "--all", app="shop_of_test:tree")

    assert 1 == status
    assert ["1-1", "1-2", "1-3"] == sorted([*said["letters"], *said["failed"], *said["gone"], *said["skipped"]])
    assert len(said["letters"]) == (shop / "log").read_text().count("\n")


def test_delivered_before_anybody_looked(shop, capsys):
    """A function that does more than to open the tree may come back when letters have been delivered; they count."""
    status, said = report(capsys, "--all", app="shop_of_test:slow")

    assert (1, ["1-1", "1-2"], ["1-3"]) == (status, said["letters"], list(said["failed"]))
    assert "first\nsecond\n" == (shop / "log").read_text()


def test_tree_that_is_complete_later(shop):
    """What failed before the function had started all of its processes is tried again then."""
    assert 0 == retry("1-1", "1-2", "--yes", app="shop_of_test:in_two_steps")

    assert "first\nsecond\n" == (shop / "log").read_text()
    assert ["third"] == left()


def test_tree_that_ends_before(shop, capsys):
    """Letters that were not tried are said to be left alone, stay, and are not asked for any more."""
    status, said = report(capsys, "1-1", app="shop_of_test:short")

    assert (1, [], {"1-1": "its tree ended before"}) == (status, said["letters"], said["skipped"])
    assert 3 == len(left())
    assert [] == asked_for()


def test_tree_that_fails_later(shop, capsys):
    """An error after letters were delivered says that, and which ones."""
    assert 1 == retry("1-1", "1-2", "--yes", app="shop_of_test:fails_late")
    err = capsys.readouterr().err

    assert "ValueError: too late (" in err
    assert "(after 1-1, 1-2 had been delivered)" in err
    assert ["third"] == left()


def test_asked_for_by_somebody_else(shop, capsys):
    """A request that was there before stays when the program fails."""
    main(["dlq", "retry", "letters.sqlite", "1-3", "--yes"])
    assert 1 == retry("--all", "--yes", app="shop_of_test:fails")

    assert ["1-3"] == asked_for()


def test_held_back(shop, capsys):
    """A letter that fails is tried once; those behind it are left alone, and not asked for any more."""
    outside("letters.sqlite", "UPDATE letters SET message = '\"poison\"' WHERE id = '1-1'")
    status, said = report(capsys, "--recipient", "orders", app="shop_of_test:tree")

    assert (1, [], ["1-1"]) == (status, said["letters"], list(said["failed"]))
    assert {"1-2": "an earlier letter of its recipient failed"} == said["skipped"]
    with LetterFile("letters.sqlite") as file:
        assert [2, 1, 1] == [letter.attempts for letter in file.select(LetterFilter())]
    assert [] == asked_for()


def test_left_alone(shop, capsys):
    """A letter that was selected and cannot be sent makes the status 1."""
    outside("letters.sqlite", "UPDATE letters SET message = NULL WHERE id = '1-2'")
    status, said = report(capsys, "1-1", "1-2", app="shop_of_test:tree")

    assert (1, ["1-1"]) == (status, said["letters"])
    assert {"1-2": "its message was not stored"} == said["skipped"]


def test_what_the_program_prints(shop, capsys):
    """With --json nothing but JSON is on the standard output, whatever the program prints."""
    assert 0 == retry("1-1", "--yes", "--json")
    captured = capsys.readouterr()

    assert ["1-1"] == json.loads(captured.out)["letters"]
    assert "handled first\n" in captured.err


def test_many_letters(shop, capsys):
    """Many letters are delivered once each, in their order."""
    store = SQLiteStore("letters.sqlite")
    store.open()
    now = time.time()
    many = [letter(n, 7, recipient="orders", message=str(n), first_failure=now, last_attempt=now) for n in range(350)]
    store.write(add(*many))
    store.close()
    status, said = report(capsys, "--recipient", "orders", app="shop_of_test:tree")

    assert (0, ["1-1", "1-2", *(each.id for each in many)]) == (status, said["letters"])
    assert ["first", "second", *map(str, range(350))] == (shop / "log").read_text().split()
    assert ["third"] == left()


def test_delivered_and_still_there(shop, capsys, monkeypatch):
    """A letter that was handled but could not be removed from the file is no success: it would be handled again."""
    monkeypatch.setattr("nursery_otp.stores._schema.REMOVE", "UPDATE letters SET requested = requested WHERE id = ?")
    status, said = report(capsys, "1-1", app="shop_of_test:tree")

    assert (1, {"1-1": "it was delivered, but could not be removed from the file"}) == (status, said["failed"])
