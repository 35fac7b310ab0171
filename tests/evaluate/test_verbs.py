"""The verbs about evaluation over a small workspace: what they give, keep, refuse, and say when it no longer holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import engine.evaluation.measure
from app.results.evaluation import EvaluationView
from app.verbs.services import Services
from engine.errors import BadInput, Cancelled, NotFound, TriptychError
from engine.evaluation.run import Asked, evaluate
from engine.metrics.base import parse_metric
from engine.types import Judgment, Progress, ProgressSink, Query, Record
from tests.evaluate.papers import PAPERS, SHORT, UNBUILT


def means(view: EvaluationView, measure: str) -> dict[str, float | None]:
    return {one.name: cell.mean for one in view.pipelines for cell in one.cells if cell.measure == measure}


def test_a_leaderboard_by_hand(services: Services) -> None:
    # Query 1: "terms" is in sparse and bm25, "sparse" only in the first; 2: late then dense; 3: only soup, which is not judged.
    view = services.evaluate("papers", ["BM25", SHORT], metrics=["RR", "P@2", "AP"])
    assert means(view, "RR") == {"BM25": pytest.approx(2 / 3), "Short": pytest.approx(2 / 3)}
    assert means(view, "P@2") == {"BM25": pytest.approx((1 + 0.5 + 0) / 3), "Short": pytest.approx((0.5 + 0.5 + 0) / 3)}
    assert means(view, "AP") == {"BM25": pytest.approx(2 / 3), "Short": pytest.approx((0.5 + 1 + 0) / 3)}
    assert (view.queries, view.unjudged, view.baseline, view.metrics) == (3, 1, "BM25", ("RR", "P@2", "AP"))
    base, short = view.pipelines
    assert base.judged == pytest.approx((1 + 1 + 0) / 3)
    precision = short.cells[1]
    assert (precision.wins, precision.ties, precision.losses) == (0, 2, 1)
    assert precision.difference == pytest.approx(-0.5 / 3)
    assert base.cells[1].p is None
    assert 0 < base.p50 <= base.p95  # type: ignore[operator]
    assert [stage.label for stage in short.stages] == ["BM25", "top 1"]
    assert not view.stale
    values = services.query_values("papers", view.evaluation_id, "ap")
    assert (values[0].qid, values[0].values, values[0].spread) == ("1", {"BM25": 1.0, "Short": 0.5}, 0.5)
    assert {row.qid for row in values} == {"1", "2", "3"}


def again(services: Services, progress: ProgressSink, *, fresh: bool = False) -> str:
    """What a job does, in this thread, so that every step of it is seen; gives the evaluation's id."""
    key = services.engine.workspace.collection("papers").collection_id
    settings = {"baseline": "BM25", "test": "t", "correction": "holm", "level": 0.95, "shown": ["RR"]}
    asked = Asked({"BM25": services._spec("BM25")}, (parse_metric("RR"),), settings=settings)
    found = evaluate(services.engine, key, asked, fresh=fresh, progress=progress)
    assert found.stored is not None
    return found.stored.evaluation_id


def test_the_same_again_runs_nothing_and_other_metrics_are_measured_on_what_was_found(services: Services) -> None:
    first = services.evaluate("papers", ["BM25"], metrics=["AP"])
    told: list[Progress] = []
    assert again(services, told.append) == first.evaluation_id
    assert [(p.phase, p.done, p.total) for p in told] == [("evaluate", 3, 3), ("measure", 0, 1)]
    second = services.evaluation("papers", first.evaluation_id)
    assert second.pipelines[0].p50 == first.pipelines[0].p50
    assert second.metrics == ("RR",)
    told.clear()
    again(services, told.append, fresh=True)
    assert [p.done for p in told if p.phase == "evaluate"] == [0, 1, 2, 3]
    assert len(services.evaluations("papers")) == 1
    assert services.evaluate("papers", ["BM25"], depth=5).evaluation_id != first.evaluation_id


def test_a_stopped_evaluation_goes_on_after_a_restart(services: Services) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        again(services, stop)
    (stopped,) = services.evaluations("papers")
    assert not stopped.finished
    assert stopped.done == 2
    unfinished = services.evaluation("papers", stopped.evaluation_id)
    assert (unfinished.finished, [one.cells for one in unfinished.pipelines]) == (False, [()])
    folder = services.folder
    services.close()
    with Services(folder) as reopened:
        told: list[Progress] = []
        assert again(reopened, told.append) == stopped.evaluation_id
        assert [p.done for p in told if p.phase == "evaluate"] == [2, 3]
        view = reopened.evaluate("papers", ["BM25"])
        assert view.evaluation_id == stopped.evaluation_id
        assert means(view, "AP") == {"BM25": pytest.approx(2 / 3)}


def halting(services: Services, monkeypatch: pytest.MonkeyPatch, at: int, halt: Callable[[str], None]) -> list[str]:
    """From now on the running job is halted while it works on the query number `at`, once; gives the queries that ran, as they run."""
    ran: list[str] = []
    whole = engine.evaluation.measure._batch

    def batch(context: Any, pipelines: Any, queries: Any, depth: int) -> Any:
        ran.extend(text for _, text in queries)
        if len(ran) == at:
            halt(services.jobs()[0].job_id)
        return whole(context, pipelines, queries, depth)

    monkeypatch.setattr(engine.evaluation.measure, "_batch", batch)
    return ran


def test_a_job_is_paused_and_resumed_and_keeps_its_finished_queries(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = halting(services, monkeypatch, 3, services.pause)  # the first query runs twice: once to open the index
    job_id = services.start_evaluation("papers", ["BM25"], metrics=["AP"])
    paused = services.wait(job_id, 60)
    assert (paused.kind, paused.status, paused.label) == ("evaluate", "paused", "Evaluate BM25 on default")
    assert services.evaluations("papers")[0].evaluation_id == paused.result
    assert services.evaluations("papers")[0].done == 2
    services.resume(job_id)
    done = services.wait(job_id, 60)
    assert (done.status, done.counts, done.result) == ("done", {"queries": 3}, paused.result)
    assert ran == ["sparse terms", "sparse terms", "token vectors", "onions", "onions"]
    assert means(services.evaluation("papers", done.result), "AP") == {"BM25": pytest.approx(2 / 3)}


def test_a_cancelled_job_keeps_its_finished_queries_for_the_next(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = halting(services, monkeypatch, 2, services.cancel)
    with pytest.raises(Cancelled, match="was cancelled"):
        services.evaluate("papers", ["BM25"])
    assert services.evaluations("papers")[0].done == 1
    services.evaluate("papers", ["BM25"])
    assert ran == ["sparse terms"] * 2 + ["token vectors"] * 2 + ["onions"]


def test_a_sink_that_raises_cancels_the_job(services: Services) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        services.evaluate("papers", ["BM25"], progress=stop)
    assert services.jobs()[0].status in ("cancelled", "done")
    assert services.evaluate("papers", ["BM25"]).finished


def test_a_job_that_was_running_when_the_program_ended_goes_on_by_itself(services: Services) -> None:
    job_id = services.start_evaluation("papers", ["BM25"])
    services.wait(job_id, 60)
    services.engine.workspace.database.execute("test", "UPDATE jobs SET status = 'running', finished_at = NULL")
    folder = services.folder
    services.close()
    with Services(folder) as reopened:
        assert reopened.wait(job_id, 60).status == "done"


def test_failures_are_told_and_tried_again(services: Services) -> None:
    view = services.evaluate("papers", ["BM25", UNBUILT], metrics=["AP"])
    assert means(view, "AP") == {"BM25": pytest.approx(2 / 3), "Unbuilt": None}
    broken = view.pipelines[1]
    assert (broken.failed, len(view.failures)) == (3, 3)
    assert "is not built yet" in broken.error
    with pytest.raises(TriptychError, match=r"Every pipeline failed.*not built yet"):
        services.evaluate("papers", [UNBUILT])
    assert [job.counts.get("failed") for job in services.jobs()[:2]] == [3, 3]
    assert [job.status for job in services.jobs()[:2]] == ["failed", "done"]


def test_condensed_means_and_bpref_stand_beside_the_ordinary_ones(services: Services, tmp_path: Path) -> None:
    view = services.evaluate("papers", ["BM25"], metrics=["P@1", "RR", "Judged@5", "P(judged_only=True)@1"])
    row = view.pipelines[0]
    # Query 3 finds only the soup, which nobody judged: its condensed list is empty.
    assert [(cell.mean, cell.condensed) for cell in row.cells[:2]] == [(pytest.approx(2 / 3), pytest.approx(2 / 3))] * 2
    assert [cell.condensed for cell in row.cells[2:]] == [None, None]
    assert row.bpref == pytest.approx((1 + 1 + 0) / 3)
    (tmp_path / "known.tsv").write_text("1\tonions\n")
    (tmp_path / "known.txt").write_text("1 0 dense 1\n")
    services.import_queries("papers", tmp_path / "known.tsv", query_set="known")
    services.import_judgments("papers", tmp_path / "known.txt", query_set="known")
    known = services.evaluate("papers", ["BM25"], query_set="known", metrics=["RR"]).pipelines[0]
    assert (known.cells[0].condensed, known.bpref) == (None, None), "without a rejected document they tell nothing"


def test_the_hits_of_a_query_are_shown_with_their_ratings(services: Services, tmp_path: Path) -> None:
    (tmp_path / "theirs.run").write_text("1 Q0 soup 1 2 x\n1 Q0 gone 2 1 x\n")
    services.import_run("papers", tmp_path / "theirs.run")
    view = services.evaluate("papers", ["BM25", UNBUILT], runs=["theirs"], metrics=["RR"])
    ours, broken, theirs = services.query_hits("papers", view.evaluation_id, "1")
    assert [(hit.rank, hit.doc_id, hit.rating) for hit in ours.hits] == [(1, "sparse", 2), (2, "bm25", 1)]
    assert "not built" in broken.error
    assert (theirs.imported, [(hit.doc_id, hit.title, hit.rating) for hit in theirs.hits]) == (
        True,
        [("soup", "Cooking onion soup", None), ("gone", "", None)],
    )
    with pytest.raises(NotFound, match="no query 'x'"):
        services.query_hits("papers", view.evaluation_id, "x")
    again = services.evaluate("papers", ["BM25", UNBUILT], runs=["theirs"], metrics=["RR"], fresh=True)
    assert services.query_hits("papers", again.evaluation_id, "1")[2].hits == theirs.hits, "no hit twice, none lost"
    (tmp_path / "theirs.run").write_text("1 Q0 sparse 1 2 x\n")
    services.import_run("papers", tmp_path / "theirs.run")
    assert services.evaluation("papers", view.evaluation_id).stale == ("the run 'theirs' has changed",)


def test_what_changed_since_is_said(services: Services) -> None:
    view = services.evaluate("papers", ["BM25"])
    key = services.engine.workspace.collection("papers").collection_id
    documents = services.engine.workspace.documents

    def stale() -> tuple[str, ...]:
        return services.evaluation("papers", view.evaluation_id).stale

    documents.upsert(key, PAPERS, "again")
    assert stale() == (), "the same documents are no change"
    documents.add_judgments(key, [Judgment("4", "dense", 1)])
    assert stale() == ("the judgments have changed",)
    documents.add_queries(key, [Query("4", "other words")])
    documents.upsert(key, [Record("new", "New paper")], "test")
    assert stale() == ("the documents have changed", "the queries have changed", "the judgments have changed")
    assert services.wait(services.index("papers", services.needed_indexes(["BM25"])), 60).status == "done"
    assert stale()[-1] == "the index 'BM25 · english' has changed"
    assert services.evaluate("papers", ["BM25"]).stale == ()
    with pytest.raises(NotFound):
        services.evaluation("papers", "nothing")
    services.delete_evaluation("papers", view.evaluation_id)
    assert view.evaluation_id not in {one.evaluation_id for one in services.evaluations("papers")}


def test_runs_go_out_and_come_back_as_the_same_values(services: Services, tmp_path: Path) -> None:
    view = services.evaluate("papers", ["BM25"])
    file = tmp_path / "mine.run"
    file.write_text(services.export_run("papers", view.evaluation_id, "BM25"), encoding="utf-8")
    both = services.evaluate("papers", ["BM25"], runs={"mine": file})
    for measure in both.metrics:
        assert means(both, measure)["mine"] == means(both, measure)["BM25"]
    mine = both.pipelines[1]
    assert (mine.yaml, mine.p50, mine.cells[0].ties) == ("", None, 3)
    only = services.evaluate("papers", [], runs={"mine": file})
    assert [one.name for one in only.pipelines] == ["mine"]
    with pytest.raises(NotFound, match="did not run 'Dense'"):
        services.export_run("papers", view.evaluation_id, "Dense")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"metrics": ["nDGC"]}, "no metric"), ({"metrics": []}, "1 to 12 metrics"), ({"baseline": "x"}, "baseline 'x'"),
        ({"test": "x"}, "no test"), ({"correction": "x"}, "no correction"), ({"level": 95}, "level"), ({"query_set": "x"}, "Known sets: 'default'"),
        ({"depth": 0}, "k is 0"), ({"batch": 0}, "batch has 1 to"), ({"pipelines": ["BM25", "BM25"]}, "same name"), ({"pipelines": []}, "1 to 20"),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_refused(services: Services, options: dict[str, object], says: str) -> None:
    arguments = {"pipelines": ["BM25"]} | options
    with pytest.raises(BadInput, match=says):
        services.evaluate("papers", **arguments)  # type: ignore[arg-type]


def test_without_judgments_nothing_is_evaluated(services: Services, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("sparse terms\ntoken vectors\n")
    services.import_queries("papers", tmp_path / "q.txt", query_set="new")
    with pytest.raises(BadInput, match="triptych disagree"):
        services.evaluate("papers", ["BM25"], query_set="new")


def test_answers_that_are_documents_become_judgments(services: Services, tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text("query: how to cook, answer: soup\nquery: who, answer: nobody\n")
    found = services.import_queries("papers", file, query_set="pairs")
    assert (found.form, found.queries, found.judgments) == ("answers", 2, 1)
    assert found.notices == ("1 answers are not the id of a document; they are kept with their queries.",)
    assert services.export_judgments("papers", query_set="pairs") == "1 0 soup 1\n"
    assert '"answer": "nobody"' in services.export_queries("papers", query_set="pairs")
    assert services.delete_query_set("papers", "pairs") == 2
    with pytest.raises(NotFound, match="no query set 'pairs'"):
        services.export_queries("papers", query_set="pairs")


def test_judgments_by_words_join_their_queries(services: Services, tmp_path: Path) -> None:
    file = tmp_path / "rated.csv"
    file.write_text("query,docid,rating\nSparse  terms,soup,0\n2,soup,0\na new one,dense,3\na new one,gone,1\n")
    found = services.import_judgments("papers", file)
    assert (found.form, found.queries, found.judgments) == ("csv", 1, 4)
    assert found.notices == ("1 of 3 judged documents are not in the collection.",)
    assert dict(services.questions("papers"))["5"] == "a new one"
    assert "1 0 soup 0\n" in services.export_judgments("papers")
    assert "token vectors,soup,0\n" in services.export_judgments("papers", form="csv")
    file.write_text("query,docid,rating\n1,soup,0\nsparse terms,soup,2\n")
    with pytest.raises(BadInput, match="judged otherwise at rated"):
        services.import_judgments("papers", file)


def test_mistakes_change_nothing(services: Services, tmp_path: Path) -> None:
    before = services.query_sets("papers")
    (tmp_path / "qrels.txt").write_text("1 0 sparse 1\n1 0 dense\n")
    with pytest.raises(BadInput, match=r"qrels.txt: line 2"):
        services.import_judgments("papers", tmp_path / "qrels.txt", query_set="other")
    with pytest.raises(BadInput, match="query set needs a name"):
        services.import_queries("papers", tmp_path / "qrels.txt", query_set=" ")
    assert services.query_sets("papers") == before


def test_a_beir_folder_brings_its_judgments(services: Services, tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n7\tsoup\t1\n8\tsoup\t1\n")
    (tmp_path / "queries.jsonl").write_text('{"_id": "7", "text": "onions"}\n')
    services.import_queries("papers", tmp_path, query_set="beir")
    view = services.evaluate("papers", ["BM25"], query_set="beir", metrics=["RR"])
    assert means(view, "RR") == {"BM25": 1.0}
    assert view.queries == 1
    homeless = services.import_judgments("papers", tmp_path, query_set="beir")
    assert homeless.notices == (
        "1 judged queries are not in the query set 'beir' yet; import them to evaluate with them.",
    )


def test_a_read_only_workspace_evaluates_without_storing(services: Services) -> None:
    folder = services.folder
    services.close()
    with Services(folder, read_only=True) as reading:
        view = reading.evaluate("papers", ["BM25"])
        assert view.evaluation_id == ""
        assert means(view, "AP") == {"BM25": pytest.approx(2 / 3)}
        assert reading.evaluations("papers") == ()


def test_a_stored_evaluation_is_compared_otherwise_without_keeping_it(services: Services) -> None:
    view = services.evaluate("papers", ["BM25", SHORT], metrics=["P@2"])
    other = services.evaluation("papers", view.evaluation_id, baseline="Short", test="wilcoxon", correction="none")
    assert (other.baseline, other.test, other.correction) == ("Short", "wilcoxon", "none")
    assert other.pipelines[0].cells[0].difference == -(view.pipelines[1].cells[0].difference or 0)
    assert other.pipelines[0].cells[0].wins == view.pipelines[1].cells[0].losses == 1
    assert other.pipelines[1].cells[0].difference is None
    assert services.evaluation("papers", view.evaluation_id) == view
    with pytest.raises(BadInput, match="is not among the pipelines"):
        services.evaluation("papers", view.evaluation_id, baseline="Dense")
    with pytest.raises(BadInput, match="no test called"):
        services.evaluation("papers", view.evaluation_id, test="guess")


def test_the_words_of_a_query(services: Services) -> None:
    assert services.query_text("papers", "default", "2") == "token vectors"
    with pytest.raises(NotFound, match="no query '9'"):
        services.query_text("papers", "default", "9")
