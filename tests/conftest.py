"""Fixtures that every part of the test suite may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of judged collections; a test that needs it is skipped where it is absent."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("TRIPTYCH_SHARED", root.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("the judged collections are not on this machine")
    return folder
