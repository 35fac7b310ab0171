"""Every model family keeps the contract of model families, on a tiny model of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import WorkspaceDamaged
from engine.models.card import read_card
from engine.models.family import families
from engine.testing.contracts import check_family
from tests.encoders.tiny import write_cross, write_model, write_sparse
from tests.encoders.tiny_late import write_late

TEXTS = ("red green", "green", "blue", "red", "red blue green")
TINY: dict[str, Callable[[Path], Path]] = {
    "dense": write_model,
    "sparse": write_sparse,
    "late": write_late,
    "cross": write_cross,
}


@pytest.mark.parametrize("name", list(families()))
def test_families(name: str, tmp_path: Path) -> None:
    check_family(families()[name], TINY[name](tmp_path / "tiny"), TEXTS)


def test_they_stand_in_this_order() -> None:
    assert list(families()) == ["dense", "sparse", "late", "cross"]


def test_a_card_of_another_family_is_not_read(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "tiny")
    card = folder / "card.json"
    card.write_text(card.read_text().replace('"family": "dense"', '"family": "quantum"'))
    with pytest.raises(
        WorkspaceDamaged, match=r"family: there is no model family called 'quantum'; known: cross, dense, late, sparse"
    ):
        read_card(folder)
