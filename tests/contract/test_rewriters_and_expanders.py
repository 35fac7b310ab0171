"""Every rewriter and every expander keeps the contract of its family; there are none yet, so two tiny ones stand in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from engine.component import Component, discover
from engine.expanders.base import Expander
from engine.explain.why import QID, explain, why_not
from engine.feedback.rm3 import Rm3
from engine.pipeline.context import Context
from engine.pipeline.stages import Fuse, PipelineSpec, parse
from engine.rerankers.base import RERANK_NOTE
from engine.rerankers.cross import Cross
from engine.retrievers.bm25 import Bm25
from engine.retrievers.dense import Dense
from engine.rewriters.base import REWRITTEN_NOTE, Rewriter
from engine.testing.contracts import MemoryResources, check_expander, check_rewriter
from engine.types import Progress, Ranking

TEXTS = {"soup": "onion soup and bread", "graph": "a graph of neighbors", "both": "soup graph", "oil": "olive oil"}


class Apart(Rewriter):
    """Asks for each word by itself."""

    name: ClassVar[str] = "apart"
    most: int = Field(3, ge=1, description="How many of the words are asked for.")

    def rewrite(self, texts: Sequence[str], ctx: Context) -> list[list[str]]:
        return [text.split()[: self.most] for text in texts]


class Openings(Expander):
    """The first words of a document."""

    name: ClassVar[str] = "openings"
    words: int = Field(2, ge=1, description="How many.")

    def expand_many(self, titles: Sequence[str], texts: Sequence[str], models: Any, progress: Any = lambda _: None) -> list[list[str]]:  # fmt: skip
        progress(Progress("expand", len(texts), len(texts)))
        return [[opening] if (opening := " ".join(f"{a} {b}".split()[: self.words])) else [] for a, b in zip(titles, texts, strict=True)]  # fmt: skip


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in (Apart, Openings):
        discover(cls.family)
        monkeypatch.setitem(Component._registry.setdefault(cls.family, {}), cls.name, cls)


def test_rewriters(tmp_path: Path) -> None:
    for name in discover("rewriters"):
        rewriter = parse(("rewriters",), name)
        assert isinstance(rewriter, Rewriter)
        check_rewriter(rewriter, tmp_path / name)


def test_expanders(tmp_path: Path) -> None:
    for name in discover("expanders"):
        expander = parse(("expanders",), name)
        assert isinstance(expander, Expander)
        check_expander(expander, MemoryResources(TEXTS, tmp_path))


def test_all_inputs_of_a_fusion_search_for_the_new_queries_and_later_stages_read_the_old(tmp_path: Path) -> None:
    pipeline = Apart() >> Fuse(inputs=(Bm25(), Dense())) >> Cross(candidates=4)
    resources = MemoryResources(TEXTS, tmp_path)
    found, root = Context(resources).execute(pipeline, Ranking.of([(QID, "soup graph")]))
    spans = {span.stage.name: span for span in root.walk()}
    assert spans["apart"].details[REWRITTEN_NOTE].rows() == [(QID, "soup"), (QID, "graph")]
    assert spans["apart"].stage.facts(spans["apart"], QID) == ["searches for “soup”, “graph”"]
    for name in ("bm25", "dense"):
        assert spans[name].stage.searched_for(spans[name], QID) == ["soup", "graph"]
    read = dict(spans["cross"].details[RERANK_NOTE].select("doc_id", "score").rows())
    assert read["both"] > 1.9, "the cross-encoder read both words of the user's query"
    assert found.hits["doc_id"][0] == "both"


def test_a_score_is_explained_by_the_query_that_gave_it(tmp_path: Path) -> None:
    pipeline = Apart() >> Bm25()
    context = Context(MemoryResources(TEXTS, tmp_path))
    hits = dict(context.run(pipeline, Ranking.of([(QID, "onion graph")])).hits.select("doc_id", "score").rows())
    ((_, soup),) = explain(pipeline, "onion graph", "soup", context)
    ((_, graph),) = explain(pipeline, "onion graph", "graph", context)
    assert [[weight.term for weight in told.weights] for told in (soup, graph)] == [["onion"], ["graph"]]
    assert (soup.score, graph.score) == pytest.approx((hits["soup"], hits["graph"]))
    assert explain(pipeline, "onion graph", "oil", context) == []
    assert why_not(pipeline, "onion graph", "oil", 10, context).verdict == "no_shared_term"
    assert why_not(pipeline, "onion graph", "soup", 10, context).lists[0][1].startswith("Rank ")


def test_feedback_goes_by_the_users_own_query(tmp_path: Path) -> None:
    pipeline = Apart(most=1) >> Bm25() >> Rm3(common=1)
    _, root = Context(MemoryResources(TEXTS, tmp_path)).execute(pipeline, Ranking.of([(QID, "soup graph")]))
    (new,) = root.children[2].stage.searched_for(root.children[2], QID)
    assert {"soup", "graph"} <= set(new.terms)


def test_it_is_written_in_a_pipeline_before_the_first_stage() -> None:
    spec = PipelineSpec.from_yaml("pipeline:\n- apart: {most: 2}\n- bm25\n")
    assert spec.pipeline == Apart(most=2) >> Bm25()
