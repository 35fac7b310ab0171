"""Cards: what identifies a model, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.errors import WorkspaceDamaged
from engine.models.card import ModelCard, read_card, write_card
from engine.models.verify import verify_files

FIELDS: dict[str, Any] = {
    "name": "tiny",
    "title": "Tiny",
    "source": "here",
    "revision": "1",
    "licence": "MIT",
    "dimensions": 2,
    "max_tokens": 8,
    "similarity": "cosine",
    "pooling": "mean",
    "files": {"model.onnx": {"sha256": "0" * 64, "bytes": 1}, "tokenizer.json": {"sha256": "1" * 64, "bytes": 2}},
}
CARD = ModelCard.model_validate(FIELDS)


@pytest.mark.parametrize(
    "change",
    [
        {"pooling": "cls"},
        {"similarity": "dot"},
        {"max_tokens": 9},
        {"prompts": {"query": "q: "}},
        {"prompts": {"document": "q: "}},
        {"files": FIELDS["files"] | {"model.onnx": {"sha256": "2" * 64, "bytes": 1}}},
        {"files": FIELDS["files"] | {"tokenizer.json": {"sha256": "2" * 64, "bytes": 2}}},
    ],
)
def test_all_that_changes_a_vector_changes_the_fingerprint(change: dict[str, Any]) -> None:
    assert ModelCard.model_validate(FIELDS | change).fingerprint != CARD.fingerprint


@pytest.mark.parametrize("change", [{"title": "Other"}, {"licence": "MIT-0"}, {"measured": {"docs/s": 3.0}}])
def test_words_about_the_model_do_not_change_the_fingerprint(change: dict[str, Any]) -> None:
    assert ModelCard.model_validate(FIELDS | change).fingerprint == CARD.fingerprint


def test_a_card_survives_storage(tmp_path: Path) -> None:
    write_card(tmp_path, CARD)
    assert read_card(tmp_path) == CARD
    assert CARD.bytes == 3


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a" * 101, "a\0"])
def test_names_that_are_not_folder_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        ModelCard.model_validate(FIELDS | {"name": name})


def test_missing_and_broken_cards_are_named(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceDamaged, match=r"card\.json is missing"):
        read_card(tmp_path)
    (tmp_path / "card.json").write_text("<html>404</html>")
    with pytest.raises(WorkspaceDamaged, match=r"card\.json is not a valid model card"):
        read_card(tmp_path)
    write_card(tmp_path, CARD.model_copy(update={"files": {}}))
    with pytest.raises(WorkspaceDamaged, match=r"does not list model\.onnx"):
        read_card(tmp_path)


def test_files_outside_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"x")
    folder = tmp_path / "model"
    folder.mkdir()
    card = ModelCard.model_validate(FIELDS | {"files": {"../outside": {"sha256": "0" * 64, "bytes": 1}}})
    with pytest.raises(WorkspaceDamaged, match="outside"):
        verify_files(folder, card)
