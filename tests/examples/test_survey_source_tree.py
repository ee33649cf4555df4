"""Which files are surveyed."""

import os
from pathlib import Path

import pytest

from examples.survey.source_tree import BadPath, find_files, printable


def make(top: Path, *names: str) -> Path:
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    return top


def names_in(top: Path) -> list[str]:
    return [file.name for file in find_files(top).files]


def test_python_files_in_order(tmp_path):
    """Python files at any depth, in the order of their names; nothing else, and nobody else's."""
    make(tmp_path, "b.py", "a/z.py", "a/b/c.pyw", "readme.md", "a.pyc", "site-packages/x.py", "a/__pycache__/x.py")

    assert ["a/b/c.pyw", "a/z.py", "b.py"] == names_in(tmp_path)


def test_one_file(tmp_path):
    """PATH may be a file, whatever it is called."""
    tree = find_files(make(tmp_path, "script") / "script")

    assert [("script", tmp_path / "script")] == [(file.name, file.path) for file in tree.files]


def test_empty_folder(tmp_path):
    """A folder without Python files is a tree without files."""
    assert [] == names_in(make(tmp_path, "readme.md"))


def test_path_inside_a_skipped_folder(tmp_path):
    """Whoever names a skipped folder means it."""
    assert ["x.py"] == names_in(make(tmp_path, "site-packages/x.py") / "site-packages")


def test_nothing_there(tmp_path):
    """A path at which nothing is says so."""
    with pytest.raises(BadPath, match=r"cannot survey .*nowhere: No such file or directory"):
        find_files(tmp_path / "nowhere")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_neither_file_nor_folder(tmp_path):
    """A pipe is not read, for that might never end; named as PATH it is refused."""
    make(tmp_path, "a.py")
    os.mkfifo(tmp_path / "pipe.py")

    assert ["a.py"] == names_in(tmp_path)
    with pytest.raises(BadPath, match="neither a file nor a folder"):
        find_files(tmp_path / "pipe.py")


def test_links(tmp_path):
    """Links to folders are not followed, so loops end; links to files are, and dangling ones are unreadable files."""
    make(tmp_path, "a/b.py")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "link.py").symlink_to(tmp_path / "a" / "b.py")
    (tmp_path / "dangling.py").symlink_to(tmp_path / "nowhere.py")
    (tmp_path / "self.py").symlink_to(tmp_path / "self.py")

    assert ["a/b.py", "dangling.py", "link.py", "self.py"] == names_in(tmp_path)


def no_access(monkeypatch, folder: Path) -> None:
    # chmod would not do: a superuser may read everything.
    scandir = os.scandir

    def guarded(path):
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)


def test_unreadable_folder(tmp_path, monkeypatch):
    """A folder that cannot be listed is not passed over in silence."""
    make(tmp_path, "a.py", "secret/b.py")
    no_access(monkeypatch, tmp_path / "secret")
    tree = find_files(tmp_path)

    assert ["a.py"] == [file.name for file in tree.files]
    assert [("secret", "PermissionError: Permission denied")] == [(file.name, why) for file, why in tree.refused]


def test_unreadable_path(tmp_path, monkeypatch):
    """If PATH itself cannot be listed there is nothing to survey."""
    no_access(monkeypatch, tmp_path)

    with pytest.raises(BadPath, match="Permission denied"):
        find_files(tmp_path)


def test_printable():
    """Bytes that are no text are shown as escapes, so that any terminal and any JSON reader takes them."""
    assert "caf\\xe9/ü.py" == printable(os.fsdecode(b"caf\xe9/\xc3\xbc.py"))
