"""One pipeline from the inside: what each stage made of the list, and what a reranker would make of others."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from app.drawing import reader
from app.results.stages import StageColumn
from app.verbs.reranking import _grid
from app.verbs.services import Services
from app.verbs.unrolling import unrolled
from engine.calibrators.base import CALIBRATION_NOTE
from engine.calibrators.platt import Platt
from engine.errors import BadInput, NotFound
from engine.pipeline.context import Context
from engine.pipeline.explanation import COST, COST_NOTE
from engine.pipeline.stages import Cutoff, Fuse, Then
from engine.pipeline.trace import Span
from engine.rerankers.cross import Cross
from engine.retrievers.bm25 import Bm25
from engine.retrievers.dense import Dense
from engine.selectors.mmr import Mmr
from engine.types import Judgment, Query, Ranking, Record

PAPERS = [
    Record("wings", "Wings of birds", "Feathers lift birds while they glide."),
    Record("eggs", "Eggs of birds", "Birds warm their eggs in a nest."),
    Record("songs", "Songs of birds in spring", "Birds sing to mark where they live, and birds answer."),
    Record("中文", "鸟类的翅膀", "birds 羽毛让鸟类飞翔。"),
    Record("soup", "Onion soup", "Slow heat turns onions sweet."),
]
QUERY = "how do birds fly"
READ = "pipeline:\n- bm25: {k: 100}\n- cross: {candidates: 2}\n"
TWICE = "pipeline:\n- dense: {k: 5}\n- maxsim: {candidates: 3}\n- cross: {candidates: 2, budget_ms: 0}\n"


def ranked(*doc_ids: str) -> Ranking:
    rows = [("q", doc_id, 10.0 - i) for i, doc_id in enumerate(doc_ids)]
    schema = {"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}
    return Ranking.of([("q", "x")]).with_hits(pl.DataFrame(rows, schema=schema, orient="row"))


def span(stage: object, output: Ranking, *children: Span, ms: float = 1.0, **details: object) -> Span:
    return Span(stage, "0", ms=ms, returned=len(output.hits), output=output, children=list(children), details=details)  # type: ignore[arg-type]


def told(column: StageColumn) -> list[tuple[str, int | None, int | None, str]]:
    return [(hit.doc_id, hit.movement, hit.next_rank, hit.lost) for hit in column.hits]


def test_a_run_is_unrolled_into_columns_by_hand() -> None:
    left, right = span(Bm25(), ranked("a", "b", "c"), ms=2), span(Dense(), ranked("c", "d"), ms=3)
    fused = span(Fuse(inputs=(Bm25(), Dense())), ranked("c", "a", "d", "b"), left, right, ms=6)
    cut = span(Cutoff(k=3), ranked("c", "a", "d"))
    costs = pl.DataFrame([("q", 3, 2, 4.0)], schema=COST, orient="row")
    read = span(Cross(), ranked("a", "c", "d"), **{COST_NOTE: costs})
    rows = [("q", "a", 1, 9.0, 0.8, True), ("q", "c", 2, 8.0, 0.3, True), ("q", "d", 3, 7.0, 0.1, False)]
    names = ["qid", "doc_id", "rank", "score", "probability", "kept"]
    table = pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("rank").cast(pl.Int32))
    sure = span(Platt(threshold=0.2), ranked("a", "c"), **{CALIBRATION_NOTE: table})
    chosen = span(Mmr(k=1), ranked("c"))
    stages = (Fuse(inputs=(Bm25(), Dense())), Cutoff(k=3), Cross(), Platt(threshold=0.2), Mmr(k=1))
    root = span(Then(stages=stages), ranked("c"), fused, cut, read, sure, chosen)

    columns = unrolled(root, 10)
    kinds = ["retrieved", "retrieved", "fused", "reranked", "calibrated", "selected"]
    assert [column.kind for column in columns] == kinds
    assert [column.inputs for column in columns] == [(), (), (0, 1), (2,), (3,), (4,)]
    assert [column.feeds for column in columns] == [2, 2, 3, 4, 5, None]
    assert [column.cut for column in columns] == [None, None, 3, None, None, None]
    assert [column.ms for column in columns] == [2, 3, 1, 1, 1, 1]
    assert [column.received for column in columns] == [0, 0, 5, 3, 3, 2]
    assert told(columns[0]) == [("a", None, 2, ""), ("b", None, 4, ""), ("c", None, 1, "")]
    assert [hit.sources for hit in columns[2].hits] == [(3, 1), (1, None), (None, 2), (2, None)]
    assert told(columns[2]) == [("c", None, 2, ""), ("a", None, 1, ""), ("d", None, 3, ""), ("b", None, None, "cut")]
    assert told(columns[3]) == [("a", 1, 1, ""), ("c", -1, 2, ""), ("d", 0, None, "threshold")]
    assert columns[3].facts == ("2 of 3 candidates scored; the rest was not reached",)
    assert told(columns[4]) == [("a", 0, None, "unselected"), ("c", 0, 1, "")]
    assert [hit.probability for hit in columns[4].hits] == [0.8, 0.3]
    assert [(hit.doc_id, hit.rank, hit.probability) for hit in columns[4].dropped] == [("d", 3, 0.1)]
    assert columns[4].dropped_total == 1
    assert told(columns[5]) == [("c", 1, None, "")]
    assert [len(column.hits) for column in unrolled(root, 1)] == [1] * 6


def test_a_document_that_a_search_with_a_new_query_found_is_new() -> None:
    from engine.feedback.rm3 import Rm3

    root = span(
        Then(stages=(Bm25(), Rm3())), ranked("b", "z"), span(Bm25(), ranked("a", "b")), span(Rm3(), ranked("b", "z"))
    )
    first, second = unrolled(root, 5)
    assert told(first) == [("a", None, None, "unfound"), ("b", None, 1, "")]
    assert [(hit.doc_id, hit.movement, hit.new) for hit in second.hits] == [("b", 1, False), ("z", None, True)]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("workspace")) as opened:
        opened.create_collection("papers", "Five papers")
        documents = opened.engine.workspace.documents
        key = opened.engine.workspace.collection("papers").collection_id
        documents.upsert(key, PAPERS, "test")
        documents.add_queries(key, [Query("1", QUERY)])
        documents.add_judgments(key, [Judgment("1", "wings", 2), Judgment("1", "songs", 0)])
        assert opened.wait(opened.index("papers"), 120).status == "done"
        opened.save_pipeline("Read", READ)
        opened.save_pipeline("Twice", TWICE)
        yield opened


def test_stages_are_those_of_the_run_with_titles_and_judgments(services: Services) -> None:
    found = services.stages("papers", QUERY, "Read", k=3)
    retrieved, reranked = found.columns
    assert (retrieved.label, reranked.label, found.judged) == ("BM25", "rerank 2", True)
    ran = [card.doc_id for card in services.search("papers", QUERY, "Read").cards]
    assert [hit.doc_id for hit in reranked.hits] == ran[:3]
    assert {hit.doc_id: hit.title for hit in retrieved.hits}.items() <= {
        paper.doc_id: paper.title for paper in PAPERS
    }.items()
    assert {hit.rating for hit in retrieved.hits if hit.doc_id == "wings"} == {2}
    assert all(hit.movement == 0 for hit in reranked.hits if hit.rank > 2), "what was no candidate keeps its place"


def test_a_fusion_shows_its_inputs_first(services: Services) -> None:
    columns = services.stages("papers", QUERY, "Hybrid").columns
    assert [(column.kind, column.feeds) for column in columns] == [("retrieved", 2), ("retrieved", 2), ("fused", None)]
    assert columns[2].cut is None, "a cut-off beyond the end of the list cuts nothing"
    lists = [[hit.doc_id for hit in column.hits] for column in columns[:2]]
    for hit in columns[2].hits:
        assert hit.sources == tuple(one.index(hit.doc_id) + 1 if hit.doc_id in one else None for one in lists)


def test_nothing_found_is_no_error(services: Services) -> None:
    assert [column.hits for column in services.stages("papers", "zzzxqw", "Read").columns] == [(), ()]
    found = services.reranking("papers", "zzzxqw", "Read")
    assert (found.hits, found.curve, found.received, found.reached) == ((), (), 0, 0)


def test_other_numbers_of_candidates_come_from_one_scoring(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    services._scorings.clear()
    calls: list[int] = []
    kept = Cross._read

    def counted(self: Cross, query: str, candidates: pl.DataFrame, ctx: Context, *rest: object) -> object:
        calls.append(len(candidates))
        return kept(self, query, candidates, ctx, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Cross, "_read", counted)
    own = services.reranking("papers", QUERY, "Read")
    assert (own.candidates, own.reached, own.received, own.most, own.judged) == (2, 2, 4, 4, 2)
    assert max(calls) == 4
    seen = len(calls)
    for count in (1, 2, 3, 4):
        services.save_pipeline("Other", READ.replace("candidates: 2", f"candidates: {count}"))
        other = services.reranking("papers", QUERY, "Read", candidates=count)
        after = sorted(other.hits, key=lambda hit: hit.rank)
        assert sum(hit.score is not None for hit in other.hits) == count
        calls.clear()
        ran = [card.doc_id for card in services.search("papers", QUERY, "Other").cards]
        assert [hit.doc_id for hit in after] == ran
        assert calls == [count], "the search read, the view did not"
    assert seen == 3, "one look whether pairs are scored one by one, one to open the model, and the scoring"


def test_the_curve_measures_what_each_number_gives(services: Services) -> None:
    found = services.reranking("papers", QUERY, "Read", candidates=4)
    assert [point.candidates for point in found.curve] == [1, 2, 3, 4]
    assert [point.ms for point in found.curve] == sorted(point.ms for point in found.curve)
    ranks = {hit.doc_id: hit for hit in found.hits}
    gains = {1: 1.0, 2: 0.6309, 3: 0.5, 4: 0.4307}  # 1 / log2(rank + 1): one relevant document, so its gain cancels
    assert found.after == pytest.approx(gains[ranks["wings"].rank], abs=1e-4)
    assert found.before == pytest.approx(gains[ranks["wings"].received], abs=1e-4)
    assert found.curve[-1].measure == found.after
    assert found.curve[-1].overlap == 1.0
    assert services.reranking("papers", "birds", "Read").curve[0].measure is None, "nobody judged this"
    two = services.reranking("papers", QUERY, "Read", candidates=1, k=2)
    best = {hit.doc_id for hit in found.hits if hit.rank <= 2}
    shown = {hit.doc_id for hit in two.hits if hit.rank <= 2}
    assert two.curve[0].overlap == len(best & shown) / 2


def test_a_budget_leaves_the_rest_as_it_was(services: Services) -> None:
    found = services.reranking("papers", QUERY, "Read", candidates=4, budget_ms=0)
    assert (found.reached, found.ms, found.after) == (0, 0.0, found.before)
    assert all(hit.rank == hit.received and hit.score is None for hit in found.hits)
    with pytest.raises(BadInput, match="negative"):
        services.reranking("papers", QUERY, "Read", budget_ms=-1)


def test_the_stage_is_chosen_and_its_own_budget_holds_by_default(services: Services) -> None:
    first, second = (services.reranking("papers", QUERY, "Twice", at=at) for at in (0, 1))
    assert first.stages == second.stages == ("maxsim · triptych-late", "rerank 2")
    assert (first.budget_ms, first.reached) == (None, 3)
    assert (second.budget_ms, second.own_budget_ms, second.reached) == (0, 0, 0)
    order = [hit.doc_id for hit in sorted(first.hits, key=lambda hit: hit.rank)]
    assert [hit.doc_id for hit in sorted(second.hits, key=lambda hit: hit.received)] == order
    with pytest.raises(BadInput, match="2 rerank stages"):
        services.reranking("papers", QUERY, "Twice", at=2)


def test_a_pipeline_that_reranks_nothing_says_how_it_would(services: Services) -> None:
    with pytest.raises(BadInput, match="has no rerank stage"):
        services.reranking("papers", QUERY, "BM25")
    services.save_pipeline("Headless", "pipeline:\n- cross\n")
    with pytest.raises(BadInput, match="receives nothing"):
        services.reranking("papers", QUERY, "Headless")


def test_both_sides_of_a_move_are_explained(services: Services) -> None:
    found = services.why_moved("papers", QUERY, "Twice", "wings", at=1)
    assert [one.family for one in found.before] == ["dense"]
    assert found.after is not None
    assert (found.after.family, found.after.exact) == ("cross", False)
    assert (found.before[0].evidence, found.after.evidence) == ("semantic", "pair")
    read = str(reader.explanation(found.after, found.text))
    assert "t-semantic" in read
    assert "t-lexical" not in read, "a model that reads the pair looks up no words"
    assert found.before[0].rank is not None
    assert found.text.startswith("Wings of birds. Feathers")
    services.save_pipeline("Vector", "pipeline:\n- bm25\n- e2rank\n")
    silent = services.why_moved("papers", QUERY, "Vector", "wings")
    assert silent.after is None
    assert "cannot tell" in silent.note
    with pytest.raises(NotFound):
        services.why_moved("papers", QUERY, "Read", "gone")


def test_the_grid_ends_with_all() -> None:
    assert _grid(0) == []
    assert _grid(3) == [1, 2, 3]
    assert _grid(50) == [*range(3, 49, 3), 50]
    assert len(_grid(1_000)) <= 25
