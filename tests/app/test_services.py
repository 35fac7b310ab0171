"""The verbs over a real workspace: eight short papers, both indexes, the bundled encoder."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.results.search import Facet
from app.verbs.services import Services
from engine.errors import BadInput, IndexBeingBuilt, IndexNotReady, NotFound
from engine.indexes.bm25 import Bm25Index
from engine.statistics.agreement import jaccard
from engine.types import Judgment, Query, Record

PAPERS = [
    Record(
        "sparse",
        "Learned sparse retrieval",
        "Terms of the vocabulary get weights from a language model.",
        ("Ada Lovelace",),
        2021,
        "SIGIR",
    ),
    Record(
        "dense",
        "Dense passage retrieval",
        "Two encoders map questions and passages to vectors.",
        ("Bo Li", "Ada Lovelace"),
        2020,
        "EMNLP",
    ),
    Record(
        "late",
        "Late interaction over token vectors",
        "Each query token finds its most similar passage token.",
        (),
        2020,
        "SIGIR",
    ),
    Record(
        "bm25",
        "The probabilistic relevance framework",
        "Saturation and length normalization weigh terms.",
        (),
        2009,
        "FnTIR",
    ),
    Record(
        "fusion",
        "Reciprocal rank fusion",
        "Adding reciprocal ranks beats learned combinations of rankings.",
        (),
        2009,
        "SIGIR",
    ),
    Record(
        "bread", "Baking sourdough bread", "Flour, water and patience.", (), 1999, "Kitchen", metadata={"topic": "food"}
    ),
    Record(
        "soup", "Cooking onion soup", "Slow heat turns onions sweet.", (), 1998, "Kitchen", metadata={"topic": "food"}
    ),
    Record("中文", "信息检索模型", "我们研究稠密向量检索。", ("李明",), 2023, "CCIR"),
]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("workspace")) as opened:
        opened.create_collection("papers", "Eight papers")
        documents = opened.engine.workspace.documents
        key = opened.engine.workspace.collection("papers").collection_id
        documents.upsert(key, PAPERS, "test")
        documents.add_queries(key, [Query("1", "sparse term weights"), Query("2", "how to cook")])
        documents.add_judgments(key, [Judgment("1", "sparse", 3), Judgment("1", "soup", 0)])
        assert opened.wait(opened.index("papers"), 120).status == "done"
        yield opened


def test_search_gives_cards_with_facts_marks_and_provenance(services: Services):
    result = services.search("papers", "sparse term weights", "Hybrid")
    first = result.cards[0]
    assert (first.doc_id, first.title, first.year, first.venue, first.rank) == (
        "sparse",
        "Learned sparse retrieval",
        2021,
        "SIGIR",
        1,
    )
    assert {piece.text for piece in first.snippet if piece.mark == "lexical"} == {"Terms", "weights"}
    assert [found.label for found in first.found_by] == ["BM25", "Dense"]
    assert first.rating == 3
    assert first.score == pytest.approx(2 / 61)
    assert {stage.label for stage in result.stages} == {"BM25", "Dense", "fuse (rrf)", "top 1000"}


def test_warming_opens_what_searches_need(tmp_path):
    with Services(tmp_path) as fresh:
        fresh.create_collection("empty")
        fresh.create_collection("one")
        key = fresh.engine.workspace.collection("one").collection_id
        fresh.engine.workspace.documents.upsert(key, PAPERS[:1], "test")
        fresh.wait(fresh.index("one", ["bm25"]), 60)
        assert not fresh.engine._open
        fresh.warm()
        assert len(fresh.engine._open) == 1, "the one index that is built; what is missing is no error"


def test_paging_keeps_ranks(services: Services):
    everything = [card.doc_id for card in services.search("papers", "retrieval", "Dense").cards]
    page = services.search("papers", "retrieval", "Dense", offset=2, limit=3)
    assert [card.doc_id for card in page.cards] == everything[2:5]
    assert [card.rank for card in page.cards] == [3, 4, 5]
    assert page.total == len(PAPERS)


def test_without_a_query_the_collection_is_browsed_newest_first(services: Services):
    result = services.search("papers", "  ", "BM25", limit=3)
    assert [card.year for card in result.cards] == [2023, 2021, 2020]
    assert result.total == len(PAPERS)
    assert set(result.suggestions) == {"sparse term weights", "how to cook"}


def test_facets_count_the_hits(services: Services):
    browse = {facet.field: facet for facet in services.search("papers", "", "BM25").facets}
    assert {(v.value, v.count) for v in browse["venue"].values} == {
        ("SIGIR", 3),
        ("Kitchen", 2),
        ("CCIR", 1),
        ("EMNLP", 1),
        ("FnTIR", 1),
    }
    assert ("Ada Lovelace", 2) in {(v.value, v.count) for v in browse["authors"].values}
    found = {facet.field: facet for facet in services.search("papers", "onions flour", "BM25").facets}
    assert [(v.value, v.count) for v in found["year"].values] == [("1998", 1), ("1999", 1)]


@pytest.mark.parametrize("query", ["", "retrieval terms sparse token"])
def test_a_filtered_facet_offers_what_the_other_filters_leave(services: Services, query: str):
    def facets(**filters: list[object]) -> dict[str, dict[str, int]]:
        found = services.search("papers", query, "BM25", filters=filters).facets
        return {facet.field: {v.value: v.count for v in facet.values} for facet in found}

    every, venue = facets(), facets(venue=["SIGIR"])
    assert venue["venue"] == every["venue"]
    assert len(every["venue"]) > 1
    assert sum(venue["year"].values()) == every["venue"]["SIGIR"]
    both = facets(venue=["SIGIR"], year=[2019, None])
    assert both["year"] == venue["year"]
    assert sum(both["venue"].values()) < sum(every["venue"].values())


@pytest.mark.parametrize("pipeline", ["BM25", "Dense", "Hybrid", "Hybrid, by score"])
def test_filters_hold_on_every_route(services: Services, pipeline: str):
    kept = {"venue": ["SIGIR"], "year": [2010, None]}
    result = services.search("papers", "retrieval of terms with token vectors", pipeline, filters=kept)
    assert {card.doc_id for card in result.cards} == {"sparse", "late"}
    assert services.search("papers", "retrieval", pipeline, filters={"venue": ["Nowhere"]}).cards == ()
    assert {
        card.doc_id for card in services.search("papers", "", pipeline, filters={"metadata.topic": ["food"]}).cards
    } == {"bread", "soup"}


@pytest.mark.parametrize("query", ["the of and", "zzzxqw", "!!!"])
def test_stop_words_and_unknown_words_find_nothing_lexically(services: Services, query: str):
    assert services.search("papers", query, "BM25").cards == ()


def test_a_very_long_query_is_cut_with_a_notice(services: Services):
    result = services.search("papers", "retrieval " * 10_000, "Hybrid")
    assert result.cards
    assert "the first 2,000 were used" in result.notices[0]


@pytest.mark.parametrize("k", [0, -1, 10**6, True, "5"])
def test_k_is_checked(services: Services, k: object):
    with pytest.raises(BadInput, match="whole number"):
        services.search("papers", "x", "BM25", k=k)  # type: ignore[arg-type]


@pytest.mark.parametrize("query", ["'; DROP TABLE documents; --", "(((*[", "%_\\"])
def test_hostile_queries_are_just_words(services: Services, query: str):
    services.search("papers", query, "Hybrid")
    services.find_documents("papers", query)
    assert services.collection("papers").documents == len(PAPERS)


def test_compare_moves_links_and_agreement_follow_from_the_ranks(services: Services):
    result = services.compare("papers", "sparse term weights", ["BM25", "Dense", "Hybrid"], k=5)
    lists = [[hit.card.doc_id for hit in column.hits] for column in result.columns]
    for left, right, column in zip(lists, lists[1:], result.columns[1:], strict=False):
        for hit in column.hits:
            doc_id = hit.card.doc_id
            assert hit.new == (doc_id not in left)
            assert hit.movement == (left.index(doc_id) - right.index(doc_id) if doc_id in left else None)
    assert all(hit.movement is None and not hit.new for hit in result.columns[0].hits)
    pair = next(a for a in result.agreement if (a.left, a.right) == (0, 1))
    assert pair.jaccard == jaccard(lists[0], lists[1], 5)
    assert pair.shared == len(set(lists[0]) & set(lists[1]))
    assert result.judged


def test_shared_stages_run_once(services: Services):
    columns = services.compare("papers", "token vectors", ["BM25", "Dense", "Hybrid"]).columns
    assert [stage.cached for stage in columns[2].stages if stage.label in ("BM25", "Dense")] == [True, True]
    assert not any(stage.cached for stage in columns[0].stages + columns[1].stages)


def test_a_failed_column_says_why_and_the_others_stand(services: Services):
    services.save_pipeline("Other words", "pipeline:\n- bm25: {k1: 2.5}\n")
    try:
        left, right = services.compare("papers", "retrieval", ["BM25", "Other words"]).columns
        assert left.hits
        assert not right.hits
        assert "is not built yet" in right.error
        with pytest.raises(IndexNotReady, match="triptych index"):
            services.search("papers", "retrieval", "Other words")
    finally:
        services.delete_pipeline("Other words")


@pytest.mark.parametrize("names", [["BM25"], ["BM25"] * 5])
def test_compare_takes_two_to_four(services: Services, names: list[str]):
    with pytest.raises(BadInput, match="2 to 4"):
        services.compare("papers", "x", names)


def test_the_ledger_adds_up(services: Services):
    ledger = services.ledger("papers", "sparse term weights", "Hybrid", k=8)
    assert ledger is not None
    assert ledger.inputs == ("BM25", "Dense")
    for row in ledger.rows:
        assert math.isclose(sum(entry.contribution for entry in row.entries), row.score)
        for entry in row.entries:
            assert entry.contribution == (0.0 if entry.rank is None else pytest.approx(1 / (60 + entry.rank)))
    assert services.ledger("papers", "x", "BM25") is None


def test_explanations_add_up_and_point_into_the_text(services: Services):
    view = services.document("papers", "sparse", query="sparse term weights", pipeline="Hybrid")
    words, meaning = view.explanations
    unit = f"{view.title}. {view.text}"
    for explanation in (words, meaning):
        assert explanation.exact
        assert math.isclose(sum(a.weight for a in explanation.attributions), explanation.score, rel_tol=1e-3)
    assert {unit[a.start : a.end].lower() for a in words.attributions} == {"sparse", "terms", "weights"}
    assert words.rank == 1
    strongest = max((a for a in meaning.attributions if a.end > a.start), key=lambda a: a.weight)
    assert unit[strongest.start : strongest.end].lower() == strongest.token.removeprefix("##")
    assert view.neighbours
    assert "sparse" not in {card.doc_id for card in view.neighbours}


def test_a_wide_facet_lists_more_and_says_what_was_not_counted(tmp_path: Path):
    with Services(tmp_path / "many") as opened:
        opened.create_collection("many")
        key = opened.engine.workspace.collection("many").collection_id
        rows = [Record(f"d{i}", f"Paper {i}", "text", (), 2000, f"Venue {i:03}") for i in range(210)]
        opened.engine.workspace.documents.upsert(key, rows, "test")

        def venues(*wide: str) -> Facet:
            found = opened.search("many", "", "BM25", wide=wide).facets
            return next(facet for facet in found if facet.field == "venue")

        assert (len(venues().values), venues().more, venues().cut) == (8, 192, True)
        assert (len(venues("venue").values), venues("venue").more) == (100, 100)


def test_ranks_in_an_explanation_are_those_of_the_filtered_list(services: Services):
    ask = {"query": "sparse term weights", "pipeline": "BM25"}
    assert services.document("papers", "bm25", **ask).explanations[0].rank == 2
    assert services.document("papers", "bm25", **ask, filters={"venue": ["FnTIR"]}).explanations[0].rank == 1
    outside = services.document("papers", "bm25", **ask, filters={"venue": ["Kitchen"]}).explanations[0]
    assert outside.rank is None
    assert outside.score > 0


def test_why_not_names_the_place_of_loss(services: Services):
    ask = "sparse term weights"
    lexical, hybrid = services.why_not("papers", ask, ["BM25", "Hybrid"], "soup", k=2)
    assert lexical.verdict == "no_shared_term"
    assert hybrid.verdict == "below_cutoff"
    assert dict(hybrid.details)["BM25"] == "It shares no term with the query."
    assert services.why_not("papers", ask, ["BM25"], "sparse")[0].sentence == "It is here, at rank 1."
    assert services.why_not("papers", ask, ["Dense"], "soup", filters={"venue": ["SIGIR"]})[0].verdict == "filtered"
    assert services.why_not("papers", ask, ["Dense"], "absent")[0].verdict == "not_in_collection"


def test_why_not_gives_the_exact_rank_below_a_cutoff(services: Services):
    services.save_pipeline("Two nearest", "pipeline:\n- dense: {k: 2}\n")
    services.save_pipeline("Cut late", "pipeline:\n- dense: {k: 8}\n- cutoff: {k: 2}\n")
    try:
        order = [card.doc_id for card in services.search("papers", "vectors", "Dense").cards]
        near, late = services.why_not("papers", "vectors", ["Two nearest", "Cut late"], order[4])
        assert near.verdict == late.verdict == "below_cutoff"
        assert near.sentence.startswith("Exact rank 5 ")
        assert late.sentence == "It was at rank 5 when the list was cut at 2."
    finally:
        services.delete_pipeline("Two nearest")
        services.delete_pipeline("Cut late")


def test_a_deleted_document_is_gone_everywhere_at_once(services: Services):
    documents = services.engine.workspace.documents
    key = services.engine.workspace.collection("papers").collection_id
    extra = Record("extra", "Sparse sparse sparse weights", "sparse terms")
    documents.upsert(key, [extra], "test")
    assert "new" in services.search("papers", "sparse", "BM25").notices[0]
    services.wait(services.index("papers"), 120)
    assert services.search("papers", "sparse", "BM25").cards[0].doc_id == "extra"
    services.shortlist_add("papers", "extra")
    assert services.delete_documents("papers", ["extra"]) == 1
    for pipeline in ("BM25", "Dense", "Hybrid"):
        assert "extra" not in {card.doc_id for card in services.search("papers", "sparse", pipeline).cards}
    assert services.shortlist("papers") == ()
    assert services.find_documents("papers", "extra") == ()
    with pytest.raises(NotFound, match="may have been deleted"):
        services.document("papers", "extra")
    services.shortlist_remove("papers", "extra")


def test_shortlist_round_trip(services: Services):
    services.shortlist_add("papers", "中文")
    services.shortlist_add("papers", "bm25")
    services.shortlist_add("papers", "bm25")
    assert [card.doc_id for card in services.shortlist("papers")] == ["中文", "bm25"]
    assert "李明" in services.export_shortlist("papers", "bibtex")
    assert services.export_shortlist("papers", "ris").count("TY  - ") == 2
    with pytest.raises(BadInput, match="bibtex, ris, csv"):
        services.export_shortlist("papers", "docx")
    services.shortlist_remove("papers", "中文")
    services.shortlist_remove("papers", "bm25")
    assert services.shortlist("papers") == ()


def test_pipelines_are_saved_checked_and_deleted(services: Services):
    view = services.save_pipeline("Mine", "pipeline: bm25")
    assert view.summary == "BM25"
    assert "Mine" in [p.name for p in services.pipelines()]
    assert services.check_pipeline(view.yaml).name == "Mine"
    services.delete_pipeline("Mine")
    with pytest.raises(NotFound, match="'Mine'"):
        services.pipeline("Mine")
    with pytest.raises(BadInput, match="built in"):
        services.delete_pipeline("BM25")
    with pytest.raises(BadInput, match="built-in"):
        services.save_pipeline("BM25", "pipeline: bm25")
    json.dumps(services.schema())


def test_unknown_names_list_the_known(services: Services):
    with pytest.raises(NotFound, match="papers"):
        services.search("nothing", "x", "BM25")
    with pytest.raises(NotFound, match="Hybrid"):
        services.search("papers", "x", "nothing")


def test_the_workspace_tells_sizes_and_states(services: Services):
    view = services.workspace()
    collection = view.collections[0]
    assert (collection.name, collection.documents, collection.state, collection.judged_queries) == (
        "papers",
        len(PAPERS),
        "ready",
        1,
    )
    assert {index.label for index in collection.indexes} == {
        "BM25 · english",
        "Sparse · triptych-sparse",
        "Dense · all-MiniLM-L6-v2",
        "Late interaction · triptych-late",
    }
    assert next(i for i in collection.indexes if i.kind == "dense").recall == 1.0
    assert view.bytes > 0


def test_the_doctor_finds_a_healthy_workspace(services: Services):
    findings = services.doctor()
    assert findings
    assert not [finding for finding in findings if finding.level == "error"]


def test_an_index_that_only_a_saved_pipeline_wants_is_no_alarm(services: Services):
    services.save_pipeline("Other words", "pipeline:\n- bm25: {k1: 2.5}\n")
    try:
        view = services.collection("papers")
        assert view.state == "ready"
        assert [index.state for index in view.indexes].count("absent") == 1
    finally:
        services.delete_pipeline("Other words")


def test_a_collection_is_indexing_only_while_its_indexes_change(services: Services, monkeypatch: pytest.MonkeyPatch):
    jobs = services.engine.jobs
    job = next(one for one in jobs.list(10) if one.kind == "index")

    def running(kind: str, phase: str) -> None:
        busy = [dataclasses.replace(job, kind=kind, status="running", phase=phase)]
        monkeypatch.setattr(jobs, "unfinished", lambda collection_id: busy)

    running("evaluate", "evaluate")
    assert services.collection("papers").state == "ready"
    running("add", "add")
    assert services.collection("papers").state == "indexing"
    stored = services.engine.workspace.collection("papers")
    absent = Bm25Index(k1=2.5)
    with pytest.raises(IndexBeingBuilt, match="is being built"):
        services.engine.open_index(stored.collection_id, absent)
    running("evaluate", "evaluate")
    with pytest.raises(IndexNotReady, match="is not built yet") as told:
        services.engine.open_index(stored.collection_id, absent)
    assert not isinstance(told.value, IndexBeingBuilt)


def test_the_doctor_tells_indexes_of_one_kind_apart(services: Services):
    told = [finding.what for finding in services.doctor() if finding.what.startswith("index ")]
    assert told
    assert len(set(told)) == len(told)


def test_a_model_without_a_name_is_asked_for(services: Services):
    with pytest.raises(BadInput, match="Name a model first"):
        services.plan_model("  ")


def test_adding_nothing_or_the_absent_is_refused(services: Services):
    with pytest.raises(BadInput, match="No file"):
        services.add([], "papers")
    with pytest.raises(BadInput, match="does not exist"):
        services.add(["/nowhere/at/all.csv"], "papers")
    with pytest.raises(BadInput, match="replace, keep, error"):
        services.add(["/"], "papers", duplicates="maybe")


def test_a_shared_stage_costs_its_column_what_it_cost_when_it_ran(services: Services):
    dense, hybrid = services.compare("papers", "vectors of passages", ["Dense", "Hybrid"]).columns
    spent = {stage.label: stage.ms for stage in dense.stages}
    shared = {stage.label: stage.ms for stage in hybrid.stages if stage.cached}
    assert shared == {"Dense": spent["Dense"]}
    assert hybrid.took_ms >= dense.took_ms
