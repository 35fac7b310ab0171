"""What stages state of themselves, by which they are explained, drawn and chosen: no one asks for their names."""

from __future__ import annotations

import pytest

from engine.pipeline.stages import STAGE_FAMILIES, Stage, components

EVIDENCE = {
    "lexical": {"bm25", "rm3", "rocchio"},
    "terms": {"sparse"},
    "semantic": {"dense", "vector_average", "vector_rocchio", "e2rank", "mmr", "interests"},
    "tokens": {"late", "colbert_prf", "maxsim"},
    "pair": {"cur", "cross", "uni", "listwise", "pointwise"},
}
STAGES: dict[str, type[Stage]] = {
    name: cls for family in STAGE_FAMILIES for name, cls in components(family).items() if issubclass(cls, Stage)
}


@pytest.mark.parametrize("kind", sorted(EVIDENCE))
def test_what_is_compared(kind: str) -> None:
    assert {name for name, cls in STAGES.items() if cls.evidence == kind} == EVIDENCE[kind]


@pytest.mark.parametrize(
    ("name", "head"),
    [("bm25", "retrieved"), ("cur", "retrieved"), ("colbert_prf", "feedback"), ("maxsim", "reranked"), ("mmr", "selected")],
)  # fmt: skip
def test_the_head_of_its_column(name: str, head: str) -> None:
    assert STAGES[name].head == head


def test_who_compares_texts_can_name_its_model() -> None:
    named = {name: STAGES[name]().models() for name in ("bm25", "dense", "maxsim", "cross", "rm3", "vector_average")}
    assert named == {
        "bm25": (),
        "dense": ("all-MiniLM-L6-v2",),
        "maxsim": ("triptych-late",),
        "cross": ("triptych-cross",),
        "rm3": (),
        "vector_average": ("all-MiniLM-L6-v2",),
    }
