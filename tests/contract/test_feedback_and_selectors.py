"""Every feedback stage and every selector keeps the contract of its family."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.component import discover
from engine.feedback.base import Feedback
from engine.feedback.rm3 import Rm3
from engine.feedback.vector_rocchio import VectorRocchio
from engine.pipeline.stages import json_schema, parse
from engine.selectors.base import Selector
from engine.selectors.interests import Interests
from engine.selectors.mmr import Mmr
from engine.testing.contracts import check_feedback, check_selector


@pytest.mark.parametrize("name", sorted(discover("feedback")))
def test_feedback(name: str, tmp_path: Path) -> None:
    feedback = parse(("feedback",), name)
    assert isinstance(feedback, Feedback)
    check_feedback(feedback, tmp_path)


@pytest.mark.parametrize(
    "feedback",
    [Rm3(original=1), Rm3(original=0, common=1), VectorRocchio(structure="hnsw", alpha=0)],
    ids=["moves nothing", "forgets the words", "forgets the vector"],
)
def test_feedback_at_its_limits(feedback: Feedback, tmp_path: Path) -> None:
    check_feedback(feedback, tmp_path)


@pytest.mark.parametrize("name", sorted(discover("selectors")))
def test_selectors(name: str, tmp_path: Path) -> None:
    selector = parse(("selectors",), name)
    assert isinstance(selector, Selector)
    check_selector(selector, tmp_path)


@pytest.mark.parametrize("selector", [Mmr(relevance=0), Interests(interests=1)], ids=["novelty only", "one interest"])
def test_selectors_at_their_limits(selector: Selector, tmp_path: Path) -> None:
    check_selector(selector, tmp_path)


def test_the_schema_lists_them_as_stages() -> None:
    schema = json_schema()["$defs"]
    choices = {name for choice in schema["stage"]["anyOf"] for name in choice.get("properties", {})}
    for name in [*discover("feedback"), *discover("selectors")]:
        assert name in choices
        assert all(about.get("description") for about in schema[name]["properties"].values())
