"""From paths to sources: folders walked in order, collections kept whole, nothing left out silently."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from engine.errors import BadInput
from engine.readers.sources import UNKNOWN, Source, expand
from tests.readers.test_collections import ANTHOLOGY, PAGE, beir


def listed(sources: list[Source]) -> list[tuple[str, str, str]]:
    return [(source.label, source.format, source.problem) for source in sources]


def test_a_mixed_folder(tmp_path: Path) -> None:
    root = tmp_path / "lib"
    (root / "sub").mkdir(parents=True)
    (root / "b.md").write_text("# B")
    (root / "a.bib").write_text("@misc{a, title={A}}")
    (root / "sub" / "note.txt").write_text("text")
    (root / "sub" / "raw.bin").write_bytes(bytes(range(256)))
    (root / "sub" / "empty.txt").touch()
    beir(root / "judged")
    (root / "pages").mkdir()
    (root / "pages" / "p.txt").write_text(PAGE)
    (root / "xml").mkdir()
    (root / "xml" / "P17.xml").write_text(ANTHOLOGY)
    for junk in (".DS_Store", "Thumbs.db", "~$open.xlsx", ".hidden.md"):
        (root / junk).write_text("x")
    (root / ".git").mkdir()
    (root / ".git" / "x.md").write_text("x")
    assert listed(expand([root])) == [
        ("lib/a.bib", "bibtex", ""),
        ("lib/b.md", "markdown", ""),
        ("lib/judged", "beir", ""),
        ("lib/pages", "daily-papers", ""),
        ("lib/sub/empty.txt", "", "empty: the file has no content"),
        ("lib/sub/note.txt", "text", ""),
        ("lib/sub/raw.bin", "", UNKNOWN),
        ("lib/xml", "anthology", ""),
    ]


def test_a_name_that_promises_something_else_is_said(tmp_path: Path) -> None:
    (tmp_path / "paper.PDF").write_bytes(bytes(range(256)))
    assert "its name says PDF" in expand([tmp_path / "paper.PDF"])[0].problem


def test_sizes_are_bytes_on_disk(tmp_path: Path) -> None:
    folder = beir(tmp_path / "b")
    (source,) = expand([folder])
    assert source.bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_that_leave_the_folder_are_reported(tmp_path: Path) -> None:
    root = tmp_path / "lib"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (root / "a.txt").write_text("text")
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "loop").symlink_to(root)
    (root / "dangling").symlink_to(root / "missing")
    (root / "sub" / "inside.txt").symlink_to(root / "a.txt")
    os.mkfifo(root / "pipe.txt")
    problem = "is a link that leads out of the folder, or nowhere, or back to where it is"
    assert listed(expand([root])) == [
        ("lib/a.txt", "text", ""),
        ("lib/dangling", "", problem),
        ("lib/loop", "", problem),
        ("lib/out.txt", "", problem),
        ("lib/pipe.txt", "", "is not a regular file"),
        ("lib/sub/inside.txt", "text", ""),
    ]


def test_files_of_one_name_keep_different_labels(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(folder)
    labels = [source.label for source in expand([tmp_path / "one" / "a.txt", tmp_path / "two" / "a.txt"])]
    assert labels == ["a.txt", "two/a.txt"]


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere does not exist"):
        expand([tmp_path / "nowhere"])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_file_name_that_is_not_unicode(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/bad\xff.txt"
    with open(path, "w") as file:
        file.write("text")
    (source,) = expand([Path(os.fsdecode(path))])
    assert source.label == "bad?.txt"
