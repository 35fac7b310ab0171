"""What a server writes to its log while it serves."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from app.ui.web import server
from tests.cli.conftest import Cli


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_fault_is_found_in_the_log_under_its_reference(
    cli: Cli,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    options: tuple[str, ...],
) -> None:
    def serve(services: Any, site: Any, **_: Any) -> None:
        logging.getLogger("triptych.ui").error("action 'search' failed (reference 1a2b3c4d)")

    monkeypatch.setattr(server, "serve", serve)
    assert cli("ui", "--no-browser", *options).code == 0
    assert "1a2b3c4d" in caplog.text
