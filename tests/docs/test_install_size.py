"""What running needs stays below 700 MB on disk."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

LOCK = Path(__file__).parents[2] / "requirements.lock"
LIMIT = 700 * 2**20


def test_the_run_time_packages_are_below_the_limit() -> None:
    names = set(re.findall(r"^([a-zA-Z0-9._-]+)==", LOCK.read_text("utf-8"), re.MULTILINE))
    assert {"gradio", "duckdb", "polars", "onnxruntime"} <= names
    size = 0
    for name in names:
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:  # pinned for another platform
            continue
        present = (Path(str(file.locate())) for file in files if "__pycache__" not in file.parts)
        size += sum(path.stat().st_size for path in present if path.is_file())
    assert 300 * 2**20 < size < LIMIT
