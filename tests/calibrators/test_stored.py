"""Calibrations end to end: fitted by a job, stored, told, saved as a pipeline and run."""

from __future__ import annotations

import json

import pytest

from app.verbs.services import Services
from engine.errors import BadInput, NotFound, ReadOnly
from engine.evaluation.calibrate import Target
from engine.evaluation.calibration import Asked
from engine.pipeline.stages import PipelineSpec
from engine.types import Judgment, Query, Record

WORDS = ["parsing", "retrieval", "translation", "speech", "vision", "memory"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six topics with ten papers each; one question a topic and wording, and two that nothing answers."""
    folder = tmp_path_factory.mktemp("calibrated")
    with Services(folder) as services:
        services.create_collection("papers")
        workspace = services.engine.workspace
        key = workspace.collection("papers").collection_id
        records = [
            Record(f"{word}-{n}", title=f"{word} study {n}", text=f"{word} " * (n + 1) + "of common things")
            for word in WORDS
            for n in range(10)
        ]
        workspace.documents.upsert(key, records, "test")
        queries = [Query(f"{word}-q{n}", f"{word} {'common things' if n else ''}") for word in WORDS for n in range(2)]
        nothing = [Query("none-1", "common things"), Query("none-2", "things of the sea")]
        workspace.documents.add_queries(key, [*queries, *nothing])
        good = [Judgment(q.qid, f"{q.qid.split('-')[0]}-{n}", 2 if n == 3 else 1) for q in queries for n in range(10)]
        bad = [Judgment(q.qid, "vision-1", 0) for q in nothing]
        workspace.documents.add_judgments(key, [*good, *bad])
        job = services.engine.jobs.submit("index", key, {"specs": ["bm25"]})
        assert services.engine.jobs.wait(job).status == "done"
    return folder


@pytest.fixture(scope="module")
def calibrated(folder):
    """The workspace with one calibration of BM25, made by a job."""
    with Services(folder) as services:
        job_id = services.start_calibration(
            "papers", ["BM25"], methods=("min_max", "platt", "isotonic"), target="best>=0.9", folds=3, depth=30
        )
        job = services.engine.jobs.wait(job_id)
        assert (job.status, job.error) == ("done", "")
        yield services, job.counts["calibration"]


def test_a_job_fits_and_stores(calibrated):
    services, key = calibrated
    view = services.calibration("papers", key[:8])
    assert (view.calibration_id, view.target, view.stale) == (key, "best ≥ 0.9", ())
    (part,) = view.pipelines
    assert (part.queries, part.answerable) == (14, 12)
    assert part.relevant == 12 * 10
    assert sum(part.scores.relevant) == part.relevant
    assert sum(part.scores.relevant) + sum(part.scores.other) == part.hits
    assert [one.name for one in part.methods] == ["min_max", "platt", "isotonic"]
    for one in part.methods:
        assert sum(one.bins.count) == part.hits
        assert sum(one.probabilities.relevant) == part.relevant
        assert one.effects[0].threshold == 0
        assert one.effects[0].recall == 1
        assert one.effects[0].results == pytest.approx(part.hits / 14)
        assert one.threshold in [effect.threshold for effect in one.effects], "what is shown at it is measured at it"
        assert [effect.results for effect in one.effects] == sorted((e.results for e in one.effects), reverse=True)
    platt = part.methods[1]
    # Words that only their topic has separate the hits: what is kept is right, and questions about nothing stay empty.
    assert platt.measures["precision"].value == 1
    assert platt.at_threshold.best == 1
    assert platt.at_threshold.emptied == 1


def test_a_fitted_pipeline_is_saved_and_drops_what_is_unlikely(calibrated):
    services, key = calibrated
    services.save_calibrated("papers", key, "BM25", "platt", name="BM25, calibrated")
    found = services.search("papers", "vision common things", "BM25, calibrated")
    assert {card.doc_id.split("-")[0] for card in found.cards} == {"vision"}
    assert all(0 < card.score <= 1 for card in found.cards)
    assert services.search("papers", "common things", "BM25, calibrated").cards == ()
    services.save_calibrated("papers", key, "BM25", "platt", name="kept", threshold=0.0)
    assert services.search("papers", "vision common things", "kept").total == 30, "as deep as it was fitted"
    with pytest.raises(BadInput, match="calibrated already"):
        services.start_calibration("papers", ["BM25, calibrated"])


def test_what_is_saved_says_what_was_shown_also_of_longer_lists(calibrated):
    services, key = calibrated
    assert services.search("papers", "vision common things", "BM25").total == 60
    services.save_calibrated("papers", key, "BM25", "min_max", name="scaled", threshold=0.0)
    shown = services.query_curves("papers", key, "BM25", "vision common things", k=30)
    found = services.search("papers", "vision common things", "scaled", limit=100)
    assert [card.doc_id for card in found.cards] == [hit[0] for hit in shown.hits]
    assert [card.probability for card in found.cards] == pytest.approx(shown.curves[0].probabilities)
    assert found.cards[-1].probability == 0, "the last of thirty, not of sixty"


def test_curves_of_one_query(calibrated):
    services, key = calibrated
    curves = services.query_curves("papers", key, "BM25", "speech things", k=5)
    assert len(curves.hits) == 5
    assert [curve.method for curve in curves.curves] == ["min_max", "platt", "isotonic"]
    for curve in curves.curves:
        assert len(curve.probabilities) == 5
        assert list(curve.points) == sorted(curve.points)
    low, high = curves.curves[0].points[0], curves.curves[0].points[-1]
    assert (low[1], high[1]) == (0, 1)
    assert services.query_curves("papers", key, "BM25", "zebra").hits == ()


def test_a_report_holds_the_calibration_of_its_pipelines(calibrated):
    services, key = calibrated
    mine = services.evaluate("papers", ["BM25"], metrics=["AP"])
    other = services.evaluate("papers", [("BM25", "- bm25: {}\n- cutoff: {k: 3}\n")], metrics=["AP"])
    plots = b'id="calibration"'
    assert plots in services.report("papers", mine.evaluation_id)
    assert plots not in services.report("papers", mine.evaluation_id, calibration="")
    assert plots not in services.report("papers", other.evaluation_id), "of the same name, but another pipeline"
    assert plots in services.report("papers", other.evaluation_id, calibration=key)


def test_history_staleness_and_deletion(folder, calibrated):
    services, key = calibrated
    assert [one.calibration_id for one in services.calibrations("papers")] == [key]
    again = services.calibrate("papers", ["BM25"], methods=["temperature"], folds=2, target="results<=5")
    assert len(services.calibrations("papers")) == 2
    cid = services.engine.workspace.collection("papers").collection_id
    services.engine.workspace.documents.add_judgments(cid, [Judgment("none-1", "speech-2", 0)])
    assert services.calibration("papers", again.calibration_id).stale == ("the judgments have changed",)
    services.delete_calibration("papers", again.calibration_id)
    with pytest.raises(NotFound, match="calibrations list"):
        services.calibration("papers", again.calibration_id)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["nonsense"]}, "nonsense"),
        ({"methods": []}, "1 to 12"),
        ({"methods": ["platt", "platt"], "folds": 1}, "2 to 20 folds"),
        ({"target": "happiness>=1"}, "no target"),
        ({"depth": 0}, "k is 0"),
        ({"rating": 0}, "rating"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(calibrated, options, message):
    services, _ = calibrated
    with pytest.raises(BadInput, match=message):
        services.start_calibration("papers", ["BM25"], **options)


def test_a_job_that_cannot_fit_says_why(calibrated):
    services, _ = calibrated
    job_id = services.start_calibration("papers", ["BM25"], methods=["platt"], folds=20)
    job = services.engine.jobs.wait(job_id)
    assert job.status == "failed"
    assert "14 judged queries" in job.error


def test_a_read_only_workspace_refuses(folder, calibrated):
    services, _ = calibrated
    services.read_only = True
    try:
        with pytest.raises(ReadOnly):
            services.start_calibration("papers", ["BM25"])
    finally:
        services.read_only = False


def test_what_is_asked_survives_json():
    spec = PipelineSpec.from_yaml("- bm25: {}")
    from engine.calibrators.platt import Platt

    asked = Asked({"one": spec}, (Platt(),), Target("recall", 0.5), folds=3)
    assert Asked.of(json.loads(json.dumps(asked.spec()))) == asked
