"""Fixtures that every part of the test suite may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# Machines differ in speed, and a slow example is no wrong one.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test touches the workspace of whoever runs it, or lays its output out for their terminal."""
    monkeypatch.setenv("TRIPTYCH_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of judged collections that are not part of the project: `data` in $TRIPTYCH_SHARED, or in a folder `shared` beside the checkout."""
    folder = Path(os.environ.get("TRIPTYCH_SHARED") or ROOT.parent / "shared") / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the judged collections; there is no {folder}")
    return folder
