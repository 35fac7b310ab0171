"""How far a reader has come, over several files and after they were closed."""

from __future__ import annotations

from pathlib import Path

from engine.readers.base import ReaderOptions
from engine.readers.position import POSITION
from engine.readers.textfile import byte_lines, open_text, read_text


def test_positions_of_files_add_up(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"x" * 99_999 + b"\n" + b"y" * 99_999 + b"\n")
    (tmp_path / "b.csv").write_text("line\n" * 100)
    POSITION.restart()
    assert POSITION.bytes() == 0
    lines = byte_lines(tmp_path / "a.jsonl", 200_000)
    next(lines)
    assert POSITION.bytes() == 100_000
    assert len(list(lines)) == 1
    assert POSITION.bytes() == 200_000
    with open_text(tmp_path / "b.csv", ReaderOptions()) as file:
        file.readline()
        assert 200_005 <= POSITION.bytes() <= 200_500
    assert POSITION.bytes() == 200_500
    POSITION.restart()
    assert POSITION.bytes() == 0


def test_a_file_that_is_loaded_whole_has_no_position(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("text")
    POSITION.restart()
    assert read_text(tmp_path / "note.txt", ReaderOptions()) == "text"
    assert POSITION.bytes() == 0
