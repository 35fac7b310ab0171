"""The catalogue: every card is one, and says what a model that is had from it must agree with."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import pytest
from pydantic import ValidationError

from engine.jobs.model_add import AddModel
from engine.models.entries import CatalogueEntry, catalogue, entry_of
from engine.models.hub.hub import checked_repository
from engine.workspace.models import checked_model_name

FILES = sorted(file.name for file in (resources.files("engine.models") / "cards").iterdir())


def test_there_is_a_file_for_every_entry_and_none_else() -> None:
    assert sorted(f"{name}.json" for name in catalogue()) == FILES
    assert {entry.family for entry in catalogue().values()} == {"dense", "sparse", "late", "cross"}


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.name)
def test_entries_can_be_asked_for_by_name_and_by_repository(entry: CatalogueEntry) -> None:
    assert checked_model_name(entry.name) == entry.name
    assert checked_repository(entry.hub) == entry.hub
    assert entry_of(entry.name.upper()) is entry
    assert entry_of(entry.hub) is entry
    assert AddModel(source=entry.hub.lower()).target == entry.name


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.name)
def test_entries_say_what_people_choose_by(entry: CatalogueEntry) -> None:
    assert re.fullmatch(r"(Apache-2\.0|MIT)", entry.licence)
    assert entry.languages
    assert entry.citation
    assert entry.megabytes is not None
    assert entry.parameters is not None
    # Published weights take two or four bytes a parameter; a graph of a language model may hold its embedding table twice.
    assert 1.9 <= entry.megabytes * 1e6 / entry.parameters <= (4.9 if entry.family == "sparse" else 4.2)
    if entry.family == "dense":
        assert entry.pooling
        assert entry.dimensions


def test_names_differ_in_more_than_case() -> None:
    names = [entry.name.lower() for entry in catalogue().values()] + [
        entry.hub.lower() for entry in catalogue().values()
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "change",
    [
        {"hub": "../etc/passwd"},
        {"hub": "name"},
        {"name": "../x"},
        {"pooling": None},
        {"matryoshka": [128, 384]},
        {"matryoshka": [768, 384]},
        {"queries": "inference-free"},
        {"unknown": 1},
    ],
)
def test_entries_that_are_none_are_refused(change: dict[str, Any]) -> None:
    text = (resources.files("engine.models") / "cards" / "bge-small-en-v1.5.json").read_text("utf-8")
    CatalogueEntry.model_validate(json.loads(text))
    with pytest.raises(ValidationError):
        CatalogueEntry.model_validate(json.loads(text) | change)


def test_what_is_no_entry() -> None:
    assert entry_of("") is None
    assert entry_of("bge-small") is None
