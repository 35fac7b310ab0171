"""The example pipelines parse, run, and do not ask for indexes that nobody built."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.presets import built_in
from engine.feedback.base import Feedback
from engine.pipeline.context import Context
from engine.pipeline.stages import PipelineSpec
from engine.retrievers.bm25 import Bm25
from engine.retrievers.dense import Dense
from engine.testing.contracts import MemoryResources, sentences
from engine.types import Ranking
from tests.conftest import ROOT

FILES = sorted((ROOT / "examples" / "pipelines").glob("*.yaml"))
SPECS = {path.stem: PipelineSpec.from_yaml(path.read_text(encoding="utf-8")) for path in FILES}
OWN_INDEX = {"bm25-any-language", "bm25-short", "words-then-both"}
"""Examples of other parameters of an index."""


def test_names_are_unique_and_not_those_of_built_in_pipelines() -> None:
    names = [spec.name_ for spec in SPECS.values()]
    assert len(set(names) | set(built_in())) == len(names) + len(built_in())
    assert all(spec.name_ and spec.description for spec in SPECS.values())


@pytest.mark.parametrize("stem", sorted(SPECS))
def test_an_example_runs(stem: str, tmp_path: Path) -> None:
    spec = SPECS[stem]
    assert PipelineSpec.from_yaml(spec.to_yaml()) == spec
    defaults = {Bm25().index_spec(), Dense().index_spec()}
    assert (set(spec.index_specs()) <= defaults) == (stem not in OWN_INDEX)
    resources = MemoryResources({f"d{i}": text for i, text in enumerate(sentences(40).values())}, tmp_path)
    ranking, _ = Context(resources).execute(spec.pipeline, Ranking.of([("q", "scientific papers")]))
    assert len(ranking.hits) >= 5


def test_interpolation_before_after_and_on_both_sides_of_feedback() -> None:
    for stem, before, after in (("before", True, False), ("after", False, True), ("both", True, True)):
        pipeline = SPECS[f"prf-interpolated-{stem}"].pipeline
        order = [stage.name for stage in pipeline.walk() if stage.name == "fuse" or isinstance(stage, Feedback)]
        assert order == ["fuse"] * before + ["vector_rocchio"] + ["fuse"] * after
