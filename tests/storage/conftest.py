"""A workspace in a temporary folder, and records to put in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.serving.engine import Engine
from engine.types import Record
from engine.workspace.workspace import Collection, Workspace


@pytest.fixture
def workspace(engine: Engine) -> Workspace:
    return engine.workspace


@pytest.fixture
def papers(workspace: Workspace) -> Collection:
    return workspace.create_collection("papers")


@pytest.fixture
def make() -> Callable[..., Record]:
    return record


def record(number: int, **changes: object) -> Record:
    """A document with every field filled, different for every number."""
    values: dict[str, object] = {
        "doc_id": f"d{number}",
        "title": f"Title {number}",
        "text": f"Text of {number}. It says é and 🤦.",
        "authors": (f"Author {number}", "Everyone"),
        "year": 2000 + number,
        "venue": f"Venue {number % 2}",
        "url": f"https://example.org/{number}",
        "metadata": {"tags": ["a", f"t{number % 2}"], "pages": number, "a/b": "x"},
        "place": f"file line {number}",
    }
    return Record(**(values | changes))  # type: ignore[arg-type]
