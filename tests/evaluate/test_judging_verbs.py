"""The verbs about judging and voting: queues from pools, cards, assessors, blind rounds."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.results.judging import QueueView
from app.verbs.services import Services
from engine.errors import BadInput, MissingDependency, NotFound, TriptychError
from engine.fusers import fit_lambdamart
from engine.pipeline.stages import PipelineSpec
from engine.types import Query
from engine.workspace.votes import first_is_left
from tests.evaluate.papers import SHORT, UNBUILT


def ready(services: Services, *pipelines: object, **options: object) -> QueueView:
    begun = services.start_queue("papers", pipelines or ("BM25", SHORT), **options)  # type: ignore[arg-type]
    ended = services.wait(begun.job_id, 60)
    assert (ended.kind, ended.status, ended.result) == ("pool", "done", begun.queue_id)
    return services.queue("papers", begun.queue_id)


def test_a_queue_pools_every_query_and_leaves_out_what_is_judged(services: Services) -> None:
    view = ready(services, order="pool", depth=5)
    assert (view.state, view.judged, view.skipped, view.left) == ("ready", 0, 0, view.total)
    assert view.pipelines == ("BM25", "Short")
    pairs = []
    while (item := services.judging_item("papers", view.queue_id)) is not None:
        pairs.append((item.qid, item.doc_id))
        services.judge("papers", view.queue_id, item.position, 0)
    # Query 1 finds sparse and bm25, both judged; 2 finds late and dense, both judged; 3 the soup; 4 sparse and dense.
    assert pairs[0] == ("3", "soup")
    assert {doc_id for qid, doc_id in pairs if qid == "4"} == {"sparse", "dense"}
    assert len(pairs) == view.total == 3
    assert services.queue("papers", view.queue_id).judged == 3
    every = ready(services, order="pool", depth=5, again=True)
    assert every.total == 7
    assert services.evaluations("papers") == (), "a pool is no leaderboard"


def test_an_item_shows_the_document_and_not_who_found_it(services: Services) -> None:
    view = ready(services, order="disagreement", depth=5, again=True)
    item = services.judging_item("papers", view.queue_id, position=0)
    assert item is not None
    assert not {"found", "score", "rank", "found_by"} & set(item.__slots__)
    # Short finds the first document of every question only, so the second of 1, 2 and 4 are one rank from nothing.
    assert (item.qid, item.doc_id) == ("1", "bm25")
    assert item.description == "How words are weighed."
    assert [piece.text for piece in item.text if piece.mark] == ["terms"]
    assert services.provenance("papers", view.queue_id, 0).found == (("BM25", 2),)
    with pytest.raises(NotFound):
        services.provenance("papers", view.queue_id, 99)


def test_judging_keeps_what_was_shown_and_undo_goes_back(services: Services) -> None:
    view = ready(services, order="pool", depth=5)
    services.note("papers", view.queue_id, 0, "really?", assessor="ann")
    after = services.judge("papers", view.queue_id, 0, 2, assessor="ann", revealed=True)
    assert (after.judged, after.left) == (1, 2)
    assert services.skip("papers", view.queue_id, 1, assessor="ann").skipped == 1
    rows = list(csv.DictReader(io.StringIO(services.export_judging_log("papers"))))
    assert [(row["action"], row["assessor"], row["rating"], row["note"]) for row in rows] == [
        ("note", "ann", "", "really?"), ("judge", "ann", "2", "really?"), ("skip", "ann", "", "")
    ]  # fmt: skip
    assert '"pipelines": ["BM25", "Short"]' in rows[1]["shown"]
    assert '"revealed": true' in rows[1]["shown"].replace('"revealed":true', '"revealed": true')
    again = services.judging_item("papers", view.queue_id, assessor="ann", position=0)
    assert again is not None
    assert (again.rating, again.note) == (2, "really?")
    skipped = services.judging_item("papers", view.queue_id, assessor="ann", skipped=True)
    assert skipped is not None
    assert skipped.position == 1
    undone = services.undo("papers", assessor="ann")
    assert undone is not None
    assert (undone.action, undone.position, undone.queue_id) == ("skip", 1, view.queue_id)
    assert services.undo("papers", assessor="bob") is None
    second = services.undo("papers", assessor="ann")
    assert second is not None
    assert (second.action, second.rating) == ("judge", None)
    assert services.queue("papers", view.queue_id, assessor="ann").left == 3


def test_metrics_follow_judgments_without_running_anything(services: Services) -> None:
    before = services.evaluate("papers", ["BM25"], metrics=["P@1"])
    assert before.pipelines[0].cells[0].mean == pytest.approx(2 / 3)
    services.judge_card("papers", "onions", "soup", 1)
    after = services.remeasure("papers", before.evaluation_id)
    assert after.pipelines[0].cells[0].mean == 1.0
    assert after.stale == ()
    services.judge_card("papers", "retrieval", "dense", 1)
    assert services.remeasure("papers", before.evaluation_id).queries == 3, "the query has not run"
    assert services.evaluate("papers", ["BM25"], metrics=["P@1"]).queries == 4


def test_flip_asks_first_what_could_change_the_verdict(services: Services) -> None:
    # BM25 leads by the second document of query 1. All that is unjudged is found by both, or (on query 4) by BM25 alone: nothing can flip it.
    settled = ready(services, order="flip", depth=1, measure="P@2")
    first = services.judging_item("papers", settled.queue_id)
    assert first is not None
    assert (first.qid, services.provenance("papers", settled.queue_id, 0).effect) == ("3", None)
    bounds = services.verdict_bounds(
        "papers", services.evaluate("papers", ["BM25", SHORT], metrics=["P@2"]).evaluation_id
    )
    assert (bounds.measure, bounds.baseline, bounds.rating, bounds.documents) == ("P@2", "BM25", 2, ())
    assert bounds.pairs[0].stands
    # Once that document is rejected the two are level, and the second document of query 4 decides.
    services.judge_card("papers", "sparse terms", "bm25", 0)
    view = ready(services, order="flip", depth=1, measure="P@2")
    first = services.judging_item("papers", view.queue_id)
    assert first is not None
    provenance = services.provenance("papers", view.queue_id, 0)
    assert (first.qid, provenance.found, provenance.effect) == ("4", (), pytest.approx(-1 / 8))


def test_a_deleted_document_is_passed_over(services: Services) -> None:
    view = ready(services, order="pool", depth=5)
    services.delete_documents("papers", ["soup"])
    item = services.judging_item("papers", view.queue_id)
    assert item is not None
    assert item.qid == "4"
    with pytest.raises(NotFound, match="not in the collection any more"):
        services.judging_item("papers", view.queue_id, position=0)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda s: s.start_queue("papers", ["BM25"]), "needs two"),
        (lambda s: s.start_queue("papers", ["BM25", SHORT], order="x"), "Known: disagreement"),
        (lambda s: s.start_queue("papers", ["BM25", SHORT], query_set="x"), "no query set 'x'"),
        (lambda s: s.start_queue("papers", ["BM25", SHORT], runs=["x"]), "no run 'x'"),
        (lambda s: s.start_queue("papers", ["BM25", SHORT], baseline="x"), "baseline 'x'"),
        (lambda s: s.queue("papers", "x"), "no judging queue 'x'"),
        (lambda s: s.judge_card("papers", "  ", "soup", 1), "no query"),
        (lambda s: s.judge_card("papers", "q", "nothing", 1), "no document 'nothing'"),
        (lambda s: s.judge_card("papers", "q", "soup", 99), "from -1 to 10"),
        (lambda s: s.judge_card("papers", "q", "soup", 1, assessor=" "), "assessor needs a name"),
        (lambda s: s.judge_card("papers", "q", "soup", 1, note="x" * 20_000), "at most 10,000"),
        (lambda s: s.set_judgment_rule("papers", "default", "x"), "no rule 'x'"),
        (lambda s: s.assessors("papers", "x"), "no query set 'x'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(services: Services, act: Callable[[Services], object], says: str) -> None:
    with pytest.raises((BadInput, NotFound), match=says):
        act(services)


def test_a_pool_of_broken_pipelines_fails_and_says_why(services: Services) -> None:
    begun = services.start_queue("papers", [UNBUILT], order="pool")
    assert "not built" in services.wait(begun.job_id, 60).error
    assert services.queue("papers", begun.queue_id).state == "failed"
    services.delete_queue("papers", begun.queue_id)
    assert services.queues("papers") == ()


def test_any_card_can_be_judged_and_its_question_joins_a_set(services: Services) -> None:
    known = services.judge_card("papers", "Sparse Terms", "soup", 0, pipeline="BM25", rank=7)
    assert (known.query_set, known.qid) == ("default", "1")
    assert known.ratings == {"sparse": 2, "bm25": 1, "soup": 0}
    new = services.judge_card("papers", "slow cooking", "soup", 3)
    assert (new.query_set, new.qid, new.ratings) == ("My questions", "1", {"soup": 3})
    assert services.judge_card("papers", "slow cooking", "dense", 0).qid == "1"
    assert services.judge_card("papers", "another", "dense", 0).qid == "2"
    assert services.judge_card("papers", "slow cooking", "soup", None).ratings == {"dense": 0}
    services.undo("papers", "My questions")
    named = services.judge_card("papers", "slow cooking", "late", 1, query_set="kitchen")
    assert (named.query_set, named.ratings) == ("kitchen", {"soup": 3, "dense": 0, "late": 1})


def test_lists_are_measured_at_once(services: Services) -> None:
    found = services.judged_measures(
        "papers",
        "sparse terms",
        {"good": ["sparse", "soup"], "bad": ["soup", "sparse", "sparse"]},
        metrics=["RR", "P@2"],
    )
    assert (found.judged, found.values) == (2, {"good": {"RR": 1.0, "P@2": 0.5}, "bad": {"RR": 0.5, "P@2": 0.5}})
    assert services.judged_measures("papers", "unheard", {"a": ["soup"]}).values["a"]["P@5"] is None


def test_assessors_agree_and_differ(services: Services) -> None:
    for assessor, ratings in (
        ("ann", {"sparse": 2, "bm25": 0, "soup": 0}),
        ("bob", {"sparse": 2, "bm25": 1, "soup": 0}),
    ):
        for doc_id, rating in ratings.items():
            services.judge_card("papers", "sparse terms", doc_id, rating, assessor=assessor)
    found = services.assessors("papers")
    assert [(one.name, one.judgments) for one in found.assessors] == [("ann", 3), ("bob", 3), ("imported", 5)]
    pair = found.pairs[0]
    # ann 2 0 0, bob 2 1 0: same on 2 of 3; chance (1 + 0 + 2) / 9.
    assert (pair.left, pair.right, pair.shared, pair.same) == ("ann", "bob", 3, pytest.approx(2 / 3))
    assert pair.kappa == pytest.approx((2 / 3 - 1 / 3) / (2 / 3))
    # All three judged sparse (2 2 2) and bm25 (0 1 1): observed (1 + 1/3) / 2; ratings 2: 3, 1: 2, 0: 1 of 6.
    assert (found.shared, found.fleiss) == (2, pytest.approx((2 / 3 - 14 / 36) / (22 / 36)))
    (different,) = found.different
    assert (different.doc_id, different.ratings, different.counts) == ("bm25", {"imported": 1, "ann": 0, "bob": 1}, 1)
    services.judge_card("papers", "sparse terms", "bm25", 0, assessor="ann")
    assert services.assessors("papers").different[0].counts == 0, "the latest counts"
    services.set_judgment_rule("papers", "default", "majority")
    assert services.assessors("papers").different[0].counts == 1
    assert "1 0 bm25 1\n" in services.export_judgments("papers")


def test_a_run_of_another_system_stands_beside_ours(services: Services, tmp_path: Path) -> None:
    file = tmp_path / "other.run"
    file.write_text("3 Q0 dense 1 2.0 x\n3 Q0 gone 2 1.0 x\n1 Q0 sparse 1 1.0 x\n")
    run = services.import_run("papers", file, name="theirs")
    assert (run.name, run.tag, run.queries, run.hits, run.absent) == ("theirs", "x", 2, 3, 1)
    view = ready(services, "BM25", runs=["theirs"], order="pool", depth=2)
    item = services.judging_item("papers", view.queue_id)
    assert item is not None
    pooled = {services.provenance("papers", view.queue_id, i).found for i in range(view.total)}
    assert (("theirs", 1),) in pooled


# blind comparisons


def test_sides_are_hidden_until_the_vote(services: Services) -> None:
    services.save_pipeline("Short", SHORT[1])
    session = services.start_blind("papers", ["BM25", "Short"], k=5, query_set="default", seed=5)
    sides = []
    for number, query in enumerate(["sparse terms", "token vectors", "onions", "retrieval"], 1):
        shown = services.blind_round("papers", session.session_id)
        assert (shown.round_no, shown.query) == (number, query)
        for card in (*shown.left, *shown.right):
            assert (card.score, card.found_by, card.rating) == (0.0, (), None)
        assert "BM25" not in repr(shown)
        revealed = services.vote("papers", session.session_id, number, "left")
        sides.append(revealed.left)
        assert {revealed.left, revealed.right} == {"BM25", "Short"}
        assert len(shown.left) >= len(shown.right) if revealed.left == "BM25" else len(shown.left) <= len(shown.right)
    assert sides == ["BM25" if first_is_left(5, n) else "Short" for n in (1, 2, 3, 4)]
    with pytest.raises(BadInput, match="Every question"):
        services.blind_round("papers", session.session_id)
    assert services.blind_round("papers", session.session_id, "my own").query == "my own"


def test_results_count_votes_with_an_interval(services: Services) -> None:
    services.save_pipeline("Short", SHORT[1])
    session = services.start_blind("papers", ["BM25", "Short"], seed=1)
    empty = services.blind_results("papers", session.session_id)
    assert (empty.wins, empty.share, empty.p) == ((0, 0), None, None)
    for number, choice in enumerate(["BM25", "BM25", "BM25", "Short", "tie", "bad"], 1):
        services.blind_round("papers", session.session_id, "sparse")
        first = "left" if first_is_left(1, number) else "right"
        other = "right" if first == "left" else "left"
        services.vote("papers", session.session_id, number, {"BM25": first, "Short": other}.get(choice, choice))
    found = services.blind_results("papers", session.session_id)
    assert (found.wins, found.ties, found.bad, found.share) == ((3, 1), 1, 1, 0.75)
    assert found.low == pytest.approx(0.3006, abs=5e-5)  # Wilson, 3 of 4 at 95%
    assert found.high == pytest.approx(0.9544, abs=5e-5)
    assert found.p == pytest.approx(2 * 5 / 16)
    services.blind_round("papers", session.session_id, "sparse")
    (view,) = services.blind_sessions("papers")
    assert (view.rounds, view.votes) == (7, 6)
    services.delete_blind("papers", session.session_id)
    assert services.blind_sessions("papers") == ()


def test_blind_comparisons_that_cannot_be_are_refused(services: Services) -> None:
    services.save_pipeline("Short", SHORT[1])
    services.save_pipeline("Unbuilt", UNBUILT[1])
    for pipelines, options, says in (
        (["BM25"], {}, "two different"),
        (["BM25", "BM25"], {}, "two different"),
        (["BM25", "Short"], {"seed": -1}, "seed"),
        (["BM25", "Short"], {"query_set": "x"}, "no query set"),
        (["BM25", "x"], {}, "no pipeline"),
    ):
        with pytest.raises((BadInput, NotFound), match=says):
            services.start_blind("papers", pipelines, **options)  # type: ignore[arg-type]
    session = services.start_blind("papers", ["BM25", "Unbuilt"])
    with pytest.raises(BadInput, match="type a question"):
        services.blind_round("papers", session.session_id)
    with pytest.raises(TriptychError, match="One of the two pipelines failed"):
        services.blind_round("papers", session.session_id, "sparse")
    good = services.start_blind("papers", ["BM25", "Short"])
    services.blind_round("papers", good.session_id, "sparse")
    for round_no, choice, error in ((1, "both", BadInput), (2, "left", NotFound)):
        with pytest.raises(error):
            services.vote("papers", good.session_id, round_no, choice)
    services.vote("papers", good.session_id, 1, "tie")
    with pytest.raises(BadInput, match="has been voted on"):
        services.vote("papers", good.session_id, 1, "left")


# fitting


def test_fitted_weights_become_a_pipeline(services: Services) -> None:
    key = services.engine.workspace.collection("papers").collection_id
    services.engine.workspace.documents.add_queries(key, [Query("5", "vocabulary weights")])
    services.judge_card("papers", "vocabulary weights", "sparse", 1)
    found = services.fit_weights("papers", ["BM25", SHORT], measure_name="RR", folds=2, save_as="Fitted")
    assert found.inputs == ("BM25", "Short")
    assert sum(found.weights) == pytest.approx(1.0)
    # The soup is the only hit of query 3 and not relevant; in the others the first hit is.
    assert found.singles == (pytest.approx(3 / 4), pytest.approx(3 / 4))
    assert (found.queries, found.measure, found.saved) == (4, "RR", "Fitted")
    spec = PipelineSpec.from_yaml(services.pipeline("Fitted").yaml)
    assert "held out" in spec.description
    assert services.search("papers", "sparse", "Fitted").cards[0].doc_id == "sparse"
    with pytest.raises(BadInput, match="2 to 5 different"):
        services.fit_weights("papers", ["BM25"])
    with pytest.raises(BadInput, match="min-max or z-score"):
        services.fit_weights("papers", ["BM25", SHORT], norm="none")  # type: ignore[arg-type]
    with pytest.raises(TriptychError, match="not built"):
        services.fit_weights("papers", ["BM25", UNBUILT])
    assert (found.method, found.weighted) == ("wsum", found.held_out)


def test_trees_are_fitted_by_the_same_rules_and_kept_as_numbers(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lightgbm", reason="lightgbm is an optional extra")
    monkeypatch.setitem(fit_lambdamart.SETTINGS, "min_data_in_leaf", 1)  # the fixture's lists are short
    sums = services.fit_weights("papers", ["BM25", SHORT], measure_name="RR", folds=2)
    found = services.fit_lambdamart("papers", ["BM25", SHORT], measure_name="RR", folds=2, save_as="Learned")
    assert (found.method, found.weights, found.weighted) == ("lambdamart", sums.weights, sums.held_out)
    assert (found.equal, found.singles, found.queries) == (sums.equal, sums.singles, sums.queries)
    assert "trees:" in found.yaml
    assert PipelineSpec.from_yaml(services.pipeline("Learned").yaml) == PipelineSpec.from_yaml(found.yaml)
    assert services.search("papers", "sparse", "Learned").cards[0].doc_id == "sparse"
    with pytest.raises(BadInput, match="2 to 5 different"):
        services.fit_lambdamart("papers", ["BM25"])


def test_trees_without_lightgbm_are_refused_before_anything_runs(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingDependency, match=r"pip install 'triptych-search\[ltr\]'"):
        services.fit_lambdamart("papers", ["BM25", UNBUILT])


def test_skipped_documents_are_gone_through_in_order(services: Services) -> None:
    view = ready(services, order="pool", depth=5)
    for position in range(3):
        services.skip("papers", view.queue_id, position)
    seen, after = [], -1
    while (item := services.judging_item("papers", view.queue_id, skipped=True, after=after)) is not None:
        seen.append(item.position)
        after = item.position
    assert seen == [0, 1, 2]


def test_the_pipelines_of_a_queue_are_measured_by_the_judgments_of_the_moment(services: Services) -> None:
    view = ready(services, order="flip", depth=5, measure="P@1")
    before = services.queue_measures("papers", view.queue_id)
    assert before is not None
    # Query 3, where both find the soup first, is judged by its bm25 only: 2 of 3 first hits are relevant.
    assert [one.cells[0].mean for one in before.pipelines] == [pytest.approx(2 / 3)] * 2
    item = services.judging_item("papers", view.queue_id)
    assert item is not None
    assert (item.qid, item.doc_id) == ("3", "soup")
    services.judge("papers", view.queue_id, item.position, 1)
    after = services.queue_measures("papers", view.queue_id)
    assert after is not None
    assert [one.cells[0].mean for one in after.pipelines] == [1.0, 1.0]


def test_a_blind_round_is_shown_again_without_running(services: Services) -> None:
    services.save_pipeline(*SHORT)
    session = services.start_blind("papers", ["BM25", "Short"], k=3)
    shown = services.blind_round("papers", session.session_id, "token vectors")
    assert services.blind_shown("papers", session.session_id, shown.round_no) == shown
    with pytest.raises(NotFound):
        services.blind_shown("papers", session.session_id, 9)
