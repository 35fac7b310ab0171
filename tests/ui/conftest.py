"""The fakes are importable by name, whatever the working directory; a page without a browser for every test that asks for one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from driving import Page
from fakes import FakeServices


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """On synthetic data, at the start; a module that tests one page overrides it to stand there."""
    return Page(FakeServices(tmp_path))
