"""A short way to write a file and read it back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.readers.base import ReaderOptions, detect
from engine.types import Item

ReadText = Callable[..., list[Item]]


@pytest.fixture
def read(tmp_path: Path) -> ReadText:
    """read(name, content, **options): write the file, detect its format, give all items."""

    def write_and_read(name: str, content: str | bytes, **options: object) -> list[Item]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(detect(path)().read(path, ReaderOptions.model_validate(options)))

    return write_and_read
