"""Where pipelines disagree: measures without judgments, as a job whose finished queries are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import engine.evaluation.measure
from app.verbs.services import Services
from engine.errors import BadInput, Cancelled, NotFound, TriptychError
from engine.statistics.agreement import rbo
from tests.evaluate.papers import SHORT, UNBUILT


@pytest.fixture
def asking(services: Services, tmp_path: Path) -> Services:
    """A second query set, which nobody judged, and the run of another system over it."""
    (tmp_path / "q.jsonl").write_text('{"_id": "a", "text": "sparse terms"}\n{"_id": "b", "text": "token vectors"}\n')
    services.import_queries("papers", tmp_path / "q.jsonl", query_set="new")
    (tmp_path / "theirs.txt").write_text("a Q0 bm25 1 2.0 x\na Q0 sparse 2 1.0 x\nb Q0 late 1 1.0 x\n")
    services.import_run("papers", tmp_path / "theirs.txt", name="theirs")
    return services


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries that run from now on, as they run."""
    ran: list[str] = []
    whole = engine.evaluation.measure._batch

    def batch(context: Any, pipelines: Any, queries: Any, depth: int) -> Any:
        ran.extend(qid for qid, _ in queries)
        return whole(context, pipelines, queries, depth)

    monkeypatch.setattr(engine.evaluation.measure, "_batch", batch)
    return ran


def test_agreement_by_hand(asking: Services) -> None:
    # BM25 finds sparse, bm25 for "sparse terms" and late, dense for "token vectors"; Short keeps the first of each.
    found = asking.disagreement("papers", ["BM25", SHORT], runs=["theirs"], query_set="new", k=2)
    by_pair = {(one.left, one.right): one for one in found.pairs}
    short = by_pair["BM25", "Short"]
    assert (short.queries, short.jaccard, short.tau) == (2, 0.5, None)
    theirs = by_pair["BM25", "theirs"]
    assert theirs.jaccard == pytest.approx((1 + 1 / 2) / 2)
    assert theirs.tau == -1.0, "only the first question has two documents that both found, and theirs are swapped"
    swapped, alone = (["sparse", "bm25"], ["bm25", "sparse"]), (["late", "dense"], ["late"])
    assert theirs.rbo == pytest.approx((rbo(*swapped) + rbo(*alone)) / 2)
    assert theirs.rbo_top == pytest.approx((rbo(*swapped, 0.5) + rbo(*alone, 0.5)) / 2)
    assert found.names == ("BM25", "Short", "theirs")
    assert [query.text for query in found.queries] == ["sparse terms", "token vectors"], "the most different first"
    assert found.stale == ()
    assert asking.evaluations("papers") == (), "it is no evaluation"


def test_what_was_found_is_kept_and_found_again(asking: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = watched(monkeypatch)
    job_id = asking.start_disagreement("papers", ["BM25", SHORT], query_set="new")
    job = asking.wait(job_id, 60)
    assert (job.kind, job.status, job.label) == ("disagree", "done", "Disagreement of BM25, Short on new")
    assert ran == ["a", "a", "b"], "the first also opens the index"
    first = asking.stored_disagreement("papers", job.result)
    again = asking.disagreement("papers", ["BM25", SHORT], query_set="new")
    assert again == first
    assert len(ran) == 3, "nothing ran again"
    assert asking.disagreement("papers", ["BM25", SHORT], query_set="new", k=1) != first
    with pytest.raises(NotFound):
        asking.evaluation("papers", job.result)
    asking.delete_disagreement("papers", job.result)
    with pytest.raises(NotFound):
        asking.stored_disagreement("papers", job.result)


def test_a_pool_of_the_same_lists_is_another_thing(asking: Services) -> None:
    found = asking.disagreement("papers", ["BM25", SHORT], query_set="new")
    queue = asking.start_queue("papers", ["BM25", SHORT], query_set="new", depth=10, order="pool")
    asking.wait(queue.job_id, 60)
    asking.delete_queue("papers", queue.queue_id)
    assert asking.stored_disagreement("papers", found.disagreement_id) == found


def test_it_is_stale_when_the_queries_change_and_then_replaced(asking: Services, tmp_path: Path) -> None:
    before = asking.disagreement("papers", ["BM25", SHORT], query_set="new")
    (tmp_path / "more.jsonl").write_text('{"_id": "c", "text": "onions"}\n')
    asking.import_queries("papers", tmp_path / "more.jsonl", query_set="new")
    (tmp_path / "qrels.txt").write_text("a 0 soup 1\n")
    asking.import_judgments("papers", tmp_path / "qrels.txt", query_set="new")
    old = asking.stored_disagreement("papers", before.disagreement_id)
    assert old.stale == ("the queries have changed",), "judgments have no part in it"
    assert len(old.queries) == 2, "the new one was not asked"
    after = asking.disagreement("papers", ["BM25", SHORT], query_set="new")
    assert len(after.queries) == 3
    with pytest.raises(NotFound):
        asking.stored_disagreement("papers", before.disagreement_id)


def test_a_cancelled_one_goes_on_where_it_was(asking: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = watched(monkeypatch)
    counted = engine.evaluation.measure._batch

    def batch(context: Any, pipelines: Any, queries: Any, depth: int) -> Any:
        if len(ran) == 1:
            asking.cancel(asking.jobs()[0].job_id)
        return counted(context, pipelines, queries, depth)

    with monkeypatch.context() as patched:
        patched.setattr(engine.evaluation.measure, "_batch", batch)
        with pytest.raises(Cancelled, match="finished are kept"):
            asking.disagreement("papers", ["BM25", SHORT], query_set="new")
    half = asking.stored_disagreement("papers", asking.jobs()[0].result)
    assert [query.qid for query in half.queries] == ["a"]
    del ran[:]
    assert len(asking.disagreement("papers", ["BM25", SHORT], query_set="new").queries) == 2
    assert ran == ["b", "b"]


def test_a_failed_pipeline_is_told_and_the_others_are_compared(asking: Services) -> None:
    broken = asking.disagreement("papers", ["BM25", SHORT, UNBUILT], query_set="new")
    assert [(one.left, one.right) for one in broken.pairs] == [("BM25", "Short")]
    assert len(broken.failures) == 2
    with pytest.raises(TriptychError, match="not built"):
        asking.disagreement("papers", [UNBUILT, ("Other", UNBUILT[1])], query_set="new")


def test_what_cannot_be_compared_is_refused(asking: Services) -> None:
    for pipelines, says in ((["BM25"], "2 to 20"), (["BM25", "BM25"], "different")):
        with pytest.raises(BadInput, match=says):
            asking.disagreement("papers", pipelines)
    with pytest.raises(NotFound, match="default, new"):
        asking.disagreement("papers", ["BM25", SHORT], query_set="x")
    with pytest.raises(NotFound):
        asking.stored_disagreement("papers", "x")


def test_a_reader_keeps_nothing(asking: Services) -> None:
    folder = asking.folder
    asking.close()
    with Services(folder, read_only=True) as reader:
        found = reader.disagreement("papers", ["BM25", SHORT], query_set="new")
        assert (found.disagreement_id, len(found.queries), len(reader.jobs())) == ("", 2, 1)
