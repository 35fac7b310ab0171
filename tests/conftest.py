"""Fixtures that every part of the test suite may use."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from engine.serving.engine import Engine

ROOT = Path(__file__).resolve().parents[1]

# A shell starts what runs in the background deaf to Ctrl-C, for which tests of interrupts would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Machines differ in speed, and a slow example is no wrong one.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No test touches the workspace of whoever runs it, lays its output out for their terminal, or silences the next one's log."""
    monkeypatch.setenv("TRIPTYCH_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("COLUMNS", raising=False)
    yield
    logging.disable(logging.NOTSET)  # the command does so with --json, for the rest of its process


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine at work on a new workspace."""
    from engine.serving.engine import Engine

    with Engine.open(tmp_path / "workspace") as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of judged collections that are not part of the project: `data` in $TRIPTYCH_SHARED, or in a folder `shared` beside the checkout."""
    folder = Path(os.environ.get("TRIPTYCH_SHARED") or ROOT.parent / "shared") / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the judged collections; there is no {folder}")
    return folder


def ended_in_order(folder: Path) -> bool:
    """Whether the last run closed its database: the log of writes says so, and nothing waits in the write-ahead log."""
    from engine.workspace.database.recovery import WAL_NAME
    from engine.workspace.database.writelog import WriteLog

    return not (folder / WAL_NAME).exists() and WriteLog(folder).entries()[-1].clean
