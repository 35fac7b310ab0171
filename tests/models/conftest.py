"""A hub to download from, which is on this computer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.models.hub import hub
from tests.models.hub_server import HubServer, served


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with served() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(hub, "PAUSE_SECONDS", 0.0)
        yield server
