"""Adding files through the real readers: counts, duplicates across files, partial failures, indexes afterwards."""

from __future__ import annotations

import json
import zipfile

import pytest

from engine.errors import BadInput
from engine.jobs import add as ingest


def jsonl(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def papers_like(numbers, **more):
    return [{"_id": f"d{n}", "title": f"Title {n}", "text": f"Text {n} about retrieval", **more} for n in numbers]


def add(engine, papers, *paths, **params):
    job_id = engine.jobs.submit("add", papers.collection_id, {"paths": list(paths), **params})
    return engine.jobs.wait(job_id, 60)


def test_files_of_several_kinds(engine, workspace, papers, tmp_path):
    one = jsonl(tmp_path / "one.jsonl", papers_like(range(5)))
    (tmp_path / "two.csv").write_text("id,title,abstract\nc1,First,Some text\nc2,Second,More text\n")
    job = add(engine, papers, one, str(tmp_path / "two.csv"))
    assert (job.status, job.error) == ("done", "")
    assert {name: job.counts[name] for name in ("added", "changed", "unchanged", "duplicate", "rejected", "files", "failed_files")} == {
        "added": 7, "changed": 0, "unchanged": 0, "duplicate": 0, "rejected": 0, "files": 2, "failed_files": 0,
    }  # fmt: skip
    assert [(file["source"], file["status"], file["added"]) for file in job.files] == [
        ("one.jsonl", "done", 5),
        ("two.csv", "done", 2),
    ]
    sources = workspace.documents.facets(papers.collection_id, ["source"]).rows()
    assert sources == [("source", "one.jsonl", 5), ("source", "two.csv", 2)]
    again = add(engine, papers, one)
    assert again.summary == "done, 5 unchanged"


@pytest.mark.parametrize(
    ("policy", "title", "counts"),
    [("replace", "two", (4, 0, 0, 2, 0)), ("keep", "one", (4, 0, 0, 2, 0)), ("error", "one", (4, 0, 0, 0, 2))],
)
def test_duplicates_across_files_follow_the_policy_and_are_counted(
    engine, workspace, papers, tmp_path, policy, title, counts
):
    one = jsonl(tmp_path / "1.jsonl", [*papers_like([1, 2, 1], venue="x"), {"_id": "a", "title": "one"}])
    two = jsonl(tmp_path / "2.jsonl", [{"_id": "a", "title": "two"}, {"_id": "b", "title": "other"}])
    job = add(engine, papers, one, two, duplicates=policy)
    assert job.status == "done"
    assert tuple(job.counts[name] for name in ("added", "changed", "unchanged", "duplicate", "rejected")) == counts
    assert workspace.documents.fetch(papers.collection_id, ["a"])["title"].item() == title
    assert workspace.query("SELECT count(*) AS n FROM job_seen").item() == 0, (
        "what only the running job needs is removed"
    )


def test_partly_failed_is_done_and_says_how_much_was_not(engine, workspace, papers, tmp_path):
    good = tmp_path / "good.jsonl"
    good.write_text(
        json.dumps(papers_like([1])[0]) + "\nthis is not JSON\n" + json.dumps({"_id": "e", "text": "  "}) + "\n"
    )
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.4 and nothing more")
    job = add(engine, papers, str(good), str(tmp_path / "bad.pdf"))
    assert job.status == "done"
    assert job.summary == "done, 1 added, 3 rejected, 1 file(s) failed"
    assert [(file["source"], file["status"]) for file in job.files] == [("good.jsonl", "done"), ("bad.pdf", "failed")]
    assert job.files[1]["error"]
    rejections = workspace.jobs.rejections(job.job_id)
    assert len(rejections) == 3
    assert rejections["place"][0].startswith("good.jsonl")
    assert "2" in rejections["place"][0], "the line is named"
    assert workspace.jobs.rejections(job.job_id, offset=2).rows() == rejections[2:].rows()


def test_nothing_readable_is_a_failure_with_the_reason(engine, workspace, papers, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\x00\x01\x02" * 50)
    job = add(engine, papers, str(tmp_path / "a.bin"))
    assert job.status == "failed"
    assert job.error.startswith("None of the 1 file(s) could be read. a.bin:")
    assert job.counts["rejected"] == 1
    missing = add(engine, papers, str(tmp_path / "missing.csv"))
    assert missing.status == "failed"
    assert "missing.csv does not exist" in missing.error
    (tmp_path / "empty").mkdir()
    assert "nothing to add" in add(engine, papers, str(tmp_path / "empty")).error


def test_beir_folder_brings_queries_and_judgments(engine, workspace, papers, tmp_path):
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    jsonl(folder / "corpus.jsonl", papers_like(range(3)))
    jsonl(folder / "queries.jsonl", [{"_id": "q1", "text": "what is retrieval"}])
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n")
    job = add(engine, papers, str(folder))
    assert (job.status, job.counts["added"], job.counts["queries"], job.counts["judgments"]) == ("done", 3, 1, 2)
    assert workspace.documents.queries(papers.collection_id)["text"].to_list() == ["what is retrieval"]
    assert workspace.documents.judgments(papers.collection_id)[["doc_id", "rating"]].sort("doc_id").rows() == [
        ("d1", 2),
        ("d2", 0),
    ]


def test_archive_files_are_journaled_one_by_one(engine, workspace, papers, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for n in range(3):
            archive.writestr(f"part{n}.jsonl", json.dumps(papers_like([n])[0]))
    job = add(engine, papers, str(tmp_path / "a.zip"))
    assert (job.status, job.counts["added"]) == ("done", 3)
    assert {file["source"]: file["added"] for file in job.files if file["added"]} == {
        f"a.zip/part{n}.jsonl": 1 for n in range(3)
    }


def test_cleaning_is_counted(engine, workspace, papers, tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [{"_id": "a", "title": "T", "text": "nul \u0000 and bidi \u202e end"}])
    job = add(engine, papers, path)
    assert job.status == "done"
    assert sum(job.counts["cleaned"].values()) == 2
    assert "\x00" not in workspace.documents.fetch(papers.collection_id, ["a"])["text"].item()


def test_long_document_becomes_passages_that_cover_it(engine, workspace, papers, tmp_path):
    text = " ".join(f"Sentence number {n} says something about retrieval." for n in range(20_000))
    assert len(text) > 1_000_000 - 1
    add(engine, papers, jsonl(tmp_path / "long.jsonl", [{"_id": "long", "title": "T", "text": text}]))
    snapshot = workspace.documents.snapshot(papers.collection_id)
    stored = workspace.documents.fetch(papers.collection_id, ["long"])["text"].item()
    passages = workspace.documents.passages(papers.collection_id, snapshot.doc_nos)
    assert len(passages) > 100
    covered = 0
    for start, end in passages[["start_char", "end_char"]].rows():
        assert stored[covered:start].strip() == "", "nothing between two passages but white space"
        assert start < end
        covered = max(covered, end)
    assert stored[covered:].strip() == ""
    first = workspace.documents.unit_texts(papers.collection_id, "passage", snapshot.passage_nos[:1])
    assert first == [f"T. {stored[passages['start_char'][0] : passages['end_char'][0]]}"]


def test_small_batches_give_the_same_as_large_ones(engine, workspace, papers, tmp_path, monkeypatch):
    path = jsonl(tmp_path / "a.jsonl", papers_like([*range(40), *range(10)]))
    add(engine, papers, path)
    other = workspace.create_collection("other")
    monkeypatch.setattr(ingest, "BATCH_ITEMS", 7)
    job = add(engine, other, path)
    assert job.counts["duplicate"] == 10
    assert job.counts["added"] == 40
    assert workspace.documents.content_hash(other.collection_id) == workspace.documents.content_hash(
        papers.collection_id
    )


def test_paused_ingest_goes_on_at_the_item(engine, workspace, papers, tmp_path, monkeypatch):
    path = jsonl(tmp_path / "a.jsonl", papers_like(range(50)))
    monkeypatch.setattr(ingest, "BATCH_ITEMS", 10)
    stored = []
    flush = ingest.Ingest._flush

    def flush_and_pause(self):
        flush(self)
        stored.append(self._sum("items_done"))
        if len(stored) == 2:
            engine.jobs.pause(self._job_id)

    monkeypatch.setattr(ingest.Ingest, "_flush", flush_and_pause)
    paused = add(engine, papers, path)
    assert (paused.status, paused.counts["added"]) == ("paused", 20)
    assert paused.files[0]["items_done"] == 20
    engine.jobs.resume(paused.job_id)
    job = engine.jobs.wait(paused.job_id, 60)
    assert (job.status, job.counts["added"], job.counts["items_done"], job.counts["duplicate"]) == ("done", 50, 50, 0)
    assert len(workspace.documents.snapshot(papers.collection_id)) == 50


def test_a_file_that_changed_while_paused_is_read_again(engine, workspace, papers, tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    jsonl(path, papers_like(range(20)))
    monkeypatch.setattr(ingest, "BATCH_ITEMS", 10)
    flush = ingest.Ingest._flush
    monkeypatch.setattr(ingest.Ingest, "_flush", lambda self: (flush(self), engine.jobs.pause(self._job_id)))
    paused = add(engine, papers, str(path))
    assert paused.counts["items_done"] == 10
    monkeypatch.setattr(ingest.Ingest, "_flush", flush)
    jsonl(path, papers_like(range(100, 103)) + papers_like(range(20), venue="new"))
    engine.jobs.resume(paused.job_id)
    job = engine.jobs.wait(paused.job_id, 60)
    assert (job.status, job.counts["items_done"], job.counts["added"], job.counts["changed"]) == ("done", 23, 13, 10)
    assert len(workspace.documents.snapshot(papers.collection_id)) == 23


def test_then_index_builds_what_was_asked(engine, workspace, papers, tmp_path):
    path = jsonl(tmp_path / "a.jsonl", papers_like(range(10)))
    job = add(engine, papers, path, then_index=["bm25", {"bm25": {"k1": 2.0}}])
    assert job.status == "done"
    assert [built["rows"] for built in job.counts["indexes"]] == [10, 10]
    assert len(workspace.generations.live(papers.collection_id, "bm25")) == 2
    assert (job.phase, job.counts["added"]) == ("publish", 10)


@pytest.mark.parametrize(
    "params",
    [
        {"options": {"colums": {}}},
        {"chunker": {"thirds": {}}},
        {"chunker": {"sentences": {"max_tokens": 1}}},
        {"duplicates": "first"},
        {"then_index": ["btree"]},
    ],
)
def test_unusable_parameters_fail_with_their_name(engine, workspace, papers, tmp_path, params):
    job = add(engine, papers, jsonl(tmp_path / "a.jsonl", papers_like([1])), **params)
    assert job.status == "failed"
    assert "Unexpected" not in job.error
    assert job.error


def test_chunker_is_written_as_one_name():
    with pytest.raises(BadInput, match="one name"):
        ingest.parse_chunker({"a": {}, "b": {}})


def test_one_long_file_has_a_total_while_it_is_read(engine, workspace, papers, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "BATCH_ITEMS", 256)
    text = "words " * 100
    rows = "".join(
        f'<paper id="{n}"><title>Title {n}</title><abstract>{text}</abstract></paper>' for n in range(1, 3001)
    )
    (tmp_path / "P99.xml").write_text(f'<collection id="P99"><volume id="1"><meta/>{rows}</volume></collection>')
    seen = []
    store = workspace.jobs.store_progress
    monkeypatch.setattr(
        type(workspace.jobs),
        "store_progress",
        lambda self, job_id, progress: (seen.append(progress), store(job_id, progress)),
    )
    monkeypatch.setattr("engine.serving.running._WRITE_EVERY", 0.0)
    job = add(engine, papers, str(tmp_path / "P99.xml"))
    assert job.counts["added"] == 3000
    early = [step.total for step in seen if step.phase == "add" and 256 <= step.done < 2900]
    assert early
    assert all(total is not None and 2500 < total < 3500 for total in early), early


def test_an_archive_has_no_total_since_its_files_unfold(engine, workspace, papers, tmp_path, monkeypatch):
    jsonl(tmp_path / "a.jsonl", papers_like(range(50)))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.jsonl", "a.jsonl")
    job = add(engine, papers, str(tmp_path / "a.zip"))
    assert (job.counts["added"], job.total) == (50, None)
